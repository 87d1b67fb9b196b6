"""digits: 1,797 handwritten digits of 8x8 pixels, embedded in scikit-learn; the data set that needs no file.

Source: UCI Optical Recognition of Handwritten Digits, https://archive.ics.uci.edu/dataset/80.
"""

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.progress import Listener, silent

BRIGHTEST = 16


def load(
    location: str = "", *, image_size: int | None = None, progress: Listener = silent
) -> Dataset:
    """The digits; grey values 0 .. 16 are stretched to 0 .. 240, so that they can be seen as pictures."""
    from sklearn.datasets import load_digits

    images, label = load_digits(return_X_y=True)
    images = (images * (255 // BRIGHTEST)).astype("uint8").reshape(-1, 8, 8, 1)
    return from_arrays(
        images, label, name="digits", spec="digits", preparation="grey values times 15"
    )
