"""A full disk, a workdir that cannot be written, data that vanish, a clock that is set back."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prune_kit.data.spec import load_data
from prune_kit.pipeline import score
from prune_kit.progress import Progress
from prune_kit.results.table import ScoreTable
from prune_kit_cli.main import exit_code
from tests.conftest import TINY, disk_of

SCORE = [
    "score",
    "--runs",
    "1",
    "--jobs",
    "1",
    "--train",
    "model=mlp",
    "--train",
    "epochs=2",
    "--quiet",
]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 3 classes with 8 small images each."""
    monkeypatch.setenv("PRUNE_KIT_CACHE", str(tmp_path / "cache"))
    chance = np.random.default_rng(0)
    for name in ("ant", "bee", "cat"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(8):
            pixels = chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


def test_a_full_disk_ends_in_one_line_and_leaves_the_table_and_then_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = ["--workdir", str(tmp_path)]
    assert exit_code([*SCORE, "--epoch", "1", *workdir]) == 0
    before = (tmp_path / "scores.h5").read_bytes()
    with disk_of(20_000):
        assert exit_code([*SCORE, "--epoch", "2", *workdir]) == 2
    err = capsys.readouterr().err
    assert (
        "cannot write" in err
        and "What was there before is unchanged" in err
        and len(err.strip().splitlines()) == 1
    )
    assert (tmp_path / "scores.h5").read_bytes() == before and not list(tmp_path.rglob("*.tmp"))
    assert exit_code([*SCORE, "--epoch", "2", *workdir]) == 0
    assert list(ScoreTable.read(tmp_path / "scores.h5").columns) == ["el2n@1", "el2n@2"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc takes no new folders")
def test_a_workdir_that_cannot_be_written_is_named_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code([*SCORE, "--epoch", "1", "--workdir", "/proc/nobody/work"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: cannot write into /proc/nobody/work: ")


def test_data_that_vanish_while_networks_train_are_not_missed_until_they_are_read_again(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load_data(f"folder:{tree}")

    def vanish(_: Progress) -> None:
        shutil.rmtree(tree, ignore_errors=True)

    table = score(
        data,
        "el2n",
        epoch=2,
        runs=1,
        config=TINY,
        jobs=1,
        workdir=tmp_path / "work",
        progress=vanish,
    )
    assert (
        not tree.exists() and np.isfinite(table.columns["el2n@2"].values[table.rows.training]).all()
    )
    table.write(tmp_path / "work" / "scores.h5")
    assert (
        exit_code(["select", "--keep", "0.5", "--quiet", "--workdir", str(tmp_path / "work")]) == 0
    )
    assert exit_code(["retrain", "--workdir", str(tmp_path / "work")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and str(tree) in err and len(err.strip().splitlines()) == 1


def test_a_clock_that_is_set_back_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = ["--workdir", str(tmp_path)]
    assert exit_code([*SCORE, "--epoch", "1", *workdir]) == 0
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert exit_code([*SCORE, "--epoch", "2", *workdir]) == 0
    table = ScoreTable.read(tmp_path / "scores.h5")
    assert all(column.seconds >= 0 for column in table.columns.values()) and len(table.columns) == 2
