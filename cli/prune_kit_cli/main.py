"""The door: every command, and the one place where errors become exit codes."""

import functools
import importlib
import inspect
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from prune_kit.errors import PruneKitError
from prune_kit.storage.paths import current_folder, expanded
from prune_kit_cli import completion, streams, surroundings
from prune_kit_cli.options import OUTPUT
from prune_kit_cli.wording import spoken

PROGRAM = "prune-kit"
USER_ERROR, INTERRUPTED = 2, 130

app = typer.Typer(
    name=PROGRAM,
    epilog="Start with: prune-kit demo",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from prune_kit.storage.provenance import version

        sys.stdout.write(f"prune-kit {version()}\n")
        raise typer.Exit


@app.callback()
def prune_kit(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and stop.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Which training examples can go without losing accuracy, and which labels are wrong?"""


def _flowing(command: Callable[..., None]) -> str:
    """The docstring with every paragraph in one line, for the terminal to break where it ends."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _on_firm_ground(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with the home folder in the place of `~` in every path that it is given.

    Without a current folder it is refused: the libraries of torch would end the process. `list`
    needs neither.
    """

    def in_full(value: Any) -> Any:
        if isinstance(value, list):
            return [in_full(one) for one in value]
        return expanded(value) if isinstance(value, Path) else value

    @functools.wraps(command)
    def called(**words: Any) -> None:
        if command.__name__ != "list_":
            current_folder()
        command(**{name: in_full(value) for name, value in words.items()})

    return called


COMMANDS = (  # in the order in which the help lists them; each is a file of `commands/`
    "score", "select", "retrain", "export", "clean", "sweep", "tune", "corrupt", "compare",
    "dynamics", "weak_learners", "report", "demo", "reproduce", "info", "list",
)  # fmt: skip
# what ends a command from outside, besides an interrupt; Windows has no SIGHUP
ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
# a second start goes on from the run cache
TRAINING = ("score", "retrain", "sweep", "tune", "demo", "reproduce")
for name in COMMANDS:
    functions = vars(importlib.import_module(f"prune_kit_cli.commands.{name}"))
    command: Callable[..., None] = functions[f"{name}_" if name == "list" else name]
    app.command(name.replace("_", "-"), help=_flowing(command))(_on_firm_ground(command))


def run() -> None:
    """The entry point `prune-kit`.

    Exit codes: 0 done, 1 our bug, 2 the user can mend it, 130 interrupted.
    """
    streams.open_closed()
    if completion.VARIABLE in os.environ:
        sys.exit(completion.answer())
    for ending in ENDINGS:
        if signal.getsignal(ending) is signal.SIG_DFL:  # nohup, for one, has it ignored
            signal.signal(ending, _interrupt)
    sys.exit(exit_code(sys.argv[1:]))


@functools.cache
def program() -> typer.core.TyperGroup:
    """The parser of the command line. `--help` stands with the options of output, at the end."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    with group.make_context(PROGRAM, [], resilient_parsing=True) as context:
        for command in group.commands.values():
            shown = command.get_help_option(context)
            vars(shown)["rich_help_panel"] = OUTPUT
    return group


def exit_code(words: list[str]) -> int:
    """Run one command line and say how it ended.

    Output that nobody reads any more changes nothing. Output that is lost is an error of the user.
    """
    with streams.guarded() as (out, _):
        code = _ended(words)
        out.flush()
        if out.lost and not code:
            _error(
                f"the standard output cannot be written: {out.lost}. No file is affected; make "
                "room, or send the output elsewhere"
            )
            code = USER_ERROR
    return code


def _ended(words: list[str]) -> int:
    try:
        code = int(program()(words or ["--help"], prog_name=PROGRAM, standalone_mode=False) or 0)
        code = USER_ERROR if code == 1 else code  # of --show-completion, for an unknown shell
    except PruneKitError as error:
        _error(" ".join(spoken(str(error)).split()))
        return USER_ERROR
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except SystemExit as ended:  # of --install-completion
        code = USER_ERROR if ended.code else 0
    except Exception as error:
        # only the command line parser's own errors have it
        if hasattr(error, "format_message"):
            message = " ".join(error.format_message().split()).rstrip(".?")
            _error(f"{message}. See: prune-kit {_command(words)}--help")
        elif told := surroundings.blamed(error):
            _error(" ".join(told.split()))
        else:
            raise
        return USER_ERROR
    finally:
        if "prune_kit.storage.lock" in sys.modules:  # a command that held nothing has not loaded it
            sys.modules["prune_kit.storage.lock"].release()
    if code == INTERRUPTED:  # newer typers turn the interrupt into this exit code themselves
        goes_on = words[:1] and words[0] in TRAINING
        kept = "Epochs and folds that had ended are kept; to go on" if goes_on else "To start again"
        _error(f"interrupted. {kept}: prune-kit {shlex.join(words)}")
    return code


def _error(message: str) -> None:
    from prune_kit_cli.screen import error_line  # here, since --help does without numpy

    error_line(message)


def _command(words: list[str]) -> str:
    names = [
        info.name or getattr(info.callback, "__name__", "") for info in app.registered_commands
    ]
    return f"{words[0]} " if words and words[0] in names else ""


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
