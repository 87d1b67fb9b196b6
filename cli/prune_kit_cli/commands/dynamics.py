"""The command dynamics: what an ensemble of networks learns, and when; or two compared."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from prune_kit_cli import options as o

if TYPE_CHECKING:
    from prune_kit.results.table import ScoreTable


def dynamics(
    a: Annotated[
        Path | None,
        o.argument("A", "A score table, or a workdir (default: this workdir)."),
    ] = None,
    b: Annotated[
        Path | None,
        o.argument("B", "That of other networks on the same data, to be matched with A."),
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """Do all networks learn the same examples, in the same order?

    It reads consistency columns (prune-kit score --method consistency --epoch 1,2,3,5,10,20). For
    each epoch it gives the mean accuracy of the networks, the share of examples that all of them or
    none of them have right, and the bimodality of consistency (0 for two values only, 0.8 for a
    uniform spread, 2 for a normal one). With B, epochs of equal accuracy are matched, and the
    consistency of the two is correlated there.

    Example: prune-kit dynamics convnet-work mlp-work
    """
    from prune_kit.comparison import dynamics as ensembles
    from prune_kit_cli.views.dynamics import epochs_json, epochs_shown, matches_json, matches_shown
    from prune_kit_cli.views.tables import Screen, path_of

    screen = Screen(as_json, quiet)
    tables = {path: _table(path) for path in [a or workdir, *([b] if b else [])]}
    epochs = {path_of(path): ensembles.dynamics(table) for path, table in tables.items()}
    values, shown = epochs_json(epochs), epochs_shown(epochs)
    if b and a:
        matches = ensembles.matched_epochs(tables[a], tables[b])
        order = ensembles.order_correlation(tables[a], tables[b])
        values |= matches_json(matches, order)
        shown += matches_shown(matches, order)
    screen.result(values, *shown)


def _table(path: Path) -> "ScoreTable":
    """The score table at `path`, or in that folder."""
    from prune_kit.comparison.dynamics import consistency_columns
    from prune_kit.errors import TableError
    from prune_kit.results.table import ScoreTable
    from prune_kit_cli.workdir import SCORES, workdir_words

    file = path / SCORES if path.is_dir() or not path.suffix else path
    table = ScoreTable.read(file)
    try:
        consistency_columns(table)
    except TableError as error:
        raise TableError(f"{file}: {error}{workdir_words(file.parent)}") from error
    return table
