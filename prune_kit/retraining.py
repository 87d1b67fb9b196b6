"""What is trained to judge selections: their own rows, all rows, and random rows of the same number."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from prune_kit import catalog
from prune_kit.data.dataset import Dataset
from prune_kit.errors import OptionError
from prune_kit.outcomes import FULL, Outcome, is_baseline, random_name
from prune_kit.selection import Selection
from prune_kit.selectors.random import random_part

if TYPE_CHECKING:
    from prune_kit.training.runs import RecordedRun

BASELINES = ("full", "random")


def retrain_groups(
    data: Dataset, named: dict[str, Selection], baseline: list[str], seeds: range
) -> dict[str, dict[int, np.ndarray | None]]:
    """What is trained under which name: for each seed its members, None for all training rows. Raises OptionError."""
    taken = [name for name in named if is_baseline(name)]
    if taken:
        raise OptionError(
            f"selection {taken[0]!r} has the name of a baseline; rename it, the outcomes are listed by it"
        )
    unknown = [name for name in baseline if name not in BASELINES]
    if unknown:
        raise catalog.unknown("baseline", unknown[0], BASELINES)
    groups: dict[str, dict[int, np.ndarray | None]] = {}
    if "full" in baseline:
        groups[FULL] = dict.fromkeys(seeds)
    training = data.rows.training
    for name, selection in named.items():
        whole = len(selection.index) == len(training)
        groups[name] = dict.fromkeys(seeds, None if whole else selection.index)
        if "random" in baseline and not whole:
            kept = len(selection.index)
            draws = {s: np.random.default_rng([s, 3]) for s in seeds}
            groups.setdefault(random_name(kept), {s: random_part(training, kept, draws[s]) for s in seeds})
    return groups


def outcome_of(name: str, run: "RecordedRun", described: dict[str, Any]) -> Outcome:
    """What came of one training on the selection `name`; `described` is the protocol and where it ran."""
    outcome = run.outcome()
    return Outcome(
        selection=name,
        seed=run.seed,
        kept=len(run.inputs.rows),
        test_accuracy=outcome["test_accuracy"],
        steps=outcome["steps"],
        epochs=outcome["steps"] / run.inputs.member_epoch_steps,
        seconds=outcome["seconds"],
        config=json.dumps(described),
    )
