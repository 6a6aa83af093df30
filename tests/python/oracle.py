"""The byte oracle: what the engine must return for a whole stream, computed slowly and in one piece.

Covers events within `max_held`. Rules are given in their JSON form (dicts), `transform` with its function.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import zip_longest

from oracle_json import SPACE, Cut, Invalid, Item, Value, encode, equals, parse, segments, select

BOM = b"\xef\xbb\xbf"
LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r|\Z)")
NO_EDIT = object()
REMOVED = object()
COUNTER = object()  # a value whose number is not known yet
NO_STATS = {"events": 0, "rewritten": 0, "invalid": 0, "comments": 0, "done": False, "truncated": False}
INSERTING = ("set", "default", "renumber")
Edit = tuple[int, int, bytes]


# Lines, blocks and the standard's parser --------------------------------------------------------------


@dataclass
class Line:
    content: bytes
    ending: bytes
    start: int  # of the content, in its block

    @property
    def is_comment(self) -> bool:
        return self.content.startswith(b":")

    @property
    def value_start(self) -> int:
        """Where the field value starts in the content."""
        colon = self.content.find(b":")
        if colon < 0:
            return len(self.content)
        return colon + (2 if self.content[colon + 1 : colon + 2] == b" " else 1)

    @property
    def name(self) -> bytes:
        return self.content.split(b":", 1)[0]

    @property
    def value(self) -> bytes:
        return self.content[self.value_start :]


@dataclass
class Block:
    lines: list[Line] = field(default_factory=list)

    def add(self, content: bytes, ending: bytes) -> None:
        self.lines.append(Line(content, ending, len(self.raw)))

    @property
    def raw(self) -> bytes:
        return b"".join(line.content + line.ending for line in self.lines)

    @property
    def data(self) -> list[Line]:
        return [line for line in self.lines if line.name == b"data" and not line.is_comment]

    @property
    def payload(self) -> bytes:
        return b"\n".join(line.value for line in self.data)

    @property
    def is_only_comments(self) -> bool:
        *lines, blank = self.lines
        return bool(lines) and not blank.content and all(line.is_comment for line in lines)

    @property
    def is_done(self) -> bool:
        return bool(self.data) and self.payload.strip(SPACE) == b"[DONE]"

    @property
    def event(self) -> bytes | None:
        """The name that EventIs sees."""
        names = [line.value for line in self.lines if line.name == b"event"]
        if names and names[-1]:
            return names[-1]
        return b"message" if self.data else None


def blocks_of(stream: bytes) -> tuple[bytes, list[Block], Block]:
    """The BOM if there is one, the complete blocks, and what is left without a blank line."""
    bom = BOM if stream.startswith(BOM) else b""
    blocks, block = [], Block()
    for content, ending in LINE.findall(stream[len(bom) :]):
        if content or ending:
            block.add(content, ending)
        if not content and ending:
            blocks.append(block)
            block = Block()
    return bom, blocks, block


def dispatched(stream: bytes) -> list[tuple[str, str, str, int | None]]:
    """(event, data, id, retry) of each event, as the standard dispatches them."""
    text = stream.decode("utf-8", "replace")
    lines = re.split(r"\r\n|\n|\r", text[1:] if text.startswith("\ufeff") else text)
    found = []
    data, event, last_id, retry = "", "", "", None
    for line in lines[:-1]:
        if not line:
            if data:
                found.append((event or "message", data[:-1], last_id, retry))
            data, event, retry = "", "", None
            continue
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            data += value + "\n"
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            retry = int(value)
    return found


# One event ---------------------------------------------------------------------------------------------


def value_edit(rule: dict, item: Item, text: bytes) -> object:
    """What a rule makes of a value that is there: new bytes, REMOVED, COUNTER or NO_EDIT."""
    op, value = rule["op"], item.value
    if "when" in rule and not equals(value, text, rule["when"]):
        return NO_EDIT
    if op == "remove":
        return REMOVED
    if op in ("replace", "set"):
        return encode(rule["value"])
    if op == "renumber":
        return COUNTER
    if op == "default" and rule.get("null_counts_as_missing") and text[value.start : value.end] == b"null":
        return encode(rule["value"])
    if op == "map" and value.kind not in ("object", "array"):
        pairs = rule["map"].items() if isinstance(rule["map"], dict) else rule["map"]
        for old, new in pairs:
            if equals(value, text, old):
                return encode(new)
        return encode(rule["otherwise"]) if "otherwise" in rule else NO_EDIT
    if op == "transform":
        old = json.loads(text[value.start : value.end])
        new = rule["function"](old)
        return encode(new) if type(new) is not type(old) or new != old else NO_EDIT
    return NO_EDIT


@dataclass
class Plan:
    """The edits of one event and the counters (indices of rules) that act in it."""

    edits: list[tuple[int, int, list[object]]]
    counting: set[int]


def plan(root: Item, text: bytes, rules: list[dict]) -> Plan:
    claims: dict[Item, tuple[int, object]] = {}
    for index, rule in enumerate(rules):
        for item in select(root, segments(rule["path"])) if "path" in rule else []:
            if item not in claims and (new := value_edit(rule, item, text)) is not NO_EDIT:
                claims[item] = (index, new)

    def removed(item: Item) -> bool:
        return item in claims and claims[item][1] is REMOVED

    def void(item: Item) -> bool:
        return any(ancestor in claims for ancestor in item.ancestors())

    def shut(box: Value) -> bool:
        return box.owner in claims or void(box.owner)

    edits, counting = [], set()
    for item, (index, new) in claims.items():
        if void(item):
            continue
        if new is REMOVED:
            edits.append((*removal(item, removed), []))
            continue
        if new is COUNTER:
            counting.add(index)
        edits.append((item.value.start, item.value.end, [index if new is COUNTER else new]))

    taken: dict[Value, dict[str, int]] = defaultdict(dict)  # keys made by renames and insertions
    renamed: set[Item] = set()
    inserted: dict[Value, list[object]] = defaultdict(list)
    for index, rule in enumerate(rules):
        if rule["op"] == "rename":
            for item in select(root, segments(rule["path"])):
                box = item.parent
                if shut(box) or removed(item) or item in renamed or rule["key"] in box.keys:
                    continue
                if taken[box].setdefault(rule["key"], index) == index:
                    renamed.add(item)
                    edits.append((item.key_start, item.key_end, [encode(rule["key"])]))
        elif rule["op"] in INSERTING:
            *parents, (_, name) = segments(rule["path"])
            for owner in select(root, parents):
                box = owner.value
                if box.kind != "object" or shut(box) or name in box.keys or name in taken[box]:
                    continue
                taken[box][name] = index
                survivors = inserted[box] or any(not removed(item) for item in box.items)
                inserted[box] += [b"," if survivors else b"", encode(name), b":"]
                if rule["op"] == "renumber":
                    counting.add(index)
                inserted[box].append(index if rule["op"] == "renumber" else encode(rule["value"]))
    for box, pieces in inserted.items():
        at = box.items[-1].value.end if box.items else box.start + 1
        edits.append((at, at, pieces))
    return Plan(edits, counting)


def removal(item: Item, removed) -> tuple[int, int]:
    """The span that goes with a member or element: itself and one comma."""
    siblings = item.parent.items
    position = siblings.index(item)
    if any(not removed(sibling) for sibling in siblings[:position]):
        return item.comma, item.value.end
    if position + 1 < len(siblings):
        return item.start, siblings[position + 1].start
    return item.start, item.value.end


def spliced(block: Block, edits: list[Edit], comments: str) -> tuple[bytes, bool]:
    """The block's bytes with the payload's edits; and whether they are determined to the byte."""
    deleted: set[int] = set()
    inserted: dict[int, bytes] = defaultdict(bytes)
    where: list[int] = []  # payload position -> position in the block
    joins: dict[int, tuple[Line, Line]] = {}
    data, exact = block.data, True
    for line, following in zip_longest(data, data[1:]):
        start = line.start + line.value_start
        end = line.start + len(line.content)
        where += range(start, end + 1)
        if following:
            joins[len(where) - 1] = (line, following)
    for start, end, new in edits:
        inserted[where[start]] += new
        for position in range(start, end):
            if position not in joins:
                deleted.add(where[position])
                continue
            line, following = joins[position]
            if block.lines.index(following) == block.lines.index(line) + 1:
                deleted.update(range(where[position], following.start + following.value_start))
            else:
                exact = False  # the lines between stay; which side the new bytes stand is not promised
    for line in block.lines:
        if line.is_comment and comments != "keep":
            end = line.start + len(line.content)
            kept = 0 if comments == "drop" else line.value_start
            deleted.update(range(line.start + kept, end + (len(line.ending) if comments == "drop" else 0)))
            if comments != "drop":
                inserted[line.start + kept] += comments.encode()
    if comments == "drop":
        guard_blank_line(block, inserted)
    raw = block.raw
    out = b"".join(inserted.get(at, b"") + (b"" if at in deleted else raw[at : at + 1]) for at in range(len(raw) + 1))
    return out, exact


def guard_blank_line(block: Block, inserted: dict[int, bytes]) -> None:
    """One more LF where dropped comments would let a CR and a blank line's LF become one line ending."""
    blank = block.lines[-1]
    kept = [line for line in block.lines[:-1] if not line.is_comment]
    glued = not blank.content and blank.ending == b"\n" and kept and kept[-1].ending == b"\r"
    if glued and kept[-1] is not block.lines[-2]:
        inserted[blank.start] += b"\n"


# The stream --------------------------------------------------------------------------------------------


@dataclass
class Expected:
    output: bytes = b""
    exact: bool = True
    captured: dict[str, object] = field(default_factory=dict)
    stats: dict[str, object] = field(default_factory=lambda: dict(NO_STATS))


class Oracle:
    def __init__(self, rules, *, comments="keep", empty_blocks="keep", on_invalid="pass") -> None:
        self.rules = list(rules)
        self.comments, self.empty_blocks, self.on_invalid = comments, empty_blocks, on_invalid
        self.next = {
            index: None if rule.get("start", "first") == "first" else rule["start"]
            for index, rule in enumerate(self.rules)
            if rule["op"] == "renumber"
        }
        self.seen: dict[str, list] = {r["name"]: [] for r in self.rules if r["op"] == "capture"}
        self.result = Expected()

    def observe(self, root: Item, text: bytes) -> None:
        """Captures, and the first number of each counter: of dropped events, too."""
        for index, rule in enumerate(self.rules):
            if rule["op"] not in ("capture", "renumber"):
                continue
            for item in select(root, segments(rule["path"])):
                raw = text[item.value.start : item.value.end]
                if rule["op"] == "capture":
                    if not (rule.get("null_counts_as_missing") and raw == b"null"):
                        self.seen[rule["name"]].append(json.loads(raw.decode("utf-8", "replace")))
                elif self.next[index] is None and re.fullmatch(rb"-?[0-9]+", raw):
                    self.next[index] = int(raw)

    def holds(self, condition: dict, block: Block, root: Item | None, text: bytes) -> bool:
        if "event_is" in condition:
            return block.event == condition["event_is"].encode()
        if root is None:
            return False
        (kind,) = set(condition) - {"value"}
        found = select(root, segments(condition[kind]))
        if kind == "equals":
            return any(equals(item.value, text, condition["value"]) for item in found)
        return bool(found) == (kind == "exists")

    def dropped(self, block: Block, root: Item | None, text: bytes) -> bool:
        return any(
            all(self.holds(condition, block, root, text) for condition in rule["conditions"])
            for rule in self.rules
            if rule["op"] == "drop_event"
        )

    def block(self, block: Block) -> bytes:
        """The bytes of a block that is whole (its blank line may be missing)."""
        stats, text, root, valid = self.result.stats, block.payload, None, True
        stats["comments"] += sum(line.is_comment for line in block.lines)
        if block.data:
            stats["events"] += 1
            stats["done"] = stats["done"] or block.is_done
            try:
                root = parse(text)
            except Invalid:
                valid = block.is_done
                stats["invalid"] += not valid
        if root is not None and root.value.kind not in ("object", "array"):
            root = None
        if root is not None:
            self.observe(root, text)
        if self.dropped(block, root, text) or (not valid and self.on_invalid == "drop"):
            return b""
        if self.empty_blocks == "drop" and not text:
            return b""
        if self.comments == "drop" and block.is_only_comments:
            return b""
        out, exact = spliced(block, self.edits(root, text) if root is not None else [], self.comments)
        self.result.exact = self.result.exact and exact
        return out

    def edits(self, root: Item, text: bytes) -> list[Edit]:
        planned = plan(root, text, self.rules)
        numbers = {}
        for index in planned.counting:
            numbers[index] = self.next[index] or 0
            self.next[index] = numbers[index] + 1
        self.result.stats["rewritten"] += bool(planned.edits)
        return [
            (start, end, b"".join(b"%d" % numbers[p] if isinstance(p, int) else p for p in pieces))
            for start, end, pieces in planned.edits
        ]

    def tail(self, block: Block, endings: list[bytes]) -> bytes:
        """The last block, without its blank line: ended where a client may dispatch it."""
        data = block.data
        if not data:
            return spliced(block, [], self.comments)[0]
        try:
            root = parse(block.payload).value
            may_go_on = root.kind == "number" and root.end == len(block.payload)
            complete = not may_go_on or bool(data[-1].ending)
        except Cut:
            complete = not block.payload.strip(SPACE) and bool(data[-1].ending)
        except Invalid:
            complete = block.is_done or bool(data[-1].ending)
        if not complete:
            self.result.stats["truncated"] = True
            return spliced(block, [], self.comments)[0]
        out = self.block(block)
        if not out:
            return b""
        ending = endings[-1] if endings else b"\n"
        kept = [line for line in block.lines if self.comments != "drop" or not line.is_comment]
        if not kept[-1].ending or (ending == b"\n" and out.endswith(b"\r")):
            return out + ending * 2
        if ending == b"\r" and endings[-2:-1] == [b"\r\n"]:
            return out + b"\n\r\n"
        return out + ending

    def run(self, stream: bytes) -> Expected:
        bom, blocks, tail = blocks_of(stream)
        out = [bom, *(self.block(block) for block in blocks)]
        endings = [line.ending for block in [*blocks, tail] for line in block.lines if line.ending]
        if tail.lines:
            out.append(self.tail(tail, endings))
        self.result.output = b"".join(out)
        for rule in self.rules:
            if rule["op"] == "capture":
                seen, keep = self.seen[rule["name"]], rule.get("keep", "last")
                one = seen[0 if keep == "first" else -1] if seen else None
                self.result.captured[rule["name"]] = seen[:1000] if keep == "all" else one
        return self.result


def expected(stream: bytes, rules=(), **options) -> Expected:
    return Oracle(rules, **options).run(stream)


def loose(stream: bytes) -> list[tuple[bytes, list[tuple[bytes, bytes]]]]:
    """A stream for comparison where line joins inside an edit are free: payloads without LF, other lines."""
    _, blocks, tail = blocks_of(stream)
    return [
        (
            block.payload.replace(b"\n", b""),
            [(line.content, line.ending) for line in block.lines if line not in block.data],
        )
        for block in [*blocks, tail]
    ]
