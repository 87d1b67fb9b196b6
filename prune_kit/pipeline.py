"""READ ME FIRST: the verbs, in the order in which they are used.

    data --> runs --> scores.h5 --> selection.h5 --> runs (again) --> outcomes.h5
             score                  select, clean    retrain                      export, report

Each verb is a function of what it is given; it reads and writes no file but the run cache. A
method, a rule, a format is one module of `scorers`, `selectors`, `exporters`; its name is the
module's.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prune_kit import exporters, registry
from prune_kit.checks import check_seeds
from prune_kit.cleaning.assessment import assess_labels
from prune_kit.data.dataset import Dataset, validation_split
from prune_kit.data.identity import check_same
from prune_kit.data.labels import write_labels
from prune_kit.data.noise import planted
from prune_kit.errors import OptionError
from prune_kit.progress import Listener, note, silent
from prune_kit.protocol.setup import (
    check_settled,
    scored_with,
    settled_probes,
    table_runs,
    trained_with,
    training_config,
)
from prune_kit.results.outcomes import Outcomes
from prune_kit.results.removal import Removal, as_selection
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit.retraining import search
from prune_kit.retraining.grid import Cell, Sweep, grid, options_of
from prune_kit.retraining.groups import BASELINES, outcome_of, relabelled_data, retrain_groups
from prune_kit.retraining.search import Tuning
from prune_kit.scorers import Runs
from prune_kit.scoring.averages import score_column
from prune_kit.scoring.columns import (
    check_use,
    folds_for,
    lacking_columns,
    method_names,
    needs,
    request_for,
)
from prune_kit.storage.lock import holding

if TYPE_CHECKING:
    from prune_kit.comparison.compare import Comparison
    from prune_kit.protocol.config import TrainConfig

SELECTORS, EXPORTERS = "prune_kit.selectors", "prune_kit.exporters"
DEFAULT_WORKDIR = "prune-kit-work"
DEFAULT_RUNS = 10
OBSERVATIONS = ("minibatches", "sweep")
RETRAIN_SEED = (
    1000  # scoring uses 0, 1, ...: no network judges the examples that its own twin chose
)


def score(
    data: Dataset,
    methods: str | Sequence[str] = "el2n",
    *,
    epoch: int | Sequence[int] | None = None,
    runs: int | None = None,
    model: str | None = None,
    config: "TrainConfig | None" = None,
    seed: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    jobs: int | None = None,
    threads: int | None = None,
    observe: str | None = None,
    probes: float | None = None,
    table: ScoreTable | None = None,
    workdir: str | Path = DEFAULT_WORKDIR,
    progress: Listener = silent,
    **options: Any,
) -> ScoreTable:
    """Train `runs` networks, as far as they are not in the cache, and score every example by every method.

    One training serves all methods and epochs. `config` is the protocol, `model` replaces its
    network; left out, they are those of the data set, 10 runs from seed 0, observed in the
    minibatches. `jobs` networks train at once, each by `threads` CPU threads, on which the last
    bits depend (`training.config.resolve_execution`). `table` is an earlier table of the same data,
    and then its protocol stands: what it holds is not computed again, more `runs` (or `folds`)
    extend it. `probes` is the share of the training rows that every network sees under a planted
    wrong label, drawn from `seed` and kept as `probe_label`: `clean` calibrates its cut by them.
    `options` are the methods' own, such as `ratios` and `folds` of cscore. Rows held out as test
    score NaN. Raises OptionError, ModelError, RunError; TableError when `table` was made otherwise,
    IdentityError when it is of other data.
    """
    from prune_kit.protocol.defaults import score_epoch
    from prune_kit.protocol.processor import cpu_precision
    from prune_kit.runs.cache import RunInputs
    from prune_kit.runs.executor import execute, execution_for

    table = table or ScoreTable(data.rows, {})
    check_same(
        data.rows,
        table.rows,
        f"the data {data.rows.data}",
        "the score table",
        "--fresh starts the table anew",
    )
    settled = scored_with(table)
    runs_given = runs is not None
    runs = table_runs(table) or DEFAULT_RUNS if runs is None else runs
    seed = settled.get("seed", 0) if seed is None else seed
    observe = settled.get("observe", OBSERVATIONS[0]) if observe is None else observe
    check_seeds(runs, seed)
    if observe not in OBSERVATIONS:
        raise registry.unknown_name_error("observation", observe, OBSERVATIONS)
    config = training_config(data, settled, config, model)
    epochs = (
        [score_epoch(data, config)]
        if epoch is None
        else [epoch]
        if isinstance(epoch, int)
        else list(epoch)
    )
    share = settled.get("probes") if probes is None else probes
    probe_label = settled_probes(table, share, seed)
    seen, folder = (
        data if probe_label is None else planted(data, probe_label),
        Path(workdir) / "runs",
    )
    seeds = range(seed, seed + max(runs, table_runs(table)))
    execution, planned = execution_for(
        lambda execution: [RunInputs(seen, config, s, execution) for s in seeds], settled, folder,
        device=device, precision=precision, jobs=jobs, threads=threads, networks=runs,
        cpu_precision=cpu_precision(config.model, data.shape),
    )  # fmt: skip
    parameters = trained_with(config, execution, seed=seed, observe=observe, probes=share)
    check_settled(settled, parameters)
    given = {name: value for name, value in options.items() if value is not None}
    names = method_names(methods)
    check_use(names, given, epoch=epoch is not None, runs=runs_given, probes=probes is not None)
    todo, chosen = lacking_columns(table, names, epochs, config.epochs, given, tuple(seeds))
    request = request_for(list(todo), observe, chosen)
    inputs = planned if request else []
    requests = [request] * len(inputs) if request else []
    with holding(Path(workdir)):
        executed = execute(inputs, requests, folder, progress)
        holdout = folds_for(
            todo, chosen, table, seen, config, seed, folder,
            device=device, precision=precision, jobs=jobs, threads=threads, progress=progress,
        )  # fmt: skip
    recorded = Runs(executed.runs, seed, execution, observe, progress, holdout)
    made = []
    for (method, at), companion in todo.items():
        chosen_for = chosen.get(method, {})
        judged = (
            data if needs(method, chosen_for) == "nothing" else seen
        )  # without a network no planted label counts
        made.append(score_column(judged, recorded, method, at, companion, parameters, chosen_for))
    scored = replace(table.with_columns(made), probe_label=probe_label)
    return (
        replace(scored, test_rows=data.test_rows) if any(column.test for column in made) else scored
    )


def select(
    table: ScoreTable,
    *,
    rule: str = "window",
    by: str | None = None,
    keep: float = 0.5,
    **options: Any,
) -> Selection:
    """Choose the examples to keep: a pure function of a score table.

    `rule` is a module of `selectors`; `by` the column it ranks by; `keep` the share of the training
    rows. `options` are the rule's own: `offset`, `offset_from` ("hard" or "easy"), `per_class`,
    `seed`; `drop_hardest`, `suspect_by` and `bins` (coverage), `keep_easy` (prototypes). Raises
    OptionError, TableError.
    """
    module = registry.load(SELECTORS, rule, "rule")
    given = {name: value for name, value in {"keep": keep, **options}.items() if value is not None}
    check_seeds(seed=given.get("seed", 0))
    refused = [name for name in given if name not in module.OPTIONS]
    if refused:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in refused)
        taken = ", ".join(f"--{name.replace('_', '-')}" for name in module.OPTIONS)
        raise OptionError(f"--rule {rule} takes no {flags}; it takes {taken}")
    if not module.USES_SCORES and by is None:
        column = None
    else:
        column = table.column(by)
    reason = module.select(table, by=by, **given)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(module.select).parameters.items()
        if name in module.OPTIONS and parameter.default is not parameter.empty
    }
    return Selection(
        rows=table.rows,
        reason=reason,
        rule=rule,
        parameters={**defaults, **given},
        column=column.name if column else "",
        score=column.values if column else None,
        scored_with=column.parameters if column else scored_with(table),
    )


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
        table,
        by=by,
        remove=remove,
        cut=cut,
        per_class=per_class,
        holdout=holdout,
        probability=probability,
        seed=seed,
    ).removal()


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
    device: str = "auto",
    precision: str = "auto",
    jobs: int | None = None,
    threads: int | None = None,
    workdir: str | Path = DEFAULT_WORKDIR,
    progress: Listener = silent,
) -> Outcomes:
    """Train on each selection, on all of the data and on random subsets of the same size; report the last epoch.

    Seeds `seed` (default 1000) .. `seed + runs - 1` are used for each, so that differences can be
    paired; a random subset is drawn anew for every seed. With `budget="steps"` every training takes
    as many steps as the full data would, with "epochs" as many epochs. The protocol is `config`,
    else the one that the first selection was scored with, else the data set's; precision and
    threads that are left open are those of its scores, too. A removal stands for the rows that it
    leaves. With `relabel`, `<name>-relabelled` is one more training for each removal: on all rows,
    under the labels that it suggests where they are clear, tested on the labels as they are. Raises
    OptionError, RunError; IdentityError when a selection is of other data.
    """
    from prune_kit.protocol.processor import cpu_precision
    from prune_kit.runs.cache import Request, RunInputs
    from prune_kit.runs.executor import execute, execution_for

    check_seeds(runs, seed)
    if budget not in ("steps", "epochs"):
        raise OptionError(f"--budget {budget!r} is unknown; expected steps or epochs")
    if isinstance(selections, Selection):
        selections = {"selection": selections}
    elif isinstance(selections, Removal):
        selections = {"removal": selections}
    named = dict(selections)
    for name, chosen in named.items():
        kind = "removal" if isinstance(chosen, Removal) else "selection"
        check_same(
            data.rows,
            chosen.rows,
            f"the data {data.rows.data}",
            f"{kind} {name!r}",
            "--align re-maps the rows",
        )
    earlier = next((s.scored_with for s in named.values() if s.scored_with), {})
    config = training_config(data, earlier, config, model)
    seed = RETRAIN_SEED if seed is None else seed
    seeds = range(seed, seed + runs)
    names = baseline.split(",") if isinstance(baseline, str) else list(baseline)
    groups = retrain_groups(data, named, names, seeds)
    relabelled = relabelled_data(data, named) if relabel else {}
    plan = [(name, s, data, members[s]) for name, members in groups.items() for s in seeds]
    plan += [(name, s, under, None) for name, under in relabelled.items() for s in seeds]
    execution, inputs = execution_for(
        lambda execution: [
            RunInputs(under, config, s, execution, rows, len(rows) if budget == "epochs" and rows is not None else None)
            for _, s, under, rows in plan
        ],
        earlier, Path(workdir) / "runs",
        device=device, precision=precision, jobs=jobs, threads=threads, networks=len(plan),
        cpu_precision=cpu_precision(config.model, data.shape),
    )  # fmt: skip
    requests = [Request(run.epochs, test=True) for run in inputs]
    labels = [f"{name}, seed {s}" for name, s, _, _ in plan]
    with holding(Path(workdir)):
        executed = execute(inputs, requests, Path(workdir) / "runs", progress, labels)
    where = {"precision": execution.precision, "threads": execution.settled_threads}
    described = {**config.values(), "budget": budget, **where}
    rows = tuple(
        outcome_of(name, run, described)
        for (name, *_), run in zip(plan, executed.runs, strict=True)
    )
    return Outcomes(rows, data.fingerprint, data.rows.data)


def sweep(
    data: Dataset,
    table: ScoreTable,
    *,
    by: str | Iterable[str],
    keep: Iterable[float],
    offset: Iterable[float] = (0.0,),
    rule: str | Iterable[str] = ("window",),
    **retraining: Any,
) -> Sweep:
    """Retrain over a grid of rules, columns, shares to keep and offsets; with all data and random rows of each size.

    `retraining` are the options of `retrain` (runs, budget, config, seed, workdir, ...). A cell
    that was trained before is not trained again, so a sweep can be stopped, resumed and widened.
    Cells with keep + offset above 1 are left out. Raises what `select` and `retrain` raise.
    """
    columns, rules = ([words] if isinstance(words, str) else list(words) for words in (by, rule))
    cells, _ = grid(table, columns, rules, keep, offset)
    selections = {cell.name: select(table, **options_of(cell)) for cell in cells}
    return Sweep.joined(retrain(data, selections, **retraining), cells)


def tune(
    data: Dataset,
    table: ScoreTable,
    *,
    goal: str | None = None,
    by: str | Iterable[str] | None = None,
    keep: float | Iterable[float] | None = None,
    offset: Iterable[float] = search.OFFSETS,
    rule: str | Iterable[str] = ("window",),
    validation: float = search.VALIDATION,
    runs: int = 4,
    model: str | None = None,
    config: "TrainConfig | None" = None,
    seed: int | None = None,
    progress: Listener = silent,
    **retraining: Any,
) -> Tuning:
    """Find the share to keep and the offset that serve a goal, on a validation split; then test what was found, once.

    `goal` is "accuracy" (the default where one `keep` is given) or "within 0.5 points of full, keep
    least". A stratified `validation` share of the training rows, under the labels they have, judges
    the candidates: all, or some spread evenly, in short trainings, the leaders in longer ones, the
    winner and its neighbours in whole ones with `runs` seeds. The test set sees the winner, the
    rule without an offset, full data and random rows. `retraining` are further options of
    `retrain`. Raises what `select` and `retrain` raise.
    """
    check_same(data.rows, table.rows, f"the data {data.rows.data}", "the score table")
    search.check_effort(runs, validation, seed)
    cells, chosen_goal, _ = search.candidates(
        table, goal=goal, by=by, keep=keep, offset=offset, rule=rule
    )
    config = training_config(data, scored_with(table), config, model)
    seed = RETRAIN_SEED if seed is None else seed
    split = validation_split(data, validation, seed)
    reduced = replace(table, rows=split.rows)
    baseline = () if chosen_goal.within is None else ("full",)
    listened = {**retraining, "progress": progress}

    def train(round_of: Sequence[Cell], epochs: int, seeds: int) -> Outcomes:
        selections = {cell.name: select(reduced, **options_of(cell)) for cell in round_of}
        said = f"{len(round_of)} candidate{'s' * (len(round_of) != 1)} for {epochs} epoch{'s' * (epochs != 1)}"
        progress(note("search", said))
        short = search.shortened(config, epochs)
        first = seed + search.SEARCH_SEEDS
        found = retrain(
            split, selections, runs=seeds, config=short, seed=first, baseline=baseline, **listened
        )
        return search.with_cells(found, round_of, epochs)

    cell, met, rounds = search.search(cells, chosen_goal, config.epochs, runs, train)
    progress(note("found" if met else "nearest", f"{cell.name}; now the test set"))
    selection = select(table, **options_of(cell))
    tested = {search.FOUND: selection}
    if cell.offset or cell.rule not in ("window", "top"):
        tested[search.TOP] = select(table, by=cell.by, keep=cell.keep)
    outcomes = retrain(data, tested, runs=runs, config=config, seed=seed, **listened)
    return Tuning(chosen_goal, tuple(cells), cell, met, selection, rounds, outcomes, validation)


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
    selection = as_selection(selection)
    module = registry.load(EXPORTERS, format or exporters.format_of(Path(path)) or "txt", "format")
    if what not in (None, "keep", "drop"):
        raise OptionError(f"--what {what!r} is unknown; expected keep or drop")
    if what is None and module.WHOLE_TABLE:
        index = np.arange(len(selection.rows))
    else:
        index = selection.dropped if what == "drop" else selection.index
    path = Path(path)
    module.export(selection, index, path)
    return path


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
