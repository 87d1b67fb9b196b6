"""Holdout validation: networks that train on a part of the rows, and classify the rest."""

import shutil
import time
from functools import lru_cache, partial
from itertools import product

import numpy as np
import torch

from prune_kit.data.dataset import Dataset
from prune_kit.errors import RunError
from prune_kit.progress import Listener, note, silent
from prune_kit.results.column import MANY_CLASSES
from prune_kit.runs.cache import RecordedRun, Request, RunInputs
from prune_kit.runs.executor import Task, run_tasks
from prune_kit.runs.holdout import IN_WORK, Holdout
from prune_kit.runs.processes import EpochListener
from prune_kit.runs.recorder import STATE, complete
from prune_kit.runs.signal_files import write_signals
from prune_kit.runs.state import SavedState
from prune_kit.storage import files
from prune_kit.training import allocator, ensemble, images, loop
from prune_kit.training.images import DeviceImages, PreparedImages
from prune_kit.training.threads import using_threads

# images are normalised once for all folds where that takes no more in each process
PREPARED_BYTES = 2**28


def complete_folds(holdout: Holdout, progress: Listener = silent) -> Holdout:
    """Train the folds that are not there yet, and give all of them.

    Every network passes `holdout.config.epochs` times over its own rows. Raises RunError when a
    training diverges, FileError when the cache cannot be written.
    """
    groups = holdout.groups()
    if groups and not (holdout.folder / "inputs.json").is_file():
        files.write_json(holdout.folder / "inputs.json", holdout.inputs)
    for ratio, group in groups:  # they stay together if this command is interrupted
        holdout.in_work(ratio, group).mkdir(parents=True, exist_ok=True)
    asked = set(product(holdout.ratios, range(holdout.folds)))
    kept_number = len(asked & set(holdout.kept()))
    if groups and kept_number:
        progress(note("folds", f"{kept_number} of {len(asked)} are there already"))
    last = max((holdout.trained_with(group).stop for _, group in groups), default=0)
    sets = {ratio: holdout.held_out(ratio, last) for ratio in holdout.ratios}
    tasks = []
    for ratio, group in groups:
        held_out = [sets[ratio][fold] for fold in holdout.trained_with(group)]
        work = partial(_train_group, holdout, ratio, group, held_out)
        tasks.append(Task(_name(ratio, group), work, len(group)))
    if tasks:
        run_tasks(tasks, holdout.execution, progress)
    shutil.rmtree(holdout.folder / IN_WORK, ignore_errors=True)
    _images_of.cache_clear()
    return holdout


def _name(ratio: int, group: range) -> str:
    folds = (
        f"fold {group[0] + 1}" if len(group) == 1 else f"folds {group[0] + 1} to {group[-1] + 1}"
    )
    return f"{folds} at {ratio} %"


def _train_group(
    holdout: Holdout, ratio: int, group: range, held_out: list[np.ndarray], listener: EpochListener
) -> None:
    """Train the folds of a group, and keep how they classify the rows that each has not seen."""
    allocator.keep_freed_memory()
    data, epochs = holdout.data, holdout.config.epochs
    finished = epochs  # when this command began, unless one more epoch ends

    def listen(epoch: int, of: int, note: str) -> None:
        nonlocal finished
        finished = min(finished, epoch - 1)
        if epoch < of:  # the last is told with what came of it
            listener(epoch, of, note)

    train = _together if holdout.batched_mlp else _alone
    with using_threads(holdout.execution.threads):
        logits, test_logits, seconds = train(holdout, ratio, group, held_out, listen)
    before = group.start - holdout.trained_with(group).start
    places = slice(before, before + len(group))
    logits, test_logits, held_out = logits[places], test_logits[places], held_out[places]
    if not bool(logits.isfinite().all()):
        rate = holdout.config.learning_rate
        raise RunError(
            f"training diverged: {_name(ratio, group)}, the outputs are no longer finite. "
            f"Lower the learning rate (it is {rate:g}): config.learning_rate={rate / 4:g}"
        )
    mask, right = np.zeros((2, len(group), len(data)), dtype=bool)
    for place, (rows, predicted) in enumerate(
        zip(held_out, logits.argmax(2).cpu().numpy(), strict=True)
    ):
        mask[place, rows] = True
        right[place, rows] = predicted == data.labels[rows]
    accuracy = (test_logits.argmax(2).cpu().numpy() == data.test.label).mean(axis=1)
    arrays = {
        "held_out": np.packbits(mask, axis=1),
        "right": np.packbits(right, axis=1),
        "test_accuracy": accuracy,
        "seconds": np.array(seconds),
    }
    if data.classes <= MANY_CLASSES:
        arrays["probability"] = logits.softmax(2).to(torch.float16).cpu().numpy()
    write_signals(holdout.path(ratio, group), arrays)
    shutil.rmtree(holdout.in_work(ratio, group))
    resumed = f", went on after epoch {finished}" if finished else ""
    listener(
        epochs, epochs, f"test accuracy {100 * accuracy.mean():.2f} %, {seconds:.1f} s{resumed}"
    )


def _together(
    holdout: Holdout, ratio: int, group: range, held_out: list[np.ndarray], listener: EpochListener
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Train the G networks of a group, or of its block, in one batched computation.

    It goes on where it was interrupted.

    Returns
    -------
    The logits (G, h, C) of the rows held out of each, those (G, M, C) of the test set, and the
    seconds that both took.
    """
    data, config, device = holdout.data, holdout.config, torch.device(holdout.execution.device)
    began, seeds = (
        time.monotonic(),
        [holdout.network_seed(ratio, fold) for fold in holdout.trained_with(group)],
    )
    shown, test_images, test_rows = _images_of(holdout)
    labels = torch.from_numpy(data.labels).to(device)
    members = torch.from_numpy(np.stack([_rest(data, rows) for rows in held_out])).to(device)
    networks = ensemble.stack(
        [holdout.network(seed) for seed in seeds], device, holdout.execution.precision
    )
    saved = SavedState(holdout.in_work(ratio, group) / STATE)
    finished = 0
    if earlier := saved.read():
        finished, (tensors, metadata) = earlier
        ensemble.restore(networks, tensors)
        began -= float(metadata["seconds"])
    with saved.saved_on_interrupt():
        for epoch in range(finished + 1, config.epochs + 1):
            ensemble.train_epoch(networks, shown, labels, members, seeds, config, epoch)
            saved.keep(
                epoch, (ensemble.state(networks), {"seconds": repr(time.monotonic() - began)})
            )
            listener(epoch, config.epochs, "")
        asked, tested = (
            torch.from_numpy(np.stack(held_out)).to(device),
            test_rows.expand(len(seeds), -1),
        )
        logits = ensemble.evaluate(networks, shown, asked)
        return logits, ensemble.evaluate(networks, test_images, tested), time.monotonic() - began


def _alone(
    holdout: Holdout, ratio: int, group: range, held_out: list[np.ndarray], listener: EpochListener
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Train one network by the usual loop, which goes on where it was interrupted.

    What it gives is that of `_together`.
    """
    data, epochs = holdout.data, holdout.config.epochs
    (fold,), (rows,) = group, held_out
    members = _rest(data, rows)
    inputs = RunInputs(
        data,
        holdout.config,
        holdout.network_seed(ratio, fold),
        holdout.execution,
        members,
        len(members),
    )
    folder = holdout.in_work(ratio, group)
    complete(inputs, Request(epochs, weights=frozenset({epochs})), folder, listener)
    run = RecordedRun(inputs, folder / inputs.key)
    began = time.monotonic() - run.outcome()["seconds"]
    device, precision = torch.device(holdout.execution.device), holdout.execution.precision
    network = loop.placed(run.model(epochs), device)
    all_images, test_images, test_rows = images.of_data(data, device)
    asked = loop.evaluate(network, all_images, precision, torch.from_numpy(rows).to(device))
    tested = loop.evaluate(network, test_images, precision, test_rows)
    return asked[None], tested[None], time.monotonic() - began


@lru_cache(maxsize=1)
def _images_of(
    holdout: Holdout,
) -> tuple[DeviceImages | PreparedImages, DeviceImages, torch.Tensor]:
    """Lay the images where folds train, and those and the rows of the test examples.

    The former are prepared where they fit, and none is augmented.
    """
    data, device = holdout.data, torch.device(holdout.execution.device)
    all_images, test_images, test_rows = images.of_data(data, device)
    augmented = holdout.config.crop_padding > 0 or holdout.config.flip
    fits = data.images.size * torch.float32.itemsize <= PREPARED_BYTES
    if fits and not augmented:
        return all_images.prepared(), test_images, test_rows
    return all_images, test_images, test_rows


def _rest(data: Dataset, rows: np.ndarray) -> np.ndarray:
    """The training rows that are not among `rows`, ascending."""
    return np.setdiff1d(data.rows.training, rows, assume_unique=True)
