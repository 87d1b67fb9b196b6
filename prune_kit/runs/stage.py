"""A run whose data lie where it trains, and what observes its network there."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from prune_kit.runs.cache import RecordedRun, Request, RunInputs, missing
from prune_kit.runs.observers import Evaluations, Thresholds
from prune_kit.runs.signal_files import threshold_file
from prune_kit.training import images, loop
from prune_kit.training.threshold import sample_of


@dataclass(frozen=True, eq=False)
class Stage:
    """A run whose data are where it trains.

    Parameters
    ----------
    inputs, request : what the run is a function of, and what must be recorded of it.
    folder : that of the run.
    training : what its steps work on.
    test_images, test_rows : the test examples are these rows (M,) of these images.
    test_labels : (M,)
    """

    inputs: RunInputs
    request: Request
    folder: Path
    training: loop.Training
    test_images: images.DeviceImages
    test_rows: torch.Tensor
    test_labels: torch.Tensor

    @classmethod
    def of(cls, inputs: RunInputs, request: Request, folder: Path) -> "Stage":
        """Lay the data where the run trains.

        Parameters are those of the class.
        """
        data, device = inputs.data, torch.device(inputs.execution.device)
        pixels, test_images, test_rows = images.of_data(data, device)
        training = loop.Training(
            images=pixels,
            labels=torch.from_numpy(data.labels).to(device),
            members=torch.from_numpy(inputs.rows).to(device),
            config=inputs.config,
            seed=inputs.seed,
            total_steps=inputs.total_steps,
            epoch_steps=inputs.epoch_steps,
            precision=inputs.execution.precision,
        )
        test_labels = torch.from_numpy(data.test.label).to(device)
        return cls(inputs, request, folder, training, test_images, test_rows, test_labels)

    @property
    def device(self) -> torch.device:
        """Where the run trains."""
        return self.training.images.device

    def evaluations(self, model: nn.Module) -> tuple[Evaluations, Evaluations]:
        """Give the observers that make clean passes: over all rows, and over the test examples."""
        asked, training = self.request, self.training
        all_rows = partial(loop.evaluate, model, training.images, training.precision)
        test_rows = partial(
            loop.evaluate, model, self.test_images, training.precision, self.test_rows
        )
        tested = asked.sweeps | ({asked.last_epoch} if asked.test else frozenset())
        return (
            Evaluations(
                self.folder, "sweep", asked.sweeps, all_rows, training.labels, asked.signals
            ),
            Evaluations(self.folder, "test", tested, test_rows, self.test_labels, asked.signals),
        )

    def thresholds(self, model: nn.Module, lacking: list[str]) -> Thresholds:
        """The observer of those thresholds whose files are lacking."""
        training = self.training
        wanted = {value for value in self.request.thresholds if threshold_file(value) in lacking}
        rows = sample_of(training.members, training.seed) if wanted else training.members[:0]
        sample = replace(training.images, pixels=training.images.of(rows), streamed=False)
        return Thresholds(
            self.folder,
            wanted,
            partial(loop.accuracy, model, sample, training.labels[rows], training.precision),
            partial(loop.evaluate, model, training.images, training.precision),
            training.labels,
            training.total_steps,
        )

    def evaluate_kept_networks(self) -> None:
        """Make the clean passes that the run lacks at epochs of which it has kept the network."""
        lacking = missing(self.inputs, self.request, self.folder.parent)
        run = RecordedRun(self.inputs, self.folder)
        for epoch in sorted(self.request.sweeps):
            names = {f"sweep-{epoch:04}.npz", f"test-{epoch:04}.npz"}
            if names & set(lacking) and run.has_model(epoch):
                network = loop.placed(run.model(epoch), self.device)
                for observer in self.evaluations(network):
                    observer.after(epoch)
