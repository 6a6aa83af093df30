"""The commands: every option, every exit code, and how they behave in a pipe.

Options are tested in this process through `run`; pipes, signals and terminals need a process of their own.
"""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from sse_fast.cli import blocks
from sse_fast.cli.app import run
from sse_fast.cli.changes import changes
from sse_fast.cli.inspect import examine, percentile
from sse_fast.cli.options import UsageError, split_assignment

TIMEOUT = 60
EVENT = b'data: {"model":"m-1","usage":{"cost":7.5e-05,"total":3}}\n\n'
STREAM = b": wait\n\n" + EVENT + b"retry: 5\n\n" + b"data: plain\n\n" + EVENT + b"data: [DONE]\n\n"

needs_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals, pipes and terminals")


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    file = tmp_path / "stream.sse"
    file.write_bytes(STREAM)
    return file


def command(*arguments: str | Path, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "sse_fast", *map(str, arguments)], stderr=subprocess.PIPE, **options)


class TestRewriteOptions:
    """`sse-fast rewrite`: each option does to the bytes what its rule does."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ([], EVENT),
            (["--remove", "$.usage.cost"], b'data: {"model":"m-1","usage":{"total":3}}\n\n'),
            (
                ["--remove", "$.usage.cost", "--remove", "$.model"],
                b'data: {"usage":{"total":3}}\n\n',
            ),
            (["--replace", '$.model="a"'], b'data: {"model":"a","usage":{"cost":7.5e-05,"total":3}}\n\n'),
            (["--replace", '$["model"]={"a": [1]}'], EVENT.replace(b'"m-1"', b'{"a":[1]}')),
            (["--replace", '$.none="a"'], EVENT),
            (["--set", "$.usage.n=1"], EVENT.replace(b'"total":3', b'"total":3,"n":1')),
            (["--set", "$.usage.total=4"], EVENT.replace(b'"total":3', b'"total":4')),
            (["--default", "$.usage.total=4"], EVENT),
            (["--default", "$.usage['a=b']=null"], EVENT.replace(b'"total":3', b'"total":3,"a=b":null')),
            (["--rename", "$.usage.total=sum"], EVENT.replace(b'"total"', b'"sum"')),
            (["--max-held", "16", "--remove", "$.usage.cost"], EVENT.replace(b'"cost":7.5e-05,', b"")),
        ],
    )
    def test_rules(self, tmp_path, capfdbinary, arguments, expected):
        file = tmp_path / "event.sse"
        file.write_bytes(EVENT)
        assert run(["rewrite", str(file), *arguments]) == 0
        assert capfdbinary.readouterr() == (expected, b"")

    def test_rules_file_comes_first(self, stream, tmp_path, capfdbinary):
        rules = tmp_path / "rules.json"
        rules.write_text('[{"op": "rename", "path": "$.usage.total", "key": "größe"}]', encoding="utf-8")
        assert run(["rewrite", str(stream), "--rules", str(rules), "--rename", "$.usage.cost=größe"]) == 0
        assert capfdbinary.readouterr().out == STREAM.replace(b'"total"', '"größe"'.encode())

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--comments", "keep"], STREAM),
            (["--comments", "drop"], STREAM.replace(b": wait\n\n", b"")),
            (["--comments", "still here"], STREAM.replace(b": wait", b": still here")),
            (["--empty-blocks", "keep"], STREAM),
            (
                ["--empty-blocks", "drop"],
                STREAM.replace(b": wait\n\n", b"").replace(b"retry: 5\n\n", b""),
            ),
            (["--on-invalid", "pass"], STREAM),
            (["--on-invalid", "drop"], STREAM.replace(b"data: plain\n\n", b"")),
        ],
    )
    def test_policies(self, stream, capfdbinary, arguments, expected):
        assert run(["rewrite", str(stream), *arguments]) == 0
        assert capfdbinary.readouterr().out == expected

    def test_on_invalid_raise_keeps_what_came_before(self, stream, capfdbinary):
        assert run(["rewrite", str(stream), "--on-invalid", "raise"]) == 1
        out, err = capfdbinary.readouterr()
        assert out == STREAM.partition(b"data: plain")[0]
        assert_one_line(err)

    def test_output_file(self, stream, tmp_path, capfdbinary):
        output = tmp_path / "out.sse"
        output.write_bytes(b"what stood here is replaced" * 100)
        assert run(["rewrite", str(stream), "-o", str(output)]) == 0
        assert output.read_bytes() == STREAM
        assert capfdbinary.readouterr() == (b"", b"")

    def test_stats(self, stream, tmp_path, capfdbinary):
        rules = tmp_path / "rules.json"
        rules.write_text('[{"op": "capture", "name": "cost", "path": "$.usage.cost"}]')
        assert run(["rewrite", str(stream), "--rules", str(rules), "--remove", "$.model", "--stats"]) == 0
        out, err = capfdbinary.readouterr()
        assert json.loads(err) == {
            "events": 4,
            "rewritten": 2,
            "invalid": 1,
            "dropped": 0,
            "comments": 1,
            "oversize": 0,
            "bytes_in": len(STREAM),
            "bytes_out": len(out),
            "done": True,
            "truncated": False,
            "captured": {"cost": 7.5e-05},
        }

    def test_an_unterminated_last_event_is_ended(self, tmp_path, capfdbinary):
        file = tmp_path / "cut.sse"
        file.write_bytes(b'data: {"a":1}')
        assert run(["rewrite", str(file)]) == 0
        assert capfdbinary.readouterr().out == b'data: {"a":1}\n\n'


class TestErrors:
    """One line on stderr, nothing on stdout; 2 where the command was called wrongly, 1 where it failed."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--remove", "model"],
            ["--remove", "$..", "--remove", "$.a"],
            ["--remove", "$.a[-1]"],
            ["--replace", "$.model=gpt"],
            ["--replace", "$.model"],
            ["--replace", "$.model=NaN"],
            ["--replace", "$['a=1"],
            ["--set", "$=1"],
            ["--default", "$.a[0]=1"],
            ["--rename", "$.model"],
            ["--replace", "$.a=1", "--remove", "$.a"],
            ["--comments", "two\nlines"],
            ["--max-held", "0"],
            ["--max-held", "much"],
            ["--on-invalid", "ignore"],
            ["--empty-blocks", "some"],
            ["--no-such-option"],
        ],
    )
    def test_wrong_options(self, stream, capfdbinary, arguments):
        assert run(["rewrite", str(stream), *arguments]) == 2
        out, err = capfdbinary.readouterr()
        assert out == b""
        assert_one_line(err)

    def test_a_string_without_quotes_gets_a_hint(self, stream, capfd):
        run(["rewrite", str(stream), "--replace", "$.model=fast"])
        assert """$.model='"fast"'""" in capfd.readouterr().err

    @pytest.mark.parametrize("name", ["rewrite", "diff", "inspect"])
    def test_a_missing_file(self, tmp_path, capfd, name):
        assert run([name, str(tmp_path / "none.sse")]) == 1
        error = capfd.readouterr().err
        assert "none.sse: No such file" in error
        assert_one_line(error.encode())

    def test_a_directory(self, tmp_path, capfdbinary):
        assert run(["rewrite", str(tmp_path)]) == 1
        assert_one_line(capfdbinary.readouterr().err)

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            (b"[{", 2),
            (b'{"op": "remove"}', 2),
            (b'[{"op": "explode", "path": "$.a"}]', 2),
            (b'[{"op": "remove", "path": "a"}]', 2),
            (b'["\xff"]', 2),
            (None, 1),
        ],
    )
    def test_a_bad_rules_file(self, stream, tmp_path, capfdbinary, text, code):
        rules = tmp_path / "rules.json"
        if text is not None:
            rules.write_bytes(text)
        assert run(["rewrite", str(stream), "--rules", str(rules)]) == code
        out, err = capfdbinary.readouterr()
        assert out == b""
        assert b"rules.json" in err
        assert_one_line(err)

    @needs_posix
    def test_the_output_must_not_be_the_input(self, stream, tmp_path, capfdbinary):
        link = tmp_path / "link.sse"
        link.hardlink_to(stream)
        for output in (stream, link):
            assert run(["rewrite", str(stream), "-o", str(output)]) == 2
            assert_one_line(capfdbinary.readouterr().err)
        with stream.open("rb") as source, stream.open("ab") as sink:
            for options in (["-o", stream], []):
                with command("rewrite", *options, stdin=source, stdout=sink) as process:
                    assert process.wait(TIMEOUT) == 2
                    assert_one_line(process.stderr.read())
        assert stream.read_bytes() == STREAM

    def test_an_unknown_command_and_none(self, capfdbinary):
        assert run(["rewrit"]) == 2
        assert_one_line(capfdbinary.readouterr().err)
        assert run(["diff"]) == 2
        assert_one_line(capfdbinary.readouterr().err)
        assert run([]) == 0
        assert b"Usage: sse-fast" in capfdbinary.readouterr().out

    @pytest.mark.parametrize("missing", ["typer", "rich"])
    def test_without_the_extra(self, missing):
        script = f"import sys; sys.modules[{missing!r}] = None; from sse_fast.cli import main; main()"
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=TIMEOUT)
        assert ended.returncode == 1
        assert ended.stdout == b""
        assert ended.stderr.split(b"\n") == [
            b"sse-fast: the commands need the extra: pip install 'sse_fast[cli]'",
            b"",
        ]


def assert_one_line(error: bytes) -> None:
    assert error.startswith(b"sse-fast: ")
    assert error.count(b"\n") == 1
    assert error.endswith(b"\n")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("$.a=1", ("$.a", "1")),
        ("$.a==", ("$.a", "=")),
        ("$.a=", ("$.a", "")),
        ("$['=']=x=y", ("$['=']", "x=y")),
        ('$["]="].b="="', ('$["]="].b', '"="')),
        (r"$['\']='][0]=2", (r"$['\']='][0]", "2")),
        ("$.a[*].b=\n[1]", ("$.a[*].b", "\n[1]")),
    ],
)
def test_an_assignment_is_cut_at_the_first_equals_sign_outside_brackets(argument, expected):
    assert split_assignment("--set", argument, "PATH=JSON") == expected


@pytest.mark.parametrize("argument", ["", "$.a", "=1", "$['a=1", "$[a=1"])
def test_what_is_no_assignment_is_refused(argument):
    with pytest.raises(UsageError, match="PATH=JSON"):
        split_assignment("--set", argument, "PATH=JSON")


class TestPipes:
    """A command is a good neighbour in a pipe."""

    @needs_posix
    def test_each_event_leaves_before_the_next_arrives(self):
        with command("rewrite", "--remove", "$.usage", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            for number in range(3):
                os.write(process.stdin.fileno(), b'data: {"n":%d,"usage":1}\n\n' % number)
                assert read_now(process.stdout, 15) == b'data: {"n":%d}\n\n' % number
            os.write(process.stdin.fileno(), b'data: {"n":3,"us')
            process.stdin.close()
            assert process.wait(TIMEOUT) == 0
            assert process.stdout.read() == b'data: {"n":3,"us'
            assert process.stderr.read() == b""

    @needs_posix
    def test_ctrl_c_ends_with_130_and_no_traceback(self):
        with command("rewrite", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            os.write(process.stdin.fileno(), EVENT + b"data: {")
            assert read_now(process.stdout, len(EVENT)) == EVENT
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT) == 130
            assert process.stdout.read() == b""
            assert process.stderr.read() == b""

    @needs_posix
    def test_a_reader_that_leaves_ends_it_with_141_and_no_traceback(self, tmp_path):
        file = tmp_path / "long.sse"
        file.write_bytes(EVENT * 20_000)
        for arguments in (["rewrite", file], ["diff", file, "--remove", "$.model"]):
            with command(*arguments, stdout=subprocess.PIPE) as process:
                assert len(process.stdout.read(1)) == 1
                process.stdout.close()
                assert process.wait(TIMEOUT) == 141
                assert process.stderr.read() == b""

    @needs_posix
    @pytest.mark.parametrize(
        "arguments",
        [["rewrite"], ["diff", "--remove", "$.model"], ["inspect"], ["inspect", "--json"], ["--help"]],
    )
    def test_no_reader_at_all(self, stream, arguments):
        reading, writing = os.pipe()
        os.close(reading)
        if arguments != ["--help"]:
            arguments = [*arguments, stream]
        with command(*arguments, stdout=writing) as process:
            os.close(writing)
            assert process.wait(TIMEOUT) == 141
            assert process.stderr.read() == b""

    @needs_posix
    def test_closed_standard_streams(self, stream):
        for redirection, code in ((">&-", 1), ("2>&- >/dev/null --stats", 0), ("<&- -", 1)):
            words = [sys.executable, "-m", "sse_fast", "rewrite"]
            if "<" not in redirection:
                words.append(str(stream))
            script = f'exec "$@" {redirection}'
            ended = subprocess.run(["sh", "-c", script, "sh", *words], capture_output=True, timeout=TIMEOUT)
            assert ended.returncode == code, redirection
            assert ended.stderr.count(b"\n") == code
            assert b"Traceback" not in ended.stderr

    def test_a_dash_is_standard_input(self):
        for name, expected in (("rewrite", STREAM), ("inspect", b"events")):
            with command(name, "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                out, err = process.communicate(STREAM, TIMEOUT)
                assert expected in out
                assert err == b""


def read_now(pipe, size: int) -> bytes:
    """Read `size` bytes while the writer keeps its end open."""
    data = b""
    while len(data) < size:
        ready, _, _ = select.select([pipe], [], [], TIMEOUT)
        assert ready, f"only {data!r} came"
        data += os.read(pipe.fileno(), size - len(data))
    return data


class TestTerminal:
    """Colours and the progress bar are for terminals."""

    @needs_posix
    def test_diff_is_coloured_on_a_terminal_only(self, stream):
        arguments = ["diff", stream, "--remove", "$.model"]
        assert b"\x1b[31m" in on_terminal("stdout", arguments)
        assert b"\x1b" not in on_terminal("stdout", arguments, NO_COLOR="1")
        with command(*arguments, stdout=subprocess.PIPE, env=clean_environment()) as process:
            out, _ = process.communicate(timeout=TIMEOUT)
            assert b'- "model":"m-1",\n' in out
            assert b"\x1b" not in out

    @needs_posix
    def test_progress_is_shown_on_a_terminal_that_shows_nothing_else(self, stream, tmp_path):
        output = tmp_path / "out.sse"
        size = b"%d/%d bytes" % (len(STREAM), len(STREAM))
        assert size in on_terminal("stderr", ["rewrite", stream, "-o", output])
        assert output.read_bytes() == STREAM
        assert on_terminal("stderr", ["rewrite", stream], stdout=subprocess.DEVNULL) != b""
        with stream.open("rb") as source:
            assert on_terminal("stderr", ["rewrite"], stdin=source, stdout=subprocess.DEVNULL) != b""
        shown = on_terminal("both", ["rewrite", stream])
        assert shown.replace(b"\r\n", b"\n") == STREAM

    def test_a_fragment_cannot_command_the_terminal(self, tmp_path, capfdbinary):
        file = tmp_path / "evil.sse"
        file.write_bytes(b": \x1b[2J\xe2\x80\xae\xff[red]\n\n")
        assert run(["diff", str(file), "--comments", "drop"]) == 0
        out = capfdbinary.readouterr().out
        assert rb"- : \x1b[2J\u202e\xff[red]\n\n" in out
        assert b"\x1b" not in out


def clean_environment(**more: str) -> dict[str, str]:
    names = ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return kept | {"TERM": "xterm", "COLUMNS": "100"} | more


def on_terminal(which: str, arguments: list, *, stdin=None, stdout=None, **environment: str) -> bytes:
    """What the command writes to a terminal that stands for stdout, stderr or both."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sse_fast", *map(str, arguments)],
        stdin=stdin,
        stdout=stdout if which == "stderr" else theirs,
        stderr=subprocess.DEVNULL if which == "stdout" else theirs,
        env=clean_environment(**environment),
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 1 << 16):
            shown += part
    except OSError:  # Linux says EIO where the other side has closed
        pass
    os.close(ours)
    assert process.wait(TIMEOUT) == 0
    return shown


class TestDiff:
    """`sse-fast diff`: event by event, only what changes."""

    def test_shows_old_and_new_with_event_and_offset(self, stream, capfd):
        arguments = ["--remove", "$.usage.cost", "--replace", '$.model="a"', "--set", "$.n=1"]
        assert run(["diff", str(stream), *arguments, "--comments", "drop"]) == 0
        event = STREAM.index(EVENT)
        model, cost, end = (event + EVENT.index(part) for part in (b'"m-1"', b'"cost"', b"}\n"))
        assert capfd.readouterr().out.splitlines()[:7] == [
            "block without data, byte 0, dropped",
            r"          0 - : wait\n\n",
            f"event 1, byte {event}",
            f'{model:>11} - "model":"m-1"',
            f'{model:>11} + "model":"a"',
            f'{cost:>11} - "cost":7.5e-05,',
            f'{end:>11} + ,"n":1',
        ]

    def test_shows_nothing_where_nothing_changes(self, stream, capfdbinary):
        assert run(["diff", str(stream), "--remove", "$.none"]) == 0
        assert capfdbinary.readouterr() == (b"", b"")

    def test_shows_the_ending_that_finish_adds(self, tmp_path, capfd):
        file = tmp_path / "cut.sse"
        file.write_bytes(b'data: {"a":1}\r\n\r\ndata: {"a":2}\r\n')
        assert run(["diff", str(file)]) == 0
        assert capfd.readouterr().out == "event 2, byte 17\n" + r"         32 + \r\n" + "\n"

    def test_a_long_fragment_is_cut_short(self, tmp_path, capfd):
        file = tmp_path / "long.sse"
        file.write_bytes(b'data: {"a":"' + b"x" * 3_000_000 + b'"}\n\n')
        assert run(["diff", str(file), "--replace", "$.a=null", "--max-held", "1000"]) == 0
        out = capfd.readouterr().out
        assert "2,999,922 more" in out
        assert len(out) < 300

    def test_takes_a_rules_file_and_refuses_a_bad_rule(self, stream, tmp_path, capfd):
        rules = tmp_path / "rules.json"
        rules.write_text('[{"op": "remove", "path": "$.model"}]')
        assert run(["diff", str(stream), "--rules", str(rules)]) == 0
        assert '"model":"m-1",' in capfd.readouterr().out
        assert run(["diff", str(stream), "--remove", "a"]) == 2
        assert_one_line(capfd.readouterr().err.encode())

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            (b"", b"", []),
            (b"same", b"same", []),
            (b"", b"data: 1", [(b"", b"data: 1")]),
            (b'{"a":1,"b":2}', b'{"b":2}', [(b'"a":1,', b"")]),
            (b'{"a":1,"b":2,"c":"x"}', b'{"a":3,"b":2,"c":"y"}', [(b"1", b"3"), (b'"x"', b'"y"')]),
            (
                b"[" + b"1," * 9_000 + b"0]",
                b"[" + b"2," * 9_000 + b"0]",
                [(b"1," * 8_999 + b"1", b"2," * 8_999 + b"2")],
            ),
            (b'{"a', b'{"b', [(b"a", b"b")]),
        ],
    )
    def test_changes(self, old, new, expected):
        found = changes(old, new)
        spans = [(old[c.start : c.end], new[c.new_start : c.new_end]) for c in found]
        assert spans == expected
        assert apply(old, new, found) == new


def apply(old: bytes, new: bytes, found) -> bytes:
    """Carry the changes out."""
    result, at = b"", 0
    for change in found:
        result += old[at : change.start] + new[change.new_start : change.new_end]
        at = change.end
    return result + old[at:]


class TestInspect:
    """`sse-fast inspect`: what a recorded stream holds."""

    MIXED = (
        b"\xef\xbb\xbfid: 1\r\nevent: a\r\ndata: {}\r\n\r\n"
        b": c\r\n\r\n"
        b'event: a\rdata: {"x":\rdata: 1}\r\r'
        b"retry: 10\n\n"
        b"data: oops\nid: 2\n\n"
        b"data: [DONE]\n\n"
        b'data: {"cut'
    )

    def test_counts_everything(self, tmp_path, capfd):
        file = tmp_path / "mixed.sse"
        file.write_bytes(self.MIXED)
        assert run(["inspect", str(file), "--json"]) == 0
        assert json.loads(capfd.readouterr().out) == {
            "bytes": len(self.MIXED),
            "events": 4,
            "names": {"a": 2, "message": 2},
            "size_p50": 4,
            "size_p90": 8,
            "size_p99": 8,
            "size_max": 8,
            "blocks_without_data": 2,
            "comments": 1,
            "line_endings": {"LF": 7, "CRLF": 6, "CR": 4},
            "bom": True,
            "invalid_payloads": 1,
            "ids": 2,
            "last_event_id": "2",
            "retry": 1,
            "done": True,
            "truncated": True,
        }

    def test_table(self, tmp_path, capfd):
        file = tmp_path / "mixed.sse"
        file.write_bytes(self.MIXED)
        assert run(["inspect", str(file)]) == 0
        rows = [
            [cell.strip() for cell in line.strip("│| ").replace("|", "│").split("│")]
            for line in capfd.readouterr().out.splitlines()
        ]
        for row in (
            ["events", "4"],
            ["CRLF", "6"],
            ["bom", "yes"],
            ["size p90", "8"],
            ["last event id", "2"],
        ):
            assert row in rows

    def test_an_empty_stream(self):
        found = examine(b"")
        assert (found.events, found.size_max, found.names, found.truncated) == (0, 0, {}, False)

    def test_percentile(self):
        assert [percentile(range(1, 101), percent) for percent in (50, 90, 99, 100)] == [50, 90, 99, 100]
        assert percentile([7], 50) == 7
        assert percentile([], 50) == 0


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"\n\n", [b"\n", b"\n"]),
        (b"a\r\n\r\nb\r\rc\n\nd", [b"a\r\n\r\n", b"b\r\r", b"c\n\n", b"d"]),
        (b"a\r\n\n\r\n", [b"a\r\n\n", b"\r\n"]),
        (b"a\n\r\n", [b"a\n\r\n"]),
        (b"\xef\xbb\xbf", [b"\xef\xbb\xbf"]),
        (b"\xef\xbb\xbf\ndata", [b"\xef\xbb\xbf\n", b"data"]),
        (b"a\r\nb\r\n", [b"a\r\nb\r\n"]),
    ],
)
def test_blocks(stream, expected):
    assert [block for _, block in blocks.split(stream)] == expected
    assert [at for at, _ in blocks.split(stream)] == [sum(map(len, expected[:count])) for count in range(len(expected))]
