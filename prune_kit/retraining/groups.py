"""What is trained to judge a selection: its rows, all rows, random rows, suggested labels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from prune_kit.data.dataset import Dataset
from prune_kit.errors import OptionError
from prune_kit.results.outcomes import FULL, RANDOM, is_baseline, random_name
from prune_kit.results.removal import Removal, as_selection
from prune_kit.results.selection import Selection
from prune_kit.selectors.random import random_part

if TYPE_CHECKING:
    pass

BASELINES = (FULL, RANDOM)


def retrain_groups(
    data: Dataset, named: Mapping[str, Selection | Removal], baseline: list[str], seeds: range
) -> dict[str, dict[int, np.ndarray | None]]:
    """What is trained under which name: for each seed its members, None for all training rows.

    Parameters
    ----------
    data
        The data set. Random rows are some of its training rows, drawn anew for each seed.
    named
        The selections by name. A removal stands for its complement.
    baseline
        "full", "random", both, or nothing.
    seeds
        The seeds of every set of rows.

    Raises
    ------
    OptionError
        If a selection has the name of a baseline, or keeps no row.
    """
    taken = [name for name in named if is_baseline(name)]
    if taken:
        raise OptionError(
            f"selection {taken[0]!r} has the name of a baseline; rename it, the outcomes are "
            "listed by it"
        )
    groups: dict[str, dict[int, np.ndarray | None]] = {}
    if FULL in baseline:
        groups[FULL] = dict.fromkeys(seeds)
    training = data.rows.training
    for name, chosen in named.items():
        index = as_selection(chosen).index
        kept, whole = len(index), len(index) == len(training)
        if not kept:
            raise OptionError(
                f"{name!r} leaves none of {len(training):,} training rows; there is nothing to "
                "train on"
            )
        groups[name] = dict.fromkeys(seeds, None if whole else index)
        if RANDOM in baseline and not whole:
            draws = {s: np.random.default_rng([s, 3]) for s in seeds}
            groups.setdefault(
                random_name(kept), {s: random_part(training, kept, draws[s]) for s in seeds}
            )
    return groups


def relabelled_data(data: Dataset, named: Mapping[str, Selection | Removal]) -> dict[str, Dataset]:
    """For each removal all of the data under its suggested labels, named `<removal>-relabelled`.

    The test set keeps its labels. Raises OptionError when there is no removal, or one has no clear
    suggestion.
    """
    removals = {name: chosen for name, chosen in named.items() if isinstance(chosen, Removal)}
    if not removals:
        raise OptionError(
            "`relabel` requires a removal, which prune-kit clean writes; given are selections: "
            f"{', '.join(named)}"
        )
    relabelled = {}
    for name, removal in removals.items():
        if not removal.clear.any():
            raise OptionError(
                f"removal {name!r} has no clear suggestion among its {len(removal.index):,} rows, "
                "so there is nothing to relabel; leave `relabel` out, or that removal"
            )
        group = f"{name}-relabelled"
        if group in named:
            raise OptionError(
                f"selection {group!r} has the name of what `relabel` trains; rename it"
            )
        relabelled[group] = data.relabelled(removal.relabelled(), f"the suggestions of {name}")
    return relabelled
