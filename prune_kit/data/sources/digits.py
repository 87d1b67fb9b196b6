"""digits: 1,797 handwritten digits of 8x8 pixels, part of scikit-learn, so no file is required.

Source: UCI Optical Recognition of Handwritten Digits, https://archive.ics.uci.edu/dataset/80.
"""

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.progress import Listener, silent

BRIGHTEST = 16


def load(location: str = "", *, progress: Listener = silent) -> Dataset:
    """Load the digits. The grey values 0 .. 16 are stretched to 0 .. 240, so that they are visible.

    Parameters
    ----------
    location, progress
        Not used.

    Returns
    -------
    Dataset
        The digits. A fifth of the rows is held out as test.
    """
    from sklearn.datasets import load_digits

    images, label = load_digits(return_X_y=True)
    images = (images * (255 // BRIGHTEST)).astype("uint8").reshape(-1, 8, 8, 1)
    return from_arrays(
        images, label, name="digits", spec="digits", preparation="grey values times 15"
    )
