"""The rival in Node, in a process of its own that runs a pass when asked to."""

import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from workloads import Workload

HERE = Path(__file__).parent / "node"


class Node:
    """A running rival. `None` from `start` where Node or the module is not there."""

    def __init__(self, program: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program, HERE / "rival.mjs"], stdin=pipe, stdout=pipe, text=True)
        self.loaded: Workload | None = None

    @classmethod
    def start(cls) -> Self | None:
        program = shutil.which("node")
        return cls(program) if program and (HERE / "node_modules" / "eventsource-parser").is_dir() else None

    def _ask(self, **command: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def _load(self, workload: Workload) -> None:
        if self.loaded is workload:
            return
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(b"".join(workload.chunks))
        self._ask(load="workload", file=file.name, sizes=list(map(len, workload.chunks)), task=workload.task)
        Path(file.name).unlink()
        self.loaded = workload

    def output(self, workload: Workload, how: str) -> bytes:
        self._load(workload)
        return base64.b64decode(self._ask(output="workload", how=how))

    def times(self, workload: Workload, how: str, passes: int) -> list[int]:
        """Nanoseconds of each pass."""
        self._load(workload)
        return self._ask(time="workload", how=how, passes=passes)

    @staticmethod
    def version() -> str:
        program = shutil.which("node")
        assert program is not None
        lock = json.loads((HERE / "package-lock.json").read_text())
        parser = lock["packages"]["node_modules/eventsource-parser"]["version"]
        node = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        return f"Node {node}, eventsource-parser {parser}"

    def close(self) -> None:
        self.process.communicate()
