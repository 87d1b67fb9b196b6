"""What the methods between pairs of examples share: their space, and what is kept of a pass."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

if TYPE_CHECKING:
    import torch

    from prune_kit.runs.cache import RecordedRun

    # points (n, D), labels (n,) -> (..., n)
    Measure = Callable[[torch.Tensor, torch.Tensor], np.ndarray]

_of_pixels: WeakKeyDictionary[Dataset, dict[str, np.ndarray]] = WeakKeyDictionary()


def needs(space: str) -> str:
    """Pixels need no network; the hidden layer needs its weights."""
    return "nothing" if space == "pixels" else "checkpoint"


def measured(
    data: Dataset, runs: Runs, measure: "Measure", *, name: str, space: str, epoch: int | None
) -> np.ndarray:
    """What a measure gives for the training rows; NaN for rows held out, which are no points.

    The results of the hidden layer are kept in the runs' folders under `name`, those of pixels as
    long as `data` lives, so that methods that share a measure share its pass.

    Parameters
    ----------
    data, runs, epoch
        As `scorers.Scorer`.
    measure
        A function of a module: points (n, D) and labels (n,) to values (..., n).
    name
        The name under which the values are kept.
    space
        "pixels" or "hidden".

    Returns
    -------
    values
        (..., N) of pixels, (R, ..., N) of the hidden layer.
    """
    if space == "hidden":
        assert epoch is not None  # since that is what `needs` says
        return runs.each(
            f"{name}-{epoch:04}", partial(_measure_hidden, measure=measure, epoch=epoch)
        )
    kept = _of_pixels.setdefault(data, {})
    if name not in kept:
        import torch

        from prune_kit.measures.neighbours.representations import pixels

        kept[name] = _of_all_rows(data, pixels(data, torch.device(runs.execution.device)), measure)
    return kept[name]


def _measure_hidden(run: "RecordedRun", measure: "Measure", epoch: int) -> np.ndarray:
    from prune_kit.measures.neighbours.representations import penultimate
    from prune_kit.training.threads import using_threads

    with using_threads(run.inputs.execution.threads):
        return _of_all_rows(run.inputs.data, penultimate(run, epoch), measure)


def _of_all_rows(data: Dataset, points: "torch.Tensor", measure: "Measure") -> np.ndarray:
    import torch

    training = data.rows.training
    values = measure(points, torch.from_numpy(data.labels[training]).to(points.device))
    placed = np.full((*values.shape[:-1], len(data)), np.nan)
    placed[..., training] = values
    return placed
