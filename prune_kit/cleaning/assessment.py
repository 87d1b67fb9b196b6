"""From a score table to the labels that look wrong, how many there are, and what would be right.

Nothing here reads the true labels. Rows whose labels were planted wrong while scoring have scores
of the planted labels. They are assessed by their probabilities without the planted class, and take
the ranks of the other rows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from prune_kit import registry
from prune_kit.checks import check_kind, check_seeds
from prune_kit.cleaning.cuts import CutModule, Evidence, NoiseEstimate, scaled
from prune_kit.cleaning.table_evidence import (
    DEFAULT_METHOD,
    TableEvidence,
    check_probes_per_class,
    ranking_source,
    table_evidence,
)
from prune_kit.data.identity import Rows
from prune_kit.errors import OptionError, TableError
from prune_kit.results.removal import KNOWN_SHARE, NO_SUGGESTION, Removal
from prune_kit.results.table import ScoreTable


@dataclass(frozen=True, eq=False)
class LabelAssessment:
    """How suspect the label of each of the n training rows is, and which class may be right.

    Attributes
    ----------
    rows : Rows
        All rows of the table.
    index : (n,) int
        The training rows, ascending.
    suspicion : (n,) float
        In [0, 1]. A higher value is more suspect.
    flagged : (n,) bool
        Whether the label is taken for wrong.
    suggested : (n,) int
        The likeliest other class, -1 where nothing is known of it.
    clear : (n,) bool
        Whether that class has more than half of the probability that the given label leaves.
    estimate : NoiseEstimate
        The share of wrong labels, and the expected quality of the list.
    cut_method : str
        A module of `cuts`, or "remove" for a known share.
    column : str
        The score that ranks.
    parameters, scored_with : dict
        The options, and how the networks behind the score were made.
    """

    rows: Rows
    index: Int[np.ndarray, "n"]
    suspicion: Float[np.ndarray, "n"]
    flagged: Bool[np.ndarray, "n"]
    suggested: Int[np.ndarray, "n"]
    clear: Bool[np.ndarray, "n"]
    estimate: NoiseEstimate
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
            noise_rate=self.estimate.noise_rate,
            noise_rate_low=self.estimate.low,
            noise_rate_high=self.estimate.high,
            precision=self.estimate.precision,
            precision_low=self.estimate.precision_low,
            recall=self.estimate.recall,
            parameters=self.parameters,
            scored_with=self.scored_with,
        )


def assess_labels(
    table: ScoreTable,
    *,
    by: str | None = None,
    remove: float | None = None,
    cut: str | None = None,
    per_class: bool = False,
    holdout: bool = False,
    probability: np.ndarray | None = None,
    seed: int = 0,
) -> LabelAssessment:
    """Assess the label of every training row.

    Parameters
    ----------
    table : ScoreTable
        The scores, with the planted labels where there are any.
    by, remove, cut, per_class, holdout, probability, seed
        As in `prune_kit.clean`.

    Raises
    ------
    OptionError
        An option is out of range, or two of them exclude each other.
    TableError
        The table lacks what the options require.
    DataError
        `probability` holds no probabilities.
    """
    check_kind(table, ScoreTable, "table", "score")
    _check_shares(remove, cut)
    check_seeds(seed=seed)
    _check_options(by, cut, per_class, holdout, probability is not None)
    source = ranking_source(table, by, holdout, probability)
    known = table_evidence(table, source, seed)
    method = KNOWN_SHARE if remove is not None else cut or _default_cut(known.evidence)
    suspicion = _suspicion(known, by_hardness=remove is not None)
    if remove is not None:
        rule: Callable[[TableEvidence], Listing] = partial(
            by_known_share, suspicion=suspicion, share=remove
        )
    else:
        rule = partial(by_cut, suspicion=suspicion, method=method)
    if per_class and method == "probes":
        check_probes_per_class(known)
    listing = within_classes(known, rule) if per_class else rule(known)
    flagged = np.zeros(len(table.rows), dtype=bool)
    flagged[listing.rows] = True
    suggested, clear = _suggestions(known)
    rows = table.rows.training
    return LabelAssessment(
        rows=table.rows,
        index=rows,
        suspicion=suspicion[rows],
        flagged=flagged[rows],
        suggested=suggested[rows],
        clear=clear[rows],
        estimate=listing.estimate,
        cut_method=method,
        column=source.name,
        parameters={"remove": remove, "per_class": per_class, "holdout": holdout, "seed": seed},
        scored_with=source.parameters or table.trained_with,
    )


@dataclass(frozen=True, eq=False)
class Listing:
    """The numbers `rows` (k,) of the rows that are listed, chosen from `count` rows.

    `estimate` is about the plain rows among them.
    """

    rows: Int[np.ndarray, "k"]
    count: int
    estimate: NoiseEstimate


def by_known_share(
    known: TableEvidence, *, suspicion: Float[np.ndarray, "N"], share: float
) -> Listing:
    """List a known share of the rows, the most suspect ones.

    Parameters
    ----------
    known : TableEvidence
        The plain and the probed rows.
    suspicion : (N,) float
        The suspicion of all rows of the table.
    share : float
        From 0 to below 1. The number of listed rows is rounded.
    """
    rows = np.concatenate([known.plain, known.probed])
    ranked = rows[_most_suspect_first(suspicion[rows], rows, known.rows)]
    listed = ranked[: round(share * len(rows))]
    flagged = np.isin(known.plain, listed)
    return Listing(listed, len(rows), NoiseEstimate(flagged, noise_rate=share))


def by_cut(known: TableEvidence, *, suspicion: Float[np.ndarray, "N"], method: str) -> Listing:
    """List the rows that a cut finds, and as large a share of the probed rows.

    Without probabilities, nothing is known of the given labels of the probed rows. Then none of
    them is listed.

    Parameters
    ----------
    known : TableEvidence
        The plain and the probed rows.
    suspicion : (N,) float
        The suspicion of all rows of the table.
    method : str
        A module of `cuts`.

    Raises
    ------
    OptionError
        The cut does not exist.
    TableError
        The evidence lacks what the cut requires.
    """
    module: CutModule = registry.load(registry.CUTS, method, "cut")
    estimate = module.find(known.evidence)
    share = estimate.flagged.mean() if known.unseen is not None else 0.0
    order = np.argsort(-suspicion[known.probed], kind="stable")
    probed = known.probed[order[: round(share * len(known.probed))]]
    rows = np.concatenate([known.plain[estimate.flagged], probed])
    return Listing(rows, len(known.plain), estimate)


def within_classes(known: TableEvidence, rule: Callable[[TableEvidence], Listing]) -> Listing:
    """Apply a rule to the rows of each given label alone, and pool the lists.

    The rates are weighted by the sizes of the classes, the expected precisions by the number of
    rows that each class lists.

    Parameters
    ----------
    known : TableEvidence
        The rows of all classes.
    rule : callable
        `by_known_share` or `by_cut`, with its options.
    """
    classes = np.unique(known.rows.label[known.plain]).tolist()
    listings = [rule(known.of_class(number)) for number in classes]
    if len(listings) == 1:
        return listings[0]
    rows = np.concatenate([listing.rows for listing in listings])
    total = sum(listing.count for listing in listings)
    pooled = _pooled(listings, np.isin(known.plain, rows), total)
    return Listing(rows, total, pooled)


def _pooled(listings: list[Listing], flagged: Bool[np.ndarray, "p"], total: int) -> NoiseEstimate:
    """The estimates of the classes as one, about all plain rows."""
    listed_counts = [int(listing.estimate.flagged.sum()) for listing in listings]
    listed = sum(listed_counts)

    def over_rows(name: str) -> float:
        return sum(one.count * float(getattr(one.estimate, name)) for one in listings) / total

    def right_rows(name: str) -> float:
        return sum(
            count * float(getattr(listing.estimate, name))
            for count, listing in zip(listed_counts, listings, strict=True)
            if count
        )

    rate = over_rows("noise_rate")
    right = right_rows("precision")
    return NoiseEstimate(
        flagged,
        noise_rate=rate,
        low=over_rows("low"),
        high=over_rows("high"),
        precision=right / listed if listed else math.nan,
        precision_low=right_rows("precision_low") / listed if listed else math.nan,
        recall=right / (rate * total) if rate else 0.0,
    )


def _check_shares(remove: float | None, cut: str | None) -> None:
    if remove is not None and cut is not None:
        raise OptionError("`remove` takes a known share, `cut` finds it; give one of them")
    if remove is not None and not 0 <= remove < 1:
        raise OptionError(
            f"remove={remove:g} is out of range; it is the share to remove, from 0 to below 1"
        )


def _check_options(
    by: str | None, cut: str | None, per_class: bool, holdout: bool, probability: bool
) -> None:
    if cut == "joint" and per_class:
        raise OptionError("cut='joint' cuts by pairs of classes already; leave out `per_class`")
    if probability and (by is not None or holdout):
        raise OptionError(
            "probabilities of your own rank by themselves; leave out `by` and `holdout`"
        )


def _default_cut(evidence: Evidence) -> str:
    if evidence.probes is not None:
        return "probes"
    if evidence.probability is None:
        raise TableError(
            f"{evidence.column} alone cannot tell wrong labels from hard examples: it keeps no "
            f"probabilities. Run: `score(data, methods={DEFAULT_METHOD!r}, probes=0.05)`, in "
            "another workdir; or say how much: remove=0.02; or cut='mixture', which lists rows of "
            "clean data, too"
        )
    return "argmax"


def _suspicion(known: TableEvidence, *, by_hardness: bool) -> Float[np.ndarray, "N"]:
    """The suspicion of all rows, in [0, 1]; 0 for rows that nothing is known of.

    Each probed row takes the suspicion of the plain row of the same rank, as a share.
    """
    suspicion = np.zeros(len(known.rows))
    evidence = known.evidence
    plain = scaled(evidence.hardness) if by_hardness else evidence.suspicion
    suspicion[known.plain] = plain
    if known.unseen is not None:
        unseen = known.unseen.suspicion
        rank = np.argsort(np.argsort(unseen, kind="stable"), kind="stable")
        quantiles = (rank + 0.5) / max(len(rank), 1)
        suspicion[known.probed] = np.quantile(plain, quantiles, method="nearest")
    return suspicion


def _most_suspect_first(suspicion: np.ndarray, index: np.ndarray, rows: Rows) -> np.ndarray:
    """Sort positions. Equally suspect rows are ordered by digest, then by row number."""
    return np.lexsort((index, rows.digest[index], -suspicion))


def _suggestions(known: TableEvidence) -> tuple[Int[np.ndarray, "N"], Bool[np.ndarray, "N"]]:
    """The likeliest other class of every row, and whether it is clearly better."""
    suggested = np.full(len(known.rows), NO_SUGGESTION)
    clear = np.zeros(len(known.rows), dtype=bool)
    for rows, evidence in ((known.plain, known.evidence), (known.probed, known.unseen)):
        if evidence is not None and evidence.probability is not None:
            suggested[rows] = evidence.suggested
            clear[rows] = evidence.runner_up > 0.5 * (1 - evidence.self_confidence)
    return suggested, clear
