"""One file a score: `score(data, runs, *, epoch, **options) -> array`.

The array is (R, N) where each run has a score of its own, else (N,). `Scorer` says what a module
must have, `ScorerExtras` what it may have besides. Its options stand in OPTIONS, see
`prune_kit.registry`; those that several methods take are described here, in SHARED_OPTIONS. The
verb `score` averages over the first axis of the array and adds what else made it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from prune_kit.data.dataset import Dataset
from prune_kit.errors import RunError
from prune_kit.machine import in_processes
from prune_kit.progress import Listener, Progress, note, silent

if TYPE_CHECKING:
    from prune_kit.protocol.execution import ResolvedExecution
    from prune_kit.runs.cache import Computed, RecordedRun
    from prune_kit.runs.holdout import Holdout

SHARED_OPTIONS = {
    "space": {
        "type": "str",
        "default": "hidden",
        "choices": ("pixels", "hidden"),
        "help": "Measure between pixels, or in the last hidden layer.",
    },
}


@dataclass(frozen=True, eq=False)
class Runs:
    """The R recorded runs that a score may use.

    Attributes
    ----------
    recorded
        The runs, in the order of their seeds.
    seed
        The seed of the first run.
    execution
        Where networks are trained and measured.
    observe
        "minibatches" or "sweep": where cumulative scores take their signals.
    progress
        Who is told how far the work is.
    fold_results
        The networks of holdout validation, where a method needs them.
    """

    recorded: "tuple[RecordedRun, ...]"
    seed: int
    execution: "ResolvedExecution"
    observe: str = "minibatches"
    progress: Listener = silent
    fold_results: "Holdout | None" = None

    @property
    def holdout(self) -> "Holdout":
        """The networks of holdout validation.

        Raises
        ------
        RunError
            If none were trained.
        """
        if self.fold_results is None:
            raise RunError("no folds of holdout validation were trained")
        return self.fold_results

    def each(self, name: str, compute: Callable[["RecordedRun"], "Computed"]) -> np.ndarray:
        """A value (N,) of each run, stacked (R, N), and kept in the run's folder.

        Parameters
        ----------
        name
            The name under which it is kept.
        compute
            What gives the value of a run that lacks it. Runs are computed in as many processes as
            networks are trained, so it must be a function of a module, or a `functools.partial` of
            one.
        """
        lacking = [run for run in self.recorded if not run.has(name)]
        jobs = min(self.execution.jobs, len(lacking))
        if jobs > 1:
            results = in_processes(
                [partial(run.cached, name, compute) for run in lacking],
                jobs,
                lower="`jobs`",
                tell=lambda text: self.progress(note("scoring", text)),
            )
        else:
            results = (run.cached(name, compute) for run in lacking)
        for number, _ in enumerate(results, start=1):
            self.progress(Progress(f"scoring {name}", number, len(lacking)))
        return np.stack([run.cached(name, compute) for run in self.recorded])

    def over_epochs(self, name: str, epoch: int, run: "RecordedRun") -> np.ndarray:
        """A signal (T, N) of epochs 1 .. `epoch`: of the minibatches, or of clean passes.

        Parameters
        ----------
        name
            The name of the signal.
        epoch
            The last epoch, T, 1 or more.
        run
            The run that has recorded it.
        """
        return run.sweeps(name, epoch) if self.observe == "sweep" else run.minibatches(name, epoch)

    def mean_over_epochs(self, name: str, epoch: int) -> np.ndarray:
        """The mean (R, N) of a float signal over the epochs in which a row was observed.

        NaN where it never was.
        """
        means = []
        for run in self.recorded:
            signal = self.over_epochs(name, epoch, run)
            seen = ~np.isnan(signal)
            count = seen.sum(axis=0)
            total = np.where(seen, signal, 0).sum(axis=0, dtype=np.float64)
            means.append(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))
        return np.stack(means)


@runtime_checkable
class Scorer(Protocol):
    """What a module of this folder must have. It must also say NEEDS or `needs`, see below."""

    HIGHER_MEANS: str  # "harder" or "easier"

    def score(self, data: Dataset, runs: Runs, *, epoch: int | None, **options: Any) -> np.ndarray:
        """The score of every example: (R, N), or (N,) where the runs have none of their own.

        Parameters
        ----------
        data
            The examples, under the labels that the networks saw.
        runs
            The runs, which have recorded what the method needs.
        epoch
            The number of finished epochs. None where the method has no epochs.
        options
            Every option that the module declares.

        Raises
        ------
        RunError
            If the runs have not recorded `epoch`.
        """


class ScorerExtras(Protocol):
    """What a module of this folder may have besides `Scorer`.

    Attributes
    ----------
    NEEDS
        What the runs must record: "nothing", a clean pass at the epoch ("sweep"), the weights after
        it ("checkpoint"), the "minibatches" up to it, "every sweep" up to it, a clean pass when the
        training accuracy reaches the option `threshold` ("threshold"), or the "folds" of holdout
        validation. Where it depends on an option, the function `needs` says it.
    COMPANIONS
        Methods that are scored along with this one.
    AVERAGES
        The name of the array of the table that the first axis becomes, "per_run" if not given.
    COUNTS_RUNS
        Whether the column is the sum over the runs, and not their mean.
    KEEPS_PROBABILITY
        Whether the table keeps the probabilities averaged over the epochs.
    """

    NEEDS: str
    COMPANIONS: tuple[str, ...]
    AVERAGES: str
    COUNTS_RUNS: bool
    KEEPS_PROBABILITY: bool

    def needs(self, **options: Any) -> str:
        """What the runs must record under these options, one of the words of NEEDS."""

    def check_options(self, **options: Any) -> None:
        """Raise OptionError for values that do not fit, beyond what the declaration says."""

    def score_test(
        self, data: Dataset, runs: Runs, *, epoch: int | None, **options: Any
    ) -> np.ndarray:
        """The score of the M test examples: (R, M) or (M,).

        Parameters and errors are those of `Scorer`.
        """

    def extra_arrays(
        self, data: Dataset, runs: Runs, scores: np.ndarray, *, epoch: int | None, **options: Any
    ) -> dict[str, np.ndarray]:
        """More arrays for the table, of what `score` gave.

        Parameters
        ----------
        data, runs, epoch, options
            As `Scorer`.
        scores
            What `score` gave: (R, N), or (N,). Its first axis may be another, see `AVERAGES`.
        """

    def provenance(self, runs: Runs, *, epoch: int | None, **options: Any) -> dict[str, Any]:
        """What else made the column; plain values, for JSON.

        Parameters are those of `Scorer`, but for the data.
        """
