"""Sentences about a list of suspects, for the terminal and for the report."""

import math

from prune_kit.results.removal import KNOWN_SHARE, Removal

UNKNOWN = "unknown"


def count_sentence(removal: Removal) -> str:
    """The number of rows on the list, and how the cut was found."""
    listed, training = len(removal.index), len(removal.rows.training)
    share = percent(listed / training) if training else UNKNOWN
    how = (
        "as many as you asked for"
        if removal.cut_method == KNOWN_SHARE
        else f"cut by {removal.cut_method}"
    )
    where = f"{removal.column}, {how}" if removal.column else how
    least = "" if math.isnan(removal.cut) else f" at a suspicion of {removal.cut:.3f}"
    return f"{listed:,} of {training:,} training rows ({share}) are listed as wrong: {where}{least}"


def rate_sentence(removal: Removal) -> str:
    """The estimated share of wrong labels, with its interval."""
    if math.isnan(removal.noise_rate):
        return f"how many labels are wrong is unknown: {removal.cut_method} does not tell"
    if removal.cut_method == KNOWN_SHARE:
        rate = percent(removal.noise_rate)
        return f"{rate} of the labels are wrong as far as you say; nothing was estimated"
    low, high = removal.noise_rate_low, removal.noise_rate_high
    interval = (
        "no interval"
        if math.isnan(low + high)
        else f"90 % interval {100 * low:.1f} to {percent(high)}"
    )
    rate = "0 %" if removal.noise_rate == 0 else percent(removal.noise_rate)
    ending = "" if len(removal.index) else "; nothing is removed"
    return f"about {rate} of the labels are wrong ({interval}){ending}"


def expectation_sentence(removal: Removal) -> str:
    """The expected precision and recall of the list."""
    if math.isnan(removal.precision):
        return "how good the list is, is unknown" if len(removal.index) else "the list is empty"
    least = (
        "" if math.isnan(removal.precision_low) else f" (at least {percent(removal.precision_low)})"
    )
    return (
        f"expected of the list: precision {percent(removal.precision)}{least}, the share of it "
        f"that is wrong; recall {percent(removal.recall)}, the share of the wrong labels that is "
        "on it"
    )


def percent(share: float) -> str:
    """A share in percent, such as `12.3 %`; "unknown" for NaN."""
    return UNKNOWN if math.isnan(share) else f"{100 * share:.1f} %"
