"""From a score table to a list of labels that look wrong."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from prune_kit.cleaning.assessment import assess_labels
from prune_kit.cleaning.calibration import Calibration
from prune_kit.cleaning.cuts import probes
from prune_kit.data.identity import NO_PROBE
from prune_kit.errors import DataError, OptionError, TableError
from prune_kit.pipeline import clean, compare
from prune_kit.results.removal import NO_SUGGESTION
from prune_kit.results.table import ScoreTable
from tests.cleaning.cuts.evidence import CLASSES, f1, made_up
from tests.small_tables import column_of, rows_of, table_of

COUNT, PROBES = 4000, 300
NAMES = tuple(f"class {number}" for number in range(CLASSES))


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        probes, "CALIBRATION", Calibration(draws=20)
    )  # what the bootstrap is worth is tested with the cut


def scored(
    *, rate: float = 0.2, planted: int = PROBES, apart: float = 3.0, seed: int = 1
) -> tuple[ScoreTable, Any]:
    """A table as `score --probes` makes one, its rows mixed, and the true labels."""
    evidence, _ = made_up(COUNT, rate, planted, apart=apart, seed=seed)
    known = evidence.probes
    assert known is not None and known.given is not None
    order = np.random.default_rng(seed).permutation(COUNT + planted)
    trained_on = np.concatenate([evidence.label, known.label])[order]
    given = np.concatenate([evidence.label, known.given])[order]
    probability = np.concatenate([evidence.probabilities, known.probabilities])[order]
    own = probability[np.arange(len(order)), trained_on].astype(np.float32)
    column = column_of(
        own, name="cumulative_pl@10", harder="lower", extras={"probability": probability},
        parameters={"epoch": 10, "probes": planted / COUNT} if planted else {"epoch": 10},
    )  # fmt: skip
    probed = order >= COUNT
    true = np.where(trained_on == given, trained_on, 0)
    table = ScoreTable(
        rows_of(given, class_names=NAMES),
        {column.name: column},
        probe_label=np.where(probed, trained_on, NO_PROBE) if planted else None,
    )
    return table, true


def with_truth(table: ScoreTable, true: np.ndarray) -> ScoreTable:
    return replace(table, rows=replace(table.rows, true_label=true))


def test_as_many_as_asked_for_are_listed_the_hardest_first() -> None:
    table = table_of([0.1, 0.9, 0.5, 0.7], name="el2n@5", label=[0, 1, 0, 1])
    removal = clean(table, remove=0.5)
    assert removal.index.tolist() == [1, 3] and removal.suspicion.tolist() == pytest.approx(
        [1.0, 0.75]
    )
    assert (removal.cut_method, removal.noise_rate, removal.column) == ("remove", 0.5, "el2n@5")
    assert removal.suggested_label.tolist() == [NO_SUGGESTION] * 2


def test_a_column_where_lower_is_harder_is_turned_round() -> None:
    removal = clean(table_of([0.1, 0.9, 0.5], name="aum@5", harder="lower"), remove=0.34)
    assert removal.index.tolist() == [0]


def test_equal_scores_are_listed_by_digest() -> None:
    removal = clean(table_of([1, 1, 1, 1], digest=[40, 10, 30, 20]), remove=0.5)
    assert removal.index.tolist() == [1, 3]


def test_the_latest_cumulative_pl_ranks_unless_another_is_named() -> None:
    table, _ = scored(planted=0)
    earlier = column_of(
        np.zeros(COUNT), name="cumulative_pl@2", harder="lower", parameters={"epoch": 2}
    )
    both = table.with_columns([earlier, column_of(np.arange(COUNT), name="el2n@10")])
    assert clean(both, remove=0.1).column == "cumulative_pl@10"
    assert clean(both, remove=0.1, by="el2n@10").index.tolist() == list(
        range(COUNT - 1, COUNT - 401, -1)
    )


@pytest.mark.parametrize("scramble", ["shuffled", "constant", "absent"])
@pytest.mark.parametrize(
    "how", [{}, {"remove": 0.1}, {"cut": "argmax"}, {"cut": "joint"}, {"per_class": True}]
)
def test_the_true_labels_are_never_looked_at(how: dict[str, Any], scramble: str) -> None:
    table, true = scored(apart=2.0)
    rng = np.random.default_rng(3)
    others = {
        "shuffled": rng.permutation(true),
        "constant": np.zeros_like(true),
        "absent": None,
    }[scramble]
    with_them, without = (
        clean(with_truth(table, true), **how),
        clean(with_truth(table, others), **how),
    )
    for name in ("index", "suspicion", "suggested_label", "clear"):
        assert np.array_equal(getattr(with_them, name), getattr(without, name))
    assert with_them.noise_rate == without.noise_rate


def test_the_cut_is_by_probes_where_there_are_any_else_by_argmax_and_a_score_alone_gives_none() -> (
    None
):
    probed, _ = scored()
    plain, _ = scored(planted=0)
    assert clean(probed).cut_method == "probes"
    assert clean(plain).cut_method == "argmax"
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0, 1, 300), rng.normal(9, 1, 50)])
    with pytest.raises(
        TableError,
        match=r"el2n@20 alone cannot tell wrong labels from hard .* remove=0\.02; or cut='mixture'",
    ):
        clean(table_of(scores))
    assert clean(table_of(scores), cut="mixture").cut_method == "mixture"
    assert len(clean(table_of(scores), remove=0.02).index) == 7


def test_probed_rows_are_judged_by_their_given_labels() -> None:
    evidence, _ = made_up(COUNT, 0.2, 1000, apart=3.0, seed=4)
    table, _ = scored(planted=1000, seed=4)
    assessment = assess_labels(table)
    probed = table.probe_label[assessment.index] != NO_PROBE
    share, others = assessment.flagged[probed].mean(), assessment.flagged[~probed].mean()
    assert share == pytest.approx(
        others, abs=0.002
    )  # as often as the others, not for what was planted
    assert (assessment.suggested[probed] != table.rows.label[assessment.index][probed]).all()
    assert evidence.classes == CLASSES


def test_removing_a_share_counts_the_probed_rows_too() -> None:
    table, _ = scored()
    assert len(clean(table, remove=0.1).index) == round(0.1 * (COUNT + PROBES))


def test_a_list_is_most_suspect_first_and_holds_each_row_once() -> None:
    table, _ = scored(apart=1.5)
    for how in ({}, {"remove": 0.3}, {"per_class": True}, {"cut": "joint"}):
        removal = clean(table, **how)
        assert (np.diff(removal.suspicion) <= 0).all() and len(np.unique(removal.index)) == len(
            removal.index
        )
        assert removal.suspicion.min() >= 0 and removal.suspicion.max() <= 1
        assert (removal.suggested_label != removal.label).all()


def test_rows_held_out_as_test_are_never_listed() -> None:
    table, _ = scored(planted=0)
    role = (np.arange(COUNT) % 5 == 0).astype(np.uint8)
    values = np.where(role, np.nan, table.columns["cumulative_pl@10"].values)
    column = replace(table.columns["cumulative_pl@10"], values=values)
    held = ScoreTable(replace(table.rows, role=role), {column.name: column})
    for how in ({}, {"remove": 0.5}):
        assert not role[clean(held, **how).index].any()


def test_per_class_cuts_follow_the_classes() -> None:
    quiet, _ = scored(rate=0.02, planted=1000, seed=5)
    removal = clean(quiet, remove=0.1, per_class=True)
    counts = np.bincount(quiet.rows.label, minlength=CLASSES)
    assert np.bincount(removal.label, minlength=CLASSES).tolist() == [
        round(0.1 * count) for count in counts
    ]
    auto = clean(quiet, per_class=True)
    assert auto.noise_rate_low <= auto.noise_rate <= auto.noise_rate_high
    assert auto.precision_low <= auto.precision


def test_the_suggestion_is_the_likeliest_other_class_and_clear_where_it_has_most_of_the_rest() -> (
    None
):
    probability = np.array(
        [[0.2, 0.7, 0.05, 0.05], [0.1, 0.4, 0.3, 0.2], [0.3, 0.2, 0.4, 0.1], [0.7, 0.1, 0.1, 0.1]]
    )
    column = column_of(
        probability[:, 0],
        name="cumulative_pl@3",
        harder="lower",
        extras={"probability": probability},
    )
    table = ScoreTable(
        rows_of([0, 0, 0, 0], class_names=("a", "b", "c", "d")), {column.name: column}
    )
    removal = clean(table, cut="argmax")
    assert removal.index.tolist() == [1, 0, 2]
    assert removal.suggested_label.tolist() == [1, 1, 2] and removal.clear.tolist() == [
        False,
        True,
        True,
    ]


def test_the_folds_judge_where_the_example_never_trained_them() -> None:
    table, _ = scored(planted=0)
    swapped = np.roll(table.columns["cumulative_pl@10"].extras["probability"], 1, axis=0)
    votes = column_of(
        np.linspace(0, 1, COUNT), name="cscore", harder="lower", extras={"probability": swapped}
    )
    both = table.with_columns([votes])
    held_out = assess_labels(both, holdout=True, cut="argmax")
    assert held_out.column == "cscore"
    assert np.array_equal(held_out.flagged, swapped.argmax(1) != table.rows.label)
    gaps = swapped.astype(np.float32)
    gaps[7] = np.nan
    lacking = table.with_columns([replace(votes, extras={"probability": gaps})])
    with pytest.raises(TableError, match="1 of 4,000 training rows were never held out"):
        assess_labels(lacking, holdout=True)
    with pytest.raises(
        TableError, match="holdout=True requires networks that never saw an example"
    ):
        assess_labels(table, holdout=True)


def test_given_probabilities_are_judged_like_those_of_the_table() -> None:
    table, _ = scored(planted=0)
    probability = table.columns["cumulative_pl@10"].extras["probability"].astype(np.float32)
    bare = ScoreTable(table.rows, {})
    ours, theirs = clean(table, cut="argmax"), clean(bare, probability=probability)
    assert ours.index.tolist() == theirs.index.tolist() and theirs.cut_method == "argmax"
    least = clean(bare, probability=probability, remove=0.1)
    own = probability[np.arange(COUNT), table.rows.label]
    assert set(least.index) == set(np.argsort(own, kind="stable")[:400])


def test_the_list_is_as_good_as_the_evidence_allows() -> None:
    evidence, wrong = made_up(COUNT, 0.2, PROBES, apart=3.0, seed=1)
    table, _ = scored()
    assessment = assess_labels(table)
    plain = table.probe_label[assessment.index] == NO_PROBE
    order = np.random.default_rng(1).permutation(COUNT + PROBES)
    assert f1(assessment.flagged[plain], wrong[order[order < COUNT]]) > 0.97
    assert evidence.label.shape == (COUNT,)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"remove": 0.1, "cut": "argmax"}, "`remove` takes a known share, `cut` finds it"),
        ({"remove": 1.0}, "remove=1 is out of range"),
        ({"remove": -0.1}, "remove=-0.1 is out of range"),
        ({"cut": "argmx"}, "unknown cut 'argmx'. Did you mean 'argmax'"),
        ({"by": "aum@3"}, "unknown column 'aum@3'"),
        (
            {"by": "cumulative_pl@10", "probability": np.zeros((2, 2))},
            "leave out `by` and `holdout`",
        ),
        ({"probability": np.zeros((2, 2))}, r"shape \(2, 2\); expected \(4000, 5\)"),
        ({"cut": "probes"}, "score with probes=0.05"),
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"cut": "joint", "per_class": True}, "cut='joint' cuts by pairs of classes already"),
    ],
)
def test_what_cannot_be_meant_is_refused(how: dict[str, Any], message: str) -> None:
    table, _ = scored(planted=0)
    with pytest.raises((OptionError, TableError), match=message):
        clean(table, **how)


def test_scores_that_are_missing_and_probabilities_that_are_none_are_refused() -> None:
    with pytest.raises(
        TableError,
        match=r"cscore has no score \(NaN\) for 1 of 2 training rows, the first is row 1",
    ):
        clean(table_of([0.5, np.nan], name="cscore", harder="lower"), remove=0.5)
    table, _ = scored(planted=0)
    with pytest.raises(DataError, match="row 0 of pred_probs adds up to 5"):
        clean(table, probability=np.ones((COUNT, CLASSES)))


def test_a_comparison_says_that_labels_were_planted() -> None:
    table, _ = scored()
    found = compare(table, table, bootstrap=0)
    assert any("300 rows were scored under planted labels" in note for note in found.notes)


def test_a_class_with_too_few_planted_labels_is_named() -> None:
    table, _ = scored(planted=60)
    with pytest.raises(
        TableError, match=r"class 'class \d' has \d+ of the 60 planted labels, .* probes=0\.\d+"
    ):
        clean(table, per_class=True)


def test_a_score_that_no_network_made_is_no_judge_of_labels_unless_it_is_named() -> None:
    table = table_of([0.1, 0.9, 0.5, 0.7], name="random")
    with pytest.raises(TableError, match="random, the only column, knows nothing of labels"):
        clean(table, remove=0.5)
    assert len(clean(table, remove=0.5, by="random").index) == 2
