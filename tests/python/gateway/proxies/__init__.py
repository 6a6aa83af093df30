"""The gateway behind the proxies that usually stand in front of one.

| file | holds |
| --- | --- |
| `fronts` | nginx and Envoy: how they are configured, and how they run |
| `scene` | an upstream, the gateway and a front, and clients of it |

A proxy that is not installed has its tests skipped, but in CI.
"""
