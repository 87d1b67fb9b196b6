"""Code that a file names as its data runs only when the user says so.

And files that say whether they are whole.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from prune_kit.data.spec import check_trusted
from prune_kit.errors import OptionError
from prune_kit.pipeline import score
from prune_kit_cli.main import exit_code
from tests.conftest import TINY, shapes_data
from tests.small_tables import table_of

CODE = """
from pathlib import Path
from prune_kit import load_data
def load():
    Path("ran").touch()
    return load_data("digits")
"""


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a score table that names code as its data, and that code, whose running leaves
    a trace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "strange_data.py").write_text(CODE)
    table = table_of(list(range(20)))
    replace(table, rows=replace(table.rows, data="strange_data:load")).write(
        tmp_path / "work" / "scores.h5"
    )
    assert exit_code(["select", "--keep", "0.5", "--quiet", "--workdir", "work"]) == 0
    return tmp_path


@pytest.mark.parametrize(
    "command", ["score", "retrain", "sweep", "tune", "report", "weak-learners"]
)
def test_code_that_a_file_names_is_shown_and_not_run(
    stranger: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert exit_code([command, "--workdir", "work"]) == 2
    out, err = capsys.readouterr()
    assert (
        out == ""
        and "the file names code as its data, 'strange_data:load'" in err
        and "--trust" in err
    )
    assert len(err.strip().splitlines()) == 1 and not (stranger / "ran").exists()
    assert (
        exit_code([command, "--workdir", "work", "--trust"]) == 2
    )  # it ran, and is not the data of the table
    assert "is not the data of" in capsys.readouterr().err and (stranger / "ran").exists()


def test_score_under_other_labels_does_not_run_it_either(
    stranger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stranger / "labels.csv").write_text("label\n0\n")
    assert exit_code(["score", "--labels", "labels.csv", "--workdir", "work"]) == 2
    assert "names code as its data" in capsys.readouterr().err and not (stranger / "ran").exists()


@pytest.mark.parametrize(
    "spec", ["digits", "mnist:/data", "folder:name", "npz:a.npz", "fashion-mnist:x"]
)
def test_places_are_no_code(spec: str) -> None:
    check_trusted(spec, trust=False)


def test_code_is(tmp_path: Path) -> None:
    for spec in ("package.module:function", "module:function"):
        with pytest.raises(OptionError, match="trust=True"):
            check_trusted(spec, trust=False)
        check_trusted(spec, trust=True)


def test_info_verifies_what_is_kept_of_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data, common = shapes_data(), {"config": TINY, "jobs": 1, "workdir": "work"}
    score(data, ["el2n", "cumulative_pl"], epoch=2, runs=1, **common).write("work/scores.h5")
    score(data, "cscore", folds=2, ratios=(50,), **common)
    assert exit_code(["info", "--verify", "--workdir", "work"]) == 0
    kept = [path for path in Path("work/runs").rglob("*") if path.is_file()]
    said = f"work/runs: {len(kept)} of {len(kept)} files of trainings, as they were written"
    assert capsys.readouterr().out.splitlines()[-1] == said
    assert {path.suffix for path in kept} == {".npz", ".npy", ".json", ".safetensors"}
    Path("work/scores.h5").unlink()
    assert exit_code(["info", "--workdir", "work"]) == 2
    assert (
        "there is nothing but trainings in work. The command that began them"
        in capsys.readouterr().err
    )
    for path in kept:
        whole = path.read_bytes()
        for place in (len(whole) // 3, len(whole) // 2):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert exit_code(["info", "--verify", "--workdir", "work"]) == 2, (path, place)
            out, err = capsys.readouterr()
            assert f"work/runs: {len(kept) - 1} of {len(kept)} files of trainings" in out
            assert str(path) in err and len(err.strip().splitlines()) == 1
        path.write_bytes(whole)


def test_info_verifies_that_files_are_what_was_written(
    stranger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["info", "--verify", "--workdir", "work"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "work/scores.h5: scores, as it was written",
        "work/selection.h5: selection, as it was written",
    ]
    path = stranger / "work" / "scores.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[:3000] + bytes([whole[3000] ^ 4]) + whole[3001:])
    assert exit_code(["info", "--verify", "--workdir", "work"]) == 2
    out, err = capsys.readouterr()
    assert (
        "selection.h5: selection, as it was written" in out
        and "scores.h5 is damaged: its checksum" in err
    )
    path.write_bytes(whole[: whole.rindex(b"\nprune_kit blake2b")])
    assert exit_code(["info", "--verify", str(path)]) == 2
    assert "has no checksum" in capsys.readouterr().err
