"""From a score table to the labels that look wrong: what is known of every row, where the cut is, what would be right.

Nothing here reads the true labels. Rows whose labels were planted wrong while scoring are not
judged by their scores, which are those of the planted labels: they are judged by their
probabilities without the planted class, and take the ranks of the other rows.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from prune_kit import registry
from prune_kit.checks import check_seeds
from prune_kit.cleaning.confident_joint import checked
from prune_kit.cleaning.cuts import Evidence, NoiseEstimate, candidates, scaled
from prune_kit.cleaning.cuts.probes import LEAST_PROBES
from prune_kit.data.identity import Rows
from prune_kit.errors import OptionError, TableError
from prune_kit.protocol.setup import scored_with
from prune_kit.results.removal import NO_SUGGESTION, Removal
from prune_kit.results.table import ScoreColumn, ScoreTable

CUTS = "prune_kit.cleaning.cuts"
KNOWN_SHARE = "remove"
DEFAULT_METHOD, HELD_OUT_METHOD = "cumulative_pl", "cscore"
BASELINES = ("random", "input_norm")
HOW_TO_HOLD_OUT = "Run: prune-kit score --method cscore --ratios 75 --folds 4"


@dataclass(frozen=True, eq=False)
class Judgement:
    """What is thought of the n training rows `index`, ascending: how suspect each label is, and which class it may be.

    `suspicion` (n,) in [0, 1]; `flagged` (n,); `suggested` (n,) the likeliest other class, -1 where
    nothing is known of it; `clear` (n,) whether it has more than half of the probability that the
    given label leaves. `cut` speaks of all.
    """

    rows: Rows
    index: Int[np.ndarray, "n"]
    suspicion: Float[np.ndarray, "n"]
    flagged: Bool[np.ndarray, "n"]
    suggested: Int[np.ndarray, "n"]
    clear: Bool[np.ndarray, "n"]
    cut: NoiseEstimate
    cut_method: str
    column: str
    parameters: dict[str, Any] = field(default_factory=dict)
    scored_with: dict[str, Any] = field(default_factory=dict)

    def removal(self) -> Removal:
        """The flagged rows as a list, most suspect first."""
        ranked = _most_suspect_first(self.suspicion, self.index, self.rows)
        listed = ranked[self.flagged[ranked]]
        return Removal(
            rows=self.rows,
            index=self.index[listed],
            suspicion=self.suspicion[listed].astype(np.float32),
            suggested_label=self.suggested[listed],
            clear=self.clear[listed],
            cut_method=self.cut_method,
            column=self.column,
            noise_rate=self.cut.noise_rate,
            noise_rate_low=self.cut.low,
            noise_rate_high=self.cut.high,
            precision=self.cut.precision,
            precision_low=self.cut.precision_low,
            recall=self.cut.recall,
            parameters=self.parameters,
            scored_with=self.scored_with,
        )


def judge(
    table: ScoreTable,
    *,
    by: str | None = None,
    remove: float | None = None,
    cut: str | None = None,
    per_class: bool = False,
    holdout: bool = False,
    probability: Num[np.ndarray, "N C"] | None = None,
    seed: int = 0,
) -> Judgement:
    """What `clean` thinks of every training row; see `pipeline.clean` for the arguments and what is raised."""
    if remove is not None and cut is not None:
        raise OptionError("--remove takes a known share, --cut finds it; give one of them")
    if remove is not None and not 0 <= remove < 1:
        raise OptionError(
            f"--remove {remove:g} is out of range; it is the share to remove, from 0 to below 1"
        )
    check_seeds(seed=seed)
    if cut == "joint" and per_class:
        raise OptionError("--cut joint cuts by pairs of classes as it is; leave out --per-class")
    if probability is not None and (by is not None or holdout):
        raise OptionError(
            "--from-probs ranks by the probabilities of the file; leave out --by and --holdout"
        )
    source = _source(table, by, holdout, probability)
    probed = table.probes if source.probed else table.probes[:0]
    plain = np.setdiff1d(table.rows.training, probed, assume_unique=True)
    classes = len(table.rows.class_names)
    evidence = _evidence(source, plain, table.rows.label, classes, seed)
    if len(probed) and table.probe_label is not None:
        planted = replace(
            _evidence(source, probed, table.probe_label, classes), given=table.rows.label[probed]
        )
        evidence = replace(evidence, probes=planted)
    method = KNOWN_SHARE if remove is not None else cut or _default_cut(evidence)
    suspicion = np.zeros(len(table.rows))
    suspicion[plain] = scaled(evidence.hardness) if method == KNOWN_SHARE else evidence.suspicion
    unseen = _unseen(source, probed, table)
    suspicion[probed] = 0.0 if unseen is None else _matched(unseen.suspicion, suspicion[plain])
    label, flagged, cuts = table.rows.label, np.zeros(len(table.rows), dtype=bool), []
    for number in np.unique(label[plain]).tolist() if per_class else [None]:
        inside, others = (
            rows if number is None else rows[label[rows] == number] for rows in (plain, probed)
        )
        if remove is not None:
            rows = np.concatenate([inside, others])
            ranked = rows[_most_suspect_first(suspicion[rows], rows, table.rows)]
            flagged[ranked[: round(remove * len(rows))]] = True
            cuts.append((len(rows), NoiseEstimate(flagged[inside], noise_rate=remove)))
            continue
        part = _of_class(evidence, number)
        if number is not None and method == "probes":
            _check_probes(part, evidence, table.rows, number)
        one: NoiseEstimate = registry.load(CUTS, method, "cut").find(part)
        flagged[inside] = one.flagged
        listed = round(one.flagged.mean() * len(others)) if unseen is not None else 0
        flagged[others[np.argsort(-suspicion[others], kind="stable")[:listed]]] = True
        cuts.append((len(inside), one))
    suggested, clear = _suggestions(evidence, plain, unseen, probed, len(table.rows))
    rows = table.rows.training
    return Judgement(
        rows=table.rows,
        index=rows,
        suspicion=suspicion[rows],
        flagged=flagged[rows],
        suggested=suggested[rows],
        clear=clear[rows],
        cut=_together(cuts),
        cut_method=method,
        column=source.name,
        parameters={"remove": remove, "per_class": per_class, "holdout": holdout, "seed": seed},
        scored_with=source.parameters or scored_with(table),
    )


@dataclass(frozen=True, eq=False)
class _Source:
    """What rows are judged by: the hardness (N,) and, where it is known, the probabilities (N, C)."""

    name: str
    hardness: np.ndarray
    probability: np.ndarray | None
    probed: bool
    parameters: dict[str, Any]


def _source(
    table: ScoreTable, by: str | None, holdout: bool, probability: np.ndarray | None
) -> _Source:
    """The column that ranks, with its probabilities; or the probabilities given, which then rank."""
    rows = table.rows.training
    if probability is not None:
        expected = (len(table.rows), len(table.rows.class_names))
        if probability.shape != expected:
            raise OptionError(
                f"--from-probs holds an array of shape {probability.shape}; expected {expected}, a "
                f"probability for every row of {table.rows.data} and every class"
            )
        checked(table.rows.label, probability)
        return _Source(
            "the given probabilities",
            -candidates(probability, table.rows.label)[0],
            probability,
            False,
            {},
        )
    column = _ranking_column(table, by, holdout)
    hardness = table.hardness(column.name)
    unknown = np.flatnonzero(np.isnan(hardness[rows]))
    if len(unknown):
        more = "add folds (prune-kit info says how many), or " if "votes" in column.extras else ""
        raise TableError(
            f"{column.name} has no score (NaN) for {len(unknown):,} of {len(rows):,} training "
            f"rows, the first is row {rows[unknown[0]]}; {more}choose another column with --by"
        )
    kept = _held_out_probabilities(table) if holdout else column.extras.get("probability")
    return _Source(
        column.name,
        hardness.astype(np.float64),
        kept,
        "probes" in column.parameters,
        column.parameters,
    )


def _ranking_column(table: ScoreTable, by: str | None, holdout: bool) -> ScoreColumn:
    """The column named, else the latest cumulative_pl (with `holdout` cscore), else the only one."""
    wanted = HELD_OUT_METHOD if holdout else DEFAULT_METHOD
    found = [column for column in table.columns.values() if column.method == wanted]
    if by is None and found:
        return max(found, key=lambda column: column.parameters.get("epoch", 0))
    column = table.column(by)
    if by is None and column.method in BASELINES:
        raise TableError(
            f"{column.name}, the only column, knows nothing of labels: no network made it. "
            f"Run: prune-kit score --method {DEFAULT_METHOD} --probes 0.05"
        )
    return column


def _held_out_probabilities(table: ScoreTable) -> np.ndarray:
    """The probabilities (N, C) that networks gave rows they had not seen."""
    kept = [
        c.extras["probability"]
        for c in table.columns.values()
        if c.method == HELD_OUT_METHOD and c.extras
    ]
    if not kept:
        raise TableError(
            "--holdout judges by networks that never saw an example, and the table has none (no "
            f"cscore column with probabilities). {HOW_TO_HOLD_OUT}"
        )
    lacking = np.isnan(kept[0][table.rows.training]).any(axis=1)
    if lacking.any():
        raise TableError(
            f"{int(lacking.sum()):,} of {len(lacking):,} training rows were never held out; add "
            "folds (prune-kit info says how many), or leave out --holdout"
        )
    return kept[0]


def _evidence(
    source: _Source, rows: np.ndarray, label: np.ndarray, classes: int, seed: int = 0
) -> Evidence:
    return Evidence(
        hardness=source.hardness[rows],
        label=label[rows],
        classes=classes,
        probability=None if source.probability is None else source.probability[rows],
        seed=seed,
        column=source.name,
    )


def _unseen(source: _Source, probed: np.ndarray, table: ScoreTable) -> Evidence | None:
    """The evidence about the probed rows under their given labels, without the planted class; None without any."""
    if source.probability is None or table.probe_label is None:
        return None
    left = source.probability[probed].astype(np.float64)
    left[np.arange(len(left)), table.probe_label[probed]] = 0
    total = left.sum(axis=1, keepdims=True)
    left = np.divide(left, total, out=np.full_like(left, 1 / left.shape[1]), where=total > 0)
    return replace(_evidence(source, probed, table.rows.label, left.shape[1]), probability=left)


def _matched(unseen: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """For each value the one that has the same rank, as a share, among the plain ones."""
    rank = np.argsort(np.argsort(unseen, kind="stable"), kind="stable")
    found: np.ndarray = np.quantile(plain, (rank + 0.5) / max(len(rank), 1), method="nearest")
    return found


def _of_class(evidence: Evidence, number: int | None) -> Evidence:
    """The evidence about the labels of one class, and about the planted ones of that class; None is all."""
    if number is None:
        return evidence
    probes = evidence.probes
    return evidence.part(evidence.label == number, probes and probes.part(probes.label == number))


def _check_probes(part: Evidence, evidence: Evidence, rows: Rows, number: int) -> None:
    """Raise TableError where a class has too few planted labels to be cut by itself."""
    planted, all_planted = (
        0 if known.probes is None else len(known.probes.label) for known in (part, evidence)
    )
    if planted < LEAST_PROBES:
        share = 2 * LEAST_PROBES * all_planted / max(planted, 1) / len(rows.training)
        more = (
            f", or score with --probes {share:.2g} in another --workdir"
            if planted and share < 0.5
            else ""
        )
        raise TableError(
            f"class {rows.class_names[number]!r} has {planted} of the {all_planted} planted "
            f"labels, and --per-class takes {LEAST_PROBES} in each class; leave it out{more}"
        )


def _most_suspect_first(suspicion: np.ndarray, index: np.ndarray, rows: Rows) -> np.ndarray:
    """Positions; equally suspect rows are ordered by digest, then row number, as in every ranking."""
    return np.lexsort((index, rows.digest[index], -suspicion))


def _suggestions(
    evidence: Evidence, plain: np.ndarray, unseen: Evidence | None, probed: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest other class of every row (N,), and whether it has more than half of what the given one leaves."""
    suggested, clear = np.full(count, NO_SUGGESTION), np.zeros(count, dtype=bool)
    for rows, known in ((plain, evidence), (probed, unseen)):
        if known is not None and known.probability is not None:
            suggested[rows], clear[rows] = (
                known.suggested,
                known.runner_up > 0.5 * (1 - known.self_confidence),
            )
    return suggested, clear


def _default_cut(evidence: Evidence) -> str:
    if evidence.probes is not None:
        return "probes"
    if evidence.probability is None:
        raise TableError(
            f"{evidence.column} alone cannot tell wrong labels from hard examples: it keeps no "
            f"probabilities. Score with --method {DEFAULT_METHOD}, best with --probes 0.05 in "
            "another --workdir; or say how much: --remove 0.02; or --cut mixture, which lists rows "
            "of clean data too"
        )
    return "argmax"


def _together(cuts: list[tuple[int, NoiseEstimate]]) -> NoiseEstimate:
    """The cuts of the classes as one: rates by the size of the classes, expectations by what each lists."""
    if len(cuts) == 1:
        return cuts[0][1]
    total, listed = sum(count for count, _ in cuts), sum(int(cut.flagged.sum()) for _, cut in cuts)
    rate, low, high = (
        sum(count * value for (count, _), value in zip(cuts, values, strict=True)) / total
        for values in zip(*((cut.noise_rate, cut.low, cut.high) for _, cut in cuts), strict=True)
    )
    right, right_low = (
        sum(
            int(cut.flagged.sum()) * value
            for (_, cut), value in zip(cuts, values, strict=True)
            if cut.flagged.any()
        )
        for values in zip(*((cut.precision, cut.precision_low) for _, cut in cuts), strict=True)
    )
    precision, precision_low = (
        value / listed if listed else math.nan for value in (right, right_low)
    )
    recall = right / (rate * total) if rate else 0.0
    flagged = np.concatenate([cut.flagged for _, cut in cuts])
    return NoiseEstimate(flagged, rate, low, high, precision, precision_low, recall)
