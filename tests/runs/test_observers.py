"""Observers serve a loop that is none of ours."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from prune_kit.runs.observers import (
    Evaluations,
    Minibatches,
    Observer,
    ProbabilitySums,
    Thresholds,
    Weights,
)
from prune_kit.runs.signal_files import read_signal
from prune_kit.runs.tensor_files import read_tensors
from prune_kit.training import signals

NAMES = frozenset(signals.NAMES)
EPOCHS, BATCH = 4, 8


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(30, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels(inputs: torch.Tensor) -> torch.Tensor:
    return (inputs[:, 0] > 0).long()


def test_a_loop_of_its_own_records_what_it_sees(
    inputs: torch.Tensor, labels: torch.Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = nn.Linear(5, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    logits = torch.empty(30, 2)

    def evaluate() -> torch.Tensor:
        return model(inputs).detach()

    def accuracy() -> float:
        return float((evaluate().argmax(1) == labels).float().mean())

    wanted = frozenset({0, 3})
    sums = ProbabilitySums(tmp_path, logits, EPOCHS)
    thresholds = Thresholds(tmp_path, {0.8, 1.0}, accuracy, evaluate, labels, EPOCHS * 3)
    of_steps: list[Observer] = [Minibatches(tmp_path, logits, labels, NAMES), sums, thresholds]
    of_network: list[Observer] = [
        Evaluations(tmp_path, "sweep", wanted, evaluate, labels, NAMES),
        Weights(tmp_path, wanted, model),
    ]
    seen: list[torch.Tensor] = []
    clean: dict[int, torch.Tensor] = {0: evaluate()}
    for observer in of_network:
        observer.after(0)
    step = 0
    for epoch in range(1, EPOCHS + 1):
        logits.fill_(torch.nan)
        for rows in torch.randperm(30)[: 3 * BATCH].split(BATCH):
            output = model(inputs[rows])
            logits[rows] = output.detach()
            optimizer.zero_grad()
            functional.cross_entropy(output, labels[rows]).backward()
            optimizer.step()
            step += 1
            thresholds.after_step(step)
        for observer in (*of_steps, *of_network):
            observer.after(epoch)
        seen.append(logits.clone())
        clean[epoch] = evaluate()

    for epoch, presented in enumerate(seen, start=1):
        expected = signals.statistics(presented, labels)
        for name in signals.NAMES:
            kept = read_signal(tmp_path / f"minibatch-{epoch:04}.npz", name)
            np.testing.assert_array_equal(kept, expected[name])
    for epoch in wanted:
        expected = signals.statistics(clean[epoch], labels)
        kept = read_signal(tmp_path / f"sweep-{epoch:04}.npz", "margin")
        np.testing.assert_array_equal(kept, expected["margin"])
        weight = read_tensors(tmp_path / f"weights-{epoch:04}.safetensors")[0]["weight"]
        assert torch.equal(weight, model.weight) == (epoch == EPOCHS)
    shown = torch.stack(seen).softmax(2)
    np.testing.assert_allclose(
        np.load(tmp_path / f"probability-{EPOCHS:04}.npy"), shown.nanmean(0), rtol=1e-5
    )
    reached = {value: int(read_signal(path(tmp_path, value), "step")) for value in (0.8, 1.0)}
    assert 0 < reached[0.8] <= EPOCHS * 3
    assert reached[1.0] == -1 or reached[1.0] >= reached[0.8]
    assert sorted(file.name for file in tmp_path.glob("sweep-*")) == [
        "sweep-0000.npz",
        "sweep-0003.npz",
    ]


def path(folder: Path, threshold: float) -> Path:
    return folder / f"threshold-{threshold}.npz"


def test_sums_that_lack_an_epoch_are_never_written(tmp_path: Path) -> None:
    logits = torch.zeros(4, 2)
    sums = ProbabilitySums(tmp_path, logits, 2)
    sums.restore({})
    sums.after(2)
    assert sums.state() == {} and not list(tmp_path.iterdir())
    whole = ProbabilitySums(tmp_path, logits, 2)
    whole.after(1)
    again = ProbabilitySums(tmp_path, logits, 2)
    again.restore(whole.state())
    again.after(2)
    assert np.load(tmp_path / "probability-0002.npy").tolist() == [[0.5, 0.5]] * 4
