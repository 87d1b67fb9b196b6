"""The library's messages in the words of the command line: `keep=2` becomes `--keep 2`.

The library names options as Python does (see `prune_kit.errors`). Only names that a command has as
an option are translated. Everything else in a message stays as it is.
"""

import ast
import re
import shlex
from collections.abc import Mapping
from functools import cache

import typer

TRAIN = "--train"  # the flag by which a field of the training configuration is given

# `keep=2` or `config.epochs=10`, not inside of a word, a path or a flag. A value is quoted, a list
# or a tuple, or ends before a blank and the punctuation in front of it.
_VALUE = r"""'[^']*'|"[^"]*"|\[[^\]]*\]|\([^)]*\)|[^\s/'"`\[(]+?(?=[,;:.)`]*(?:\s|$))"""
_ASSIGNMENT = re.compile(rf"(?<![\w./=-])(?<!{TRAIN} )(config\.)?([a-z_]+)=({_VALUE})(?![\w/])")
_MENTION = re.compile(r"`(config\.)?([a-z_]+)`")
_CALL = re.compile(r"`([a-z_]+)(\([^`]*\))`")
# what Python spells otherwise than a command does
NAMES = {"methods": "--method", "aligned_to": "--align"}
VALUES = {("table", "None"): "--fresh"}


def spoken(message: str) -> str:
    """A message of the library in the words of this command line (see `in_flags`)."""
    return in_flags(message, _own_flags())


@cache
def _own_flags() -> dict[str, str]:
    from prune_kit_cli.main import app  # which imports every command

    return option_flags(app) | NAMES


def option_flags(app: typer.Typer) -> dict[str, str]:
    """The flags of all commands of an application.

    An option of the same name has the same flag in every command.

    Parameters
    ----------
    app
        The application.

    Returns
    -------
    dict
        The long flag of every option, by the option's name in Python. Arguments, which do not have
        a flag, are left out.
    """
    commands = getattr(typer.main.get_command(app), "commands", {})
    return {
        parameter.name: parameter.opts[0]
        for command in commands.values()
        for parameter in command.params
        if parameter.opts[0].startswith("--")
    }


def in_flags(message: str, flags: Mapping[str, str]) -> str:
    """A message of the library in the words of the command line.

    Parameters
    ----------
    message
        The message. It names options as `keep=2`, `per_class=True`, `ratios=[75, 90]`,
        `config.epochs=10`, or in backticks without a value. A verb with its options stands in
        backticks, too.
    flags
        The flag of each option, by its name in Python.

    Returns
    -------
    str
        The message with `--keep 2`, `--per-class`, `--ratios 75,90`, `--train epochs=10`. False and
        None become "no --per-class". A verb becomes a command line. Names that are not in `flags`
        are left as they are.
    """

    def call(match: re.Match[str]) -> str:
        try:
            verb = ast.parse(match[0].strip("`"), mode="eval").body
        except SyntaxError:  # a name that came with the data
            return match[0]
        options = verb.keywords if isinstance(verb, ast.Call) else []
        return f"prune-kit {match[1]}" + "".join(f" {ast.unparse(option)}" for option in options)

    def assignment(match: re.Match[str]) -> str:
        field, name, value = match.groups()
        if field and name not in flags:
            return f"{TRAIN} {name}={_word(value)}"
        if (name, value) in VALUES:
            return VALUES[name, value]
        if name not in flags:
            return match[0]
        if value == "True":
            return flags[name]
        if value in ("False", "None"):
            return f"no {flags[name]}"
        return f"{flags[name]} {_word(value)}"

    def mention(match: re.Match[str]) -> str:
        field, name = match.groups()
        if field and name not in flags:
            return f"{TRAIN} {name}"
        return flags.get(name, match[0])

    return _MENTION.sub(mention, _ASSIGNMENT.sub(assignment, _CALL.sub(call, message)))


def _word(value: str) -> str:
    """A value as it is typed: without the quotes of Python, and a list with commas."""
    if value[0] not in "'\"[(":
        return value
    try:
        literal = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
    return shlex.quote(literal) if isinstance(literal, str) else ",".join(map(str, literal))
