"""What a killed command leaves behind: no process that trains on for nobody, and cells that are not
trained twice."""

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from prune_kit.results.outcomes import Outcomes
from prune_kit_cli.main import exit_code

RUN = [sys.executable, "-c", "from prune_kit_cli.main import run; run()"]
WORDS = ["score", "--runs", "4", "--epoch", "30", "--jobs", "2"]
PATIENCE = 60.0


def children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # that process has just ended
            continue
        if int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return found


def wait_for(condition: object, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_killed_command_takes_its_workers_along(tmp_path: Path) -> None:
    command = subprocess.Popen(
        [*RUN, *WORDS], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(
            lambda: list(tmp_path.glob("prune-kit-work/runs/*/state.safetensors")),
            "the first finished epoch",
        )
        workers = children(command.pid)
        assert len(workers) >= 2
    finally:
        command.kill()
        command.wait()
    wait_for(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers to end"
    )
    assert not list(tmp_path.rglob("finished.json"))


SMALL = ["--train", "model=mlp", "--train", "epochs=2", "--jobs", "1", "--quiet"]
SWEEP = ["sweep", "--keep", "0.2,0.5", "--runs", "2", *SMALL]
CELLS = 10  # two seeds of: two windows, two sizes of random rows, all rows


def finished(folder: Path) -> dict[str, int]:
    """When each finished run was finished, by its key."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.rglob("finished.json")}


@pytest.mark.slow
def test_a_sweep_killed_and_started_again_ends_with_the_same_numbers_and_repeats_no_finished_cell(
    tmp_path: Path,
) -> None:
    undisturbed, killed = (
        ["--workdir", str(tmp_path / "undisturbed")],
        ["--workdir", str(tmp_path / "killed")],
    )
    assert exit_code(["score", "--epoch", "1", "--runs", "1", *SMALL, *undisturbed]) == 0
    shutil.copytree(tmp_path / "undisturbed", tmp_path / "killed")
    before = len(finished(tmp_path / "killed"))
    done: dict[str, int] = {}
    for count, death in ((2, signal.SIGKILL), (5, signal.SIGTERM)):
        command = subprocess.Popen(
            [*RUN, *SWEEP, *killed], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(
                lambda n=before + count: len(finished(tmp_path / "killed")) >= n,
                f"{count} finished cells",
            )  # type: ignore[misc]
        finally:
            command.send_signal(death)
            command.wait()
        assert done.items() <= finished(tmp_path / "killed").items()
        done = finished(tmp_path / "killed")
        assert len(done) < before + CELLS and not (tmp_path / "killed/sweep.h5").exists()
    for words in (killed, undisturbed):
        assert exit_code([*SWEEP, *words]) == 0
    assert done.items() <= finished(tmp_path / "killed").items()
    again, once = (
        Outcomes.read(tmp_path / name / "sweep.h5") for name in ("killed", "undisturbed")
    )
    assert [replace(row, seconds=0.0) for row in again.rows] == [
        replace(row, seconds=0.0) for row in once.rows
    ]
    assert len(again.rows) == CELLS and again.cells == once.cells
