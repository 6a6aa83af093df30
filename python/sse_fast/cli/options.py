"""The options that `rewrite` and `diff` share: which rules to apply, and how the rewriter treats the rest."""

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sse_fast import Default, Remove, Rename, Replace, Rewriter, Rules, Set


class UsageError(Exception):
    """The command was called wrongly: exit code 2."""


class OnInvalid(StrEnum):
    """What becomes of an event whose payload is not JSON."""

    PASS = "pass"
    DROP = "drop"
    RAISE = "raise"


class EmptyBlocks(StrEnum):
    """What becomes of a block without data."""

    KEEP = "keep"
    DROP = "drop"


_RULES, _POLICIES = "Rules", "Policies"

RulesFile = Annotated[
    Path | None,
    typer.Option("--rules", metavar="FILE", help="Rules as JSON; they come first.", rich_help_panel=_RULES),
]
RemoveOption = Annotated[
    list[str] | None,
    typer.Option("--remove", metavar="PATH", help="Remove what PATH names.", rich_help_panel=_RULES),
]
ReplaceOption = Annotated[
    list[str] | None,
    typer.Option("--replace", metavar="PATH=JSON", help="Replace a value.", rich_help_panel=_RULES),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=JSON", help="Replace or insert a value.", rich_help_panel=_RULES),
]
DefaultOption = Annotated[
    list[str] | None,
    typer.Option("--default", metavar="PATH=JSON", help="Insert a missing value.", rich_help_panel=_RULES),
]
RenameOption = Annotated[
    list[str] | None,
    typer.Option("--rename", metavar="PATH=KEY", help="Rename a member's key.", rich_help_panel=_RULES),
]
MaxHeldOption = Annotated[
    int,
    typer.Option(
        "--max-held",
        min=1,
        metavar="BYTES",
        help="Larger events stream through instead of being held.",
        rich_help_panel=_POLICIES,
    ),
]
OnInvalidOption = Annotated[
    OnInvalid,
    typer.Option("--on-invalid", help="Events whose payload is not JSON.", rich_help_panel=_POLICIES),
]
CommentsOption = Annotated[
    str,
    typer.Option(
        "--comments",
        metavar="keep|drop|TEXT",
        help="Keep comments, drop them, or replace their text.",
        rich_help_panel=_POLICIES,
    ),
]
EmptyBlocksOption = Annotated[
    EmptyBlocks,
    typer.Option("--empty-blocks", help="Blocks without data.", rich_help_panel=_POLICIES),
]


def rules_from(
    file: Path | None,
    remove: Sequence[str] | None,
    replace: Sequence[str] | None,
    set_: Sequence[str] | None,
    default: Sequence[str] | None,
    rename: Sequence[str] | None,
) -> Rules:
    """The rules of the file, then those of the options, kind by kind in the order of this signature."""
    rules = [] if file is None else list(_rules_file(file))
    rules += [Remove(path) for path in remove or ()]
    rules += [Replace(*_path_and_value("--replace", text)) for text in replace or ()]
    rules += [Set(*_path_and_value("--set", text)) for text in set_ or ()]
    rules += [Default(*_path_and_value("--default", text)) for text in default or ()]
    rules += [Rename(*split_assignment("--rename", text, "PATH=KEY")) for text in rename or ()]
    return Rules(rules)


def rewriter_from(
    rules: Rules, *, max_held: int, on_invalid: OnInvalid, comments: str, empty_blocks: EmptyBlocks
) -> Rewriter:
    """A rewriter with the policies of the options."""
    try:
        return Rewriter(
            rules,
            max_held=max_held,
            on_invalid=on_invalid.value,
            comments=comments,
            empty_blocks=empty_blocks.value,
        )
    except ValueError as error:  # a comment text with a line ending
        raise UsageError(str(error)) from error


def _rules_file(file: Path) -> Rules:
    text = file.read_bytes()
    try:
        return Rules.from_json(text.decode())
    except ValueError as error:  # not UTF-8, not JSON, or not rules
        raise UsageError(f"{file}: {error}") from error


def _path_and_value(option: str, argument: str) -> tuple[str, Any]:
    path, text = split_assignment(option, argument, "PATH=JSON")
    try:
        return path, json.loads(text)
    except ValueError as error:
        hint = f"write a string as {path}='\"{text}\"'"
        raise UsageError(f"{option} {argument}: {text!r} is not JSON ({hint})") from error


# The path ends at the first `=` outside brackets; inside them quotes may hide a `]`.
_ASSIGNMENT = re.compile(
    r"""( (?: [^=\[] | \[ (?: '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | [^\]'"] )* \] )+ ) = (.*)""",
    re.VERBOSE | re.DOTALL,
)


def split_assignment(option: str, argument: str, form: str) -> tuple[str, str]:
    """Cut `$['a=b']=1` into `$['a=b']` and `1`."""
    match = _ASSIGNMENT.fullmatch(argument)
    if match is None:
        raise UsageError(f"{option} {argument}: not of the form {form}")
    return match[1], match[2]
