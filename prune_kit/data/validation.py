"""What a search validates on: the source's own validation set, or a split of the training rows."""

from dataclasses import replace

from prune_kit.data.dataset import Dataset, TestSet
from prune_kit.data.identity import HELD_OUT
from prune_kit.data.splits import stratified
from prune_kit.errors import DataError


def validation_split(data: Dataset, share: float, seed: int) -> Dataset:
    """The data with a share of its training rows in the place of the test set, for tuning.

    The real test set is left out. The validation rows keep the labels in use, because tuning must
    not see the true labels. A source that has a validation set of its own gives that, and every row
    trains.

    Parameters
    ----------
    data
        The data set.
    share
        The share of the training rows of each class, above 0 and below 1.
    seed
        The seed of the draw.

    Returns
    -------
    Dataset
        The data with a validation set as its test set.

    Raises
    ------
    DataError
        If the share leaves no row to train on or to validate on.
    """
    if data.validation is not None:
        own = replace(data.rows, test_fingerprint=data.validation.fingerprint)
        return replace(data, rows=own, outside_test=data.validation, validation=None)
    training = data.rows.training
    rows = training[stratified(data.labels[training], share, seed)]
    if not len(rows) or len(rows) == len(training):
        raise DataError(
            f"{share:g} of {len(training):,} training rows makes a validation split of "
            f"{len(rows):,} rows; it must hold some of them, and leave some"
        )
    role = data.rows.role.copy()
    role[rows] = HELD_OUT
    split = TestSet(data.images, rows, data.labels[rows], data.ids[rows], data.rows.digest[rows])
    return replace(
        data,
        rows=replace(data.rows, role=role, test_fingerprint=split.fingerprint),
        outside_test=split,
    )
