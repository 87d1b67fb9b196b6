"""What commands say beside their results: what has changed since, what ties, what a name would do
to a terminal."""

from pathlib import Path

import numpy as np
import pytest
from rich.table import Table
from rich.text import Text

from prune_kit_cli.main import exit_code
from prune_kit_cli.screen import Screen
from tests.small_tables import table_of

TRAINING = ["--runs", "1", "--jobs", "1", "--device", "cpu"]
PROTOCOL = ["--train", "epochs=1", "--model", "mlp"]


def write_npz(path: Path, class_names: list[str]) -> None:
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (60, 6, 6), dtype=np.uint8)
    np.savez(path, x_train=images, y_train=np.arange(60) % 2, class_names=np.array(class_names))


@pytest.fixture
def workdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """A workdir with a table of own images, in a folder that holds them."""
    monkeypatch.chdir(tmp_path)
    write_npz(tmp_path / "mine.npz", ["ant", "bee"])
    assert exit_code(["score", "--data", "npz:mine.npz", "--epoch", "1", *PROTOCOL, *TRAINING]) == 0
    assert exit_code(["select", "--keep", "0.5"]) == 0
    capsys.readouterr()
    return tmp_path / "prune-kit-work"


def test_outcomes_of_an_earlier_selection_are_told_apart(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["retrain", "--baseline", "none", *TRAINING]) == 0
    assert exit_code(["export"]) == 0
    assert exit_code(["report", "--quiet"]) == 0
    assert "anew" not in capsys.readouterr().err
    assert "made anew since" not in (workdir / "report.html").read_text()
    assert exit_code(["select", "--keep", "0.25", "--quiet"]) == 0
    assert exit_code(["export"]) == 0
    told = "outcomes.h5 is of other rows: prune-kit-work/selection.h5 was made anew after it was retrained"  # noqa: E501
    assert told in capsys.readouterr().err.replace("\n", "")
    assert exit_code(["report", "--quiet"]) == 0
    assert (
        "selection was made anew since: these accuracies are of its earlier rows"
        in (workdir / "report.html").read_text()
    )


def test_accuracies_at_chance_are_called_so(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["retrain", *TRAINING]) == 0
    assert (
        "class alone has 50.0% of the 12 test examples: nothing was learned"
        in capsys.readouterr().err
    )
    learned = ["--epoch", "2", "--train", "epochs=2", "--model", "mlp", *TRAINING, "--quiet"]
    assert exit_code(["score", *learned, "--workdir", "digits"]) == 0
    assert exit_code(["select", "--keep", "0.5", "--quiet", "--workdir", "digits"]) == 0
    assert exit_code(["retrain", *TRAINING, "--workdir", "digits"]) == 0
    assert "nothing was learned" not in capsys.readouterr().err


def test_a_class_of_another_name_is_told(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_npz(workdir.parent / "mine.npz", ["ant", "wasp"])
    assert exit_code(["score", "--epoch", "1", "--runs", "1"]) == 0
    assert (
        "the same examples, but classes have other names now: wasp was bee"
        in capsys.readouterr().err
    )


def test_a_window_whose_edge_is_cut_among_equals_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table_of([1.0] * 15 + [2.0] * 5).write(tmp_path / "scores.h5")
    assert exit_code(["select", "--keep", "0.5", "--workdir", str(tmp_path)]) == 0
    assert (
        "15 training rows have the same el2n@20 as the edge of the window"
        in capsys.readouterr().err
    )
    assert exit_code(["select", "--keep", "0.25", "--workdir", str(tmp_path)]) == 0
    assert "edge of the window" not in capsys.readouterr().err


def test_only_the_epochs_that_are_trained_are_promised(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "score",
        "--data",
        "npz:mine.npz",
        "--train",
        "epochs=3",
        "--model",
        "mlp",
        *TRAINING,
        "--workdir",
        "more",
    ]
    assert exit_code([*words, "--epoch", "2"]) == 0
    assert "its first 2 epochs are trained" in capsys.readouterr().err
    assert exit_code([*words, "--method", "difficulty"]) == 0
    assert "epochs are trained" not in capsys.readouterr().err


def test_a_name_commands_nothing_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    name, table = "\x1b[2Jcat\x07", Table("class", header_style="bold")
    table.add_row(Text(name))
    screen = Screen(as_json=False, quiet=False)
    screen.result({}, table, name, Text(name))
    screen.warn(name)
    shown, told = capsys.readouterr()
    assert shown.count(r"\u001b[2Jcat") == 3 and told.count(r"\u001b[2Jcat") == 1
    assert "\x1b[1m" in shown  # colours of our own are kept
    assert "\x1b[2J" not in shown + told and "\x07" not in shown + told
