"""One tiny run whose numbers are kept: a change that is no change of numerics leaves them as they
are.

On the processors and the torch that wrote them they must be equal to the last bit. Elsewhere they
can only be alike: between two processors el2n@2 differs by up to 0.009 of its standard deviation;
and first weights moved by 1e-7 to 1e-6 change el2n@2 by 0.2 of it on average, lof@2 by up to 0.5
(five tries). Unrelated scores are 1.1 apart. For another processor, or after a stated change of
numerics: python -m tests.test_golden
"""

import json
import platform
import tempfile
from pathlib import Path

import numpy as np
import torch

import prune_kit
from prune_kit.protocol.config import TrainConfig
from prune_kit.runs.cache import Request, RunInputs
from prune_kit.runs.executor import PlannedRuns, complete_runs
from prune_kit.scorers import Runs
from prune_kit.scoring.averages import score_column
from prune_kit.scoring.columns import options_for
from tests.conftest import ONE_THREAD

GOLDEN = Path(__file__).with_name("golden.json")
METHODS = (
    "el2n",
    "grand",
    "forgetting",
    "cumulative_pl",
    "aum",
    "density",
    "density_same",
    "density_signed",
    "lof",
    "consistency",
    "consensus",
    "learning_speed",
    "difficulty",
)
SHOWN = 40
ALIKE = 0.75  # mean difference, in standard deviations


def machine() -> str:
    """What the last bits depend on."""
    names = [
        line
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = names[0].partition(": ")[2] if names else platform.processor()
    return f"{processor}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


def scores() -> dict[str, list[float]]:
    """The first scores of every method, from two small networks on digits, in one thread."""
    data = prune_kit.load_data("digits")
    config = TrainConfig(
        model="convnet", epochs=3, batch_size=64, learning_rate=0.05, crop_padding=1
    )
    inputs = [RunInputs(data, config, seed, ONE_THREAD) for seed in (0, 1)]
    request = Request(
        2,
        minibatches=True,
        sweeps=frozenset({1, 2}),
        weights=frozenset({2}),
        thresholds=frozenset({0.5}),
    )
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(
            complete_runs(PlannedRuns.of(inputs, [request] * 2, Path(folder))).runs, 0, ONE_THREAD
        )
        options = options_for(list(METHODS), {})
        columns = [
            score_column(data, runs, method, 2, False, {}, options[method]) for method in METHODS
        ]
    rows = data.rows.training[:SHOWN]
    return {column.name: [float(value) for value in column.values[rows]] for column in columns}


def test_the_golden_run_gives_its_numbers() -> None:
    golden, found = json.loads(GOLDEN.read_text()), scores()
    if machine() in golden:
        assert found == golden[machine()]
        return
    for recorded in golden.values():
        assert found.keys() == recorded.keys()
        for name, values in recorded.items():
            apart = np.abs(np.subtract(found[name], values)).mean()
            assert apart <= ALIKE * np.std(values), name


def record() -> None:
    """Keep this machine's numbers.

    Where they are no longer what they were, those of other machines are not either.
    """
    golden, found = json.loads(GOLDEN.read_text()), scores()
    same = golden.get(machine(), found) == found
    GOLDEN.write_text(json.dumps((golden if same else {}) | {machine(): found}, indent=1) + "\n")


if __name__ == "__main__":
    record()
