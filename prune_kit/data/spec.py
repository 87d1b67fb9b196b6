"""Loading by data specifications: `mnist:DIR`, `folder:DIR`, `package.module:function`."""

from dataclasses import replace
from pathlib import Path

from prune_kit import registry
from prune_kit.data.dataset import Dataset
from prune_kit.data.labels import read_labels
from prune_kit.data.noise import NoisyLabels
from prune_kit.data.sources import Source
from prune_kit.errors import DataError, OptionError
from prune_kit.progress import Listener, silent
from prune_kit.storage.paths import absolute, check_is_text, expanded

FUNCTION = "package.module:function"


def source_names() -> list[str]:
    """The names before the colon of a data specification, which `list data` lists."""
    return [
        name.replace("_", "-")
        for name in registry.module_names(registry.SOURCES)
        if name != "function"
    ]


def check_trusted(spec: str, trust: bool) -> None:
    """Check that a specification from a file does not name code, unless the file is trusted.

    Loading `package.module:function` runs it, and the file may come from somebody else.

    Parameters
    ----------
    spec
        The specification.
    trust
        Whether the user trusts the file.

    Raises
    ------
    OptionError
        If it names code, and `trust` is False.
    """
    name, _, location = spec.partition(":")
    is_source = name.replace("-", "_") in registry.module_names(registry.SOURCES)
    if not trust and not is_source and location.isidentifier():
        raise OptionError(
            f"the file names code as its data, {spec!r}, which runs when it is loaded. If you know "
            f"the code, give data={spec!r}, or trust=True"
        )


def load_data(
    spec: str,
    *,
    labels: str | Path | None = None,
    image_size: int | None = None,
    progress: Listener = silent,
) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    spec
        The specification: `NAME:PATH` with a name of `source_names`, `digits`, or
        `package.module:function`.
    labels
        A file of other labels (.npy, .csv, or written by `corrupt`). They are put over the labels
        of the data, which become `true_labels`.
    image_size
        The side in pixels to which the images of a folder are resized, 1 or more.
    progress
        The listener of the progress.

    Returns
    -------
    Dataset
        The data set.

    Raises
    ------
    OptionError
        If the specification or an option is wrong.
    DataError
        If the data cannot be read, or are not as required.
    """
    check_is_text(spec, "the name of the data")
    name, _, location = spec.partition(":")
    if name.replace("-", "_") in registry.module_names(registry.SOURCES) and name != "function":
        source = name.replace("-", "_")
        location = str(absolute(expanded(location))) if location else ""
        check_is_text(location, "the path of the data")
        if not location and name != "digits":
            raise OptionError(f"data={spec!r} lacks a path; write {name}:PATH")
        spec = f"{name}:{location}" if location else name
    elif location.isidentifier() and ("." in name or Path(f"{name}.py").is_file()):
        source = "function"
        location = spec
    else:
        raise registry.unknown_name_error("data source", name, [*source_names(), FUNCTION])
    if image_size is not None and source != "folder":
        raise OptionError(f"image_size={image_size} is for folder:DIR; the data is {spec!r}")
    if image_size is not None and image_size < 1:
        raise OptionError(f"image_size={image_size} is out of range; at least 1")
    module: Source = registry.load(registry.SOURCES, source, "data source")
    data = module.load(location, image_size=image_size, progress=progress)
    options = {"image_size": image_size} if image_size is not None else {}
    data = replace(data, rows=replace(data.rows, data=spec, options=options))
    if labels is None:
        return data
    path = absolute(expanded(labels))
    check_is_text(path, "the path of the labels")
    if not path.is_file():
        raise DataError(f"the labels file {path} does not exist")
    if path.suffix in (".h5", ".hdf5"):
        return NoisyLabels.read(path).over(data, path)
    return data.relabelled(read_labels(path, data.ids), str(path))
