"""A picture of a selection for the terminal: how the scores are spread, and where they were kept or dropped."""

import numpy as np
from jaxtyping import Float64, Int
from rich.text import Text

from prune_kit.results.selection import HELD_OUT_REASON, KEPT, REASONS, Selection

BINS = 48
BLOCKS = "▁▂▃▄▅▆▇█"
STYLES = {"kept": "green", "dropped-easy": "blue", "dropped-hard": "red"}
STEEP = 25  # how often a bin may have the rows of the middle bin before heights show logarithms


def histogram(selection: Selection) -> Text | None:
    """A line of bars for each reason, one under the other, over the range of the score; None without a score.

    The bars end before column 80; there are as many lines as reasons, and two. Any row at all shows
    as the lowest bar. Low scores are left, whichever end is hard: the reasons say it. Rows without
    a finite score are counted in words.
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
    there = np.flatnonzero(np.bincount(selection.reason))
    return sorted(
        set(there.tolist()) - {HELD_OUT_REASON}, key=lambda reason: (reason != KEPT, reason)
    )


def _bin_of(values: Float64[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Which of BINS bins of equal width; all the middle one where the values are the same."""
    low, width = values.min(), np.ptp(values)
    if width == 0:
        return np.full(len(values), BINS // 2)
    number: np.ndarray = np.minimum((values - low) / width * BINS, BINS - 1).astype(np.int64)
    return number


def _bars(counts: Int[np.ndarray, "B"], most: int, logarithmic: bool) -> str:
    """One character per bin, empty for none; the fullest bin of all is the highest."""
    share = np.log1p(counts) / np.log1p(most) if logarithmic else counts / most
    level = np.ceil(share * len(BLOCKS) - 1e-9).astype(int)
    return "".join(
        BLOCKS[max(at, 1) - 1] if count else " " for at, count in zip(level, counts, strict=True)
    )


def _axis(values: Float64[np.ndarray, "n"]) -> str:
    """The lowest and the highest score under the ends of the bars; one number where they are the same."""
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    margin = " " * 25
    if low == high:
        return f"{margin}{low:^{BINS}}".rstrip()
    return f"{margin}{low}{high:>{BINS - len(low)}}"
