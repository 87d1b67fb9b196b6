"""READ ME FIRST: the verbs, in the order in which they are used.

    data --> runs --> scores.h5 --> selection.h5 --> runs (again) --> outcomes.h5
             score                  select, clean    retrain                      export, report

Each verb is a function of what it is given. It reads and writes no file but the run cache, and what
it is told to write: `export` its list or folder, `report` its figures. A method, a rule, a format
is one module of `scorers`, `selectors`, `exporters`; its name is the module's. The verbs that
search, `sweep` and `tune`, stand in `retraining/verbs.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prune_kit import exporters
from prune_kit.checks import check_seeds
from prune_kit.cleaning.assessment import assess_labels
from prune_kit.comparison import ENOUGH
from prune_kit.data.dataset import Dataset
from prune_kit.errors import OptionError
from prune_kit.exporters._labels import write_relabelled
from prune_kit.progress import Listener, silent
from prune_kit.protocol.execution import Execution
from prune_kit.results.outcomes import Outcomes
from prune_kit.results.removal import Removal
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.groups import BASELINES
from prune_kit.retraining.plan import plan_retraining, retrain_options, run_retraining
from prune_kit.retraining.verbs import sweep, tune
from prune_kit.scoring.asked import AskedScores
from prune_kit.scoring.plan import plan_scores, run_scores
from prune_kit.selectors import DEFAULT_RULE, choose
from prune_kit.storage.workdir import DEFAULT_WORKDIR

if TYPE_CHECKING:
    from prune_kit.comparison.compare import Comparison
    from prune_kit.protocol.config import TrainConfig

__all__ = [
    "clean", "compare", "export", "report", "retrain", "score", "select", "sweep", "tune",
]  # fmt: skip


def score(
    data: Dataset,
    methods: str | Sequence[str] = "el2n",
    *,
    epoch: int | Sequence[int] | None = None,
    runs: int | None = None,
    model: str | None = None,
    config: "TrainConfig | None" = None,
    seed: int | None = None,
    table: ScoreTable | None = None,
    workdir: str | Path = DEFAULT_WORKDIR,
    progress: Listener = silent,
    **options: Any,
) -> ScoreTable:
    """Train a few networks, as far as they are not in the cache, and score every example.

    One training serves all methods and epochs. Rows held out as test score NaN.

    Parameters
    ----------
    data : the data set, of N rows.
    methods : names of scores, files of `scorers`.
    epoch : finished epochs after which scores are taken; 0 is untrained. Left out, it is the data
        set's own: 20, or 10 for MNIST, and at most the protocol's last.
    runs : how many networks are averaged over; 10 where nothing says otherwise.
    model : the network, in place of the protocol's.
    config : the training protocol. Left out, it is the table's, else the data set's.
    seed : the first network's seed; the others follow. 0 where nothing says otherwise.
    table : an earlier table of the same data, which is extended. What it holds is not computed
        again, and networks are made as its networks were. More `runs` (or `folds`) add to it.
    workdir : the folder with the run cache.
    progress : hears what is being done.
    options : `observe` ("minibatches" or "sweep": where cumulative scores come from); `probes`
        (the share of the training rows that every network sees under a planted wrong label, drawn
        from `seed` and kept as `probe_label`: `clean` calibrates its cut by them); `execution`, or
        its fields `device`, `precision`, `jobs`, `threads`; and the methods' own, such as `ratios`
        and `folds` of cscore.

    Raises
    ------
    OptionError, ModelError
        for what is asked for and does not exist or fit.
    TableError, IdentityError
        when `table` was made otherwise, or is of other data.
    RunError, FileError
        when a training fails, or the cache cannot be written.
    """
    execution, rest = Execution.taken_from(options)
    asked = AskedScores.of(methods, epoch=epoch, runs=runs, seed=seed, **rest)
    plan = plan_scores(
        data, asked, config=config, changes={"model": model}, execution=execution, table=table,
        workdir=workdir,
    )  # fmt: skip
    return run_scores(plan, progress)


def select(
    table: ScoreTable,
    *,
    rule: str = DEFAULT_RULE,
    by: str | None = None,
    keep: float = 0.5,
    **options: Any,
) -> Selection:
    """Choose the examples to keep: a pure function of a score table.

    Parameters
    ----------
    table : the scores.
    rule : a module of `selectors`.
    by : the column that ranks. It may be left out where the table has one.
    keep : the share of the training rows to keep, in (0, 1].
    options : those that the rule declares in its OPTIONS. One that is None stands at its default.

    Raises OptionError, TableError.
    """
    return choose(table, rule=rule, by=by, keep=keep, **options)


def clean(
    table: ScoreTable,
    *,
    by: str | None = None,
    remove: float | None = None,
    cut: str | None = None,
    per_class: bool = False,
    holdout: bool = False,
    probability: np.ndarray | None = None,
    seed: int = 0,
) -> Removal:
    """List the rows whose labels look wrong, most suspect first, each with its likely label.

    True labels are never looked at. Raises OptionError, TableError, DataError.

    Parameters
    ----------
    table : the scores.
    by : the column that ranks; left out, the latest cumulative_pl.
    remove : the share of the rows to list, in [0, 1]. Without it the cut finds how many are wrong.
    cut : a module of `cuts`; left out, "probes" where labels were planted while scoring (it gives
        the noise rate with an interval), else "argmax". A score without probabilities and planted
        labels has no cut unless one is named.
    per_class : cut within each class.
    holdout : judge by networks that never saw an example, the folds of cscore.
    probability : (N, C) judge by probabilities of your own.
    seed : the seed of what a cut draws.
    """
    return assess_labels(
        table, by=by, remove=remove, cut=cut, per_class=per_class, holdout=holdout,
        probability=probability, seed=seed,
    ).removal()  # fmt: skip


def retrain(
    data: Dataset,
    selections: Selection | Removal | Mapping[str, Selection | Removal],
    *,
    runs: int = 4,
    baseline: str | Iterable[str] = BASELINES,
    budget: str = "steps",
    relabel: bool = False,
    model: str | None = None,
    config: "TrainConfig | None" = None,
    seed: int | None = None,
    workdir: str | Path = DEFAULT_WORKDIR,
    progress: Listener = silent,
    **where: Any,
) -> Outcomes:
    """Train on each selection, on all data and on random subsets of the same size.

    What is reported is the test accuracy after the last epoch. All sets share their seeds, so that
    differences can be paired; a random subset is drawn anew for every seed.

    Parameters
    ----------
    data : the data set.
    selections : one, or several by name. A removal stands for the rows that it leaves.
    runs : how many seeds each set of rows has.
    baseline : "full", "random", both, or nothing.
    budget : with "steps" every training takes as many steps as the full data would, with "epochs"
        as many epochs.
    relabel : for each removal also train on all rows, under the labels that it suggests where they
        are clear, as `<name>-relabelled`; the test labels stay as they are.
    model, workdir, progress : as of `score`.
    config : the training protocol. Left out, it is the one that the first selection was scored
        with, else the data set's.
    seed : the first seed; 1000 unless it is given.
    where : `execution`, or its fields `device`, `precision`, `jobs`, `threads`. Precision and
        threads that are left open are those of the scores.

    Raises
    ------
    OptionError, IdentityError
        for what does not fit, and for selections of other data.
    RunError, FileError
        when a training fails, or the cache cannot be written.
    """
    asked, rest = retrain_options(
        {
            "runs": runs, "baseline": baseline, "budget": budget, "relabel": relabel, "seed": seed,
            "model": model, "config": config, "workdir": workdir, **where,
        }
    )  # fmt: skip
    plan = plan_retraining(data, selections, asked, **rest)
    return run_retraining(plan, progress)


def export(
    selection: Selection | Removal,
    path: str | Path,
    *,
    format: str | None = None,
    what: str | None = None,
    relabel: bool = False,
    **options: Any,
) -> Path:
    """Write the index list of a selection, which are row numbers of the source, or its images.

    Raises OptionError, DataError, FileError. Returns the path.

    Parameters
    ----------
    selection : a selection; or a removal, which stands for the rows that are not on its list.
    path : where to write. A folder, or a path that ends in a slash, gets a file of the usual name.
    format : a module of `exporters`; left out, the ending of `path` says it, else it is "txt".
    what : "keep" (the default) or "drop". csv and parquet list every row unless it is given.
    relabel : write the labels of all rows instead, to .npy or .csv, with the suggestions of a
        removal where they are clear, and in .csv with the names of the classes.
    options : those that the format declares in its OPTIONS, such as `copy` of folder and hf.
    """
    if relabel:
        if not isinstance(selection, Removal):
            raise OptionError(
                "`relabel` requires a removal, which prune-kit clean writes; a selection suggests "
                "no labels"
            )
        if format is not None or what is not None or options:
            raise OptionError(
                "`relabel` writes labels and no list of rows, so it takes no `format` and no `what`"
            )
        write_relabelled(Path(path), selection)
        return Path(path)
    return exporters.write_list(selection, path, format, what, options)


def compare(
    a: ScoreTable | str | Path,
    b: ScoreTable | str | Path | None = None,
    *,
    top: float = 0.1,
    bootstrap: int = 200,
    enough: float = ENOUGH,
    harder: str = "lower",
    align: bool = False,
    key: str | None = None,
    seed: int = 0,
) -> "Comparison":
    """How far rankings of the same examples agree, and how many runs make one stable.

    Raises FileError, TableError, OptionError; IdentityError for other examples.

    Parameters
    ----------
    a, b : score tables, "scores.h5:COLUMN", or published files (npz, npy, csv). Without `b` the
        columns of `a` are compared among themselves.
    top : the share of the rows that counts as the hardest and the easiest, in (0, 0.5].
    bootstrap : how many resamples the intervals come from.
    enough : the rank correlation that is asked of two independent means.
    harder : whether "higher" or "lower" numbers of a published file are harder.
    align : match the rows by their content where the order differs.
    key : the column of a published CSV that names its rows, where it has an unusual name.
    seed : the seed of the resamples.
    """
    from prune_kit.comparison.compare import compared
    from prune_kit.comparison.sources import align_sources

    check_seeds(seed=seed)
    aligned = align_sources(a, b, harder=harder, by_content=align, key=key)
    return compared(aligned, top=top, bootstrap=bootstrap, seed=seed, enough=enough)


def report(
    data: Dataset,
    *,
    table: ScoreTable | None = None,
    selection: Selection | None = None,
    removal: Removal | None = None,
    outcomes: Outcomes | None = None,
    sweep: Outcomes | None = None,
    search: Outcomes | None = None,
    runs: str | Path | None = None,
    per_class: int = 5,
    figures: str | Path | None = None,
    sources: Mapping[str, Path] | None = None,
) -> str:
    """Pictures, tables and examples of all that is given, as the text of one HTML page.

    Raises OptionError, FileError; IdentityError when something is of other data.

    Parameters
    ----------
    data, table, selection, removal, outcomes, sweep : what is shown.
    search : what `Tuning.validation` gives.
    runs : the folder of the run cache, where learning curves are wanted.
    per_class : how many images show each end of a score.
    figures : a folder for the same figures (PNG, SVG) and the whole tables (CSV).
    sources : the files of what is given, by its keyword, for the provenance.
    """
    from prune_kit.reporting import page, sections

    made = sections.sections_of(
        data, table=table, selection=selection, removal=removal, outcomes=outcomes, sweep=sweep,
        search=search, runs=None if runs is None else Path(runs), per_class=per_class,
        sources=sources,
    )  # fmt: skip
    if figures is not None:
        page.write_parts(made, Path(figures))
    return page.html_of(made, data.images, data.name)
