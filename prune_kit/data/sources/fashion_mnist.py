"""fashion-mnist: 70,000 pieces of clothing of 28x28 grey pixels, from the four original IDX files (plain or .gz).

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


def load(location: str, *, image_size: int | None = None, progress: Listener = silent) -> Dataset:
    """The clothes in original order. Raises DataError, which names the file, when one is missing or damaged."""
    return load_idx(location, name="fashion-mnist", kept_in="FashionMNIST", class_names=CLASS_NAMES)
