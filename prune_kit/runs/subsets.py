"""Which rows each network of holdout validation does not see."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from jaxtyping import Int

from prune_kit.randomness import derived_seed

SAMPLINGS = ("balanced", "uniform")


def held_out_sets(
    rows: Int[np.ndarray, "n"], ratio: int, folds: int, *, seed: int, sampling: str
) -> list[Int[np.ndarray, "h"]]:
    """For each of `folds` networks the rows that it is not trained on, ascending; it trains on `ratio` percent.

    "uniform" draws every set anew (Jiang et al. 2021, algorithm 1). "balanced" deals them from
    shuffled decks of all rows, so that after any number of folds every row was held out equally
    often, up to one vote. Each set is drawn uniformly from all sets of its size in both. The first
    k of more folds are those of k folds.
    """
    count = len(rows) - round(len(rows) * ratio / 100)
    deal = _balanced if sampling == "balanced" else _uniform
    places = deal(
        len(rows), count, np.random.default_rng(derived_seed(seed, f"held out at {ratio} percent"))
    )
    return [rows[np.sort(place)] for place in islice(places, folds)]


def _uniform(total: int, count: int, chance: np.random.Generator) -> Iterator[np.ndarray]:
    while True:
        yield chance.permutation(total)[:count]


def _balanced(total: int, count: int, chance: np.random.Generator) -> Iterator[np.ndarray]:
    """Deal `count` at a time; a hand that the deck cannot fill takes the rest, and from a new deck what it lacks.

    The hand must not hold a row twice: those that it has stay in the new deck, in which they come
    at random places behind it.
    """
    deck = chance.permutation(total)
    while True:
        hand, deck = deck[:count], deck[count:]
        lacking = count - len(hand)
        if lacking:
            fresh = chance.permutation(total)
            dealt = fresh[~np.isin(fresh, hand)][:lacking]
            deck = fresh[~np.isin(fresh, dealt)]
            hand = np.concatenate([hand, dealt])
        yield hand
