"""fashion-mnist: 70,000 pieces of clothing of 28x28 grey pixels.

The four original IDX files are read, plain or .gz.

Paper: Xiao, Rasul, Vollgraf 2017, https://arxiv.org/abs/1708.07747; the class names are those of
its table 2.
"""

from prune_kit.data.dataset import Dataset
from prune_kit.data.idx import load_idx
from prune_kit.progress import Listener, silent

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load(location: str, *, progress: Listener = silent) -> Dataset:
    """Load the clothes in the original order.

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
    return load_idx(location, name="fashion-mnist", kept_in="FashionMNIST", class_names=CLASS_NAMES)
