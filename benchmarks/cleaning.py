"""Detection of wrong labels: one training with planted probes against cleanlab.

    python benchmarks/cleaning.py --mnist mnist:DIR --cifar folder:DIR      both, seven noises each
    python benchmarks/cleaning.py --mnist mnist:DIR --noise pair40,clean    some of them

For each data set and noise, ours scores once with `--probes` and cuts (`clean --auto`). cleanlab
gets the probabilities of the same network from 4-fold cross-validation, as its documentation asks,
and cuts by its default. Both train by the same engine. F1 is over all training rows. The known-rate
column is our ranking, cut at the true share.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import f1_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from this_machine import machine

import prune_kit
from prune_kit.cleaning.assessment import assess_labels
from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.data.noise import plant
from prune_kit.data.spec import load_data
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import Execution, ResolvedExecution
from prune_kit.protocol.processor import cpu_precision
from prune_kit.runs.cache import RecordedRun, Request, RunInputs
from prune_kit.runs.recorder import complete
from prune_kit.training import loop
from prune_kit.training.images import normalisation, on_device

EPOCHS = 10
FOLDS = 4
PROBES = 0.05
PART = 20_000  # rows of CIFAR-10
MATRIX_RATES = (0.05, 0.35)  # of the first and the last class; 20 % on average
TAKEN_FOR = (0.6, 0.3, 0.1)  # the shares of a class's wrong labels that go to three others
NOISES: dict[str, tuple[str, float | None] | None] = {
    "clean": None,
    "uniform10": ("uniform", 0.10),
    "uniform25": ("uniform", 0.25),
    "uniform40": ("uniform", 0.40),
    "pair20": ("pair", 0.20),
    "pair40": ("pair", 0.40),
    "matrix20": ("matrix", None),
    "flip25": ("flip", 0.25),
}
# flip25 is for the recall at a known rate.
TABLE = ",".join(name for name in NOISES if name != "flip25")


def part_of(data: Dataset, count: int) -> Dataset:
    """A seeded draw of `count` rows in the order of the source, with the whole test set."""
    rows = np.sort(np.random.default_rng(0).permutation(len(data))[:count])
    return from_arrays(
        np.ascontiguousarray(data.images[rows]),
        data.labels[rows],
        name=f"{count:,} of {data.name}",
        spec=data.rows.data,
        test_images=np.ascontiguousarray(data.test.images),
        test_label=data.test.label,
    )


def matrix(classes: int) -> np.ndarray:
    """A transition matrix whose rates grow from class to class. Each class is taken for three."""
    probabilities = np.zeros((classes, classes))
    rng = np.random.default_rng(5)
    for given, rate in enumerate(np.linspace(*MATRIX_RATES, classes)):
        probabilities[given, given] = 1 - rate
        others = rng.permutation([c for c in range(classes) if c != given])[: len(TAKEN_FOR)]
        probabilities[given, others] = rate * np.array(TAKEN_FOR)
    return probabilities


def noisy(data: Dataset, noise: str, seed: int) -> Dataset:
    """The data under planted noise. For "clean" the labels are the true ones."""
    kind = NOISES[noise]
    if kind is None:
        return data.relabelled(data.labels, "clean")
    transitions = matrix(data.classes) if kind[0] == "matrix" else None
    planted = plant(data, kind[0], rate=kind[1], matrix=transitions, seed=seed)
    return data.relabelled(planted.rows.label, noise)


def cross_validated(
    data: Dataset, config: TrainConfig, execution: ResolvedExecution, folder: Path
) -> np.ndarray:
    """The probabilities (N, C) of each row, by a network that was trained on the other folds."""
    device = torch.device(execution.device)
    images = on_device(data.images, *normalisation(data), device)
    probability = np.empty((len(data), data.classes))
    for rows in np.array_split(np.random.default_rng(1).permutation(len(data)), FOLDS):
        rows = np.sort(rows)
        members = np.setdiff1d(np.arange(len(data)), rows)
        inputs = RunInputs(data, config, 0, execution, members, len(members))
        request = Request(config.epochs, weights=frozenset({config.epochs}))
        complete(inputs, request, folder, lambda *_: None)
        network = RecordedRun(inputs, folder / inputs.key).model(config.epochs).to(device)
        device_rows = torch.from_numpy(rows).to(device)
        logits = loop.evaluate(network, images, execution.precision, device_rows)
        probability[rows] = logits.softmax(1).double().cpu().numpy()
    return probability


def compared(
    data: Dataset, config: TrainConfig, device: str, probes: float, seed: int
) -> dict[str, Any]:
    """One row of the table: both ways on the same noisy labels."""
    from cleanlab.count import num_label_issues
    from cleanlab.filter import find_label_issues

    execution = Execution(device=device).resolve(
        cpu_precision=cpu_precision(config.model, data.shape)
    )
    wrong = data.labels != data.true_labels
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter(), time.process_time()
        table = prune_kit.score(
            data, "cumulative_pl", epoch=config.epochs, runs=1, config=config, device=device,
            seed=seed, probes=probes, workdir=folder,
        )  # fmt: skip
        judged = assess_labels(table)
        ours = time.perf_counter() - started[0], time.process_time() - started[1]
        started = time.perf_counter(), time.process_time()
        probability = cross_validated(data, config, execution, Path(folder) / "folds")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flagged = find_label_issues(data.labels, probability)
            count = num_label_issues(data.labels, probability)
        theirs = time.perf_counter() - started[0], time.process_time() - started[1]
    known = assess_labels(table, remove=float(wrong.mean()))
    argmax = assess_labels(table, cut="argmax")
    held_out = probability[np.arange(len(data)), data.labels]

    def auroc(suspicion: np.ndarray) -> float:
        return float(roc_auc_score(wrong, suspicion)) if wrong.any() else float("nan")

    def f1(mask: np.ndarray) -> float:
        return float(f1_score(wrong, mask)) if wrong.any() else float("nan")

    correct = judged.suggested == data.true_labels
    return {
        "wrong": float(wrong.mean()),
        "auto": f1(judged.flagged),
        "known": f1(known.flagged),
        "cleanlab": f1(flagged),
        "argmax": f1(argmax.flagged),
        "rate": judged.estimate.noise_rate,
        "low": judged.estimate.low,
        "high": judged.estimate.high,
        "cleanlab_rate": count / len(data),
        "auroc": auroc(judged.suspicion),
        "auroc_pl": auroc(known.suspicion),
        "auroc_cleanlab": auroc(-held_out),
        "listed": float(judged.flagged.mean()),
        "suggestions": float(correct[judged.flagged & wrong].mean()) if wrong.any() else 0.0,
        "recall_known": float((known.flagged & wrong).sum() / wrong.sum())
        if wrong.any()
        else float("nan"),
        "seconds": ours[0],
        "cleanlab_seconds": theirs[0],
        "processor": ours[1],
        "cleanlab_processor": theirs[1],
    }


def shown(name: str, row: dict[str, Any]) -> str:
    """A row of the table as text. Shares and rates are in percent."""
    f1 = "".join(f"{row[key]:>9.4f}" for key in ("auto", "known", "cleanlab", "argmax"))
    rates = f"{row['rate']:>7.1%} ({row['low']:>5.1%} to {row['high']:>5.1%})"
    rates += f"{row['cleanlab_rate']:>9.1%}"
    auroc = "".join(f"{row[key]:>8.4f}" for key in ("auroc", "auroc_pl", "auroc_cleanlab"))
    seconds = "".join(
        f"{row[key]:>6.0f}"
        for key in ("seconds", "cleanlab_seconds", "processor", "cleanlab_processor")
    )
    return f"{name:<10}{row['wrong']:>7.1%}{f1} {rates}{auroc}{seconds}"


def main() -> None:
    """Read the options, run, and print a table for each data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist", metavar="SPEC", help="such as mnist:DIR; trains the MLP")
    parser.add_argument(
        "--cifar", metavar="SPEC", help=f"such as folder:DIR; {PART:,} rows train the small convnet"
    )
    parser.add_argument("--noise", default=TABLE, help="which noises, a comma list")
    parser.add_argument("--probes", type=float, default=PROBES, help="the share of planted labels")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the noise, the probes and the networks"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="append a JSON line per row here")
    asked = parser.parse_args()
    device = torch.device(Execution(device=asked.device).resolve().device)
    print(
        f"{machine(device)}; {EPOCHS} epochs, {asked.probes:.0%} probes, cross-validation in "
        f"{FOLDS} folds"
    )
    for spec, model in ((asked.mnist, "mlp"), (asked.cifar, "convnet")):
        if spec is None:
            continue
        augmented = model == "convnet"
        data = load_data(spec)
        data = part_of(data, PART) if augmented else data
        config = TrainConfig(
            model=model,
            epochs=EPOCHS,
            schedule="cosine",
            crop_padding=4 if augmented else 0,
            flip=augmented,
        )
        print(f"\n{data.name}, {config.describe()}")
        print(
            "noise       wrong  F1 auto    known cleanlab   argmax  estimated (90 %)      cleanlab"
            "   AUROC: ours, pl, cleanlab   seconds: ours, cleanlab; of processor"
        )
        for noise in asked.noise.split(","):
            row = compared(
                noisy(data, noise, asked.seed + 1), config, asked.device, asked.probes, asked.seed
            )
            print(shown(noise, row), flush=True)
            if asked.out:
                with asked.out.open("a") as file:
                    file.write(json.dumps({"data": data.name, "noise": noise, **row}) + "\n")


if __name__ == "__main__":
    main()
