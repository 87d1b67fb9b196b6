"""Which rows each network of holdout validation does not see."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from jaxtyping import Int

from prune_kit.errors import OptionError
from prune_kit.randomness import derived_seed


def held_out_sets(
    rows: Int[np.ndarray, "n"], ratio: int, folds: int, *, seed: int, sampling: str
) -> list[Int[np.ndarray, "h"]]:
    """Draw the rows that each network is not trained on.

    The first k of more folds are those of k folds. Each set is drawn uniformly from all sets of its
    size, by either sampling.

    Parameters
    ----------
    rows : (n,) the rows that are trained on or held out.
    ratio : the percent of them that a network trains on.
    folds : how many networks there are.
    seed : of the draw.
    sampling : "uniform" draws every set anew (Jiang et al. 2021, algorithm 1). "balanced" deals
        them from shuffled decks of all rows: after any number of folds, every row was held out
        equally often, up to one vote.

    Returns
    -------
    For each network its rows (h,), ascending.
    """
    count = held_out_count(ratio, len(rows))
    deal = _balanced if sampling == "balanced" else _uniform
    places = deal(
        len(rows), count, np.random.default_rng(derived_seed(seed, f"held out at {ratio} percent"))
    )
    return [rows[np.sort(place)] for place in islice(places, folds)]


def held_out_count(ratio: int, count: int) -> int:
    """How many of `count` rows are held out of a network that trains on `ratio` percent of them."""
    return count - round(count * ratio / 100)


def check_ratios(ratios: Iterable[int], count: int) -> None:
    """Raise OptionError unless each ratio leaves rows to train on and rows to hold out."""
    for ratio in ratios:
        if not 0 < held_out_count(ratio, count) < count:
            kind = "train on" if held_out_count(ratio, count) else "hold out"
            raise OptionError(
                f"ratios={ratio}: {ratio} % of {count:,} training rows leaves no row to {kind}"
            )


def _uniform(total: int, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    while True:
        yield rng.permutation(total)[:count]


def _balanced(total: int, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Deal `count` rows at a time from a deck.

    A hand that the deck cannot fill takes the rest, and from a new deck what it lacks. The hand
    must not hold a row twice. Rows that it has stay in the new deck, in random places.
    """
    deck = rng.permutation(total)
    while True:
        hand, deck = deck[:count], deck[count:]
        lacking = count - len(hand)
        if lacking:
            fresh = rng.permutation(total)
            dealt = fresh[~np.isin(fresh, hand)][:lacking]
            deck = fresh[~np.isin(fresh, dealt)]
            hand = np.concatenate([hand, dealt])
        yield hand
