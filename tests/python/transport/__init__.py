"""`RewriteTransport` in both clients of httpx and httpx2: over scripted transports, over sockets and under an SDK.

| file | holds |
| --- | --- |
| `peers` | the clients of either library, and an inner transport that gives one response and keeps book |
| `sockets` | upstreams on loopback that follow a script: they hang and reset |
"""
