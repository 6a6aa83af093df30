"""Live tests: a gateway between peers on bare loopback sockets, watched for what it leaves behind.

| file | holds |
| --- | --- |
| `watch` | runs a scenario in its own loop: nothing blocked, no task, socket or lost exception afterwards |
| `events` | streams of events, as the upstream sends them and as the client must get them |
| `watched` | streams without sockets, over sources that take loop steps to read and to close |
| `upstream`, `upstream_h2` | upstreams that follow a script: they hang, reset, break off |
| `client` | a client that reads only when told to and leaves how it is told to |
| `gateway` | the reverse proxy under test, as a caller would write it, over httpx or aiohttp |
| `servers` | what runs it: uvicorn on asyncio and on uvloop, hypercorn |
| `alone` | the gateway in a process of its own, whose memory can be measured |

Times are asserted as generous bounds only; what was measured is printed (``pytest -s``). The number of random trials is
``SSE_FAST_LIVE_TRIALS`` (1,000 unless given), that of streams at once ``SSE_FAST_LIVE_STREAMS`` (2,000).
"""
