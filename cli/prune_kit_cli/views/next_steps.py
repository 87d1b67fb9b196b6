"""What a user may type next."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from prune_kit.results.table import ScoreTable


def after_scores(table: "ScoreTable", made: list[str], where: str) -> list[str]:
    """The commands that may follow a scoring, the likeliest first; none where no score is whole.

    Parameters
    ----------
    table : the score table.
    made : the columns that were just made.
    where : the words that lead a command to the workdir.
    """
    clean = f"prune-kit clean --auto{where}"
    if len(table.probes):
        return [clean]
    own = [name for name, column in table.columns.items() if not column.companion]
    training = table.rows.training
    whole = [n for n in own if not np.isnan(table.columns[n].values[training]).any()]
    if not whole:
        return []
    best = _latest(table, [name for name in made if name in whole] or whole)
    by = f"--by {best} " if len(own) > 1 else ""
    steps = [f"prune-kit select {by}--keep 0.5 --offset 0.02{where}"]
    if any("probability" in table.columns[name].extras for name in whole):
        steps.append(f"{clean}   (which labels are wrong?)")
    return steps


def _latest(table: "ScoreTable", names: list[str]) -> str:
    """Of the columns of the first one's method the one of the latest epoch."""
    method = table.columns[names[0]].method
    alike = [name for name in names if table.columns[name].method == method]
    return max(alike, key=lambda name: table.columns[name].parameters.get("epoch", 0))
