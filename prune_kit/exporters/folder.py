"""folder: a tree CLASS/FILE of links to the images; torchvision's ImageFolder(path) reads it.

The data must be a folder of images.
Links are absolute, and break when the images are moved; with `copy` there are copies instead. The
class of a file is its label in the selection. Two files of a class that have the same name keep the
folders above it. Images of the test set are left out.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit.exporters._images import Sources, check_outside, write_tree
from prune_kit.results.selection import Selection
from prune_kit.storage.folders import building

OPTIONS = {"data": "shared", "copy": "shared", "with_test": "shared"}
WHOLE_TABLE = False
SUFFIX = "-folder"
LISTS = "image files"


def export(
    selection: Selection,
    index: Int[np.ndarray, "K"],
    path: Path,
    *,
    data: str | None,
    copy: bool,
    with_test: bool,
) -> None:
    """Write a new folder, or fill an empty one.

    Parameters and other errors are those of `exporters.Exporter`. OPTIONS describes the options.

    Raises
    ------
    OptionError
        If the data are no folder of images, or there is something at `path`.
    DataError, IdentityError
        If an image is not where it was scored, or is another one.
    FileError
        If the folder cannot be written.
    """
    sources = Sources.of(selection, "folder", data)
    check_outside(path, sources)
    with building(path) as folder:
        write_tree(selection, index, sources, folder, copy=copy, with_test=with_test)
