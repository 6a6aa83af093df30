"""Learned shapes (the fast way) against reading byte by byte (the slow way, which learns nothing).

An event is only learned, and only fits, where it lies in one chunk. So the same stream whole and in single bytes goes
the two ways, and everything that can be seen of them must be equal.
"""

import gc
import random
import re
import weakref

import pytest
from sse_fast import (
    Capture,
    Default,
    DropEvent,
    Equals,
    EventIs,
    Exists,
    Map,
    Missing,
    Remove,
    Rename,
    Renumber,
    Replace,
    Rewriter,
    Rules,
    Set,
    Transform,
)

CHAT = (
    'data: {"id":"c-1","created":1,"model":"m","choices":[{"index":0,"delta":{"role":null,"content":"é"},'
    '"finish_reason":null}],"usage":null,"x":-1.5}\n\n'
)
MESSAGE = 'event: delta\r\ndata: {"type":"delta","n":1,"delta":{"text":"a","mod\\u0065l":"m"}}\r\n\r\n'
NESTED = 'data: { "a" : { "a":[1,"2", {"b":"x"}], "b":"y" }, "b": 3 , "seq":7}\n\n'
NAMED = 'id: 5\nevent: delta\ndata: {"model":"m","n":1}\n\n'

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(?P<name>\s*:)?|-?\d+(?:\.\d+)?|null')
STRINGS = ['"q"', '""', '"m"', '"long 😀"', r'"\u00e9\n"', r'"\""', r'"\\"', r'"\ud800"']
NUMBERS = ["0", "1", "7", "12", "-3", "1.50", "1e3", "1E-7", "-0", "18446744073709551616"]
OTHERS = ["null", "true", "NaN", "-Infinity", "[]", "{}", '{"model":"in"}']
WRONG = [r'"\x"', r'"\u12g4"', '"\t"', '"open', "01", "-", "1.", ".5", "1.e3", "-01", "tru", ""]

RULES = [
    Set("$.model", "alias"),
    Replace("$..model", "deep"),
    Replace("$.n", 0, when=1),
    Remove("$.usage", when=None),
    Remove("$.choices[*].delta.role", when=None),
    Remove("$.x"),
    Remove("$.a.a[1]"),
    Default("$.choices", []),
    Default("$.usage.cached", 0, null_counts_as_missing=True),
    Rename("$.a.b", "c"),
    Rename("$.x", "model"),
    Map("$.model", {"m": "big", "q": None}),
    Map("$..b", {"x": 1}, otherwise="?"),
    Renumber("$.seq"),
    Renumber("$.n", 100),
    Capture("model", "$.model"),
    Capture("texts", "$..text", keep="all"),
    Capture("first", "$.choices[0].delta", keep="first"),
    Capture("whole", "$"),
    DropEvent(Equals("$.n", 7)),
    DropEvent(EventIs("delta"), Missing("$.delta.text")),
    DropEvent(Exists("$.x"), Equals("$.x", None)),
]


def varied(random: random.Random, event: str) -> str:
    """The event with one or two of its scalars changed, mostly for others of their kind."""
    head, payload = event.split("{", 1)
    scalars = [token for token in TOKEN.finditer(payload) if not token["name"]]
    for scalar in sorted(random.sample(scalars, random.randint(1, 2)), key=lambda match: -match.start()):
        alike = STRINGS if scalar.group().startswith('"') else NUMBERS
        filling = random.choice(random.choices([alike, OTHERS, WRONG], [40, 2, 1])[0])
        payload = payload[: scalar.start()] + filling + payload[scalar.end() :]
    if random.random() < 0.7:
        head = re.sub(
            "id: 5",
            random.choice(["id: 6", "id: 71", "id:8", "id:12", "id:  9", "id: a\0b", "id:", "id: é", "i: 5"]),
            head,
        )
    if random.random() < 0.3:  # padded, as some servers do
        bracket = random.choice([at for at, char in enumerate(payload) if char in "}]"])
        payload = payload[:bracket] + random.choice([" ", "   ", "\t", "\n"]) + payload[bracket:]
    return head + "{" + payload


def stream(random: random.Random) -> bytes:
    """Events of one or two structures, alike but for some values, and now and then one cut short."""
    structures = random.sample([CHAT, MESSAGE, NESTED, NAMED], random.randint(1, 2))
    events = []
    for _ in range(random.randint(5, 40)):
        event = random.choice(structures)
        if random.random() < 0.1:
            event = event.replace("\n", random.choice(["\r", "\r\n"]))
        if random.random() < 0.8:
            event = varied(random, event)
        if random.random() < 0.01:
            event = event[: random.randrange(len(event))] + "\n\n"
        events.append(event)
    return "".join(events).encode()


def seen(rules: Rules, chunks: list[bytes], **options: object) -> tuple[object, ...]:
    rewriter = Rewriter(rules, **options)
    out = b"".join([rewriter.feed(chunk) for chunk in chunks]) + rewriter.finish()
    return out, repr(rewriter.stats), repr(rewriter.captured), rewriter.next_numbers, rewriter.last_event_id


def compatible(random: random.Random) -> Rules:
    chosen: list = []
    for rule in random.sample(RULES, random.randint(0, 7)):
        try:
            Rules([*chosen, rule])
        except ValueError:
            continue
        chosen.append(rule)
    return Rules(chosen)


@pytest.mark.parametrize("seed", range(300))
def test_the_fast_way_is_the_slow_way(seed: int) -> None:
    rng = random.Random(seed)
    rules = compatible(rng)
    options = {"max_held": rng.choice([1 << 20, 1 << 20, 64, 150]), "empty_blocks": rng.choice(["keep", "drop"])}
    # Several streams under one set of rules: what one teaches, the next is rewritten by.
    for _ in range(3):
        data = stream(rng)
        slow = seen(rules, [data[i : i + 1] for i in range(len(data))], **options)
        assert seen(rules, [data], **options) == slow
        events = [event for event in re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", data) if event]
        assert seen(rules, events, **options) == slow
        size = rng.randint(100, 2000)
        assert seen(rules, [data[i : i + size] for i in range(0, len(data), size)], **options) == slow


def test_an_event_that_only_looks_alike_goes_the_slow_way() -> None:
    """A key in a value's place, a value that a rule looks at, a number that is none."""
    rules = Rules([Remove("$.b", when=1), Set("$.c", 0)])
    event = b'data: {"a":"x","b":%s}\n\n'
    for b in (b"2", b"3", b"1", b"1.0", b"10e-1", b"01", b'"1"', b"1", b"4"):
        data = event % b
        assert Rewriter(rules).feed(b"\n" + data) == Rewriter(rules).feed(b"\n") + b"".join(
            [(rewriter := Rewriter(rules)).feed(data[:9]), rewriter.feed(data[9:])]
        )


def test_what_was_learned_keeps_no_rules_alive() -> None:
    class Function:
        def __call__(self, value: object) -> object:
            return value

    function = Function()
    alive = weakref.ref(function)
    rewriter = Rewriter([Transform("$.a", function)])
    for a in range(5):
        rewriter.feed(b'data: {"a":%d}\n\n' % a)
    del rewriter, function
    gc.collect()
    assert alive() is None
