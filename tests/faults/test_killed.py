"""What a killed command leaves behind: no process that trains on for nobody."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

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
    command = subprocess.Popen([*RUN, *WORDS], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: list(tmp_path.glob("prune-kit-work/runs/*/state.safetensors")), "the first finished epoch")
        workers = children(command.pid)
        assert len(workers) >= 2
    finally:
        command.kill()
        command.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers to end")
    assert not list(tmp_path.rglob("finished.json"))
