"""From methods to columns: which there must be, and what the runs must record for them."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from prune_kit import registry
from prune_kit.errors import OptionError, TableError
from prune_kit.results.table import ScoreTable

if TYPE_CHECKING:
    from prune_kit.runs.cache import Request

WITHOUT_RUNS = ("nothing", "folds")
WITHOUT_EPOCH = (*WITHOUT_RUNS, "threshold")
CUMULATIVE = ("minibatches", "every sweep")
GROWING = "folds"  # the option that may be raised later: more of them extend a column
Column = tuple[str, int | None]  # method, epoch


def column_name(column: Column) -> str:
    """`el2n@20`, or `random` where no epoch applies."""
    method, epoch = column
    return method if epoch is None else f"{method}@{epoch}"


def method_names(methods: str | Sequence[str]) -> list[str]:
    """Names from one text or several, each perhaps a comma-separated list; without repeats.

    Raises OptionError.
    """
    listed = [methods] if isinstance(methods, str) else methods
    names = list(
        dict.fromkeys(name.strip() for entry in listed for name in entry.split(",") if name.strip())
    )
    if not names:
        raise OptionError(
            "`method` names no method; there are: "
            f"{', '.join(registry.module_names(registry.SCORERS))}"
        )
    return names


def scorer_of(method: str) -> ModuleType:
    """The file of a score. Raises OptionError, with the nearest names, where there is none."""
    module: ModuleType = registry.load(registry.SCORERS, method, "method")
    return module


def options_for(methods: list[str], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The options that each method is scored with: its defaults, changed by those given.

    Raises OptionError for an option that none of the methods takes, or a value that does not fit.
    """
    chosen = registry.chosen_options(registry.SCORERS, "method", methods, given)
    for method, options in chosen.items():
        module = scorer_of(method)
        if hasattr(module, "check_options"):
            module.check_options(**options)
    return chosen


def needs(method: str, options: Mapping[str, Any]) -> str:
    """What a method needs the runs to have recorded, one of `scorers`' words."""
    module = scorer_of(method)
    found: str = module.needs(**options) if hasattr(module, "needs") else module.NEEDS
    return found


def check_use(
    methods: list[str], given: Mapping[str, Any], *, epoch: bool, runs: bool, probes: bool
) -> None:
    """Refuse an epoch or runs for folds alone, and probes where nothing is trained.

    Folds have no epochs and no runs; what needs no network sees no planted label.

    Parameters
    ----------
    methods
        The names of scores.
    given
        The options that the user gave, by name.
    epoch, runs, probes
        Whether an epoch, a number of runs, or probes were given.

    Raises
    ------
    OptionError
        If what is refused was given, or an option that does not fit.
    """
    options = options_for(methods, given)
    needed = {needs(method, options[method]) for method in methods}
    names = " and ".join(methods)
    if probes and needed == {"nothing"}:
        raise OptionError(
            f"`probes` is not for {names}: without a network, nothing is trained on planted labels"
        )
    if needed != {"folds"}:
        return
    if epoch:
        raise OptionError(
            f"`epoch` is not for {names}: its networks train to the end of the protocol; "
            "give `config.epochs`"
        )
    if runs:
        raise OptionError(f"`runs` is not for {names}: it counts networks by `folds`")


def ends_with_epochs(methods: list[str], given: Mapping[str, Any]) -> bool:
    """Whether the epochs asked for say how long these methods train.

    Folds and thresholds need not end there.
    """
    options = options_for(methods, given)
    return all(needs(method, options[method]) not in WITHOUT_EPOCH for method in methods)


def grown_to(table: ScoreTable, options: dict[str, dict[str, Any]]) -> None:
    """Raise the number of folds asked for to what the table has: fewer keep what is there."""
    for method, chosen in options.items():
        if GROWING in chosen and method in table.columns:
            chosen[GROWING] = max(chosen[GROWING], table.columns[method].parameters[GROWING])


def columns_for(
    methods: list[str], epochs: list[int], last: int, options: Mapping[str, Mapping[str, Any]]
) -> dict[Column, bool]:
    """The columns that methods and epochs ask for.

    True for a companion that nobody named, behind the others.

    Parameters
    ----------
    methods
        The names of scores.
    epochs
        The finished epochs after which scores are taken.
    last
        The last epoch of the protocol.
    options
        The options of each method, by its name.

    Raises
    ------
    OptionError
        If an epoch is out of range for a method.
    """
    columns: dict[Column, bool] = {}
    for method in methods:
        needed = needs(method, options.get(method, {}))
        if needed in WITHOUT_EPOCH:
            columns[method, None] = False
            continue
        first = 1 if needed in CUMULATIVE else 0
        for epoch in epochs:
            if not first <= epoch <= last:
                longer = f", or lengthen it: config.epochs={epoch}" if epoch > last else ""
                raise OptionError(
                    f"epoch={epoch} is out of range for {method}: the protocol has epochs "
                    f"{first} to {last}. Choose one of them{longer}"
                )
            columns[method, epoch] = False
    for method in methods:
        for companion in getattr(scorer_of(method), "COMPANIONS", ()):
            columns.setdefault((companion, None), True)
    return columns


def is_there(
    table: ScoreTable, column: Column, seeds: tuple[int, ...], options: Mapping[str, Any]
) -> bool:
    """Whether the table has the column, from the same seeds or from as many folds.

    Parameters
    ----------
    table
        The table as it is so far.
    column
        The method, and the epoch.
    seeds
        The seeds of the runs that are asked for.
    options
        The options of the method, as they are asked for.

    Raises
    ------
    TableError
        If the table has the column, scored with other options.
    """
    method, name = column[0], column_name(column)
    found = table.columns.get(name)
    if found is None:
        return False
    defaults = registry.defaults(registry.SCORERS, method)
    # an option younger than the table stood at its default
    had = {key: found.parameters.get(key, plain(defaults[key])) for key in options}
    differing = [
        f"{key} {plain(value)} (the table has {had[key]})"
        for key, value in options.items()
        if key != GROWING and plain(value) != had[key]
    ]
    if differing:
        raise TableError(
            f"{name} is there already, scored otherwise: {'; '.join(differing)}. "
            "Give table=None to start the table anew, or another `workdir`"
        )
    if GROWING in options:
        return bool(found.parameters[GROWING] == options[GROWING])
    return needs(method, options) == "nothing" or found.seeds == seeds


def lacking_columns(
    table: ScoreTable,
    methods: list[str],
    epochs: list[int],
    last: int,
    given: Mapping[str, Any],
    seeds: tuple[int, ...],
) -> tuple[dict[Column, bool], dict[str, dict[str, Any]]]:
    """The columns asked for that the table lacks, True for a companion; and the options by method.

    Parameters
    ----------
    table
        The table as it is so far.
    methods
        The names of scores.
    epochs
        The finished epochs after which scores are taken.
    last
        The last epoch of the protocol.
    given
        The options that the user gave, by name.
    seeds
        The seeds of the runs that are asked for.

    Raises
    ------
    OptionError
        If an option or an epoch is out of range.
    TableError
        If the table has a column, scored with other options.
    """
    options = options_for(methods, given)
    grown_to(table, options)
    columns = columns_for(methods, epochs, last, options)
    return {
        column: companion
        for column, companion in columns.items()
        if not is_there(table, column, seeds, options.get(column[0], {}))
    }, options


def request_for(
    columns: list[Column], observe: str, options: Mapping[str, Mapping[str, Any]]
) -> "Request | None":
    """What the runs must record for these columns.

    None where no column needs a network of that kind.

    The signals of the minibatches are free, so they are always recorded; at an epoch for which a
    clean sweep or the weights are needed both are kept. So another method costs no training later.

    Parameters
    ----------
    columns
        The columns that are to be scored.
    observe
        "minibatches" or "sweep": where cumulative scores come from.
    options
        The options of each method, by its name.
    """
    from prune_kit.runs.cache import Request

    trained = [
        (needs(method, options.get(method, {})), epoch)
        for method, epoch in columns
        if epoch is not None
    ]
    thresholds = frozenset(
        options[method]["threshold"]
        for method, _ in columns
        if needs(method, options.get(method, {})) == "threshold"
    )
    if not trained and not thresholds:
        return None
    clean = frozenset(epoch for needed, epoch in trained if needed in ("sweep", "checkpoint"))
    cumulative = max(
        (epoch for needed, epoch in trained if needed == "minibatches" and observe == "sweep"),
        default=0,
    )
    swept = max((epoch for needed, epoch in trained if needed == "every sweep"), default=0)
    every = frozenset(range(1, max(cumulative, swept) + 1))
    last = max((epoch for _, epoch in trained), default=0)
    return Request(
        last, minibatches=True, sweeps=clean | every, weights=clean, thresholds=thresholds
    )


def plain(value: Any) -> Any:
    """An option as files hold it: a list for a tuple."""
    return list(value) if isinstance(value, tuple) else value
