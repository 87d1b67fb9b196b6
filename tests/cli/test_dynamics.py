"""`prune-kit dynamics` and `prune-kit weak-learners`, end to end on a few small networks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from prune_kit.results.table import ScoreTable
from prune_kit_cli.main import exit_code

SCORE = [
    "score",
    "--method",
    "consistency,learning_speed",
    "--epoch",
    "1,2",
    "--runs",
    "2",
    "--train",
    "epochs=2",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two workdirs of the same data, `conv` and `mlp`, and one without consistency columns,
    `other`."""
    folder = tmp_path_factory.mktemp("dynamics")
    for name, model in (("conv", "convnet"), ("mlp", "mlp")):
        assert (
            exit_code([*SCORE, "--model", model, "--workdir", str(folder / name), "--quiet"]) == 0
        )
    assert (
        exit_code(["score", "--method", "random", "--workdir", str(folder / "other"), "--quiet"])
        == 0
    )
    return folder


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.delenv("PRUNE_KIT_WORKDIR", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def test_one_table_is_described_epoch_by_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["dynamics", "--workdir", "conv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "conv:"
    names = "epoch accuracy all or none bimodality test: accuracy all or none bimodality"
    assert lines[1].split() == names.split()
    assert [line.split()[0] for line in lines[2:4]] == ["1", "2"]
    table = ScoreTable.read("conv/scores.h5")
    mean = table.columns["consistency@2"].values[table.rows.training].mean()
    assert lines[3].split()[1] == f"{mean:.2%}"


def test_two_tables_are_matched_by_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["dynamics", "conv", "mlp/scores.h5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [ensemble["scores"] for ensemble in found["ensembles"]] == ["conv", "mlp/scores.h5"]
    assert {epoch["epoch"] for epoch in found["ensembles"][0]["epochs"]} == {1, 2}
    assert found["ensembles"][0]["epochs"][0]["test"]["accuracy"] > 0.5
    for match in found["matched"]:
        assert abs(match["accuracy"] - match["other_accuracy"]) <= found["tolerance"] == 0.01
    assert 0 < found["order"]["train"]["pearson"] <= 1
    assert exit_code(["dynamics", "conv", "conv"]) == 0
    text = capsys.readouterr().out
    assert "matched epochs (training accuracies within 1%)" in text
    assert (
        "order of learning (consistency averaged over the epochs): Pearson 1.000, Spearman 1.000; "
        "on the test" in text
    )


def test_weak_learners_are_judged_on_thirds(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "weak-learners",
        "--workdir",
        "conv",
        "--rows",
        "300",
        "--learners",
        "adaboost,knn",
        "--stages",
        "1,2",
    ]
    assert exit_code(words) == 0
    shown = capsys.readouterr()
    rows = [
        line.split() for line in shown.out.splitlines() if line.startswith((" adaboost", " knn"))
    ]
    assert [row[0] for row in rows] == ["adaboost", "adaboost", "knn"]
    assert "fitted    on 300 training rows; judged on 300 test examples" in shown.err
    assert (
        "the share of AdaBoost's stages at which an example is right, with learning_speed@2: "
        "Pearson" in shown.out
    )
    assert exit_code([*words, "--json", "--by", "consistency@1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["by"], found["fitted"], len(found["probes"])) == ("consistency@1", 300, 3)
    assert found["probes"][2]["easy"] >= found["probes"][2]["hard"]


def test_what_is_missing_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (
            ["dynamics", "other"],
            "other/scores.h5: the table has no consistency column; it has: random. Run: prune-kit "
            "score --method",
        ),
        (["dynamics", "nowhere"], "there is no file nowhere/scores.h5"),
        (["dynamics", "conv", "nowhere.h5"], "there is no file nowhere.h5"),
        (
            ["weak-learners", "--workdir", "conv", "--learners", "svn"],
            "unknown learner 'svn'. Did you mean 'svm'?",
        ),
        (
            ["weak-learners", "--workdir", "conv", "--stages", "one"],
            "--stages one is no whole number",
        ),
    ):
        assert exit_code(words) == 2
        error = capsys.readouterr().err
        assert said in error
        assert "Traceback" not in error


def test_help_and_dynamics_import_no_torch_and_help_no_sklearn() -> None:
    code = (
        "import sys; from prune_kit_cli.main import exit_code; exit_code(sys.argv[1:]); "
        "print([name for name in ('torch', 'sklearn') if name in sys.modules])"
    )
    for words in (["dynamics", "--help"], ["weak-learners", "--help"], ["dynamics", "conv", "mlp"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]", words
