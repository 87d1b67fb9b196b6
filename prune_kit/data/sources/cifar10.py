"""cifar10: 60,000 colour photographs of 32x32 pixels in ten classes.

The original files are read, in their Python or their binary form.

Report: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf.
"""

from prune_kit.data.cifar_archives import Form, load_cifar
from prune_kit.data.dataset import Dataset
from prune_kit.progress import Listener, silent

BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
PYTHON = Form(
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    train=BATCHES,
    test="test_batch",
    names="batches.meta",
    names_key="label_names",
    label_key="labels",
)
BINARY = Form(
    folder="cifar-10-batches-bin",
    archive="cifar-10-binary.tar.gz",
    train=tuple(f"{batch}.bin" for batch in BATCHES),
    test="test_batch.bin",
    names="batches.meta.txt",
    label_bytes=1,
)


def load(location: str, *, progress: Listener = silent) -> Dataset:
    """Load the photographs in the original order, batch 1 to 5.

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
    return load_cifar(location, (PYTHON, BINARY), name="cifar10")
