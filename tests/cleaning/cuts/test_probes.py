"""The cut that planted labels calibrate."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.cleaning.cuts import Evidence, joint, probes
from prune_kit.cleaning.mixture_proportion import ProbeRanking, even_part
from prune_kit.errors import TableError
from tests.cleaning.cuts.evidence import f1, made_up


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.25, 0.4])
def test_the_rate_is_met_where_right_and_wrong_lie_apart(rate: float) -> None:
    evidence, wrong = made_up(20_000, rate, 1000, apart=3.0, seed=1)
    found = probes.find(evidence)
    assert abs(found.noise_rate - wrong.mean()) < 0.02
    assert found.low <= wrong.mean() <= found.high
    assert f1(found.flagged, wrong) > 0.97


def test_a_weak_network_gets_a_wide_interval_that_holds_the_truth() -> None:
    strong, _ = made_up(20_000, 0.2, 1000, apart=3.0, seed=2)
    weak, wrong = made_up(20_000, 0.2, 1000, apart=0.8, seed=2)
    narrow, wide = probes.find(strong), probes.find(weak)
    assert wide.low <= wrong.mean() <= wide.high
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_noise_that_prefers_a_pair_of_classes_is_counted_though_it_is_less_suspect() -> None:
    evidence, wrong = made_up(20_000, 0.2, 2000, apart=6.0, seed=3, pairs=True)
    found = probes.find(evidence)
    assert abs(found.noise_rate - wrong.mean()) < 0.02
    assert f1(found.flagged, wrong) > 0.95


@pytest.mark.parametrize("apart", [3.0, 1.5])
def test_clean_labels_are_left_alone(apart: float) -> None:
    evidence, _ = made_up(20_000, 0.0, 1000, apart=apart, seed=4)
    found = probes.find(evidence)
    assert found.low == 0 and not found.flagged.any() and np.isnan(found.precision)
    assert found.noise_rate < (0.005 if apart == 3.0 else 0.1)


def test_expected_precision_and_recall_are_those_that_come_true() -> None:
    evidence, wrong = made_up(20_000, 0.2, 2000, apart=2.5, seed=5)
    found = probes.find(evidence)
    right = (found.flagged & wrong).sum()
    assert found.precision == pytest.approx(right / found.flagged.sum(), abs=0.03)
    assert found.recall == pytest.approx(right / wrong.sum(), abs=0.03)
    assert found.precision_low <= found.precision


def test_without_probabilities_the_score_alone_is_cut() -> None:
    evidence, wrong = made_up(20_000, 0.2, 1000, apart=3.0, seed=6)
    known = replace(evidence.probes, probability=None)
    found = probes.find(replace(evidence, probability=None, probes=known))
    assert abs(found.noise_rate - wrong.mean()) < 0.02 and f1(found.flagged, wrong) > 0.97


def test_what_is_flagged_is_as_suspect_as_anything_that_is_not() -> None:
    evidence, _ = made_up(5000, 0.2, 300, apart=1.5, seed=7)
    found = probes.find(evidence)
    assert evidence.suspicion[found.flagged].min() >= evidence.suspicion[~found.flagged].max()


@pytest.mark.parametrize("count", [0, 19])
def test_too_few_probes_are_refused(count: int) -> None:
    evidence, _ = made_up(500, 0.2, 30, apart=2.0, seed=8)
    few = evidence.probes.part(np.arange(30) < count) if count else None
    with pytest.raises(
        TableError, match=rf"has {count} planted labels, .* at least 20; score with probes="
    ):
        probes.find(replace(evidence, probes=few))


@given(st.floats(0, 1), st.sampled_from([4.0, 9.0, 35.0]), st.floats(10, 1e5))
def test_the_even_part_of_a_density_is_found(even: float, power: float, total: float) -> None:
    edges = np.linspace(0, 0.9, 19)
    spread = np.diff(edges) / 0.9
    grown = np.diff((edges / 0.9) ** (power + 1))
    density = total * (even * spread + (1 - even) * grown)
    found = even_part(np.stack([density, 2 * density]), edges, np.full(2, 1e6), 1.0, 0.0)
    assert found == pytest.approx(np.array([1, 2]) * even * total / 0.9, rel=1e-3, abs=1e-3 * total)


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=60),
    st.lists(st.integers(0, 20), min_size=1, max_size=20),
)
def test_a_ranking_counts_the_labels_in_front_of_every_probe(
    labels: list[int], planted: list[int]
) -> None:
    ranking = ProbeRanking.of(np.array(labels, float), np.array(planted, float))
    for place, level in enumerate(ranking.level):
        assert ranking.between[: place + 1].sum() == sum(value >= level for value in labels)
    assert sorted(ranking.order) == list(range(len(planted)))


@pytest.mark.parametrize("apart", [0.3, 0.8])
def test_a_list_without_a_lower_bound_ends_between_what_the_joint_lists_and_counts(
    apart: float,
) -> None:
    evidence, wrong = made_up(20_000, 0.4, 1000, apart=apart, seed=0, pairs=True)
    flat = (
        evidence.probability.astype(np.float64) ** 0.5
    )  # not calibrated: the joint lists fewer than it counts
    evidence = replace(
        evidence, probability=(flat / flat.sum(axis=1, keepdims=True)).astype(np.float16)
    )
    found, counted = probes.find(evidence), joint.find(evidence)
    ends = counted.flagged.mean(), counted.noise_rate
    assert found.low == 0 and found.high >= counted.noise_rate > counted.flagged.mean()
    assert found.flagged.mean() == pytest.approx(
        ends[0] + probes.CALIBRATION.between * (ends[1] - ends[0]), abs=1e-3
    )
    assert evidence.suspicion[found.flagged].min() >= evidence.suspicion[~found.flagged].max()
    assert f1(found.flagged, wrong) > 0.5


def test_a_class_alone_which_has_no_joint_is_cut_by_its_highest_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evidence, _ = made_up(20_000, 0.4, 1000, apart=0.8, seed=0, pairs=True)
    alone = evidence.part(evidence.label == 1, evidence.probes.part(evidence.probes.label == 1))
    estimate_rate = probes.estimate_rate
    monkeypatch.setattr(
        probes,
        "estimate_rate",
        lambda *given, weak: replace(estimate_rate(*given, weak=weak), low=0.0, high=0.6),
    )
    found = probes.find(alone)
    assert (found.low, found.high) == (0.0, 0.6) and found.flagged.any()


def weak_class(evidence: Evidence) -> Evidence:
    assert evidence.probes is not None
    return evidence.part(evidence.label == 1, evidence.probes.part(evidence.probes.label == 1))


def score_alone(evidence: Evidence) -> Evidence:
    known = replace(evidence.probes, probability=None)
    return replace(evidence, probability=None, probes=known)


@pytest.mark.parametrize(
    ("regime", "given", "listed", "numbers"),
    [
        (
            "_no_wrong_label",
            made_up(3000, 0.0, 200, apart=0.8, seed=0)[0],
            0,
            (0.06376149895865821, 0.0, 0.12298590284530889, np.nan, np.nan, 0.0),
        ),
        (
            "_strong_network",
            made_up(600, 0.2, 40, apart=3.0, seed=0)[0],
            112,
            (0.17504309052559375, 0.06328884276459348, 0.2111630933324623, 0.937730842101395,
             0.33904737195317936, 1.0),
        ),
        (
            "_strong_network",
            score_alone(made_up(600, 0.2, 40, apart=3.0, seed=0)[0]),
            115,
            (0.18244080751928396, 0.060277967263180715, 0.22567700631340396, 0.9518650827093076,
             0.31449374224268195, 1.0),
        ),
        (
            "_weak_network",
            made_up(600, 0.2, 40, apart=0.8, seed=0)[0],
            84,
            (0.21888310250634624, 0.07511396047581789, 0.5895487186610712, 0.8374149052796038,
             0.2873750845852031, 0.5356196316513074),
        ),
        (
            "_weak_network",
            weak_class(made_up(3000, 0.03, 200, apart=0.8, seed=1, pairs=True)[0]),
            306,
            (0.33986238060785545, 0.0, 0.535268031188597, 0.6419443559331227, 0.0,
             0.9633064446272092),
        ),
        (
            "_weak_network_bounded_by_the_joint",
            made_up(600, 0.0, 40, apart=0.8, seed=1, pairs=True)[0],
            48,
            (0.2376487771266921, 0.0, 0.35908529782560594, 1.0, 0.0, 0.488040473958785),
        ),
    ],
)  # fmt: skip
def test_every_regime_gives_the_numbers_that_it_gave_before(
    regime: str,
    given: Evidence,
    listed: int,
    numbers: tuple[float, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = []
    real = getattr(probes, regime)
    monkeypatch.setattr(probes, regime, lambda *known: taken.append(regime) or real(*known))
    found = probes.find(given)
    assert taken == [regime] and int(found.flagged.sum()) == listed
    estimates = (
        found.noise_rate, found.low, found.high, found.precision, found.precision_low, found.recall
    )  # fmt: skip
    assert estimates == pytest.approx(numbers, rel=1e-9, nan_ok=True)
