"""Holdout validation: networks trained on a part of the rows, asked about the rest; each is trained once."""

import shutil
import time
from functools import lru_cache, partial
from itertools import product

import numpy as np
import torch

from prune_kit.data.dataset import Dataset
from prune_kit.errors import RunError
from prune_kit.progress import Listener, note, silent
from prune_kit.runs.cache import RecordedRun, Request, RunInputs
from prune_kit.runs.executor import Task, run_tasks
from prune_kit.runs.holdout import IN_WORK, PROBABILITY_CLASSES, Holdout
from prune_kit.runs.processes import EpochListener
from prune_kit.runs.recorder import STATE, complete
from prune_kit.runs.signal_files import write_signals
from prune_kit.runs.state import SavedState
from prune_kit.storage import files
from prune_kit.training import allocator, ensemble, images, loop
from prune_kit.training.images import DeviceImages, PreparedImages
from prune_kit.training.threads import using_threads

PREPARED_BYTES = (
    2**28
)  # images are normalised once for all folds where that takes no more in each process


def complete_folds(holdout: Holdout, progress: Listener = silent) -> Holdout:
    """Train the folds that are not there yet, and give all of them.

    Every network passes `holdout.config.epochs` times over its own rows. Raises RunError when a
    training diverges, FileError when the cache cannot be written.
    """
    groups = holdout.groups()
    if groups and not (holdout.folder / "inputs.json").is_file():
        files.write_json(holdout.folder / "inputs.json", holdout.inputs)
    for ratio, group in groups:  # whatever becomes of this command, they stay together
        holdout.in_work(ratio, group).mkdir(parents=True, exist_ok=True)
    asked = set(product(holdout.ratios, range(holdout.folds)))
    there = len(asked & set(holdout.kept()))
    if groups and there:
        progress(note("folds", f"{there} of {len(asked)} are there already"))
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
    _shown.cache_clear()
    return holdout


def _name(ratio: int, group: range) -> str:
    folds = (
        f"fold {group[0] + 1}" if len(group) == 1 else f"folds {group[0] + 1} to {group[-1] + 1}"
    )
    return f"{folds} at {ratio} %"


def _train_group(
    holdout: Holdout, ratio: int, group: range, held_out: list[np.ndarray], listener: EpochListener
) -> None:
    """Train the folds of a group, and keep what they say of the rows that each has not seen, and of the test set."""
    allocator.keep_freed_memory()
    data, epochs = holdout.data, holdout.config.epochs
    finished = epochs  # when this command began, unless one more epoch ends

    def listen(epoch: int, of: int, note: str) -> None:
        nonlocal finished
        finished = min(finished, epoch - 1)
        if epoch < of:  # the last is told with what came of it
            listener(epoch, of, note)

    train = _together if holdout.by_hand else _alone
    with using_threads(holdout.execution.threads):
        logits, test_logits, seconds = train(holdout, ratio, group, held_out, listen)
    before = group.start - holdout.trained_with(group).start
    places = slice(before, before + len(group))
    logits, test_logits, held_out = logits[places], test_logits[places], held_out[places]
    if not bool(logits.isfinite().all()):
        rate = holdout.config.learning_rate
        raise RunError(
            f"training diverged: {_name(ratio, group)}, the outputs are no longer finite. "
            f"Lower the learning rate (it is {rate:g}): --train learning_rate={rate / 4:g}"
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
    if data.classes <= PROBABILITY_CLASSES:
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

    It goes on where it was interrupted. Gives their logits (G, h, C), and (G, M, C) of the test set, and the seconds that both took.
    """
    data, config, device = holdout.data, holdout.config, torch.device(holdout.execution.device)
    began, seeds = (
        time.monotonic(),
        [holdout.network_seed(ratio, fold) for fold in holdout.trained_with(group)],
    )
    shown, test_pictures, test_rows = _shown(holdout)
    labels = torch.from_numpy(data.labels).to(device)
    members = torch.from_numpy(np.stack([_rest(data, rows) for rows in held_out])).to(device)
    networks = ensemble.stack(
        [holdout.network(seed) for seed in seeds], device, holdout.execution.precision
    )
    saved = SavedState(holdout.in_work(ratio, group) / STATE)
    finished = 0
    if found := saved.read():
        finished, (tensors, metadata) = found
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
        return logits, ensemble.evaluate(networks, test_pictures, tested), time.monotonic() - began


def _alone(
    holdout: Holdout, ratio: int, group: range, held_out: list[np.ndarray], listener: EpochListener
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """One network by the usual loop, which goes on where it was interrupted; what it gives is as of `_together`."""
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
    pictures, test_pictures, test_rows = images.of_data(data, device)
    asked = loop.evaluate(network, pictures, precision, torch.from_numpy(rows).to(device))
    tested = loop.evaluate(network, test_pictures, precision, test_rows)
    return asked[None], tested[None], time.monotonic() - began


@lru_cache(maxsize=1)
def _shown(holdout: Holdout) -> tuple[DeviceImages | PreparedImages, DeviceImages, torch.Tensor]:
    """The images, prepared where they fit and none is augmented, and those and the rows of the test examples."""
    data, device = holdout.data, torch.device(holdout.execution.device)
    pictures, test_pictures, test_rows = images.of_data(data, device)
    augmented = holdout.config.crop_padding > 0 or holdout.config.flip
    fits = data.images.size * torch.float32.itemsize <= PREPARED_BYTES
    return pictures.prepared() if fits and not augmented else pictures, test_pictures, test_rows


def _rest(data: Dataset, rows: np.ndarray) -> np.ndarray:
    """The training rows that are not among `rows`, ascending."""
    return np.setdiff1d(data.rows.training, rows, assume_unique=True)
