"""mnist: 70,000 handwritten digits of 28x28 grey pixels.

The four original IDX files are read, plain or .gz.

Paper: LeCun, Bottou, Bengio, Haffner 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-01a.pdf.
"""

from prune_kit.data.dataset import Dataset
from prune_kit.data.idx import load_idx
from prune_kit.progress import Listener, silent

CLASS_NAMES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def load(location: str, *, progress: Listener = silent) -> Dataset:
    """Load the digits in the original order.

    Parameters
    ----------
    location
        The folder of the files.
    progress
        Not used.

    Returns
    -------
    Dataset
        60,000 training and 10,000 test images.

    Raises
    ------
    DataError
        If a file is missing or damaged. The error names it.
    """
    return load_idx(location, name="mnist", kept_in="MNIST", class_names=CLASS_NAMES)
