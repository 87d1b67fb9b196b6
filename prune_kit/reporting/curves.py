"""The section of learning curves: how soon easy and hard examples are learned.

As in Jiang et al. 2021, https://arxiv.org/abs/2002.03206, Figure 7a.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.data.noise import planted
from prune_kit.reporting import limits, plots
from prune_kit.reporting.blocks import Section, Table, visible
from prune_kit.results.table import ScoreTable

GROUPS = 5
# C-scores ask networks that never saw the example. Other scores come from the drawn runs.
BEST = "cscore"


def learning_section(data: Dataset, table: ScoreTable, runs: Path) -> Section | None:
    """The share of right predictions in training, by epoch, for fifths of the ranked rows.

    Parameters
    ----------
    data
        The data set.
    table
        The score table.
    runs
        The folder of the run cache.

    Returns
    -------
    Section or None
        None if the cache does not hold two epochs of the runs behind the table.
    """
    own = [name for name, column in table.columns.items() if not column.companion]
    correct = _correct(data, table, runs)
    if not own or len(correct) < 2:
        return None
    by = BEST if BEST in own else own[0]
    order = limits.ranked(table, by)
    groups = np.array_split(order, GROUPS)
    curves = np.stack([np.nanmean(correct[:, group], axis=1) for group in groups])
    names = [f"{_share(n)} to {_share(n + 1)} %" for n in range(GROUPS)]
    names[0], names[-1] = f"easiest, {names[0]}", f"hardest, {names[-1]}"
    finding = (
        f"After epoch 1 the easiest fifth by {by} is right in {100 * curves[0, 0]:.0f} %, the "
        f"hardest in {100 * curves[-1, 0]:.0f} %; after epoch {len(correct)} in "
        f"{100 * curves[0, -1]:.0f} and {100 * curves[-1, -1]:.0f} %"
    )
    reading = (
        "Share of examples whose given label is predicted as they are trained on in an epoch, as a "
        "mean over the runs; fifths of the training rows by their percentile of hardness in "
        f"{visible(by)}."
    )
    values = table.columns[by].values
    if any(
        values[one[-1]] == values[other[0]]
        for one, other in pairwise(groups)
        if len(one) and len(other)
    ):
        reading += " Neighbouring fifths share a score, by which their rows are not told apart."
    picture = plots.picture(
        "learning",
        finding,
        reading,
        3.6,
        lambda axes: plots.curves(axes, names, curves, "epoch", "right, %"),
    )
    lines = tuple(
        (str(epoch), *(f"{100 * share:.1f} %" for share in shares))
        for epoch, shares in enumerate(curves.T, start=1)
    )
    return Section(
        "learning",
        "Learning curves",
        (picture, Table("learning", "Right by epoch", ("epoch", *names), lines)),
    )


def _share(number: int) -> str:
    return f"{100 * number / GROUPS:.0f}"


def _correct(data: Dataset, table: ScoreTable, runs: Path) -> Float[np.ndarray, "T N"]:
    """The share of the runs that predict a row right, for the epochs that all runs recorded.

    NaN for a row that was never observed. No epoch if a run is missing.
    """
    from prune_kit.protocol.execution import ResolvedExecution
    from prune_kit.runs.cache import RecordedRun, RunInputs

    setup = table.setup
    nothing = np.zeros((0, len(data)))
    if setup is None or setup.observe != "minibatches" or setup.precision is None:
        return nothing
    seen = data if table.probe_label is None else planted(data, table.probe_label)
    for device in [setup.device] if setup.device else ["cpu", "cuda"]:
        execution = ResolvedExecution(
            device=device, precision=setup.precision, threads=setup.threads or 1
        )
        inputs = [
            RunInputs(seen, setup.protocol, setup.seed + number, execution)
            for number in range(table.runs)
        ]
        recorded = [RecordedRun(one, runs / one.key) for one in inputs]
        epochs = min((_recorded_epochs(run.folder) for run in recorded), default=0)
        if epochs:
            break
    else:
        return nothing
    total, count = np.zeros((epochs, len(data))), np.zeros((epochs, len(data)))
    for run in recorded:
        correct = run.minibatches("correct", epochs)
        total += correct == 1
        count += correct >= 0
    share: np.ndarray = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return share


def _recorded_epochs(folder: Path) -> int:
    """The number of epochs, from the first on, whose minibatch signals are in the folder."""
    epochs = 0
    while (folder / f"minibatch-{epochs + 1:04}.npz").is_file():
        epochs += 1
    return epochs
