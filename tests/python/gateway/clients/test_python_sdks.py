"""The official SDKs of Python through the gateway."""

from __future__ import annotations

from functools import partial

import pytest

from gateway.clients.python_sdks import Chat, Gemini, Messages, Responses, asked
from gateway.clients.scenes import IN_STREAMS, REFUSALS, THEIRS, Played, check, each_scene, play

# Google's SDK makes a class of its own of aiohttp's session.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

GOOGLES = dict(zip(REFUSALS, ("ClientError", "ClientError", "ServerError"), strict=True))
GOOGLES |= dict.fromkeys(IN_STREAMS, "APIError")
ASKED = [(sdk, is_async) for sdk in (Chat(), Responses(), Messages(), Gemini()) for is_async in (False, True)]


@pytest.fixture(scope="module", params=ASKED, ids=lambda asks: f"{asks[0].api}-{'async' if asks[1] else 'sync'}")
def played(request: pytest.FixtureRequest) -> tuple[str, dict[str, Played]]:
    sdk, is_async = request.param
    return sdk.api, play(sdk.api, partial(asked, sdk, is_async))


@each_scene
def test_an_sdk(played: tuple[str, dict[str, Played]], name: str) -> None:
    api, scenes = played
    check(api, name, scenes[name], GOOGLES if api == "gemini" else THEIRS)
