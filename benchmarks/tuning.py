"""The window that `tune` chooses against the best of the whole grid.

    python benchmarks/tuning.py                        49 offsets, four seeds, about an hour
    python benchmarks/tuning.py --train epochs=10      shorter

The data are digits with a quarter of the labels flipped, trained by their protocol. Both ways are
judged on the same validation split. The cost is counted in optimiser steps: those of the search,
and those with the final test (the window, full data, random rows and the rule without an offset),
which the grid requires, too.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from this_machine import machine

import prune_kit
from prune_kit.data.noise import plant
from prune_kit.data.validation import validation_split
from prune_kit.protocol.defaults import protocol
from prune_kit.results.outcomes import Outcomes
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.grid import options_of
from prune_kit.retraining.plan import RETRAIN_SEED
from prune_kit.retraining.search import candidates, mean_accuracy
from prune_kit.retraining.tuning import SEARCH_SEEDS, VALIDATION

STEP = 0.0125
LAST = 0.6


def steps(*all_of: Outcomes) -> int:
    """The number of optimiser steps. Each training counts once."""
    rows = {
        (row.selection, row.seed, row.steps, row.kept): row.steps
        for outcomes in all_of
        for row in outcomes.rows
    }
    return sum(rows.values())


def main() -> None:
    """Read the options, run, and print a small table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=float, default=0.4)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--train", action="append", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    digits = prune_kit.load_data("digits")
    data = digits.relabelled(plant(digits, "flip", rate=0.25).rows.label, "a quarter flipped")
    changes = dict(pair.split("=", 1) for pair in asked.train)
    config = protocol(data).changed({"model": asked.model, **changes})
    offsets = np.round(np.arange(0, LAST + STEP / 2, STEP), 4).tolist()
    print(
        f"{machine(torch.device('cpu'))}; digits, a quarter flipped; {config.describe()}; keep "
        f"{asked.keep:g}"
    )
    with tempfile.TemporaryDirectory() as folder:
        table = prune_kit.score(
            data,
            "cumulative_pl",
            epoch=min(20, config.epochs),
            runs=4,
            config=config,
            workdir=folder,
        )
        started = time.perf_counter()
        tuned = prune_kit.tune(
            data,
            table,
            keep=asked.keep,
            offset=offsets,
            runs=asked.runs,
            config=config,
            workdir=folder,
        )
        searched = time.perf_counter() - started
        split = validation_split(data, VALIDATION, RETRAIN_SEED)
        reduced = ScoreTable(split.rows, table.columns)
        cells = candidates(
            table, goal=None, by=None, keep=asked.keep, offset=offsets, rule="window"
        ).cells
        selections = {cell.name: prune_kit.select(reduced, **options_of(cell)) for cell in cells}
        grid = prune_kit.retrain(
            split, selections, runs=asked.runs, baseline=[], config=config,
            seed=RETRAIN_SEED + SEARCH_SEEDS, workdir=folder,
        )  # fmt: skip
    best = max(cells, key=lambda cell: mean_accuracy(grid, cell.name))
    search = steps(*tuned.rounds)
    test = steps(tuned.test)
    print(
        "                     offset  on the validation split  steps of the search  with the final "
        "test"
    )
    whole = steps(grid)
    for name, cell, cost in (("tune", tuned.cell, search), ("whole grid", best, whole)):
        share = f"{cost:>12,} {cost / whole:>7.1%}"
        share += f" {cost + test:>12,} {(cost + test) / (whole + test):>7.1%}"
        print(f"{name:<20} {cell.offset:>6.4f} {mean_accuracy(grid, cell.name):>24.2%} {share}")
    summary = {line.name: line.mean for line in tuned.test.summaries()}
    print(f"on the test set: {', '.join(f'{name} {mean:.2%}' for name, mean in summary.items())}")
    print(f"{searched:.0f} s for tune, the grid not counted; short stages included")


if __name__ == "__main__":
    main()
