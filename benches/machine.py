"""What the figures were taken on."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

LIBRARIES = ("sse_fast", "orjson", "httpx-sse", "openai", "anthropic")


def pgo() -> bool:
    """Whether this interpreter was built with profile-guided optimisation.

    Builds say so in their configuration; Debian's, which has it, does not.
    """
    if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        return True
    return sys.base_prefix == "/usr" and Path("/etc/debian_version").exists()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=7"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def description(node: str | None) -> dict[str, str | bool]:
    """Machine, date, interpreter, versions."""
    libraries = [f"{library} {version}" for library in LIBRARIES if (version := _version(library))]
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "pgo": pgo(),
        "versions": ", ".join([*libraries, *([node] if node else [])]),
        "commit": _commit() or "unknown",
    }
