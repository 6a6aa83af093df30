"""Rewrites JSON fields inside an LLM event stream while it passes through a gateway, and touches nothing else.

>>> from sse_fast import Remove, Rewriter, Rules, Set
>>> rules = Rules([Set("$.model", "alias"), Remove("$.usage.cost")])
>>> rewriter = Rewriter(rules)
>>> rewriter.feed(b'data: {"model":"x", "usage":{"total":9,"cost":6e-07}}\\n')
b''
>>> rewriter.feed(b"\\n")
b'data: {"model":"alias", "usage":{"total":9}}\\n\\n'
"""

from sse_fast._rust import Event, Parser, Rewriter, Stats
from sse_fast.errors import (
    EncodingError,
    FinishedError,
    IdleTimeoutError,
    InvalidEventError,
    RefusalError,
    RuleError,
    SSEFastError,
    TruncatedError,
)
from sse_fast.rules import (
    ANY,
    KEEP,
    Capture,
    Condition,
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
    Rule,
    Rules,
    Set,
    Transform,
)

__all__ = [
    "ANY",
    "KEEP",
    "Capture",
    "Condition",
    "Default",
    "DropEvent",
    "EncodingError",
    "Equals",
    "Event",
    "EventIs",
    "Exists",
    "FinishedError",
    "IdleTimeoutError",
    "InvalidEventError",
    "Map",
    "Missing",
    "Parser",
    "RefusalError",
    "Remove",
    "Rename",
    "Renumber",
    "Replace",
    "Rewriter",
    "Rule",
    "RuleError",
    "Rules",
    "SSEFastError",
    "Set",
    "Stats",
    "Transform",
    "TruncatedError",
]
