"""What a request asks for. Google's APIs say it in the path, all others in the JSON body."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

from sse_fast.rules import Capture, Rules

# Google's methods; ids of models have colons, too, as ft:gpt-4o:acme::AbCd.
_MODEL = re.compile("(?<=/models/)[^/]+(?=(?::|%3[Aa])(?:[a-z]+[A-Z][A-Za-z]*|predict)/?$)")
_STREAMS = re.compile("(?::|%3[Aa])stream[A-Z][A-Za-z]*/?$")
_BODY = Rules([Capture("model", "$.model"), Capture("stream", "$.stream")])


@dataclass(frozen=True, slots=True)
class Asked:
    """The model, None where the request names none, and whether it asks for an event stream."""

    model: str | None
    streams: bool

    @classmethod
    def of(cls, path: str, body: bytes = b"") -> Self:
        """Read them from a path, percent-encoded and without query, and a JSON body; what is no JSON says nothing."""
        named, said = _MODEL.search(path), _BODY.read_json(body)
        model = unquote(named[0]) if named else said["model"]
        return cls(model if isinstance(model, str) else None, said["stream"] is True or bool(_STREAMS.search(path)))


def path_with_model(path: str, models: Mapping[str, str]) -> str:
    """The path with the model that it names, if any, replaced by its image; a model that has none stays."""

    def image(segment: re.Match[str]) -> str:
        model = unquote(segment[0])
        return quote(models[model], safe="") if model in models else segment[0]

    return _MODEL.sub(image, path)
