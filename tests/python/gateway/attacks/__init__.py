"""Attacks on the gateway, by its clients, its upstreams and its configuration.

Each is refused clearly or takes no memory to speak of, and a `witness` through the same process comes whole meanwhile.
"""
