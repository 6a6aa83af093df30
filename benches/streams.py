"""Seeded event streams in the shapes of four LLM APIs, each with the bytes that the task makes of it.

Every event is written twice from one template: as the upstream sends it, and as it must leave. What must leave is
so known by construction, without any rewriter. Contents vary as recorded ones do: words of different lengths, non-
ASCII, escapes, obfuscation, white space before a last brace.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ALIAS = "our-model"
EVENTS = 2000

Pair = tuple[str, str]

# Tokens as they stand in the JSON text, and how often each comes.
TOKENS = {
    " the": 18, " of": 9, " and": 9, ",": 9, ".": 8, " a": 8, " to": 7, " is": 5, " in": 5, " stream": 4, " event": 4,
    " gateway": 3, " rewrites": 3, " boundary": 3, "ing": 3, "s": 3, " 12": 2, "-": 2, "`": 2, " byte": 2, "é": 1,
    " naïve": 1, " größer": 1, "日本": 1, "語": 1, " 🙂": 1, "\\n": 2, "\\n\\n": 1, '\\"': 2, ' \\"model\\"': 1,
    "\\\\": 1, "\\t": 1, "\\u00e9": 1, " {": 1, "}": 1,
}  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@dataclass(frozen=True)
class Stream:
    """One answer of an API: what comes in and what the task makes of it, event by event."""

    api: str
    events: tuple[bytes, ...]
    expected: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        return b"".join(self.events)


class Text:
    """A seeded source of contents."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tokens = list(TOKENS)
        self.weights = list(TOKENS.values())

    def token(self) -> str:
        return self.random.choices(self.tokens, self.weights)[0]

    def tokens_of(self, count: int) -> str:
        return "".join(self.random.choices(self.tokens, self.weights, k=count))

    def letters(self, count: int) -> str:
        return "".join(self.random.choices(LETTERS, k=count))

    def hexadecimal(self, count: int) -> str:
        return "".join(self.random.choices(LETTERS[-10:] + LETTERS[:6], k=count))

    def upto(self, low: int, high: int) -> int:
        return self.random.randint(low, high)


def _same(event: str) -> Pair:
    return event, event


def _usage(prefix: str, details: str, default: str) -> Pair:
    """A usage object with cost fields in three places and a details object that lacks its default."""
    given = f'{{"cost":6.1e-07,{prefix},"is_byok":false,{details}}},"cost_details":{{"upstream":[5e-07,null]}}}}'
    wanted = f"{{{prefix},{details},{default}}}}}"
    return given, wanted


def chat(text: Text, count: int) -> Iterator[Pair]:
    """Chat Completions: LF, no event names, `[DONE]`."""
    head = f'{{"id":"chatcmpl-{text.letters(29)}","object":"chat.completion.chunk","created":1767225600,'
    tier = ',"service_tier":"default","system_fingerprint":"fp_44add55e",'

    def event(rest: str, wanted: str | None = None) -> Pair:
        end = f'"obfuscation":"{text.letters(text.upto(1, 9))}"}}\n\n'
        given_model, wanted_model = '"model":"gpt-4o-2024-08-06"', f'"model":"{ALIAS}"'
        given = f"data: {head}{given_model}{tier}{rest},{end}"
        return given, f"data: {head}{wanted_model}{tier}{rest if wanted is None else wanted},{end}"

    def choice(delta: str, reason: str = "null") -> str:
        return f'"choices":[{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":{reason}}}],"usage":null'

    yield event(choice('"role":"assistant","content":"","refusal":null'))
    for _ in range(count - 4):
        yield event(choice(f'"content":"{text.token()}"'))
    yield event(choice('"content":"","role":null', '"stop"'), choice('"content":""', '"stop"'))
    tokens = f'"prompt_tokens":25,"completion_tokens":{count},"total_tokens":{count + 25}'
    usage, rewritten = _usage(tokens, '"prompt_tokens_details":{"audio_tokens":0', '"cached_tokens":0')
    # The default for `choices` goes behind the last member.
    given, wanted = event(f'"usage":{usage}', f'"usage":{rewritten}')
    yield given, wanted.removesuffix("}\n\n") + ',"choices":[]}\n\n'
    yield _same("data: [DONE]\n\n")


def messages(text: Text, count: int) -> Iterator[Pair]:
    """Messages: named events, now and then with white space before the last brace; the model in the first alone."""

    def event(name: str, rest: str, wanted: str | None = None) -> Pair:
        pad = " " * text.upto(1, 15) if text.upto(1, 8) == 1 else ""
        head = f'event: {name}\ndata: {{"type":"{name}"'
        return f"{head}{rest}{pad}}}\n\n", f"{head}{rest if wanted is None else wanted}{pad}}}\n\n"

    def start(model: str, default: str) -> str:
        return (
            f',"message":{{"model":"{model}","id":"msg_01{text_id}","type":"message","role":"assistant","content":[],'
            f'"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":25,"cache_creation_input_tokens":0,'
            f'"output_tokens":1,"service_tier":"standard"{default}}}}}'
        )

    text_id = text.letters(22)
    default = ',"cache_read_input_tokens":0'
    yield event("message_start", start("claude-sonnet-4-5-20250929", ""), start(ALIAS, default))
    yield event("content_block_start", ',"index":0,"content_block":{"type":"text","text":""}')
    yield _same('event: ping\ndata: {"type": "ping"}\n\n')
    for _ in range(count - 6):
        yield event("content_block_delta", f',"index":0,"delta":{{"type":"text_delta","text":"{text.token()}"}}')
    yield event("content_block_stop", ',"index":0')
    stop = ',"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":'
    usage = (
        f'{stop}{{"input_tokens":25,"cost":6.1e-07,"output_tokens":{count},"cost_details":{{"a":[1]}},"is_byok":false}}'
    )
    yield event("message_delta", usage, f'{stop}{{"input_tokens":25,"output_tokens":{count}}}')
    yield event("message_stop", "")


def responses(text: Text, count: int) -> Iterator[Pair]:
    """Responses: named and numbered events; the whole response in the first and the last."""
    numbers = iter(range(count))
    response_id, item = f"resp_{text.hexadecimal(50)}", f'"item_id":"msg_{text.hexadecimal(50)}","output_index":0'

    def event(name: str, rest: str, wanted: str | None = None) -> Pair:
        head = f'event: response.{name}\ndata: {{"type":"response.{name}","sequence_number":{next(numbers)},'
        return f"{head}{rest}}}\n\n", f"{head}{rest if wanted is None else wanted}}}\n\n"

    def response(name: str, usage: Pair, output: str = "") -> Pair:
        def body(model: str, usage: str) -> str:
            return (
                f'"response":{{"id":"{response_id}","object":"response","created_at":1767225600,"status":"{name}",'
                f'"background":false,"error":null,"instructions":"Answer in short sentences.","model":"{model}",'
                f'"output":[{output}],"parallel_tool_calls":true,"reasoning":{{"effort":null,"summary":null}},"store":true,'
                f'"temperature":1.0,"text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_p":1.0,'
                f'"truncation":"disabled","usage":{usage},"user":null,"metadata":{{}}}}'
            )

        return event(name, body("gpt-4o-2024-08-06", usage[0]), body(ALIAS, usage[1]))

    yield response("created", ("null", "null"))
    yield response("in_progress", ("null", "null"))
    part = '"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}'
    yield event("content_part.added", f"{item},{part}")
    for _ in range(count - 5):
        pad = text.letters(text.upto(5, 16))
        content = f'"content_index":0,"delta":"{text.token()}","logprobs":[],"obfuscation":"{pad}"'
        yield event("output_text.delta", f"{item},{content}")
    answer = text.tokens_of(120)
    yield event("output_text.done", f'{item},"content_index":0,"text":"{answer}","logprobs":[]')
    tokens = f'"input_tokens":25,"output_tokens":{count}'
    usage = _usage(tokens, '"input_tokens_details":{"audio_tokens":0', '"cached_tokens":0')
    yield response("completed", usage, f'{{"type":"message","content":[{{"type":"output_text","text":"{answer}"}}]}}')


def gemini(text: Text, count: int) -> Iterator[Pair]:
    """Gemini: CRLF, white space in the JSON, usage and the model's version behind each content."""
    response_id = text.letters(23)

    def event(content: str, number: int, reason: str = "", cost: str = "") -> Pair:
        parts = f'{{"parts": [{{"text": "{content}"}}],"role": "model"}}{reason}'
        head = f'data: {{"candidates": [{{"content": {parts},"index": 0}}]'
        counts = f'"promptTokenCount": 277,"candidatesTokenCount": {number},"totalTokenCount": {number + 277}'
        details = '"promptTokensDetails": [{"modality": "TEXT","tokenCount": 277}],"thoughtsTokenCount": 570'

        def rest(model: str, cost: str, default: str) -> str:
            usage = f'"usageMetadata": {{{counts}{cost},{details}{default}}}'
            return f',{usage},"modelVersion": "{model}","responseId": "{response_id}"}}\r\n\r\n'

        given = head + rest("gemini-2.5-flash", cost, "")
        return given, head + rest(ALIAS, "", ',"cachedContentTokenCount":0')

    for number in range(1, count):
        yield event(text.tokens_of(text.upto(22, 38)), 17 * number)
    yield event(
        ".", 17 * count, ',"finishReason": "STOP"', ',"cost": 6.1e-07,"cost_details": {"a": [1]},"is_byok": false'
    )


SHAPES: dict[str, Callable[[Text, int], Iterator[Pair]]] = {
    "chat": chat,
    "messages": messages,
    "responses": responses,
    "gemini": gemini,
}


def stream(api: str, count: int = EVENTS, seed: int = 1) -> Stream:
    """A stream of `count` events."""
    given, wanted = zip(*SHAPES[api](Text(seed), count), strict=True)
    return Stream(api, tuple(event.encode() for event in given), tuple(event.encode() for event in wanted))


def nothing_matches(count: int = EVENTS, seed: int = 1) -> Stream:
    """Chat deltas alone, for a task that leaves the model's name: no rule finds anything to do."""
    deltas = stream("chat", count + 4, seed).events[1:-3]
    return Stream("chat", deltas, deltas)


def mixed(count: int = EVENTS, seed: int = 1) -> Stream:
    """Chat events of many forms in random order: text, reasoning, tool calls, log probabilities; members rotated."""
    text = Text(seed)
    given, wanted = zip(*_mixed(text, count), strict=True)
    return Stream("chat", tuple(event.encode() for event in given), tuple(event.encode() for event in wanted))


def _mixed(text: Text, count: int) -> Iterator[Pair]:
    identity = f'"id":"gen-{text.letters(20)}","object":"chat.completion.chunk","created":1767225600'
    for _ in range(count):
        token = text.token()
        probability = f'{{"token":"{token}","logprob":-{text.random.random():.6f},"bytes":[{text.upto(32, 255)}]}}'
        arguments = f'"function":{{"arguments":"{token}"}}'
        delta, logprobs = text.random.choice(
            (
                (f'"content":"{token}"', "null"),
                (f'"role":"assistant","content":"{token}"', "null"),
                (f'"content":"","reasoning_content":"{token}"', "null"),
                (f'"tool_calls":[{{"index":{text.upto(0, 3)},{arguments}}}]', "null"),
                (f'"content":"{token}"', f'{{"content":[{probability}],"refusal":null}}'),
            )
        )
        choices = f'"choices":[{{"index":0,"delta":{{{delta}}},"logprobs":{logprobs},"finish_reason":null}}]'
        order = text.upto(0, 2)

        def event(model: str, order: int = order, choices: str = choices) -> str:
            members = [identity, f'"model":"{model}"', choices]
            members = members[order:] + members[:order]
            return f'data: {{{",".join(members)},"usage":null}}\n\n'

        yield event("deepseek/deepseek-chat-v3.1"), event(ALIAS)


def picture(size: int, seed: int = 1) -> Stream:
    """One chat event of `size` bytes: a picture as a data URL."""
    given, wanted = tuple(chat(Text(seed), 5))[1]
    before, after = '"delta":{"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,', '"}}],'
    block = Text(seed).letters(3001)
    room = max(0, size - len(given.encode()) - len(before) - len(after) + len('"delta":{'))
    image = before + (block * (room // len(block) + 1))[:room] + after
    given, wanted = (event.replace('"delta":{', image) for event in (given, wanted))
    return Stream("chat", (given.encode(),), (wanted.encode(),))


def cut(body: bytes, size: int) -> list[bytes]:
    """The body in chunks of `size` bytes."""
    return [body[at : at + size] for at in range(0, len(body), size)]
