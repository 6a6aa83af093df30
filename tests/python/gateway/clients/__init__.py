"""Real clients through the gateway, in front of an upstream that follows a script.

| file | holds |
| --- | --- |
| `said` | what a model says, as each API spells it in a stream and in a body |
| `scenes` | the requests that every client makes, what it must make of the answers, and the stage they are played on |
| `python_sdks` | how the official SDKs of Python are asked; those of Node.js are in ``tests/node`` |
| `programs` | Node.js and Chromium; where they are missing tests are skipped, though not in CI |
"""
