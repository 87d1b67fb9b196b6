"""From the user's words (`mnist:DIR`, `folder:DIR`, `package.module:function`) to a Dataset."""

from dataclasses import replace
from pathlib import Path

from prune_kit import registry
from prune_kit.data.dataset import Dataset
from prune_kit.data.labels import read_labels
from prune_kit.data.noise import NoisyLabels
from prune_kit.data.sources import Source
from prune_kit.errors import DataError, OptionError
from prune_kit.progress import Listener, silent

SOURCES = "prune_kit.data.sources"
FUNCTION = "package.module:function"


def source_names() -> list[str]:
    """What `list data` lists: the names before the colon of a data specification."""
    return [name.replace("_", "-") for name in registry.module_names(SOURCES) if name != "function"]


def check_trusted(spec: str, trust: bool) -> None:
    """Raise OptionError when `spec`, which stands in a file, is `package.module:function`, unless that is trusted.

    Loading would run it, and the file may be a stranger's.
    """
    name, _, location = spec.partition(":")
    if (
        not trust
        and name.replace("-", "_") not in registry.module_names(SOURCES)
        and location.isidentifier()
    ):
        raise OptionError(
            f"the file names code as its data, {spec!r}, which runs when it is loaded. If you know "
            f"it: --data {spec}, or --trust"
        )


def load_data(
    spec: str,
    *,
    labels: str | Path | None = None,
    image_size: int | None = None,
    progress: Listener = silent,
) -> Dataset:
    """Load the data set that `spec` names.

    `labels` is a file of other labels (npy, csv, or what `corrupt` wrote), put over the data's own,
    which are kept as `true_labels`. `image_size` is the side, in pixels, to which a folder's images
    are resized. Raises OptionError for a specification that names nothing, DataError for data that
    cannot be read.
    """
    name, _, location = spec.partition(":")
    if name.replace("-", "_") in registry.module_names(SOURCES) and name != "function":
        source = name.replace("-", "_")
        location = str(Path(location).expanduser().absolute()) if location else ""
        if not location and name != "digits":
            raise OptionError(f"--data {spec!r} names no place; write {name}:PATH")
        spec = f"{name}:{location}" if location else name
    elif location.isidentifier() and ("." in name or Path(f"{name}.py").is_file()):
        source, location = "function", spec
    else:
        raise registry.unknown_name_error("data source", name, [*source_names(), FUNCTION])
    if image_size is not None and (image_size < 1 or source != "folder"):
        raise OptionError(
            f"--image-size {image_size} is for folder:DIR, and at least 1; the data is {spec!r}"
        )
    module: Source = registry.load(SOURCES, source, "data source")
    data = module.load(location, image_size=image_size, progress=progress)
    options = {"image_size": image_size} if image_size is not None else {}
    data = replace(data, rows=replace(data.rows, data=spec, options=options))
    if labels is None:
        return data
    path = Path(labels).expanduser().absolute()
    if not path.is_file():
        raise DataError(f"there is no labels file {path}")
    if path.suffix in (".h5", ".hdf5"):
        return NoisyLabels.read(path).over(data, path)
    return data.relabelled(read_labels(path, data.ids), str(path))
