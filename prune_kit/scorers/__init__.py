"""One file per score: `score(data, runs, *, epoch) -> array`, (R, N) where each run has its own, else (N,).

A module says `HIGHER_MEANS` ("harder" or "easier") and what it `NEEDS` the runs to have recorded: "nothing", a clean
"sweep" at the epoch, a "checkpoint" of it, or the "minibatches" up to it. `COMPANIONS` are methods scored along with
it. The pipeline averages over runs and adds the provenance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prune_kit.progress import Listener, Progress, nobody

if TYPE_CHECKING:
    from prune_kit.training.config import Execution
    from prune_kit.training.runs import RecordedRun


@dataclass(frozen=True, eq=False)
class Runs:
    """The R recorded runs that a score may use; `seed` is the first one's. `observe` is "minibatches" or "sweep"."""

    recorded: "tuple[RecordedRun, ...]"
    seed: int
    execution: "Execution"
    observe: str = "minibatches"
    progress: Listener = nobody

    def each(self, name: str, compute: Callable[["RecordedRun"], np.ndarray]) -> np.ndarray:
        """What `compute` gives for each run, stacked (R, N), and kept in the run's folder under `name`.

        Runs that lack it are computed in as many processes as networks are trained, so `compute` must be a module's
        function (or a `functools.partial` of one).
        """
        lacking = [run for run in self.recorded if not run.has(name)]
        jobs = min(self.execution.jobs, len(lacking))
        if jobs > 1:
            from joblib import Parallel, delayed

            results = Parallel(n_jobs=jobs, return_as="generator")(delayed(run.once)(name, compute) for run in lacking)
        else:
            results = (run.once(name, compute) for run in lacking)
        for number, _ in enumerate(results, start=1):
            self.progress(Progress(f"scoring {name}", number, len(lacking)))
        return np.stack([run.once(name, compute) for run in self.recorded])

    def over_epochs(self, name: str, epoch: int, run: "RecordedRun") -> np.ndarray:
        """A signal (T, N) of epochs 1 .. `epoch`, from the minibatches or, where those are observed, clean sweeps."""
        return run.sweeps(name, epoch) if self.observe == "sweep" else run.minibatches(name, epoch)

    def mean_over_epochs(self, name: str, epoch: int) -> np.ndarray:
        """The mean (R, N) of a float signal over the epochs in which the row was observed; NaN where it never was."""
        means = []
        for run in self.recorded:
            signal = self.over_epochs(name, epoch, run)
            seen = ~np.isnan(signal)
            count = seen.sum(axis=0)
            total = np.where(seen, signal, 0).sum(axis=0, dtype=np.float64)
            means.append(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))
        return np.stack(means)
