"""One file per score: `score(data, runs, *, epoch, **options) -> array`, (R, N) where each run has its own, else (N,).

A module says `HIGHER_MEANS` ("harder" or "easier") and what it `NEEDS` the runs to have recorded:
"nothing", a clean "sweep" at the epoch, a "checkpoint" of it, the "minibatches" up to it, "every
sweep" up to it, a clean pass when the training accuracy reaches its option `threshold`
("threshold"), or the "folds" of holdout validation. Where the need depends on an option,
`needs(**options)` says it instead. It may also have `OPTIONS`, its keyword options with their
defaults, and `check_options(**options)`, which raises OptionError; `COMPANIONS`, methods scored
along with it; `AVERAGES`, the name of the table's array that its first axis becomes ("per_run"
unless it says otherwise); `COUNTS_RUNS`, True where the column is the sum over the runs and not
their mean; `beside(data, runs, scores, *, epoch, **options)`, more arrays for the table;
`score_test(data, runs, *, epoch, **options) -> (R, M) or (M,)`, the same score of the test
examples; `provenance(runs, *, epoch, **options)`, what else made it. The pipeline averages over the
first axis and adds the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prune_kit.errors import RunError
from prune_kit.progress import Listener, Progress, silent

if TYPE_CHECKING:
    from prune_kit.protocol.execution import ResolvedExecution
    from prune_kit.runs.cache import Computed, RecordedRun
    from prune_kit.runs.holdout import Holdout


@dataclass(frozen=True, eq=False)
class Runs:
    """The R recorded runs that a score may use; `seed` is the first one's. `observe` is "minibatches" or "sweep".

    `fold_results` are the networks of holdout validation, where a method needs them.
    """

    recorded: "tuple[RecordedRun, ...]"
    seed: int
    execution: "ResolvedExecution"
    observe: str = "minibatches"
    progress: Listener = silent
    fold_results: "Holdout | None" = None

    @property
    def holdout(self) -> "Holdout":
        """The networks of holdout validation. Raises RunError where there are none."""
        if self.fold_results is None:
            raise RunError("no folds of holdout validation were trained")
        return self.fold_results

    def each(self, name: str, compute: Callable[["RecordedRun"], "Computed"]) -> np.ndarray:
        """What `compute` gives for each run, stacked (R, N), and kept in the run's folder under `name`.

        Runs that lack it are computed in as many processes as networks are trained, so `compute`
        must be a module's function (or a `functools.partial` of one).
        """
        lacking = [run for run in self.recorded if not run.has(name)]
        jobs = min(self.execution.jobs, len(lacking))
        if jobs > 1:
            from joblib import Parallel, delayed

            results = Parallel(n_jobs=jobs, return_as="generator")(
                delayed(run.cached)(name, compute) for run in lacking
            )
        else:
            results = (run.cached(name, compute) for run in lacking)
        for number, _ in enumerate(results, start=1):
            self.progress(Progress(f"scoring {name}", number, len(lacking)))
        return np.stack([run.cached(name, compute) for run in self.recorded])

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
