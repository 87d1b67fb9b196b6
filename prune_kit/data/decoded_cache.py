"""The cache of decoded images: memory-mapped files, so that a folder is decoded once.

    facts/<stamp>.npz       the digest and shape of every file, and which cannot be used
    images/<content>.npy    the pixels (N, H, W, C)
    images/<content>.json   their shape and layout, written last

The stamp is a key over all paths, sizes and times, which takes little time to make. The content is
a key over all digests and the rule of decoding. A folder that was moved or touched has a new stamp:
its files are read again, but they are not decoded again.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8, UInt64

from prune_kit.data import decoding
from prune_kit.data.decoding import Facts
from prune_kit.data.image_files import CONVERTED, FRAMES, RULE, TRANSPARENT, TURNED, Layout
from prune_kit.errors import BadFilesError, DataError, FileError
from prune_kit.progress import Listener, silent
from prune_kit.storage import files
from prune_kit.storage.paths import absolute, expanded

SETTING = "Set PRUNE_KIT_CACHE to a folder of yours"
ADVICE = "It is in the cache of decoded images; set PRUNE_KIT_CACHE to use another folder"


@dataclass(frozen=True)
class Rule:
    """How files are made into images, besides what `image_files` does with every one.

    Attributes
    ----------
    image_size : int or None
        The side in pixels, None for that of the files (`decoding.plan`).
    exif : str
        One of `image_files.EXIF`.
    skip_bad : bool
        Whether to go on without the files that cannot be used.
    """

    image_size: int | None = None
    exif: str = "apply"
    skip_bad: bool = False


@dataclass(frozen=True, eq=False)
class Decoded:
    """Decoded images, memory-mapped.

    Attributes
    ----------
    images : (M, H, W, C) uint8
        The images of the M files that can be used.
    good : (N,) bool
        Which of the files these are.
    digest : (M,) uint64
        The digests of their bytes.
    preparation : str
        What was done to the pixels, in words; "" for nothing.
    notes : tuple of str
        What else the user should know.
    """

    images: UInt8[np.ndarray, "M H W C"]
    good: Bool[np.ndarray, "N"]
    digest: UInt64[np.ndarray, "M"]
    preparation: str
    notes: tuple[str, ...] = ()


def cache_folder() -> Path:
    """The folder of the cache.

    Returns
    -------
    Path
        PRUNE_KIT_CACHE, or else `prune_kit` in XDG_CACHE_HOME or in ~/.cache, absolute.

    Raises
    ------
    FileError
        If there is no home folder, no current folder for a relative path, or links in a circle.
    """
    given = os.environ.get("PRUNE_KIT_CACHE")
    folder = given or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/prune_kit"
    try:
        found = absolute(expanded(folder))
        found.resolve()
        return found
    except (FileError, OSError, RuntimeError) as error:  # the latter two of links in a circle
        where = f"PRUNE_KIT_CACHE={given}" if given else "the cache of decoded images has no place"
        raise FileError(f"{where}: {error}. {SETTING}") from error


def decoded(root: Path, paths: list[str], rule: Rule, *, progress: Listener = silent) -> Decoded:
    """The decoded images at some paths, from the cache, or decoded now.

    Parameters
    ----------
    root
        The folder that holds all the files.
    paths
        The N files, in the order of the rows.
    rule
        How they are made into images.
    progress
        The listener of the progress.

    Returns
    -------
    Decoded
        The images.

    Raises
    ------
    BadFilesError
        If files cannot be used, and the rule does not skip them, or none can be used.
    DataError
        If files change meanwhile.
    FileError
        If the cache cannot be written.
    """
    cache = cache_folder()
    if cache.resolve().is_relative_to(root.resolve()):
        raise FileError(
            f"the cache {cache} would lie inside the data folder {root}; set PRUNE_KIT_CACHE to a "
            "folder outside"
        )
    stamp = _stamp(root, paths, rule.exif)
    try:
        known = _read_facts(cache, stamp, len(paths))
        facts = decoding.inspect(paths, rule.exif, progress) if known is None else known
        images, facts = _images_of(cache, paths, facts, rule, progress)
        if facts is not known:
            if _stamp(root, paths, rule.exif) != stamp:
                raise DataError(f"files in {root} have changed while they were read; start again")
            _write_facts(cache, stamp, facts)
    except FileError as error:
        raise FileError(f"{error}. {ADVICE}") from error
    if images is None or (facts.reasons and not rule.skip_bad):
        raise BadFilesError([(paths[row], why) for row, why in facts.reasons.items()], len(paths))
    good = facts.good
    layout = decoding.plan(facts.shape[good], rule.image_size, rule.exif)
    return Decoded(
        images, good, facts.digest[good], _preparation(facts, layout), _notes(facts, rule, paths)
    )


def _images_of(
    cache: Path, paths: list[str], facts: Facts, rule: Rule, progress: Listener
) -> tuple[UInt8[np.ndarray, "M H W C"] | None, Facts]:
    """The images of the good files, and the facts with those that turned out to be damaged.

    There are no images where no file is good, or where damaged ones are not skipped. Without a
    damaged file that was decoded, others may have one size, so the layout is made anew.
    """
    while facts.good.any():
        good = facts.good
        content = _content_key(facts.digest[good], rule)
        layout = decoding.plan(facts.shape[good], rule.image_size, rule.exif)
        images = _read_images(cache, content, int(good.sum()), layout)
        if images is not None:
            return images, facts
        reasons = _write_images(cache, content, paths, good, layout, progress)
        facts = facts.without(reasons)
        if reasons and not rule.skip_bad:
            break
        if not reasons and _read_images(cache, content, int(good.sum()), layout) is None:
            path = _image_file(cache, content)
            raise FileError(f"{path} was written, but it cannot be read again")
    return None, facts


def _preparation(facts: Facts, layout: Layout) -> str:
    """What was done to the pixels, as far as the files do not say it."""
    words = []
    if layout.side is not None:
        words.append(
            f"shorter side resized to {layout.side} pixels (bilinear, antialiased), centre "
            f"{layout.side}x{layout.side} kept"
        )
    transparent, turned = facts.count(TRANSPARENT), facts.count(TURNED)
    words += [f"{transparent:,} transparent images put on white"] if transparent else []
    words += [f"{turned:,} images turned upright by their EXIF data"] if turned else []
    return "; ".join(words)


def _notes(facts: Facts, rule: Rule, paths: list[str]) -> tuple[str, ...]:
    """What is said of the files, besides the preparation."""
    notes = []
    shapes = facts.shape[facts.good]
    if facts.reasons:
        first = next(iter(facts.reasons))
        notes.append(
            f"{len(facts.reasons):,} of {len(paths):,} files cannot be used and are skipped; the "
            f"first: {paths[first]} {facts.reasons[first]}"
        )
    sizes, counts = np.unique(shapes[:, :2], axis=0, return_counts=True)
    if len(sizes) > 1 and rule.image_size is None:
        (height, width), share = sizes[counts.argmax()], counts.max() / len(shapes)
        side = int(min(height, width))
        cheaper = (
            f"; image_size={side} would take {(side / decoding.DEFAULT_SIDE) ** 2:.0%} of the "
            "memory and time"
            if side < decoding.DEFAULT_SIDE
            else ""
        )
        notes.append(
            f"images have {len(sizes):,} sizes ({share:.0%} are {height}x{width}), so all are "
            f"made {decoding.DEFAULT_SIDE}x{decoding.DEFAULT_SIDE}{cheaper}"
        )
    grey = int((shapes[:, 2] == 1).sum())
    if grey not in (0, len(shapes)):
        notes.append(f"{grey:,} grey images among {len(shapes):,} are made RGB")
    converted, frames = facts.count(CONVERTED), facts.count(FRAMES)
    notes += [f"{converted:,} images with palettes, CMYK or the like are made RGB"] * bool(
        converted
    )
    notes += [f"of {frames:,} GIF or multi-frame images the first frame is used"] * bool(frames)
    return tuple(notes)


def _stamp(root: Path, paths: list[str], exif: str) -> str:
    """A key over the paths, sizes and times of the files.

    Every write changes it, also one that restores the time of modification.
    """
    key = hashlib.blake2b(f"{RULE}\0{exif}\0{root.resolve()}".encode("utf-8", "surrogateescape"))
    for path in paths:
        relative = path[len(str(root)) :]
        try:
            info = os.stat(path)  # noqa: PTH116  # 60,000 times
            line = f"{relative}\0{info.st_size}\0{info.st_mtime_ns}\0{info.st_ctime_ns}\n"
        except OSError:  # a broken link, or a file that has vanished
            line = f"{relative}\0missing\n"
        key.update(line.encode("utf-8", "surrogateescape"))
    return key.hexdigest()[:32]


def _content_key(digest: UInt64[np.ndarray, "M"], rule: Rule) -> str:
    words = f"{RULE}, side {rule.image_size}, exif {rule.exif}".encode()
    return hashlib.blake2b(digest.astype("<u8").tobytes() + words, digest_size=16).hexdigest()


def _read_facts(cache: Path, stamp: str, count: int) -> Facts | None:
    """The facts under a stamp; None if they are missing or damaged (the file has a checksum)."""
    path = cache / "facts" / f"{stamp}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            digest, shape, traits = arrays["digest"], arrays["shape"], arrays["traits"]
            reasons = {int(row): why for row, why in json.loads(str(arrays["reasons"])).items()}
    except files.UNREADABLE_ARRAY:
        return None
    intact = digest.shape == traits.shape == (count,) and shape.shape == (count, 3)
    return Facts(digest, shape, traits, reasons) if intact else None


def _write_facts(cache: Path, stamp: str, facts: Facts) -> None:
    arrays = {"digest": facts.digest, "shape": facts.shape, "traits": facts.traits}
    reasons = np.array(json.dumps(facts.reasons))
    files.write_arrays(cache / "facts" / f"{stamp}.npz", {**arrays, "reasons": reasons})


def _image_file(cache: Path, content: str) -> Path:
    return cache / "images" / f"{content}.npy"


def _write_images(
    cache: Path,
    content: str,
    paths: list[str],
    good: Bool[np.ndarray, "N"],
    layout: Layout,
    progress: Listener,
) -> dict[int, str]:
    """Decode the good files. Keeps them unless some cannot be decoded: their rows and reasons."""
    rows = np.flatnonzero(good).tolist()
    path = _image_file(cache, content)
    with files.replacing(path) as temporary:
        reasons = decoding.decode_into(temporary, [paths[row] for row in rows], layout, progress)
    if reasons:
        path.unlink()
    else:
        files.write_json(path.with_suffix(".json"), asdict(layout))
    return {rows[place]: why for place, why in reasons.items()}


def _read_images(
    cache: Path, content: str, count: int, layout: Layout
) -> UInt8[np.ndarray, "M H W C"] | None:
    """The images under a key, memory-mapped; None if they are missing or damaged."""
    path = _image_file(cache, content)
    try:
        known = Layout(**files.read_json(path.with_suffix(".json")))
        images = _mapped(path)
        whole = path.stat().st_size == images.offset + images.nbytes
    except (FileError, OSError, ValueError, TypeError, EOFError):
        return None
    intact = whole and images.dtype == np.uint8 and images.shape == (count, *layout.shape)
    return images if intact and known == layout else None


def _mapped(path: Path) -> np.memmap:
    try:
        # Copy on write: torch requires writable arrays, and the file must not change.
        images = np.load(path, mmap_mode="c", allow_pickle=False)
    except OSError:  # the kernel refuses a writable map that is larger than its memory
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(images, np.memmap):
        raise ValueError(f"{path} is not an array file")
    return images
