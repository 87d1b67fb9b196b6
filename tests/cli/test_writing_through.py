"""Every command that writes where the user says: links, modes, and what is no file."""

import os
from pathlib import Path

import numpy as np
import pytest

from prune_kit_cli.main import exit_code, program
from tests.cli.surroundings import one_line
from tests.small_tables import column_of, table_of

# a command with the flag that says where it writes, and the ending of what it writes
WRITERS = [
    ("select", "--out", ".h5"),
    ("clean", "--out", ".h5"),
    ("clean", "--picture", ".png"),
    ("corrupt", "--out", ".h5"),
    ("sweep", "--out", ".h5"),
    ("tune", "--out", ".h5"),
    ("export", "--out", ".txt"),
    ("export", "--out", ".npy"),
    ("export", "--out", ".json"),
    ("export", "--out", ".csv"),
    ("export", "--out", ".parquet"),
    ("export", "--relabel", ".npy"),
    ("export", "--relabel", ".csv"),
    ("compare", "--picture", ".png"),
    ("compare", "--picture", ".svg"),
    ("report", "--out", ".html"),
]
NEEDED = {
    "select": ["--by", "el2n@20"],
    "clean": ["--by", "el2n@20", "--remove", "0.1"],
    "compare": ["--bootstrap", "0"],
}
QUICK = ("select", "clean", "corrupt", "export", "compare")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("writers")
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype=np.uint8)
    np.savez(folder / "mine.npz", x_train=images, y_train=np.arange(40) % 2)
    work = folder / "work"
    table = table_of(list(range(20)), label=np.arange(20) % 2)
    table = table.with_columns([column_of(range(20, 0, -1), name="grand@20")])
    table.write(work / "scores.h5")
    for words in (["select", "--by", "el2n@20"], ["clean", *NEEDED["clean"]]):
        assert exit_code([*words, "--quiet", "--workdir", str(work)]) == 0
    return folder


def words_of(folder: Path, command: str, flag: str, target: Path) -> list[str]:
    words = [command, flag, str(target), *NEEDED.get(command, [])]
    if command == "export":
        chosen = "removal.h5" if flag == "--relabel" else "selection.h5"
        words += ["--selection", str(folder / "work" / chosen)]
    if command == "corrupt":
        words += ["--data", f"npz:{folder}/mine.npz"]
    if (command, flag) == ("clean", "--picture"):
        words += ["--evaluate"]
    return [*words, "--workdir", str(folder / "work"), "--quiet"]


def test_every_flag_that_says_where_to_write_is_tried() -> None:
    found = {
        (name, option.opts[0])
        for name, command in program().commands.items()
        for option in command.params
        if option.name in ("out", "picture", "relabel") and getattr(option, "metavar", "")
    }
    assert found == {(command, flag) for command, flag, _ in WRITERS}


@pytest.mark.parametrize("kind", ["folder", "device", "pipe", "loop"])
@pytest.mark.parametrize(("command", "flag", "ending"), WRITERS)
def test_what_is_no_file_is_refused_in_one_line(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    flag: str,
    ending: str,
    kind: str,
) -> None:
    target = tmp_path / f"target{ending}"
    if kind == "folder":
        target.mkdir()
    elif kind == "pipe":
        os.mkfifo(target)
    else:
        target.symlink_to("/dev/null" if kind == "device" else target)
    assert exit_code(words_of(folder, command, flag, target)) == 2
    out, err = capsys.readouterr()
    assert out == "" and one_line(err) and str(target) in err
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize(("command", "flag", "ending"), WRITERS)
def test_a_link_is_written_through_and_the_mode_is_kept(
    folder: Path, tmp_path: Path, command: str, flag: str, ending: str
) -> None:
    if command not in QUICK or "--evaluate" in words_of(folder, command, flag, tmp_path):
        pytest.skip("takes long; all write by the same function")
    link, real = tmp_path / f"link{ending}", tmp_path / f"real{ending}"
    link.symlink_to(real.name)
    words = words_of(folder, command, flag, link)
    assert exit_code(words) == 0 and link.is_symlink() and real.is_file()
    first = real.stat().st_ino
    real.chmod(0o600)
    assert exit_code(words) == 0 and link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600 and real.stat().st_ino != first


def test_figures_go_into_a_folder_only(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for target in (tmp_path / "file", tmp_path / "loop", Path("/dev/null")):
        words = ["report", "--figures", str(target), "--workdir", str(folder / "work")]
        assert exit_code(words) == 2
        err = capsys.readouterr().err
        assert one_line(err) and "is no folder" in err
