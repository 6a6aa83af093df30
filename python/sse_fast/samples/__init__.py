"""Three sample streams for the demo and for trying things out, written for it in the shapes of real APIs.

| name | shape |
| --- | --- |
| `chat_completions` | OpenRouter's: comments, costs, null roles, usage without choices, `[DONE]` |
| `messages` | Anthropic's: event names, an `id:`, a ping, white space before the last brace |
| `responses` | OpenAI's: CRLF, sequence numbers, an image of 8 MiB on one line, no blank line at the end |

The image is generated when it is asked for; the rest are `.sse` files next to this one.
"""

import base64
import random
from importlib.resources import files

__all__ = ["NAMES", "image_event", "load"]

NAMES = ("chat_completions", "messages", "responses")

_AFTER_IMAGE = b"event: response.image_generation_call.completed"


def load(name: str, *, image_bytes: int = 8 << 20) -> bytes:
    """The stream of this name; `responses` with an image of `image_bytes` base64 characters (0 for none)."""
    stream = (files(__name__) / f"{name}.sse").read_bytes()
    if name == "responses" and image_bytes:
        head, mark, tail = stream.partition(_AFTER_IMAGE)
        return head + image_event(image_bytes) + mark + tail
    return stream


def image_event(image_bytes: int, *, seed: int = 2026) -> bytes:
    """A `partial_image` event of the Responses API with this many base64 characters, chosen by the seed."""
    noise = random.Random(seed).randbytes(image_bytes * 3 // 4)
    return (
        b"event: response.image_generation_call.partial_image\r\n"
        b'data: {"type":"response.image_generation_call.partial_image","output_index":0,'
        b'"item_id":"ig_0a1b2c","partial_image_index":0,"partial_image_b64":"' + base64.b64encode(noise) + b'",'
        b'"size":"1024x1024","quality":"high","output_format":"png","sequence_number":6}\r\n\r\n'
    )
