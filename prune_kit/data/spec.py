"""Loading by data specifications: `mnist:DIR`, `folder:DIR`, `package.module:function`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from prune_kit import registry
from prune_kit.checks import described
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
    spec: str | Path,
    *,
    labels: str | Path | None = None,
    key: str | None = None,
    progress: Listener = silent,
    **options: Any,
) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    spec
        The specification: `NAME:PATH` with a name of `source_names`, `digits`, or
        `package.module:function`. The path of a folder or of an .npz file is one, too.
    labels
        A file of other labels (.npy, .csv, or written by `corrupt`). They are put over the labels
        of the data, which become `true_labels`.
    key
        The column of a CSV of labels that names the rows; None for one of the usual names, such as
        index, id or filename.
    progress
        The listener of the progress.
    **options
        The options that the source declares, such as `image_size` and `skip_bad` of a folder.

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
    source, location = source_of(spec)
    if key is not None and labels is None:
        raise OptionError(f"key={key!r} requires `labels`, whose column it names")
    given = {name: value for name, value in options.items() if value is not None}
    chosen = registry.chosen_options(registry.SOURCES, "data", [source], given)[source]
    module: Source = registry.load(registry.SOURCES, source, "data source")
    data = module.load(location, progress=progress, **chosen)
    usual = registry.defaults(registry.SOURCES, source)
    kept = {name: value for name, value in chosen.items() if value != usual[name]}
    words = location if source == "function" else f"{source.replace('_', '-')}:{location}"
    rows = replace(data.rows, data=words if location else source, options=kept)
    data = replace(data, rows=rows)
    if labels is None:
        return data
    path = absolute(expanded(labels))
    check_is_text(path, "the path of the labels")
    if not path.is_file():
        raise DataError(f"the labels file {path} does not exist")
    if path.suffix in (".h5", ".hdf5"):
        if key is not None:
            raise OptionError(f"key={key!r} is for labels in a CSV; {path} names its rows itself")
        return NoisyLabels.read(path).over(data, path)
    label, note = read_labels(path, data.ids, data.class_names, key=key)
    data = data.relabelled(label, str(path))
    return replace(data, notes=(*data.notes, note)) if note else data


def source_of(spec: str | Path) -> tuple[str, str]:
    """The source that a specification names, and the location in it. Reads no data.

    Parameters
    ----------
    spec
        As in `load_data`.

    Returns
    -------
    str
        The module of `sources`.
    str
        What its `load` takes: an absolute path, or the name of a function.

    Raises
    ------
    OptionError
        If it names nothing that there is.
    DataError
        If it is a path at which there is nothing.
    """
    if not isinstance(spec, str | Path):
        raise OptionError(
            f"the data are {described(spec)}; expected a specification such as 'folder:DIR', or "
            "the path of a folder or of an .npz file"
        )
    text = str(spec)
    check_is_text(text, "the name of the data")
    name, _, location = text.partition(":")
    source = name.replace("-", "_")
    if source in registry.module_names(registry.SOURCES) and source != "function":
        if not location and source != "digits":
            raise OptionError(f"data={text!r} lacks a path; write {name}:PATH")
        place = str(absolute(expanded(location))) if location else ""
        check_is_text(place, "the path of the data")
        return source, place
    if location.isidentifier() and ("." in name or Path(f"{name}.py").is_file()):
        return "function", text
    path = absolute(expanded(text))
    check_is_text(path, "the path of the data")
    if text and path.is_dir():
        return "folder", str(path)
    if path.is_file():
        if path.suffix.lower() == ".npz":
            return "npz", str(path)
        raise OptionError(
            f"data={text!r} is a file whose ending does not say what it is; there are: "
            f"{', '.join(f'{other}:PATH' for other in source_names())}"
        )
    if isinstance(spec, Path) or any(mark in text for mark in "/\\~"):
        raise DataError(f"data={text!r}: there is no file or folder {path}")
    raise registry.unknown_name_error("data source", name, [*source_names(), FUNCTION])
