"""cifar100: 60,000 colour photographs of 32x32 pixels under their 100 fine labels.

The original files are read, in their Python or their binary form.

Report: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf.
"""

from prune_kit.data.cifar_archives import Form, load_cifar
from prune_kit.data.dataset import Dataset
from prune_kit.progress import Listener, silent

PYTHON = Form(
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
    train=("train",),
    test="test",
    names="meta",
    names_key="fine_label_names",
    label_key="fine_labels",
)
BINARY = Form(
    folder="cifar-100-binary",
    archive="cifar-100-binary.tar.gz",
    train=("train.bin",),
    test="test.bin",
    names="fine_label_names.txt",
    label_bytes=2,
)


def load(location: str, *, progress: Listener = silent) -> Dataset:
    """Load the photographs in the original order.

    Parameters
    ----------
    location
        The folder or the .tar.gz archive of the files.
    progress
        Not used.

    Returns
    -------
    Dataset
        50,000 training and 10,000 test images.

    Raises
    ------
    DataError
        If a file is missing or damaged. The error names it.
    """
    return load_cifar(location, (PYTHON, BINARY), name="cifar100")
