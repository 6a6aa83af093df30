"""Where bytes come from and go to, as file descriptors.

No buffers of our own: `os.read` returns what the pipe holds and `os.write` sends it on, so a stream that is
piped through a command arrives event by event, and nothing is left to flush when the reader goes away.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STDIN, STDOUT = 0, 1

CHUNK = 1 << 18  # how much one read may return; a pipe gives less


@contextmanager
def open_source(file: Path | None) -> Iterator[int]:
    """The descriptor to read from: standard input where no file, or `-`, is named."""
    if file is None or str(file) == "-":
        yield STDIN
    else:
        with open(file, "rb", buffering=0) as source:
            yield source.fileno()


@contextmanager
def open_sink(file: Path | None) -> Iterator[int]:
    """The descriptor to write to: standard output where no file is named."""
    if file is None:
        yield STDOUT
    else:
        with open(file, "wb", buffering=0) as sink:
            yield sink.fileno()


def chunks(source: int) -> Iterator[bytes]:
    """What the source gives, as it comes, to its end."""
    while chunk := os.read(source, CHUNK):
        yield chunk


def write_all(sink: int, data: bytes) -> None:
    """Write all of `data`, now."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(sink, rest) :]


def is_same_file(source: int, output: Path | None) -> bool:
    """Whether writing to `output` (or standard output) would write into the regular file that is read."""
    if output is not None and not output.exists():
        return False
    target = os.fstat(STDOUT) if output is None else output.stat()
    return stat.S_ISREG(target.st_mode) and os.path.samestat(os.fstat(source), target)


def size_of(source: int) -> int | None:
    """The length of a regular file; `None` for a pipe or a terminal, whose end nobody knows."""
    status = os.fstat(source)
    return status.st_size if stat.S_ISREG(status.st_mode) else None
