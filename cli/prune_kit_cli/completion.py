"""What a shell offers when the user presses Tab: names, columns of the score table, files.

Nothing here loads torch. A completion prints no error: where a name cannot be found out, the shell
offers files instead. `prune-kit --install-completion` teaches a shell to ask.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from prune_kit import registry
from prune_kit.errors import PruneKitError
from prune_kit.storage import workdir

VARIABLE = "_PRUNE_KIT_COMPLETE"  # by which a shell asks
# a shell may run what stands in other names, and they may come from a stranger's file
HARMLESS = re.compile(r"[\w@%+=:,./~-]+")
# where bash ends a word, though no blank stands there
BREAKS = re.compile(r"[@:=]+")

Completer = Callable[[typer.Context, str], list[str]]


def offered(name: str, metavar: str | None = None) -> Completer | None:
    """What completes a value. None leaves it to the shell, which offers files.

    Parameters
    ----------
    name
        The flag of an option, or the metavar of an argument.
    metavar
        The metavar of an option. It lists the values where there are few.
    """
    choices = (metavar or name).split("|")
    if name not in COMPLETERS and len(choices) > 1:
        return one_of(lambda ctx: choices)
    return COMPLETERS.get(name)


def one_of(names: Callable[[typer.Context], Iterable[str]], *, several: bool = False) -> Completer:
    """Complete a name, or the last one of a list with commas.

    Parameters
    ----------
    names
        Gives all names.
    several
        Whether the user may write a list.
    """

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        before, comma, word = incomplete.rpartition(",") if several else ("", "", incomplete)
        try:
            found = [name for name in names(ctx) if name.startswith(word)]
        except Exception:  # a damaged file, say: there is nobody to tell
            return []
        return [f"{before}{comma}{name}" for name in found if HARMLESS.fullmatch(name)]

    return complete


def answer() -> int:
    """Answer the question of a shell, and say how it ended. Raises nothing."""
    from prune_kit_cli.main import PROGRAM, program  # which imports this module

    broken = _rejoined() if os.environ[VARIABLE] == "complete_bash" else ""
    text, code = io.StringIO(), 0
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
        try:
            program()([], prog_name=PROGRAM, complete_var=VARIABLE)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        except Exception:  # a shell would print it into the line that the user types
            return 0
    for line in text.getvalue().splitlines():
        sys.stdout.write(line.removeprefix(broken) + "\n")
    return code


def _rejoined() -> str:
    """Put together the words that bash has broken, and give the part that it does not replace.

    Bash breaks `el2n@20` into three words, and replaces the last one.
    """
    words = os.environ.get("COMP_WORDS", "").split("\n")
    place = int(os.environ.get("COMP_CWORD") or 0)
    joined: list[str] = []
    at = place
    for number, word in enumerate(words):
        goes_on = joined and (BREAKS.fullmatch(word) or BREAKS.fullmatch(words[number - 1]))
        if goes_on and number > 1 and word:
            joined[-1] += word
            at -= number <= place
        else:
            joined.append(word)
    os.environ.update(COMP_WORDS="\n".join(joined), COMP_CWORD=str(at))
    word = joined[at] if at < len(joined) else ""
    if word.startswith("--"):  # of --by=el2n the value alone is completed
        word = word.partition("=")[2]
    kept = [match.end() for match in BREAKS.finditer(word)]
    return word[: kept[-1]] if kept else ""


def _of_package(package: str) -> Callable[[typer.Context], list[str]]:
    return lambda ctx: registry.module_names(package)


def _sources(ctx: typer.Context) -> list[str]:
    names = [name.replace("_", "-") for name in registry.module_names(registry.SOURCES)]
    return [name if name == "digits" else f"{name}:" for name in sorted({*names} - {"function"})]


def _models(ctx: typer.Context) -> list[str]:
    from prune_kit.models import model_names

    return model_names()


def _recipes(ctx: typer.Context) -> list[str]:
    from prune_kit.experiments.recipe import recipe_names

    return recipe_names()


def _workdir(ctx: typer.Context) -> Path:
    from prune_kit.storage.paths import expanded

    return expanded(ctx.params.get("workdir") or workdir.DEFAULT_WORKDIR)


def _columns(ctx: typer.Context) -> list[str]:
    """The columns of the table that the command would read. Only their names are read."""
    import h5py

    with h5py.File(ctx.params.get("scores") or _workdir(ctx) / workdir.SCORES) as file:
        return list(file["scores"])


def _files(*endings: str, kinds: tuple[str, ...] = ()) -> Callable[[typer.Context], list[str]]:
    """The files of the workdir with these endings, of some kinds of ours or of all."""

    def names(ctx: typer.Context) -> list[str]:
        found = sorted(path for path in _workdir(ctx).iterdir() if path.suffix in endings)
        return [str(path) for path in found if not kinds or _kind_of(path) in kinds]

    return names


def _kind_of(path: Path) -> str:
    """The kind of one of our files. "" for any other, and for one that is damaged."""
    from prune_kit.storage import hdf5

    try:
        return hdf5.kind_of(path)
    except PruneKitError:
        return ""


COMPLETERS = {
    "--method": one_of(_of_package(registry.SCORERS), several=True),
    "--rule": one_of(_of_package(registry.SELECTORS), several=True),
    "--cut": one_of(_of_package(registry.CUTS)),
    "--format": one_of(_of_package(registry.EXPORTERS)),
    "--data": one_of(_sources),
    "--model": one_of(_models),
    "--recipe": one_of(_recipes),
    "--by": one_of(_columns, several=True),
    "--scores": one_of(_files(".h5", kinds=("scores",))),
    "--selection": one_of(_files(".h5", kinds=("selection", "removal"))),
    "--labels": one_of(_files(".h5", ".npy", ".csv", kinds=())),
    # arguments, by the word that stands for them in the help
    "FILE": one_of(_files(".h5")),
    "NAME|FILE": one_of(_recipes),
    "A": one_of(_files(".h5", kinds=("scores",))),
    "B": one_of(_files(".h5", kinds=("scores",))),
}
