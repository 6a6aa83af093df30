from __future__ import annotations

import sys

# The peers use Unix's sockets and its limits.
collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []
