"""Rules: what to change in each event, as plain immutable values.

Each rule checks its path, encodes its value and complains at construction, so that a mistake shows on the line that
makes it. `Rules` compiles a list of them once; the result is shared between streams and threads.

Paths are the singular-or-wildcard subset of JSONPath (RFC 9535): ``$``, ``.name``, ``['name']``, ``["name"]``, ``[0]``,
``[*]``, ``.*`` and the descendant ``..name``.
"""
