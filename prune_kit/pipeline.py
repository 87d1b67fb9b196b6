"""READ ME FIRST: the verbs, in the order in which they are used.

    data --> runs --> scores.h5 --> selection.h5 --> runs (again) --> outcomes.h5
             score                  select, clean    retrain                      export, report

Each verb is a function of what it is given; it reads and writes no file but the run cache. A
method, a rule, a format is one module of `scorers`, `selectors`, `exporters`; its name is the
module's.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prune_kit import exporters
from prune_kit.checks import check_seeds
from prune_kit.cleaning.assessment import assess_labels
from prune_kit.data.dataset import Dataset
from prune_kit.data.labels import write_labels
from prune_kit.errors import OptionError
from prune_kit.progress import Listener, silent
from prune_kit.protocol.execution import Execution
from prune_kit.results.outcomes import Outcomes
from prune_kit.results.removal import Removal, as_selection
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.grid import Sweep, grid, select_cells
from prune_kit.retraining.groups import BASELINES
from prune_kit.retraining.plan import (
    RETRAIN_SEED,
    AskedRetraining,
    plan_retraining,
    run_retraining,
)
from prune_kit.retraining.search import candidates
from prune_kit.retraining.tuning import VALIDATION, Tuning, plan_tuning, run_tuning
from prune_kit.scoring.asked import AskedScores
from prune_kit.scoring.plan import plan_scores, run_scores
from prune_kit.selectors import DEFAULT_RULE, choose

if TYPE_CHECKING:
    from prune_kit.comparison.compare import Comparison
    from prune_kit.protocol.config import TrainConfig

DEFAULT_WORKDIR = "prune-kit-work"


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

    `rule` is a module of `selectors`; `by` the column it ranks by; `keep` the share of the training
    rows. `options` are those that the rule declares in its OPTIONS; one that is None stands at its
    default. Raises OptionError, TableError.
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
    """List the rows whose labels look wrong, most suspect first, with the label that each should have.

    `by` is the column that ranks: left out, the latest cumulative_pl. `remove` lists that share of
    the rows by it; without it `cut`, a module of `cuts`, finds how many are wrong: left out, it is
    "probes" where labels were planted while scoring (which gives the noise rate with an interval),
    else "argmax"; of a score without probabilities and planted labels nothing is found unasked. A
    cut by probabilities ranks by how far another class beats the given one. `per_class` cuts within
    each class. `holdout` judges by networks that never saw an example (the folds of cscore),
    `probability` (N, C) by probabilities of your own. True labels are never looked at. Raises
    OptionError, TableError, DataError.
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
    execution, rest = Execution.taken_from(where)
    if rest:
        raise OptionError(f"retrain takes no option {next(iter(rest))!r}")
    names = baseline.split(",") if isinstance(baseline, str) else baseline
    first = RETRAIN_SEED if seed is None else seed
    asked = AskedRetraining(
        runs=runs, baseline=tuple(names), budget=budget, relabel=relabel, seed=first
    )
    plan = plan_retraining(
        data, selections, asked, config=config, changes={"model": model}, execution=execution,
        workdir=workdir,
    )  # fmt: skip
    return run_retraining(plan, progress)


def sweep(
    data: Dataset,
    table: ScoreTable,
    *,
    by: str | Iterable[str],
    keep: Iterable[float],
    offset: Iterable[float] = (0.0,),
    rule: str | Iterable[str] = (DEFAULT_RULE,),
    **retraining: Any,
) -> Sweep:
    """Retrain over a grid of rules, columns, shares to keep and offsets; with all data and random rows of each size.

    `retraining` are the options of `retrain` (runs, budget, config, seed, workdir, ...). A cell
    that was trained before is not trained again, so a sweep can be stopped, resumed and widened.
    Cells with keep + offset above 1 are left out. Raises what `select` and `retrain` raise.
    """
    columns, rules = ([words] if isinstance(words, str) else list(words) for words in (by, rule))
    cells, _ = grid(table, columns, rules, keep, offset)
    return Sweep.joined(retrain(data, select_cells(table, cells), **retraining), cells)


def tune(
    data: Dataset,
    table: ScoreTable,
    *,
    goal: str | None = None,
    by: str | Iterable[str] | None = None,
    keep: float | Iterable[float] | None = None,
    offset: Iterable[float] | None = None,
    rule: str | Iterable[str] = (DEFAULT_RULE,),
    validation: float = VALIDATION,
    config: "TrainConfig | None" = None,
    workdir: str | Path = DEFAULT_WORKDIR,
    progress: Listener = silent,
    **retraining: Any,
) -> Tuning:
    """Find the share to keep and the offset that serve a goal; test what was found, once.

    A stratified share of the training rows, under the labels they have, judges the candidates: all,
    or some spread evenly, in short trainings, the leaders in longer ones, the winner and its
    neighbours in whole ones. The test set sees the winner, the rule without an offset, full data
    and random rows.

    Parameters
    ----------
    data, table, workdir, progress : as of `score`.
    goal, by, keep, offset, rule : what is looked for, and among what (`search.candidates`).
    validation : the share of the training rows that judges, in (0, 0.5].
    config : the training protocol, in full length; the table's unless it is given.
    retraining : further options of `retrain`: `runs` (4) and `seed` of the whole trainings,
        `budget`, `model`, `execution` or its fields.

    Raises
    ------
    PruneKitError
        what `select` and `retrain` raise.
    """
    execution, rest = Execution.taken_from(retraining)
    model = rest.pop("model", None)
    asked = AskedRetraining(**{name: value for name, value in rest.items() if value is not None})
    among = candidates(table, goal=goal, by=by, keep=keep, offset=offset, rule=rule)
    plan = plan_tuning(
        data, table, among, asked, validation=validation, config=config, changes={"model": model},
        execution=execution, workdir=workdir,
    )  # fmt: skip
    return run_tuning(plan, progress)


def export(
    selection: Selection | Removal,
    path: str | Path,
    *,
    format: str | None = None,
    what: str | None = None,
    relabel: bool = False,
) -> Path:
    """Write the index list of a selection for other people's training code; indices are row numbers of the source.

    `format` is a module of `exporters`; left out, the ending of `path` says it, else it is txt.
    `what` is "keep" (the default) or "drop"; csv and parquet, which tell the two apart, list every
    row unless it is given. A removal stands for its complement: the rows to drop are those on its
    list. With `relabel` a removal's labels are written instead, to .npy or .csv: of every row, the
    suggested one where that is clear, else the given one. Raises OptionError, FileError. Returns
    the path.
    """
    if relabel:
        if not isinstance(selection, Removal):
            raise OptionError(
                "--relabel needs a removal, which prune-kit clean writes; a selection suggests no "
                "labels"
            )
        if format is not None or what is not None:
            raise OptionError(
                "--relabel writes labels and no list of rows, so it takes no --format and no --what"
            )
        write_labels(Path(path), selection.rows, selection.relabelled())
        return Path(path)
    exporters.write_list(as_selection(selection), Path(path), format, what)
    return Path(path)


def compare(
    a: ScoreTable | str | Path,
    b: ScoreTable | str | Path | None = None,
    *,
    top: float = 0.1,
    bootstrap: int = 200,
    enough: float = 0.95,
    harder: str = "lower",
    align: bool = False,
    seed: int = 0,
) -> "Comparison":
    """How far rankings of the same examples agree, and how many runs make one stable.

    `a` and `b` are score tables, "scores.h5:COLUMN", or published files (npz, npy, csv), of which
    `harder` says whether higher or lower numbers are harder; without `b`, the columns of `a` are
    compared among themselves. `top` is the share that counts as the hardest and the easiest,
    `enough` the rank correlation asked of two independent means. Raises FileError, TableError,
    OptionError; IdentityError for other examples, unless `align` can match them.
    """
    from prune_kit.comparison.compare import compared
    from prune_kit.comparison.sources import align_sources

    check_seeds(seed=seed)
    aligned = align_sources(a, b, harder=harder, by_content=align)
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
    """Pictures, tables and examples of all that is given, as the text of one HTML page that needs nothing else.

    `per_class` images show each end of a score. The same figures (PNG and SVG) and the whole tables
    (CSV) go to the folder `figures`, where it is named. `search` is what `Tuning.validation` gives;
    `runs` the folder of the run cache, where learning curves are wanted. `sources` are the files of
    what is given, by its keyword, for the provenance. Raises OptionError, FileError; IdentityError
    when something is of other data.
    """
    from prune_kit.reporting import page, sections

    made = sections.sections_of(
        data, table=table, selection=selection, removal=removal, outcomes=outcomes, sweep=sweep, search=search,
        runs=None if runs is None else Path(runs), per_class=per_class, sources=sources,
    )  # fmt: skip
    if figures is not None:
        page.write_parts(made, Path(figures))
    return page.html_of(made, data.images, data.name)
