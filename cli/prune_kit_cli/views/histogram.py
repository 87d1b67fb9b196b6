"""A picture of a selection for the terminal: the distribution of the scores, kept and dropped."""

import numpy as np
from jaxtyping import Float64, Int
from rich.text import Text

from prune_kit.results.selection import HELD_OUT_REASON, KEPT, REASONS, Selection

BINS = 48
BLOCKS = "▁▂▃▄▅▆▇█"
STYLES = {"kept": "green", "dropped-easy": "blue", "dropped-hard": "red"}
STEEP = 25  # heights show logarithms where a bin has more than this many times the median bin


def histogram(selection: Selection) -> Text | None:
    """Draw a line of bars for each reason, over the range of the score.

    The picture is at most 79 columns wide. It has two lines more than there are reasons. A single
    row shows as the lowest bar. Low scores are on the left, whichever end is hard. Rows without a
    finite score are counted in words.

    Parameters
    ----------
    selection : Selection
        With the score that it was made by.

    Returns
    -------
    Text or None
        None where the selection has no score.
    """
    if selection.score is None:
        return None
    training = selection.reason != HELD_OUT_REASON
    drawn = training & np.isfinite(selection.score)
    missing = int(training.sum() - drawn.sum())
    unseen = f"; {missing:,} without a finite score are not drawn" if missing else ""
    if not drawn.any():
        return Text(f"{selection.column}: no training row has a finite score to draw")
    values = selection.score[drawn].astype(np.float64)
    pairs = selection.reason[drawn].astype(np.int64) * BINS + _bin_of(values)
    per_reason = np.bincount(pairs, minlength=len(REASONS) * BINS).reshape(len(REASONS), BINS)
    counts = {reason: per_reason[reason] for reason in _shown(selection)}
    total = per_reason.sum(axis=0)
    logarithmic = bool(total.max() > STEEP * np.median(total[total > 0]))
    height = "logarithm of the number of rows" if logarithmic else "number of rows"
    picture = Text(
        f"{selection.column} of {int(drawn.sum()):,} training rows, heights: {height}{unseen}\n"
    )
    for reason, count in counts.items():
        name = REASONS[reason]
        picture.append(f"{name:>13} {int(count.sum()):>9,}  ")
        picture.append(
            _bars(count, int(total.max()), logarithmic).rstrip() + "\n", style=STYLES.get(name, "")
        )
    picture.append(_axis(values))
    return picture


def _shown(selection: Selection) -> list[int]:
    """The reasons that occur among the training rows, the kept first."""
    reasons = np.flatnonzero(np.bincount(selection.reason))
    return sorted(
        set(reasons.tolist()) - {HELD_OUT_REASON}, key=lambda reason: (reason != KEPT, reason)
    )


def _bin_of(values: Float64[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """The number of the bin, of BINS bins of equal width; the middle one where all are equal."""
    low = values.min()
    width = np.ptp(values)
    if width == 0:
        return np.full(len(values), BINS // 2)
    number: np.ndarray = np.minimum((values - low) / width * BINS, BINS - 1).astype(np.int64)
    return number


def _bars(counts: Int[np.ndarray, "B"], most: int, logarithmic: bool) -> str:
    """One character for each bin, a space for an empty one; the fullest bin is the highest."""
    share = np.log1p(counts) / np.log1p(most) if logarithmic else counts / most
    level = np.ceil(share * len(BLOCKS) - 1e-9).astype(int)
    return "".join(
        BLOCKS[max(at, 1) - 1] if count else " " for at, count in zip(level, counts, strict=True)
    )


def _axis(values: Float64[np.ndarray, "n"]) -> str:
    """The lowest and the highest score under the ends of the bars; one number where equal."""
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    margin = " " * 25
    if low == high:
        return f"{margin}{low:^{BINS}}".rstrip()
    return f"{margin}{low}{high:>{BINS - len(low)}}"
