"""Every code block of the README and the docs runs."""

import doctest
import re
from pathlib import Path

import pytest
import sse_fast

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run_in_order(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), flags=re.M | re.S)
    assert blocks
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)


def test_shell_blocks_name_what_exists() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGES[0].read_text(), flags=re.M | re.S)
    commands = "\n".join(blocks)
    makefile = (ROOT / "Makefile").read_text()
    for verb in re.findall(r"^make (\w+)", commands, flags=re.M):
        assert re.search(rf"^{verb}:", makefile, flags=re.M)
    from sse_fast.cli.app import app

    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    used = set(re.findall(r"sse-fast (\w+)", commands))
    assert used == known


def test_the_package_docstring_runs() -> None:
    assert doctest.testmod(sse_fast).failed == 0
