from __future__ import annotations

import sys

import pytest

pytest.register_assert_rewrite("gateway.clients.scenes")
# As in the directory above: the peers use Unix's sockets.
collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []
