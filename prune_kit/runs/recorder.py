"""Training a run into its folder: epoch by epoch, so that it can stop anywhere and go on."""

import json
import time
from pathlib import Path

import numpy as np
import torch

from prune_kit.errors import RunError
from prune_kit.runs.cache import RecordedRun, Request, RunInputs, build_model, missing
from prune_kit.runs.observers import Minibatches, Observer, ProbabilitySums, Weights
from prune_kit.runs.processes import EpochListener
from prune_kit.runs.signal_files import threshold_file
from prune_kit.runs.stage import Stage
from prune_kit.runs.state import SavedState, State
from prune_kit.storage import files
from prune_kit.training import allocator, cuda_graphs, loop, optimizers
from prune_kit.training.out_of_memory import is_out_of_memory
from prune_kit.training.threads import using_threads

STATE = "state.safetensors"


def complete(
    inputs: RunInputs, request: Request, runs_folder: Path, listener: EpochListener
) -> None:
    """Train what is missing of a run, and nothing else.

    Parameters
    ----------
    inputs : what the run is a function of.
    request : what must be recorded of it.
    runs_folder : the cache, in which the run has the folder of its key.
    listener : is told of every epoch: the number of finished ones, of those asked for, how it goes.

    Raises
    ------
    RunError when the loss is no longer finite or memory runs out, FileError when the cache is
    damaged or cannot be written.
    """
    if not missing(inputs, request, runs_folder):
        return
    folder = runs_folder / inputs.key
    allocator.keep_freed_memory()
    device = torch.device(inputs.execution.device)
    with (
        using_threads(inputs.execution.threads),
        loop.in_tf32(device),
        cuda_graphs.own_stream(device),
    ):
        if not (folder / "inputs.json").is_file():
            files.write_json(folder / "inputs.json", inputs.describe())
        stage = Stage.of(inputs, request, folder)
        stage.evaluate_kept_networks()
        lacking = missing(inputs, request, runs_folder)
        if lacking:
            _Run(stage, lacking, listener).go()


class _Run:
    """A run while it is trained: what changes with every epoch, and who records it."""

    def __init__(self, stage: Stage, lacking: list[str], listener: EpochListener) -> None:
        self.inputs, self.request, self.folder = stage.inputs, stage.request, stage.folder
        self.training, self.lacking, self.listener = stage.training, lacking, listener
        asked, labels = stage.request, stage.training.labels
        self.model = loop.placed(build_model(stage.inputs), stage.device)
        self.optimizer = optimizers.optimizer_for(self.model, stage.inputs.config)
        self.steps = cuda_graphs.fastest(self.model, self.optimizer, self.training)
        # of one epoch after the other
        self.logits = torch.empty(len(labels), stage.inputs.data.classes, device=stage.device)
        self.last_epoch = _last_epoch(self.inputs, asked, self.folder, lacking)
        self.saved = SavedState(self.folder / STATE)
        self.epoch = 0
        self.seconds = 0.0
        self.resumed = 0  # the epoch from which it goes on
        self.thresholds = stage.thresholds(self.model, lacking)
        self.sums: ProbabilitySums | None = None
        self.of_steps: list[Observer] = [self.thresholds]
        if asked.minibatches:
            minibatches = Minibatches(self.folder, self.logits, labels, asked.signals)
            self.sums = ProbabilitySums(self.folder, self.logits, asked.last_epoch)
            self.of_steps = [minibatches, self.sums, self.thresholds]
        swept, self.tested = stage.evaluations(self.model)
        weights = Weights(self.folder, asked.weights, self.model)
        self.of_network: list[Observer] = [swept, self.tested, weights]

    def go(self) -> None:
        """Train until nothing is lacking, from the state where there is one."""
        self._resume()
        with self.saved.saved_on_interrupt():
            self._train()

    def _train(self) -> None:
        began, images_seen, compiling = time.monotonic(), 0, self.inputs.config.compiled
        started = began - self.seconds
        if self.sums is not None:
            self.sums.write(self.epoch)
        self._observe_network()
        while not self._done:
            presented, loss = self._train_epoch()
            now, images_seen = time.monotonic(), images_seen + presented
            self.seconds = now - started
            self._observe_network()
            last = self._done
            if self.epoch < self.training.epochs:
                self.saved.keep(self.epoch, self._state(), save=last)
            note = f"loss {loss:.3f}, {images_seen / (now - began):,.0f} images/s"
            if compiling:  # the next epochs tell the network's speed
                note += ", compiling included"
                began, images_seen, compiling = time.monotonic(), 0, False
            if last:
                self._finish()
                from_state = f", went on after epoch {self.resumed}" if self.resumed else ""
                note = f"{note}, {self.seconds:.1f} s{from_state}{cuda_graphs.why_slow(self.steps)}"
            if self.epoch == self.training.epochs:
                self.saved.discard()
            ahead = self.training.epochs if self.thresholds.unreached else self.last_epoch
            self.listener(self.epoch, self.epoch if last else ahead, note)
        if not (self.folder / "finished.json").is_file():
            self._finish()
            self.listener(self.epoch, self.epoch, "recorded")

    @property
    def _done(self) -> bool:
        """Whether every epoch asked for has ended, and nothing more can be found.

        Thresholds are looked for until they are reached, or the protocol is at its end.
        """
        looking = self.thresholds.unreached and self.epoch < self.training.epochs
        return self.epoch >= self.last_epoch and not looking

    def _train_epoch(self) -> tuple[int, float]:
        """One epoch; its signals are written before the epoch counts as finished."""
        self.logits.fill_(torch.nan)
        # nothing is called after a step where nothing is looked for
        watching = {"after_step": self.thresholds.after_step} if self.thresholds.unreached else {}
        try:
            presented = loop.train_epoch(
                self.model,
                self.optimizer,
                self.training,
                self.epoch + 1,
                self.logits,
                steps=self.steps,
                **watching,
            )
        except (RuntimeError, MemoryError) as error:
            explained = _explained(error, self.inputs, self.epoch + 1)
            if explained is None:
                raise
            raise explained from error
        self.epoch += 1
        loss = self._loss(presented)
        for observer in self.of_steps:
            observer.after(self.epoch)
        return presented, loss

    def _loss(self, presented: int) -> float:
        """The mean loss of the epoch. Raises RunError when it is no longer finite."""
        members, labels = self.training.members, self.training.labels
        seen = ~self.logits[:, 0].isnan()
        loss = -self.logits.softmax(1)[members, labels[members]].log().nanmean().item()
        if int(seen.sum()) < min(presented, len(members)) or not np.isfinite(loss):
            rate = self.inputs.config.learning_rate
            raise RunError(
                f"training diverged: seed {self.inputs.seed}, epoch {self.epoch}, the loss is no "
                f"longer finite. Lower the learning rate (it is {rate:g}): "
                f"config.learning_rate={rate / 4:g}"
            )
        return loss

    def _observe_network(self) -> None:
        """Record what is asked for of the network at the epoch that has just ended."""
        for observer in self.of_network:
            observer.after(self.epoch)

    def _state(self) -> State:
        """All that the run goes on from after this epoch."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        kept, values = optimizers.optimizer_state(self.model, self.optimizer)
        tensors |= kept
        if self.sums is not None:
            tensors |= self.sums.state()
        unreached = json.dumps(
            sorted(self.thresholds.unreached)
        )  # looked for in every epoch so far
        return tensors, {
            "seconds": repr(self.seconds),
            "unreached": unreached,
            "optimizer": values,
        }

    def _resume(self) -> None:
        """Go on from the state, unless something is missing that only an earlier epoch can give."""
        saved = self.saved.read()
        if saved is None:
            return
        epoch, (tensors, metadata) = saved
        unreached = json.loads(metadata.get("unreached", "[]"))
        latest = self.request.files() | {threshold_file(value): epoch for value in unreached}
        if epoch > min(
            (latest[name] for name in self.lacking if name in latest), default=self.last_epoch
        ):
            return
        self.model.load_state_dict(_part(tensors, "model."))
        optimizers.restore_optimizer(
            self.model, self.optimizer, tensors, metadata.get("optimizer", "")
        )
        if self.sums is not None:
            self.sums.restore(tensors)
        self.epoch, self.seconds = epoch, float(metadata["seconds"])
        self.resumed = epoch

    def _finish(self) -> None:
        """Say how far the run is, unless it was as far before."""
        path, run = self.folder / "finished.json", RecordedRun(self.inputs, self.folder)
        if path.is_file() and run.outcome()["epoch"] >= self.epoch:
            return
        self.tested.record(self.epoch)
        correct = run.test("correct", self.epoch)
        steps = min(self.epoch * self.inputs.member_epoch_steps, self.inputs.total_steps)
        outcome = {
            "epoch": self.epoch,
            "steps": steps,
            "seconds": self.seconds,
            "test_accuracy": float(correct.mean()),
        }
        files.write_json(path, outcome, checked=True)


def _explained(error: Exception, inputs: RunInputs, epoch: int) -> RunError | None:
    """What the user can do about an error of an epoch; None where nothing is known."""
    network, batch = inputs.config.model, inputs.config.batch_size
    reason = cuda_graphs.compiler_failure(error) if inputs.config.compiled else ""
    if reason:
        return RunError(f"{network} cannot be compiled here: {reason}. Leave out compiled=true")
    if is_out_of_memory(error):
        return RunError(
            f"training ran out of memory: seed {inputs.seed}, epoch {epoch}, "
            f"{network} in batches of {batch}. Give a smaller batch: "
            f"config.batch_size={max(batch // 2, 1)}, or jobs=1"
        )
    return None


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
