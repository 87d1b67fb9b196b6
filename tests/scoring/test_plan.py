"""Plans: what a scoring and a retraining will do, told before anything is trained."""

import json
from pathlib import Path
from typing import Any

import pytest

from prune_kit import score, select
from prune_kit.data.dataset import Dataset
from prune_kit.progress import Progress
from prune_kit.protocol.config import TrainConfig
from prune_kit.retraining.plan import AskedRetraining, plan_retraining, run_retraining
from prune_kit.scoring.asked import AskedScores
from prune_kit.scoring.plan import plan_scores, run_scores
from prune_kit.training.footprint import training_bytes
from prune_kit_cli.main import exit_code

MLP = TrainConfig(model="mlp", epochs=3, batch_size=32, learning_rate=0.05)
SHORT = ["--model", "mlp", "--train", "epochs=3", "--runs", "2"]


def trained(run: Any, plan: Any) -> tuple[int, Any]:
    heard: list[Progress] = []
    result = run(plan, heard.append)
    return sum(step.networks for step in heard if step.done == step.total), result


@pytest.mark.parametrize(
    ("methods", "options", "networks", "epochs"),
    [
        ("el2n", {"epoch": 2, "runs": 2}, 2, 4),
        ("el2n,aum", {"epoch": (1, 3), "runs": 1}, 1, 3),
        ("random", {}, 0, 0),
        ("cscore", {"ratios": (50,), "folds": 3}, 3, 9),
    ],
)
def test_a_plan_says_what_its_run_trains_and_trains_nothing(
    methods: str,
    options: dict[str, Any],
    networks: int,
    epochs: int,
    shapes: Dataset,
    tmp_path: Path,
) -> None:
    asked = AskedScores.of(methods, **options)
    plan = plan_scores(shapes, asked, config=MLP, workdir=tmp_path / "work")
    assert (plan.networks, plan.cached, plan.epochs_to_train) == (networks, 0, epochs)
    assert not (tmp_path / "work").exists()
    count, table = trained(run_scores, plan)
    assert count == networks
    again = plan_scores(shapes, asked, config=MLP, workdir=tmp_path / "work")
    assert (again.networks, again.cached) == (0, networks)
    there = plan_scores(shapes, asked, table=table, workdir=tmp_path / "work")
    assert (there.networks, there.cached, dict(there.columns)) == (0, 0, {})


def test_a_plan_of_a_retraining_counts_what_is_cached(shapes: Dataset, tmp_path: Path) -> None:
    table = score(shapes, "el2n", runs=1, epoch=1, config=MLP, workdir=tmp_path)
    selection = select(table, keep=0.5)
    asked = AskedRetraining(runs=2, baseline=("full",))
    plan = plan_retraining(shapes, selection, asked, workdir=tmp_path)
    assert (plan.networks, plan.cached) == (4, 0)
    steps = 3 * 3  # 77 rows are 3 batches of 32; the 38 kept rows, 2 batches, pass 5 times
    assert plan.epochs_to_train == 2 * 3 + 2 * -(-steps // 2)
    assert trained(run_retraining, plan)[0] == 4
    wider = plan_retraining(
        shapes, selection, AskedRetraining(runs=3, baseline=("full",)), workdir=tmp_path
    )
    assert (wider.networks, wider.cached) == (2, 4)


def test_a_dry_run_prints_the_plan_and_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["score", *SHORT, "--epoch", "2", "--workdir", str(tmp_path / "work")]
    assert exit_code([*words, "--dry-run"]) == 0
    told = capsys.readouterr().err
    assert "to train  2 networks, 4 epochs in all; none is in the cache\n" in told
    assert "runs on   " in told and "memory    about " in told
    assert not (tmp_path / "work").exists()
    assert exit_code([*words, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["networks"], plan["cached"], plan["epochs"]) == (2, 0, 4)
    assert plan["columns"] == ["el2n@2"] and plan["setup"]["config"]["model"] == "mlp"
    assert exit_code([*words, "--quiet"]) == 0
    assert exit_code([*words, "--fresh", "--dry-run"]) == 0
    assert "to train  nothing: 2 networks are in the cache\n" in capsys.readouterr().err
    there = ["--workdir", str(tmp_path / "work")]
    assert exit_code(["select", "--quiet", *there]) == 0
    files = sorted(path for path in (tmp_path / "work").rglob("*"))
    assert exit_code(["retrain", "--runs", "1", "--dry-run", *there]) == 0
    assert "to train  3 networks" in capsys.readouterr().err
    assert sorted(path for path in (tmp_path / "work").rglob("*")) == files


def test_more_classes_rows_and_weights_take_more_memory(shapes: Dataset) -> None:
    small = training_bytes(MLP, shapes)
    assert training_bytes(MLP.changed({"model": "convnet"}), shapes) != small
    assert training_bytes(MLP.changed({"batch_size": 64}), shapes) > small
    weights = 4 * 3 * (64 * 512 + 512 + 512 * 3 + 3)
    assert small > weights
