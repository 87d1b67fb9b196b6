"""The options of `find_label_issues`: what is accepted, and what is said of the others."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from prune_kit.cleaning.issue_filters import FILTERS, PRUNING
from prune_kit.cleaning.label_quality import RANKINGS
from prune_kit.errors import CombinationError, OptionError
from prune_kit.registry import unknown_name_error


def check_filter(
    filter_by: str, frac_noise: float, min_examples_per_class: int, num_to_remove_per_class: Any
) -> None:
    """Raise OptionError if the filter is unknown, or an option of it is out of range.

    The parameters are those of `find_label_issues`.
    """
    if filter_by not in FILTERS:
        raise unknown_name_error("filter_by", filter_by, FILTERS)
    if not 0 <= frac_noise <= 1:
        raise OptionError(f"frac_noise={frac_noise:g} is out of range; it is a share, 0 to 1")
    if not min_examples_per_class >= 0:
        raise OptionError(
            f"min_examples_per_class={min_examples_per_class} is out of range; at least 0"
        )
    if num_to_remove_per_class is not None and filter_by not in PRUNING:
        raise CombinationError(
            f"`num_to_remove_per_class` is not supported with filter_by={filter_by!r}; it is with "
            f"{', '.join(PRUNING)}"
        )


def checked_ranking(ranking: str | None, rank_by_kwargs: Mapping[str, Any] | None) -> bool:
    """Whether the ranking adjusts the probabilities to classes of unlike size.

    Raises
    ------
    OptionError
        The ranking or a key is unknown, or the ranking does not adjust.
    """
    if ranking is not None and ranking not in RANKINGS:
        raise unknown_name_error("return_indices_ranked_by", ranking, RANKINGS)
    given = dict(rank_by_kwargs or {})
    adjusted = bool(given.pop("adjust_pred_probs", False))
    if given:
        raise unknown_name_error(
            "key of `rank_by_kwargs`", next(iter(given)), ["adjust_pred_probs"]
        )
    if adjusted and ranking == "confidence_weighted_entropy":
        raise CombinationError(
            "return_indices_ranked_by='confidence_weighted_entropy' does not go with "
            "`adjust_pred_probs`; self_confidence and normalized_margin do"
        )
    return adjusted


def checked_joint(
    given: Any, shape: tuple[int, ...]
) -> Int[np.ndarray, "..."] | Float[np.ndarray, "..."]:
    """A confident joint as an array.

    Raises
    ------
    OptionError
        It does not have the shape, or holds what is no count.
    """
    counts = np.asarray(given)
    if counts.shape != shape or counts.dtype.kind not in "iufb":
        meaning = "a row per given and a column per true class"
        if len(shape) == 3:
            meaning = "given by true for each class against the rest"
        raise OptionError(
            f"confident_joint is {counts.dtype} of shape {counts.shape}; expected numbers of shape "
            f"{shape}, {meaning}"
        )
    if not ((counts >= 0) & np.isfinite(counts)).all():
        raise OptionError(
            "confident_joint holds numbers below 0, NaN or infinity; expected counts, 0 and above"
        )
    return counts.astype(np.int64) if counts.dtype.kind in "ub" else counts


def checked_numbers(given: Any, classes: int) -> Int[np.ndarray, "C"]:
    """Numbers of rows to remove, one per class. A single one stands for every class.

    Raises
    ------
    OptionError
        They are not as many as classes, not whole, or below 0.
    """
    numbers = np.asarray(given)
    whole = numbers.dtype.kind in "iu" or (
        numbers.dtype.kind == "f" and bool((np.rint(numbers) == numbers).all())
    )
    if numbers.shape not in ((), (1,), (classes,)) or not whole:
        raise OptionError(
            f"num_to_remove_per_class is {numbers.dtype} of shape {numbers.shape}; expected "
            f"{classes} whole numbers, one per class"
        )
    numbers = np.broadcast_to(numbers, (classes,)).astype(np.int64)
    if (numbers < 0).any():
        first = int(np.argmax(numbers < 0))
        raise OptionError(
            f"num_to_remove_per_class[{first}]={numbers[first]} is out of range; at least 0"
        )
    return numbers
