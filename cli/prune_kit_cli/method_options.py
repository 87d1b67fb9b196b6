"""The flags that methods and rules declare, put into the commands that take them."""

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from prune_kit import registry
from prune_kit.registry import Option
from prune_kit_cli.completion import offered
from prune_kit_cli.options import OUTPUT

Command = Callable[..., None]
WORDS: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool, "list[int]": str}
TITLE_WIDTH = 70  # a title that is longer would not fit into 80 columns


def takes_options_of(
    package: str, what: str, *, panel: str, first: str | None = None
) -> Callable[[Command], Command]:
    """Give a command a flag for each option that an entry of a package declares.

    The command must take `**options`. It gets those that the user gave. They are shown before the
    options of output, those of each entry in a panel of their own.

    Parameters
    ----------
    package
        The full name of the package, such as "prune_kit.scorers".
    what
        The option of the command that chooses an entry, without dashes: "method" or "rule".
    panel
        The panel of the options that every entry takes.
    first
        The entry whose options are shown first.
    """
    declared = registry.package_options(package)
    everywhere = len(registry.module_names(package))

    def with_options(command: Command) -> Command:
        @functools.wraps(command)
        def called(**words: Any) -> None:
            values = {name: words.pop(name) for name in declared}
            options = {
                name: _value(next(iter(declared[name].values())), value)
                for name, value in values.items()
                if value is not None
            }
            command(**words, **options)

        signature = inspect.signature(command)
        fixed = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        output = next(place for place, p in enumerate(fixed) if _panel_of(p) == OUTPUT)
        names = sorted(declared, key=lambda name: first not in declared[name])
        flags = [
            _parameter(
                declared[name],
                panel if len(declared[name]) == everywhere else _title(what, list(declared[name])),
            )
            for name in names
        ]
        parameters = [*fixed[:output], *flags, *fixed[output:]]
        vars(called)["__signature__"] = signature.replace(parameters=parameters)
        return called

    return with_options


def _panel_of(parameter: inspect.Parameter) -> str | None:
    [info] = parameter.annotation.__metadata__
    panel: str | None = info.rich_help_panel
    return panel


def _title(what: str, takers: list[str]) -> str:
    """The title of a panel, shortened where it names too many entries."""
    title = f"With --{what} {', '.join(takers)}"
    if len(title) <= TITLE_WIDTH:
        return title
    return f"With --{what} {', '.join(takers[:2])} and {len(takers) - 2} more"


def _parameter(takers: Mapping[str, Option], panel: str) -> inspect.Parameter:
    """The parameter of a command for an option. It is None where the user does not give it."""
    option = next(iter(takers.values()))
    flag = registry.flag(option.name)
    if any(declared.default is True for declared in takers.values()):
        flag = f"{flag}/--no-{flag.removeprefix('--')}"
    info = typer.Option(
        flag,
        metavar="|".join(option.choices) or option.metavar,
        help=_help(takers, panel),
        show_default=False,
        rich_help_panel=panel,
        autocompletion=offered(flag, "|".join(option.choices)),
    )
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    annotation = Annotated[WORDS[option.type] | None, info]  # type: ignore[valid-type,name-defined]
    return inspect.Parameter(option.name, kind, default=None, annotation=annotation)


def _help(takers: Mapping[str, Option], panel: str) -> str:
    """The help of an option with its default, and its entries where the panel names not all."""
    text = next(iter(takers.values())).help.rstrip(".")
    defaults = Counter(_spelled(option.default) for option in takers.values())
    usual, _ = defaults.most_common(1)[0]
    if usual and set(defaults) != {"no"}:
        others = [
            f"; {_spelled(option.default)} for {entry}"
            for entry, option in takers.items()
            if _spelled(option.default) != usual
        ]
        text += f" (default: {usual}{''.join(others)})"
    unnamed = panel.startswith("With") and not panel.endswith(", ".join(takers))
    return f"{text}. For {', '.join(takers)}." if unnamed else f"{text}."


def _spelled(default: Any) -> str:
    """A default as the user would write it. Empty for None."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else "" if default is None else str(default)


def _value(option: Option, word: Any) -> Any:
    """The value that a word of the command line stands for."""
    if option.type != "list[int]":
        return word
    from prune_kit_cli.parsing import numbers

    return numbers([word], registry.flag(option.name))
