"""What is said of a difference of accuracies, and how often it is true."""

import re
from pathlib import Path

import numpy as np
import pytest

import prune_kit
import prune_kit_cli
from prune_kit.results.claims import claim, claims
from prune_kit.results.outcomes import (
    CONFIDENCE,
    FEWEST_SEEDS,
    FULL,
    WIDEST,
    Outcome,
    Outcomes,
    paired_difference,
)

OTHER = "full data"


def said(*points: float) -> str:
    """The claim about these differences, one a seed, in points."""
    return claim(paired_difference(np.array(points) / 100), OTHER)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ((1.0, 1.1, 1.2), "above full data by 1.10 points"),
        ((-1.0, -1.1, -1.2), "below full data by 1.10 points"),
        ((-1.0, 1.2, 0.0), "not distinguishable from full data"),
        ((0.5, 0.5, 0.5), "+0.50 points against full data, the same for every seed"),
        ((0.0, 0.0, 0.0, 0.0), "+0.00 points against full data, the same for every seed"),
        # the interval of two seeds is 12.7 times as wide as their distance
        ((-1.25, -13.5), "too few seeds to tell it from full data (2 seeds: within 77.8 points)"),
        ((2.0, 2.01), "too few seeds to tell it from full data (2 seeds: within 0.1 points)"),
        ((2.0, 2.0), "too few seeds to tell it from full data (2 seeds: +2.00 points)"),
        ((-7.0, 7.0, 1.0), "too few seeds to tell it from full data (3 seeds: within 17.4 points)"),
        ((-7.384,), "too few seeds to tell it from full data (1 seed: -7.38 points)"),
        ((-0.001,), "too few seeds to tell it from full data (1 seed: +0.00 points)"),
        # a wide interval that leaves zero out tells the sign
        ((20.0, 40.0, 30.0), "above full data by 30.00 points"),
    ],
)
def test_the_words_say_what_the_seeds_can_tell(points: tuple[float, ...], words: str) -> None:
    assert said(*points) == words


@pytest.mark.parametrize("half", [0.9 * WIDEST, 0.999 * WIDEST, 1.001 * WIDEST, 1.1 * WIDEST])
@pytest.mark.parametrize("count", [3, 4, 10])
def test_an_interval_around_zero_says_something_up_to_five_points(half: float, count: int) -> None:
    shape = np.linspace(-1, 1, count)
    unit = paired_difference(shape).high  # the half width of an interval around zero
    verdict = paired_difference(shape * half / unit).verdict
    assert verdict == ("not distinguishable" if half <= WIDEST else "too few seeds")


def outcomes_of(accuracies: dict[str, list[float]]) -> Outcomes:
    kept = {FULL: 100}
    return Outcomes(
        tuple(
            Outcome(name, seed, kept.get(name, 50), accuracy, 10, 1.0, 0.1, "{}")
            for name, values in accuracies.items()
            for seed, accuracy in enumerate(values)
        ),
        "abc",
        "digits",
    )


@pytest.mark.parametrize(
    ("accuracies", "sentences"),
    [
        (
            {FULL: [0.9, 0.8], "half": [0.8, 0.9], "random-50": [0.7, 0.7]},
            [
                "half: too few seeds to tell it from full data (2 seeds: within 127.1 points), too "
                "few seeds to tell it from a random subset of its size (2 seeds: within 63.5 "
                "points)."
            ],
        ),
        (
            {FULL: [0.9, 0.9, 0.9], "half": [0.92, 0.925, 0.93]},
            ["half: above full data by 2.50 points, over 3 seeds."],
        ),
        ({FULL: [0.9], "random-50": [0.7]}, []),
        ({"half": [0.9, 0.9]}, []),
    ],
)
def test_a_sentence_for_each_selection(accuracies: dict, sentences: list[str]) -> None:
    assert claims(outcomes_of(accuracies)) == sentences


# how often it is true

TIMES = 1500
SETTINGS = [
    (seeds, truth, spread)
    for seeds in (2, 3, 4, 10)
    for truth, spread in ((0.0, 0.005), (0.0, 0.05), (0.01, 0.005), (-0.03, 0.01))
]


def most_off(share: float, sigmas: float = 4.0) -> float:
    """How far a share of TIMES draws may lie from the true one, by the binomial distribution."""
    return sigmas * float(np.sqrt(share * (1 - share) / TIMES))


@pytest.mark.parametrize(("seeds", "truth", "spread"), SETTINGS)
def test_the_interval_holds_the_truth_as_often_as_it_says(
    seeds: int, truth: float, spread: float
) -> None:
    """Accuracies of two sets of rows share what a seed does to both; the truth is known."""
    chance = np.random.default_rng([seeds, round(1000 * abs(truth)), round(1000 * spread)])
    shared = chance.normal(0.9, 0.1, (TIMES, seeds))
    own = chance.normal(0, spread / np.sqrt(2), (2, TIMES, seeds))
    found = [paired_difference(d) for d in (shared + own[0] + truth) - (shared + own[1])]
    held = np.mean([one.low <= truth <= one.high for one in found])
    assert abs(held - CONFIDENCE) <= most_off(CONFIDENCE)
    verdicts = [one.verdict for one in found]
    if seeds < FEWEST_SEEDS:
        assert set(verdicts) == {"too few seeds"}
        return
    # A side that is claimed is the wrong one at most as often as an interval misses.
    wrong = {"below"} if truth > 0 else {"above"} if truth < 0 else {"above", "below"}
    missed = np.mean([verdict in wrong for verdict in verdicts])
    assert missed <= (1 - CONFIDENCE) + most_off(1 - CONFIDENCE)
    # And what is called not distinguishable lies within twice the bound, unless an interval missed.
    alike = [one for one in found if one.verdict == "not distinguishable"]
    assert all(one.high - one.low <= 2 * WIDEST for one in alike)


def test_no_other_place_makes_such_a_sentence() -> None:

    makers = [
        path.name
        for package in (prune_kit, prune_kit_cli)
        for path in Path(str(package.__file__)).parent.rglob("*.py")
        if re.search(r'f"(not distinguishable|too few seeds)', path.read_text("utf-8"))
    ]
    assert makers == ["claims.py"]
