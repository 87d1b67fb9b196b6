"""What may be said of a difference of accuracies, in words.

Every sentence about such a difference, in a command or in the report, is made here.
"""

import math

from prune_kit.results.outcomes import Difference, Outcomes, is_baseline

UNTOLD = "too few seeds"  # the verdict that claims nothing
FULL_DATA, RANDOM_ROWS = "full data", "a random subset of its size"


def claim(difference: Difference, other: str) -> str:
    """What a difference says of a set of rows against another one.

    Parameters
    ----------
    difference
        The accuracy on the rows minus that on the other ones.
    other
        What the other ones are, such as "full data".

    Returns
    -------
    str
        Such as "above full data by 0.62 points". Where the seeds cannot tell, it says so, and how
        far from zero the difference may lie.
    """
    mean = 100 * difference.mean
    if difference.verdict == UNTOLD:
        return f"too few seeds to tell it from {other} ({_known(difference)})"
    if difference.without_interval:
        return f"{signed(difference.mean)} points against {other}, {difference.without_interval}"
    if difference.verdict == "not distinguishable":
        return f"not distinguishable from {other}"
    return f"{difference.verdict} {other} by {abs(mean):.2f} points"


def claims(outcomes: Outcomes) -> list[str]:
    """A sentence about each selection: what its differences from the baselines say."""
    sentences = []
    for line in outcomes.summaries():
        known = {FULL_DATA: line.minus_full, RANDOM_ROWS: line.minus_random}
        parts = [claim(one, other) for other, one in known.items() if one is not None]
        if parts and not is_baseline(line.name):
            told = any(one is not None and one.verdict != UNTOLD for one in known.values())
            over = f", over {seeds(line.seeds)}" if told else ""  # others say it themselves
            sentences.append(f"{line.name}: {', '.join(parts)}{over}.")
    return sentences


def signed(share: float) -> str:
    """A difference of accuracies in points. One that rounds to zero has a plus sign."""
    return f"{round(100 * share, 2) + 0.0:+.2f}"


def seeds(count: int) -> str:
    """`1 seed`, `4 seeds`."""
    return f"{count:,} seed{'s' * (count != 1)}"


def _known(difference: Difference) -> str:
    """What too few seeds do say: half the width of the interval, or the mean without one."""
    counted = seeds(difference.seeds)
    if math.isnan(difference.low):
        return f"{counted}: {signed(difference.mean)} points"
    return f"{counted}: within {50 * (difference.high - difference.low):.1f} points"
