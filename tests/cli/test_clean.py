"""The command clean: what it prints and writes, from a small training on digits and from made-up
tables."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prune_kit.cleaning.calibration import Calibration
from prune_kit.cleaning.cuts import probes
from prune_kit.pipeline import clean
from prune_kit.results.removal import Removal
from prune_kit.results.table import ScoreTable
from prune_kit_cli.main import exit_code
from tests.cleaning.test_assessment import scored, with_truth


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "CALIBRATION", Calibration(draws=20))


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    table, true = scored()
    with_truth(table, true).write(tmp_path / "scores.h5")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = exit_code(["clean", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_the_whole_line_on_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = ["--workdir", str(tmp_path)]
    assert exit_code(["corrupt", "--kind", "flip", "--rate", "0.3", *there]) == 0
    short = [
        "--labels",
        str(tmp_path / "labels.h5"),
        "--method",
        "cumulative_pl",
        "--epoch",
        "4",
        "--runs",
        "1",
    ]
    assert exit_code(["score", *short, "--probes", "0.1", *there]) == 0
    capsys.readouterr()
    code, out, err = run(capsys, "--auto", "--evaluate", "--json", *there)
    assert code == 0, err
    found = json.loads(out)
    assert found["cut_method"] == "probes" and found["evaluation"]["wrong"] > 300
    assert found["evaluation"]["precision"] > 0.5
    removal = Removal.read(tmp_path / "removal.h5")
    assert removal.index.tolist() == clean(ScoreTable.read(tmp_path / "scores.h5")).index.tolist()
    assert (
        exit_code(["retrain", "--relabel", "--runs", "1", "--train", "epochs=1", "--quiet", *there])
        == 0
    )


def test_the_terminal_says_how_many_are_wrong_how_it_knows_and_what_next(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "--workdir", str(workdir))
    assert code == 0
    for words in (
        "of the labels are wrong (90 % interval",
        "cut by probes",
        "precision",
        "recall",
        "suggested",
    ):
        assert words in out
    assert "removal.csv" in err and "retrain" in err and "export" in err
    assert (
        (workdir / "removal.csv")
        .read_text()
        .splitlines()[0]
        .startswith("id,index,given_label,suggested_label")
    )


def test_quiet_prints_nothing(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--quiet", "--workdir", str(workdir)) == (0, "", "")


def test_clean_data_are_left_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored(rate=0.0)[0].write(tmp_path / "scores.h5")
    code, out, err = run(capsys, "--workdir", str(tmp_path))
    assert code == 0 and "nothing is removed" in out
    assert "prune-kit clean --remove" in err and not len(
        Removal.read(tmp_path / "removal.h5").index
    )


def test_argmax_warns_that_it_trusts_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored(planted=0)[0].write(tmp_path / "scores.h5")
    code, _, err = run(capsys, "--workdir", str(tmp_path))
    assert code == 0 and "the cut trusts the network" in err and "score --probes" in err


def test_a_class_that_loses_much_is_named(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, err = run(capsys, "--protect-rare", "0.1", "--workdir", str(workdir))
    assert "classes that lose more than 10% of their rows: class 0" in err
    _, _, err = run(capsys, "--workdir", str(workdir))
    assert "classes that lose" not in err


def test_the_curve_is_drawn(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = workdir / "curve.png"
    code, out, _ = run(capsys, "--evaluate", "--picture", str(picture), "--workdir", str(workdir))
    assert code == 0 and picture.read_bytes().startswith(b"\x89PNG") and "AUROC" in out


def test_given_probabilities_need_no_score_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = np.random.default_rng(0)
    np.save(tmp_path / "probs.npy", chance.dirichlet(np.ones(10), 1797).astype(np.float32))
    words = [
        "--from-probs",
        str(tmp_path / "probs.npy"),
        "--data",
        "digits",
        "--workdir",
        str(tmp_path),
    ]
    code, out, _ = run(capsys, "--json", *words)
    assert code == 0 and json.loads(out)["cut_method"] == "argmax"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--auto", "--remove", "0.1"], "--auto finds the share, --remove takes a known one"),
        (["--protect-rare", "2"], "--protect-rare 2 is out of range"),
        (["--picture", "a.png"], "--picture draws the curve of --evaluate"),
        (["--picture", "a.pdf", "--evaluate"], "a.pdf"),
        (["--data", "digits"], "--data and --labels are for --from-probs"),
        (["--from-probs", "absent.npy"], "--from-probs: there is no file absent.npy. Save the"),
        (["--cut", "nothing"], "unknown cut 'nothing'"),
        (["--scores", "absent.h5"], "absent.h5"),
        (["--out", "list.csv"], "this file is HDF5; name it list.h5"),
    ],
)
def test_what_a_user_can_get_wrong_ends_in_one_line(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: list[Any], message: str
) -> None:
    code, out, err = run(capsys, *words, "--workdir", str(workdir))
    assert code == 2 and out == "" and message in err and len(err.strip().splitlines()) == 1


def test_evaluation_needs_true_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored()[0].write(tmp_path / "scores.h5")
    code, _, err = run(capsys, "--evaluate", "--workdir", str(tmp_path))
    assert code == 2 and "--evaluate requires the true labels" in err


def test_nothing_but_a_removal_and_its_list_is_replaced(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["--workdir", str(workdir)]
    code, _, err = run(capsys, "--out", str(workdir / "scores.h5"), *there)
    assert code == 2 and "is there already, and is no removal file" in err
    (workdir / "mine.csv").write_text("precious")
    code, _, err = run(capsys, "--out", str(workdir / "mine.h5"), *there)
    assert (
        code == 2 and "is none of ours" in err and (workdir / "mine.csv").read_text() == "precious"
    )
    assert run(capsys, "--quiet", *there)[0] == 0
    assert run(capsys, "--quiet", *there)[0] == 0  # its own file


def test_what_is_taken_for_the_truth_is_said(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, err = run(capsys, "--evaluate", "--workdir", str(workdir))
    assert "are taken for the true ones" in err
