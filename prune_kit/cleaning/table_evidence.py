"""What a score table says about every label: the hardness and, where it is kept, the probabilities.

Nothing here reads the true labels. Probed rows were trained on under a planted wrong label, so
their scores are about the planted label. Their given label is assessed by the probabilities of the
other classes.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from prune_kit.cleaning.cuts import Evidence, candidates
from prune_kit.cleaning.cuts.probes import LEAST_PROBES
from prune_kit.cleaning.given_probabilities import checked
from prune_kit.cleaning.probability_files import plain_floats
from prune_kit.data.identity import Rows
from prune_kit.errors import OptionError, TableError
from prune_kit.results.column import ScoreColumn
from prune_kit.results.table import ScoreTable

DEFAULT_METHOD = "cumulative_pl"
HELD_OUT_METHOD = "cscore"
WITHOUT_LABELS = ("random", "input_norm")  # scores that know nothing of them
HOW_TO_HOLD_OUT = "Run: `score(data, methods='cscore', ratios=[75], folds=4)`"


@dataclass(frozen=True, eq=False)
class RankingSource:
    """The score that ranks the N rows of a table.

    Attributes
    ----------
    name : str
        The column, or "the given probabilities".
    hardness : (N,) float64
        A higher value is harder.
    probability : (N, C) float or None
        The probabilities of the classes, where they are known.
    probed : bool
        Whether the planted labels of the table were in place for this score.
    parameters : dict
        The parameters of the column.
    """

    name: str
    hardness: np.ndarray
    probability: np.ndarray | None
    probed: bool
    parameters: dict[str, Any]


@dataclass(frozen=True, eq=False)
class TableEvidence:
    """The evidence about the training rows, or about those of one class.

    Attributes
    ----------
    rows : Rows
        All N rows of the table.
    plain : (p,) int
        The rows that were trained on under their given labels.
    probed : (q,) int
        The rows that were trained on under planted labels.
    evidence : Evidence
        About the labels of the plain rows. Its `probes` are about the planted labels.
    unseen : Evidence or None
        About the given labels of the probed rows, without the planted class. None without
        probabilities.
    """

    rows: Rows
    plain: Int[np.ndarray, "p"]
    probed: Int[np.ndarray, "q"]
    evidence: Evidence
    unseen: Evidence | None

    def of_class(self, number: int) -> "TableEvidence":
        """The evidence about the rows whose given label is `number`.

        The planted labels are those that were planted as this class.
        """
        probes = self.evidence.probes
        plain = self.rows.label[self.plain] == number
        probed = self.rows.label[self.probed] == number
        return replace(
            self,
            plain=self.plain[plain],
            probed=self.probed[probed],
            evidence=self.evidence.part(plain, probes and probes.part(probes.label == number)),
            unseen=self.unseen and self.unseen.part(probed),
        )


def table_evidence(table: ScoreTable, source: RankingSource, seed: int) -> TableEvidence:
    """Collect the evidence about the training rows of a table.

    Parameters
    ----------
    table : ScoreTable
        Its rows and planted labels are used.
    source : RankingSource
        The score, as `ranking_source` gives it.
    seed : int
        For the cuts that draw at random.
    """
    probed = table.probes if source.probed else table.probes[:0]
    plain = np.setdiff1d(table.rows.training, probed, assume_unique=True)
    classes = len(table.rows.class_names)
    evidence = _evidence(source, plain, table.rows.label, classes, seed)
    if len(probed) and table.probe_label is not None:
        planted = _evidence(source, probed, table.probe_label, classes)
        evidence = replace(evidence, probes=replace(planted, given=table.rows.label[probed]))
    return TableEvidence(table.rows, plain, probed, evidence, _unseen(source, probed, table))


def ranking_source(
    table: ScoreTable, by: str | None, holdout: bool, probability: np.ndarray | None
) -> RankingSource:
    """Find the score that ranks, with its probabilities.

    Parameters
    ----------
    table : ScoreTable
        The table whose labels are assessed.
    by : str or None
        A column. None is the latest cumulative_pl (with `holdout` cscore), or the only column.
    holdout : bool
        Take the probabilities that networks gave rows they were not trained on.
    probability : (N, C) float or None
        Probabilities that rank in the place of a column.

    Raises
    ------
    OptionError
        `probability` has another shape.
    DataError
        `probability` holds no probabilities.
    TableError
        The column is absent, has no score for a training row, or was made by no network.
    """
    rows = table.rows.training
    if probability is not None:
        probability = plain_floats(probability)
        expected = (len(table.rows), len(table.rows.class_names))
        if probability.shape != expected:
            raise OptionError(
                f"the probabilities have the shape {probability.shape}; expected {expected}, one "
                f"for every row of {table.rows.data} and every class"
            )
        checked(table.rows.label, probability)
        hardness = -candidates(probability, table.rows.label)[0]
        return RankingSource("the given probabilities", hardness, probability, False, {})
    column = _ranking_column(table, by, holdout)
    hardness = table.hardness(column.name)
    unscored = np.flatnonzero(np.isnan(hardness[rows]))
    if len(unscored):
        more = "add folds (prune-kit info says how many), or " if "votes" in column.extras else ""
        raise TableError(
            f"{column.name} has no score (NaN) for {len(unscored):,} of {len(rows):,} training "
            f"rows, the first is row {rows[unscored[0]]}; {more}choose another column with `by`"
        )
    kept = _held_out_probabilities(table) if holdout else column.extras.get("probability")
    probed = "probes" in column.parameters
    return RankingSource(column.name, hardness.astype(np.float64), kept, probed, column.parameters)


def check_probes_per_class(known: TableEvidence) -> None:
    """Check that each class has enough planted labels for a cut of its own.

    Raises
    ------
    TableError
        A class has fewer than 20.
    """
    label = known.rows.label[known.plain]
    planted = np.empty(0, int) if known.evidence.probes is None else known.evidence.probes.label
    for number in np.unique(label).tolist():
        count = int((planted == number).sum())
        if count < LEAST_PROBES:
            share = 2 * LEAST_PROBES * len(planted) / max(count, 1) / len(known.rows.training)
            more = (
                f", or score with probes={share:.2g} in another workdir"
                if count and share < 0.5
                else ""
            )
            raise TableError(
                f"class {known.rows.class_names[number]!r} has {count} of the {len(planted)} "
                f"planted labels, and per_class=True requires at least {LEAST_PROBES} in each "
                f"class; leave it out{more}"
            )


def _ranking_column(table: ScoreTable, by: str | None, holdout: bool) -> ScoreColumn:
    wanted = HELD_OUT_METHOD if holdout else DEFAULT_METHOD
    usual = [column for column in table.columns.values() if column.method == wanted]
    if by is None and usual:
        return max(usual, key=lambda column: column.parameters.get("epoch", 0))
    column = table.column(by)
    if by is None and column.method in WITHOUT_LABELS:
        raise TableError(
            f"{column.name}, the only column, knows nothing of labels: no network made it. "
            f"Run: `score(data, methods={DEFAULT_METHOD!r}, probes=0.05)`"
        )
    return column


def _held_out_probabilities(table: ScoreTable) -> np.ndarray:
    """The probabilities (N, C) that networks gave rows they were not trained on."""
    kept = [
        column.extras["probability"]
        for column in table.columns.values()
        if column.method == HELD_OUT_METHOD and column.extras
    ]
    if not kept:
        raise TableError(
            "holdout=True requires networks that never saw an example, and the table has none (no "
            f"cscore column with probabilities). {HOW_TO_HOLD_OUT}"
        )
    lacking = np.isnan(kept[0][table.rows.training]).any(axis=1)
    if lacking.any():
        raise TableError(
            f"{int(lacking.sum()):,} of {len(lacking):,} training rows were never held out; add "
            "folds (prune-kit info says how many), or leave out `holdout`"
        )
    return kept[0]


def _evidence(
    source: RankingSource, rows: np.ndarray, label: np.ndarray, classes: int, seed: int = 0
) -> Evidence:
    return Evidence(
        hardness=source.hardness[rows],
        label=label[rows],
        classes=classes,
        probability=None if source.probability is None else source.probability[rows],
        seed=seed,
        column=source.name,
    )


def _unseen(source: RankingSource, probed: np.ndarray, table: ScoreTable) -> Evidence | None:
    """The evidence about the given labels of the probed rows, with the planted class left out."""
    if source.probability is None or table.probe_label is None:
        return None
    left = source.probability[probed].astype(np.float64)
    left[np.arange(len(left)), table.probe_label[probed]] = 0
    total = left.sum(axis=1, keepdims=True)
    left = np.divide(left, total, out=np.full_like(left, 1 / left.shape[1]), where=total > 0)
    return replace(_evidence(source, probed, table.rows.label, left.shape[1]), probability=left)
