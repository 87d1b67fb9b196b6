"""Training a run into its folder: epoch by epoch, so that it can stop anywhere and go on."""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from prune_kit.errors import RunError
from prune_kit.runs.cache import (
    RecordedRun,
    Request,
    RunInputs,
    build_model,
    missing,
)
from prune_kit.runs.processes import EpochListener
from prune_kit.runs.signal_files import holds, threshold_file, write_signals
from prune_kit.runs.state import SavedState, State
from prune_kit.runs.tensor_files import owned, write_tensors
from prune_kit.storage import files
from prune_kit.training import allocator, cuda_graphs, images, loop, optimizers, signals
from prune_kit.training.out_of_memory import is_out_of_memory
from prune_kit.training.threads import using_threads
from prune_kit.training.threshold import Watch

STATE = "state.safetensors"


def complete(
    inputs: RunInputs, request: Request, runs_folder: Path, listener: EpochListener
) -> None:
    """Train what is missing of a run, and nothing else.

    Raises RunError when the loss is no longer finite or memory runs out, FileError when the cache
    cannot be written.
    """
    lacking = missing(inputs, request, runs_folder)
    if not lacking:
        return
    folder = runs_folder / inputs.key
    allocator.keep_freed_memory()
    device = torch.device(inputs.execution.device)
    with (
        using_threads(inputs.execution.threads),
        loop.in_tf32(device),
        cuda_graphs.own_stream(device),
    ):
        run = _Run(inputs, request, folder, lacking, listener)
        if not (folder / "inputs.json").is_file():
            files.write_json(folder / "inputs.json", inputs.describe())
        run.go()


class _Run:
    """One run while it is trained: the mutable state that the loop needs, in one place."""

    def __init__(
        self,
        inputs: RunInputs,
        request: Request,
        folder: Path,
        lacking: list[str],
        listener: EpochListener,
    ) -> None:
        device = torch.device(inputs.execution.device)
        data = inputs.data
        pictures, self.test_images, self.test_rows = images.of_data(data, device)
        self.inputs, self.request, self.folder, self.listener = inputs, request, folder, listener
        self.lacking = set(lacking)
        self.training = loop.Training(
            images=pictures,
            labels=torch.from_numpy(data.labels).to(device),
            members=torch.from_numpy(inputs.rows).to(device),
            config=inputs.config,
            seed=inputs.seed,
            total_steps=inputs.total_steps,
            epoch_steps=inputs.epoch_steps,
            precision=inputs.execution.precision,
        )
        self.test_labels = torch.from_numpy(data.test.label).to(device)
        self.model = loop.placed(build_model(inputs), device)
        self.optimizer = optimizers.optimizer_for(self.model, inputs.config)
        self.steps = cuda_graphs.fastest(self.model, self.optimizer, self.training)
        self.logits = torch.empty(
            len(data), data.classes, device=device
        )  # of one epoch after the other
        lacking_thresholds = {
            value for value in request.thresholds if threshold_file(value) in self.lacking
        }
        self.watch = Watch(self.model, self.training, lacking_thresholds)
        self.last_epoch = _last_epoch(inputs, request, folder, lacking)
        self.epoch, self.seconds = 0, 0.0
        self.resumed = 0  # the epoch from which it goes on
        summed = (len(data), data.classes) if request.minibatches else (0, 0)
        self.probability_sum = torch.zeros(summed, device=device)
        self.presentations = torch.zeros(summed[0], dtype=torch.int32, device=device)
        self.sums_complete = request.minibatches  # they hold every epoch so far
        self.saved = SavedState(folder / STATE)

    def go(self) -> None:
        self._resume()
        with self.saved.saved_on_interrupt():
            self._go()

    def _go(self) -> None:
        began, images_seen, compiling = time.monotonic(), 0, self.inputs.config.compiled
        started = began - self.seconds
        self._observe()
        while not self._done:
            presented, loss = self._train_epoch()
            now, images_seen = time.monotonic(), images_seen + presented
            self.seconds = now - started
            self._observe()
            last = self._done
            if self.epoch == self.training.epochs:
                self.saved.discard()
            else:
                self.saved.keep(self.epoch, self._state(), save=last)
            note = f"loss {loss:.3f}, {images_seen / (now - began):,.0f} images/s"
            if compiling:
                note += ", compiling included"
                began, images_seen, compiling = (
                    time.monotonic(),
                    0,
                    False,
                )  # the next epochs tell the network's speed
            if last:
                self._finish()
                from_state = f", went on after epoch {self.resumed}" if self.resumed else ""
                note = f"{note}, {self.seconds:.1f} s{from_state}{cuda_graphs.remark(self.steps)}"
            ahead = self.training.epochs if self.watch.unreached else self.last_epoch
            self.listener(self.epoch, self.epoch if last else ahead, note)
        if not (self.folder / "finished.json").is_file():
            self._finish()
            self.listener(self.epoch, self.epoch, "recorded")

    @property
    def _done(self) -> bool:
        """Whether every epoch asked for has ended, and every threshold was reached or the protocol is at its end."""
        looking = self.watch.unreached and self.epoch < self.training.epochs
        return self.epoch >= self.last_epoch and not looking

    def _train_epoch(self) -> tuple[int, float]:
        """One epoch; its signals are written before the epoch counts as finished."""
        labels, logits = self.training.labels, self.logits.fill_(torch.nan)
        # nothing is called after a step where nothing is looked for
        watching = {"after_step": self.watch.after_step} if self.watch.unreached else {}
        try:
            presented = loop.train_epoch(
                self.model,
                self.optimizer,
                self.training,
                self.epoch + 1,
                logits,
                steps=self.steps,
                **watching,
            )
        except (RuntimeError, MemoryError) as error:
            network, batch = self.inputs.config.model, self.inputs.config.batch_size
            if self.inputs.config.compiled and (reason := cuda_graphs.compiler_failure(error)):
                raise RunError(
                    f"{network} cannot be compiled here: {reason}. Leave out compiled=true"
                ) from error
            if not is_out_of_memory(error):
                raise
            raise RunError(
                f"training ran out of memory: seed {self.inputs.seed}, epoch {self.epoch + 1}, "
                f"{network} in batches of {batch}. Give a smaller batch: --train "
                f"batch_size={max(batch // 2, 1)}, or --jobs 1"
            ) from error
        self.epoch += 1
        probability = logits.softmax(1)
        seen = ~logits[:, 0].isnan()
        members = self.training.members
        loss = -probability[members, labels[members]].log().nanmean().item()
        if int(seen.sum()) < min(presented, len(members)) or not np.isfinite(loss):
            rate = self.inputs.config.learning_rate
            raise RunError(
                f"training diverged: seed {self.inputs.seed}, epoch {self.epoch}, the loss is no "
                f"longer finite. Lower the learning rate (it is {rate:g}): --train "
                f"learning_rate={rate / 4:g}"
            )
        if self.request.minibatches:
            self.probability_sum += probability.nan_to_num_(0.0)
            self.presentations += seen
            self._write_arrays(
                f"minibatch-{self.epoch:04}.npz", lambda: signals.statistics(logits, labels)
            )
        for threshold, found in self.watch.take(
            at_the_end=self.epoch == self.training.epochs
        ).items():
            write_signals(self.folder / threshold_file(threshold), found)
        return presented, loss

    def _observe(self) -> None:
        """Record what is asked for at the epoch that has just ended."""
        epoch, precision = self.epoch, self.training.precision
        asked_test = self.request.test and epoch == self.request.last_epoch
        wanted_test = self._done or asked_test or epoch in self.request.sweeps
        if epoch in self.request.sweeps:
            self._write_arrays(
                f"sweep-{epoch:04}.npz",
                lambda: signals.statistics(
                    loop.sweep(self.model, self.training.images, precision), self.training.labels
                ),
            )
        if wanted_test:
            self._write_arrays(
                f"test-{epoch:04}.npz",
                lambda: signals.statistics(
                    loop.sweep(self.model, self.test_images, precision, self.test_rows),
                    self.test_labels,
                ),
            )
        if (
            epoch in self.request.weights
            and not (self.folder / f"weights-{epoch:04}.safetensors").is_file()
        ):
            write_tensors(
                self.folder / f"weights-{epoch:04}.safetensors", owned(self.model.state_dict()), {}
            )
        path = self.folder / f"probability-{epoch:04}.npy"
        if (
            epoch == self.request.last_epoch > 0
            and self.request.minibatches
            and self.sums_complete
            and not path.is_file()
        ):
            buffer = io.BytesIO()
            np.save(buffer, (self.probability_sum / self.presentations[:, None]).cpu().numpy())
            files.write_checked(path, buffer.getbuffer())

    def _write_arrays(self, name: str, arrays: Callable[[], dict[str, np.ndarray]]) -> None:
        path = self.folder / name
        if not holds(path, self.request.signals):
            write_signals(path, arrays())

    def _state(self) -> State:
        """All that the run goes on from after this epoch."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        kept, values = optimizers.optimizer_state(self.model, self.optimizer)
        tensors |= kept
        if self.sums_complete:
            tensors |= {
                "probability_sum": self.probability_sum,
                "presentations": self.presentations,
            }
        unreached = json.dumps(sorted(self.watch.unreached))  # watched for in every epoch so far
        return tensors, {
            "seconds": repr(self.seconds),
            "unreached": unreached,
            "optimizer": values,
        }

    def _resume(self) -> None:
        """Go on from the state, unless something is missing that only an earlier epoch can give."""
        found = self.saved.read()
        if found is None:
            return
        epoch, (tensors, metadata) = found
        unreached = json.loads(metadata.get("unreached", "[]"))
        wanted = self.request.files() | {threshold_file(value): epoch for value in unreached}
        if epoch > min(
            (wanted[name] for name in self.lacking if name in wanted), default=self.last_epoch
        ):
            return
        self.model.load_state_dict(_part(tensors, "model."))
        optimizers.restore_optimizer(
            self.model, self.optimizer, tensors, metadata.get("optimizer", "")
        )
        self.sums_complete = self.sums_complete and "probability_sum" in tensors
        if self.sums_complete:
            self.probability_sum.copy_(tensors["probability_sum"])
            self.presentations.copy_(tensors["presentations"])
        self.epoch, self.seconds = epoch, float(metadata["seconds"])
        self.resumed = epoch

    def _finish(self) -> None:
        path, run = self.folder / "finished.json", RecordedRun(self.inputs, self.folder)
        if path.is_file() and run.outcome()["epoch"] >= self.epoch:
            return
        correct = run.test("correct", self.epoch)
        steps = min(self.epoch * self.inputs.member_epoch_steps, self.inputs.total_steps)
        outcome = {
            "epoch": self.epoch,
            "steps": steps,
            "seconds": self.seconds,
            "test_accuracy": float(correct.mean()),
        }
        files.write_json(path, outcome, checked=True)


def _last_epoch(inputs: RunInputs, request: Request, folder: Path, lacking: list[str]) -> int:
    """The epoch at which this training ends: no later than where it has recorded all that it lacks.

    A run that lacks nothing but its outcome ends where it found its last threshold, or later.
    """
    if (folder / "finished.json").is_file():
        made_at = request.files()
        return max(made_at[name] + name.startswith("minibatch") for name in lacking)
    if lacking != ["finished.json"]:
        return request.last_epoch
    steps = [RecordedRun(inputs, folder).reached(threshold)[0] for threshold in request.thresholds]
    epochs = [
        inputs.epochs if step is None else -(-step // inputs.member_epoch_steps) for step in steps
    ]
    return max(request.last_epoch, *epochs, 0)


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
