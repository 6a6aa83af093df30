"""The gateway between real sockets, in the loop of the test and in a process of its own.

| file | holds |
| --- | --- |
| `upstream` | an upstream that answers from a list of replies and keeps what it was asked |
| `running` | the gateway: `serving` in the loop of the test, `process` as ``sse-fast gateway`` |
| `bodies` | what clients ask and what models answer, in each dialect |
"""
