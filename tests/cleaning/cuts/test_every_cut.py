"""What every cut must keep to, and the three short ones: argmax, joint and mixture."""

import cleanlab.filter
import numpy as np
import pytest
from scipy.stats import norm

from prune_kit import registry
from prune_kit.cleaning.cuts import Evidence, argmax, candidates, joint, mixture, scaled
from prune_kit.errors import OptionError, TableError
from tests.cleaning.cuts.evidence import CLASSES, f1, made_up

NAMES = registry.module_names(registry.CUTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_flags_rows_and_estimates_a_rate(name: str) -> None:
    evidence, wrong = made_up(3000, 0.2, 200, apart=3.0, seed=1)
    found = registry.load(registry.CUTS, name, "cut").find(evidence)
    assert found.flagged.shape == (3000,) and found.flagged.dtype == bool
    assert abs(found.noise_rate - wrong.mean()) < 0.05
    assert f1(found.flagged, wrong) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_is_the_same_when_it_is_found_again(name: str) -> None:
    evidence, _ = made_up(2000, 0.2, 100, apart=2.0, seed=2)
    module = registry.load(registry.CUTS, name, "cut")
    once, again = module.find(evidence), module.find(evidence)
    assert np.array_equal(once.flagged, again.flagged) and once.noise_rate == again.noise_rate


@pytest.mark.parametrize(
    "name", [n for n in NAMES if registry.load(registry.CUTS, n, "cut").NEEDS == "probability"]
)
def test_a_cut_that_needs_probabilities_says_so(name: str) -> None:
    evidence = Evidence(np.array([0.1, 0.9]), np.array([0, 1]), 2, column="aum@5")
    with pytest.raises(TableError, match="aum@5 was scored without averaged probabilities"):
        registry.load(registry.CUTS, name, "cut").find(evidence)


def test_argmax_flags_where_another_class_is_likelier() -> None:
    probability = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0.0, 0.1, 0.9]])
    evidence = Evidence(np.zeros(4), np.array([0, 2, 0, 2]), 3, probability)
    found = argmax.find(evidence)
    assert found.flagged.tolist() == [False, True, False, False] and found.noise_rate == 0.25
    assert np.isnan([found.low, found.high, found.precision, found.recall]).all()


def test_joint_flags_what_cleanlab_flags() -> None:
    evidence, _ = made_up(2000, 0.25, 100, apart=1.5, seed=4)
    probability = evidence.probabilities.astype(np.float32)
    expected = cleanlab.filter.find_label_issues(evidence.label, probability)
    assert (
        joint.find(evidence).flagged != expected
    ).sum() <= 2  # rows of equal margin: cleanlab's sort is unstable


def test_mixture_finds_the_two_components_that_expectation_maximisation_finds() -> None:
    rng = np.random.default_rng(5)
    hardness = np.concatenate([rng.normal(0, 0.5, 1500), rng.normal(3, 1.0, 500)])
    weight, mean, deviation = (
        np.array([0.5, 0.5]),
        np.array([hardness.min(), hardness.max()]),
        np.ones(2),
    )
    for _ in range(2000):
        density = weight * norm.pdf(hardness[:, None], mean, deviation)
        belongs = density / density.sum(axis=1, keepdims=True)
        weight = belongs.mean(axis=0)
        mean = (belongs * hardness[:, None]).sum(axis=0) / belongs.sum(axis=0)
        deviation = np.sqrt(
            (belongs * (hardness[:, None] - mean) ** 2).sum(axis=0) / belongs.sum(axis=0)
        )
    found = mixture.find(Evidence(hardness, np.zeros(2000, dtype=int), 2))
    assert found.noise_rate == pytest.approx(weight[1], abs=0.01)
    assert (found.flagged != (belongs[:, 1] > 0.5)).sum() <= 10


def test_mixture_refuses_scores_that_are_all_the_same() -> None:
    with pytest.raises(OptionError, match="aum@5 is the same for all 7 rows"):
        mixture.find(Evidence(np.ones(7), np.zeros(7, dtype=int), 2, column="aum@5"))


def test_candidates_are_the_given_class_and_the_likeliest_other() -> None:
    rng = np.random.default_rng(6)
    probability, label = rng.dirichlet(np.ones(CLASSES), 300), rng.integers(0, CLASSES, 300)
    confidence, runner_up, which = candidates(probability, label)
    for row in range(300):
        others = [c for c in range(CLASSES) if c != label[row]]
        best = max(others, key=lambda c: probability[row, c])
        assert (confidence[row], runner_up[row], which[row]) == (
            probability[row, label[row]],
            probability[row, best],
            best,
        )


def test_suspicion_is_above_a_half_where_another_class_is_likelier() -> None:
    evidence, _ = made_up(500, 0.3, 50, apart=1.0, seed=7)
    assert np.array_equal(evidence.suspicion > 0.5, evidence.disagrees)
    assert evidence.suspicion.min() >= 0 and evidence.suspicion.max() <= 1


def test_scaled_hardness_runs_from_0_to_1() -> None:
    assert scaled(np.array([3.0, 5.0, 4.0])).tolist() == [0.0, 1.0, 0.5]
    assert scaled(np.array([2.0, 2.0])).tolist() == [0.0, 0.0]
