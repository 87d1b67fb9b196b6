"""files: the absolute path of one image a line; Path(path).read_text().splitlines() reads it.

The data must be a folder of images.
"""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit.errors import OptionError
from prune_kit.exporters._images import Sources
from prune_kit.results.selection import Selection
from prune_kit.storage import files

OPTIONS = {"data": "shared"}
WHOLE_TABLE = False
SUFFIX = "-files.txt"  # a list of row numbers ends in .txt
LISTS = "paths of files"


def export(
    selection: Selection, index: Int[np.ndarray, "K"], path: Path, *, data: str | None
) -> None:
    """Write the paths, in the order of the rows.

    Parameters and other errors are those of `exporters.Exporter`. OPTIONS describes the options.

    Raises
    ------
    OptionError
        If the data are no folder of images, or a path holds the end of a line.
    DataError
        If an image is not where it was scored.
    """
    lines = [os.fsencode(one) for one in Sources.of(selection, "files", data).paths(index)]
    broken = next((line for line in lines if b"\n" in line or b"\r" in line), None)
    if broken is not None:
        raise OptionError(
            f"the path {os.fsdecode(broken)!r} is more than one line; format='json' has the names "
            "of such files"
        )
    files.write_bytes(path, b"".join(line + b"\n" for line in lines))
