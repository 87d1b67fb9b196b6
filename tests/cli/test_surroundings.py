"""Whatever surrounds a command, it works or says in one line why not. A traceback is our bug."""

import inspect
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prune_kit.errors import FileError
from prune_kit.storage.paths import absolute, check_is_text, current_folder, expanded
from prune_kit_cli import streams
from prune_kit_cli.main import app, exit_code, run
from prune_kit_cli.surroundings import blamed
from tests.cli.surroundings import (
    COMMANDS,
    HEAVY,
    SITUATIONS,
    encoded,
    fill,
    lines,
    one_line,
    with_streams,
)

MODULE = [sys.executable, "-m", "prune_kit"]
NO_TEXT = "x\udcff"  # how Python gives a name that is no UTF-8 text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("surroundings")
    fill(folder)
    return folder


@pytest.fixture
def gone(tmp_path: Path) -> Iterator[Path]:
    """A current folder that has been removed."""
    before = Path.cwd()
    folder = tmp_path / "gone"
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()
    yield folder
    os.chdir(before)


# streams


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("command", [*COMMANDS, "--help", "--version", "", "nonsense"])
def test_whatever_the_streams_are_a_command_ends_as_ever(
    place: Path, situation: str, command: str
) -> None:
    if command in HEAVY and situation != "ascii":
        pytest.skip("tried with other streams")
    words = lines(place).get(command, [command] if command else [])
    expected = 2 if command == "nonsense" else 0
    code, out, err = with_streams(words, SITUATIONS[situation](), SITUATIONS[situation]())
    silent = command == "nonsense"  # on stdout
    assert code == (2 if situation == "full" and not silent else expected), err
    assert "Traceback" not in out + err
    if situation in ("ascii", "latin-1"):
        assert command in ("", "nonsense") or out
    if command in HEAVY:
        return
    code, out, err = with_streams(words, encoded("utf-8")(), SITUATIONS[situation]())
    assert code == expected and "Traceback" not in out + err


def test_what_a_full_stream_loses_is_told_and_what_was_written_stays(place: Path) -> None:
    before = (place / "work/selection.h5").stat().st_ino
    words = [*lines(place)["select"], "--json", "--quiet"]
    code, _, err = with_streams(words, SITUATIONS["full"](), encoded("utf-8")())
    assert code == 2 and one_line(err) and "No space left on device" in err
    assert (place / "work/selection.h5").stat().st_ino != before
    assert with_streams(words, SITUATIONS["unread"](), encoded("utf-8")())[::2] == (0, "")


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("ascii", "a…b → c × d", "a...b -> c x d"),
        ("latin-1", "a…b → c × d", "a...b -> c × d"),
        ("ascii", "╭─┬╮│╰━╸║", "+-++|+--|"),
        ("ascii", "▁▂▃▄▅▆▇█", ".:-=+*%#"),
        ("ascii", "größe 犬", r"gr\xf6\xdfe \u72ac"),
        ("utf-8", "größe 犬", "größe 犬"),
        ("utf-8", "x\udcff", r"x\udcff"),
        ("cp1252", "… ─", "… -"),
        ("no-such-encoding", "…", "..."),
        (None, "…", "…"),
    ],
)
def test_what_cannot_be_encoded_is_written_otherwise(
    encoding: str | None, text: str, expected: str
) -> None:
    assert streams.encodable(text, encoding) == expected


def test_the_streams_are_put_back_and_a_closed_one_is_left_alone() -> None:
    out, err = StringIO(), StringIO()
    err.close()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        assert exit_code(["--version"]) == 0
        assert sys.stdout is out and sys.stderr is err
    finally:
        sys.stdout, sys.stderr = before
    assert out.getvalue().startswith("prune-kit ")


SHELL = """
cd "$1"; shift
try() { name=$1; shift; "$@"; echo "$name $?" >> ended; }
version() { "${RUN[@]}" --version; }
RUN=("$@")
try full version > /dev/full 2> full.err
try closed version >&- 2> closed.err
try all version >&- 2>&- <&-
try none version 2>&-
version 2> unread.err | true; echo "unread ${PIPESTATUS[0]}" >> ended
LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 PYTHONIOENCODING=ascii "${RUN[@]}" --help > ascii.out
echo "ascii $?" >> ended
(mkdir gone; cd gone; rmdir ../gone; version > ../gone.out; echo "gone $?" >> ../ended)
"""


def test_the_program_itself_stands_what_a_shell_does_to_it(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", SHELL, "bash", str(tmp_path), *MODULE], capture_output=True, text=True
    )
    ended = (tmp_path / "ended").read_text().split("\n")[:-1]
    assert ended == ["full 2", "closed 0", "all 0", "none 0", "unread 0", "ascii 0", "gone 0"]
    assert done.stderr == "" and done.stdout.startswith("prune-kit ")
    assert one_line((tmp_path / "full.err").read_text())
    assert (tmp_path / "closed.err").read_text() == (tmp_path / "unread.err").read_text() == ""
    assert "Usage: prune-kit" in (tmp_path / "ascii.out").read_text("ascii")


# folders


@pytest.mark.parametrize("command", [*COMMANDS, "--help", "--version", ""])
def test_a_current_folder_that_was_removed_is_told(
    gone: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    words = lines(Path("nowhere")).get(command, [command] if command else [])
    code = exit_code(words)
    out, err = capsys.readouterr()
    if command in ("list", "--help", "--version", "") or "--help" in words:
        assert (code, err) == (0, "") and out
    else:
        assert code == 2 and one_line(err) and "current folder is not there any more" in err


def test_paths_without_a_current_or_a_home_folder(
    gone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert absolute("/a/b") == Path("/a/b") and expanded("/a/~b") == Path("/a/~b")
    for refused in (current_folder, lambda: absolute("a")):
        with pytest.raises(FileError, match="current folder"):
            refused()
    for path in ("~nouser", "~nouser/a", "~nouser.npz"):
        with pytest.raises(FileError, match=r"home folder of the user 'nouser.*\./~nouser"):
            expanded(path)
    no_home(monkeypatch)
    with pytest.raises(FileError, match="HOME is not set"):
        expanded("~/a")


def test_a_file_that_bears_such_a_name_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("~backup.npz").touch()
    assert expanded("~backup.npz") == Path("~backup.npz")


def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under `docker run --user 12345`, without HOME."""

    def unknown(uid: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("PRUNE_KIT_CACHE", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def values_of(*kinds: type) -> list[tuple[str, str]]:
    """Every command with each of its options and arguments of these kinds."""
    found = []
    for info in app.registered_commands:
        assert info.callback is not None
        name = info.name or info.callback.__name__
        command = program_of(name)
        for parameter in inspect.signature(info.callback).parameters.values():
            if any(kind.__name__ in str(parameter.annotation) for kind in kinds):
                [shown] = [one for one in command.params if one.name == parameter.name]
                flag = shown.opts[0] if shown.opts[0].startswith("--") else ""
                found.append((name, flag))
    return found


def program_of(name: str) -> Any:
    from prune_kit_cli.main import program

    return program().commands[name]


def test_every_command_takes_paths() -> None:
    assert {name for name, _ in values_of(Path)} == set(COMMANDS)


@pytest.mark.parametrize(("command", "flag"), values_of(Path))
def test_a_home_folder_that_nobody_knows_is_told_wherever_a_path_is_given(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    flag: str,
) -> None:
    no_home(monkeypatch)
    needed = {"list": ["methods"], "reproduce": ["digits_demo"]}.get(command, [])
    code = exit_code([command, *needed, *filter(None, [flag]), "~nouser/x"])
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and one_line(err) and "home folder" in err


@pytest.mark.parametrize("spec", ["npz:~nouser.npz", "npz:~/x.npz", "folder:~nouser", "mnist:~/m"])
def test_a_home_folder_that_nobody_knows_is_told_for_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spec: str
) -> None:
    no_home(monkeypatch)
    assert exit_code(["corrupt", "--data", spec]) == 2
    assert one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "the cache of decoded images has no place"),
        ({"PRUNE_KIT_CACHE": "~nouser/c"}, "PRUNE_KIT_CACHE=~nouser/c"),
        ({"PRUNE_KIT_CACHE": "loop/c"}, "PRUNE_KIT_CACHE=loop/c"),
        ({"XDG_CACHE_HOME": "~nouser"}, "the cache of decoded images has no place"),
    ],
)
def test_a_cache_without_a_place_is_told_with_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    from prune_kit.data.decoded_cache import cache_folder

    no_home(monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(FileError) as caught:
        cache_folder()
    assert told in str(caught.value) and "Set PRUNE_KIT_CACHE" in str(caught.value)
    monkeypatch.setenv("PRUNE_KIT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


# names that are no text


NAMES = ("--data", "--recipe", "--method", "--by", "--model", "--device", "--train", "--kind")


@pytest.mark.parametrize(
    ("command", "flag"),
    [*values_of(Path), *(one for one in values_of(str) if one[1] in (*NAMES, ""))],
)
def test_a_name_that_is_no_text_is_told_or_serves(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: Path,
    command: str,
    flag: str,
) -> None:
    """In an empty folder, where no command goes far."""
    monkeypatch.chdir(tmp_path)
    data = [] if flag == "--data" else ["--data", f"npz:{place}/mine.npz"]
    needed = {
        "list": ["methods"] if flag else [],
        "reproduce": ["digits_demo"] if flag else [],
        "score": [*data, "--method", "random"],
        "corrupt": data,
        "demo": [],
    }.get(command, [])
    code = exit_code([command, *needed, *filter(None, [flag]), NO_TEXT])
    err = capsys.readouterr().err
    if "error: " in err:
        assert code == 2 and err.count("error: ") == 1 and err.endswith("\n")
    else:
        assert code == 0


def test_a_path_that_is_no_text_is_refused_where_it_would_be_written_down(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileError, match="UTF-8"):
        check_is_text(NO_TEXT, "this")
    (tmp_path / f"{NO_TEXT}.npz").symlink_to(place / "mine.npz")
    (tmp_path / f"{NO_TEXT}.h5").symlink_to(place / "work/selection.h5")
    assert exit_code(["corrupt", "--data", f"npz:{tmp_path}/{NO_TEXT}.npz"]) == 2
    assert one_line(capsys.readouterr().err)
    retrain = lines(place)["retrain"]
    retrain[2] = f"{tmp_path}/{NO_TEXT}.h5"
    assert exit_code(retrain) == 2
    assert one_line(capsys.readouterr().err)
    ids = np.array([f"{NO_TEXT}{row}" for row in range(40)])
    arrays = dict(np.load(place / "mine.npz"))
    for name in ("ids", "class_names"):
        np.savez(tmp_path / "odd.npz", **arrays, **{name: ids[: 40 if name == "ids" else 2]})
        words = ["corrupt", "--data", f"npz:{tmp_path}/odd.npz", "--workdir", str(tmp_path)]
        assert exit_code(words) == 2
        assert "not UTF-8 text" in capsys.readouterr().err


# what the machine does


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "the memory is too small"),
        (MemoryError("Unable to allocate 3 TiB"), "Unable to allocate 3 TiB"),
        (OSError(36, "File name too long", "long"), "long cannot be used: File name too long"),
        (PermissionError(13, "Permission denied", b"b"), "b cannot be used: Permission denied"),
        (OSError(24, "Too many open files"), "Too many open files"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (RuntimeError("Could not determine home directory."), "set HOME"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "libtorch.so"),
        (UnicodeEncodeError("utf-8", "x\udcff", 1, 2, "surrogates not allowed"), "no UTF-8 text"),
        (UnicodeEncodeError("ascii", "ö", 0, 1, "ordinal not in range(128)"), ""),
        (RuntimeError("a bug"), ""),
        (OSError(22, "Invalid argument"), ""),
        (ImportError("cannot import name"), ""),
        (ValueError("a bug"), ""),
    ],
)
def test_what_the_machine_does_is_told_and_a_bug_stays_one(error: Exception, told: str) -> None:
    assert told in blamed(error) and bool(blamed(error)) == bool(told)


@pytest.mark.parametrize(
    "words",
    [
        ["info", "{}"],
        ["select", "--out", "{}"],
        ["compare", "{}"],
        ["corrupt", "--data", "npz:{}"],
        ["dynamics", "{}"],
        ["retrain", "--selection", "{}"],
    ],
)
def test_a_name_that_is_too_long_is_told(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert exit_code([word.format("x" * 300) for word in words]) == 2
    err = capsys.readouterr().err
    assert one_line(err) and "File name too long" in err


# numbers of other types

FLOATS = ["f2", "f4", "f8", "g", ">f2", ">f4", ">f8", ">g"]
INTEGERS = [f"{order}{kind}{size}" for order in "<>" for kind in "iu" for size in (1, 2, 4, 8)]
OTHERS = ["?", "F", "G", "U9", "S9", "M8[s]", "m8[s]"]


@pytest.mark.parametrize("kind", [*FLOATS, *INTEGERS, *OTHERS])
def test_numbers_of_every_type_are_read_or_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    table = str(place / "work/scores.h5:el2n@1")
    np.save(tmp_path / "scores.npy", np.arange(40).astype(kind))
    np.savez(tmp_path / "labels.npz", scores=np.arange(40), labels=(np.arange(40) % 2).astype(kind))
    for name in ("scores.npy", "labels.npz"):
        code = exit_code(["compare", table, str(tmp_path / name), "--bootstrap", "0", "--quiet"])
        err = capsys.readouterr().err
        assert (code, err) == (0, "") if kind not in OTHERS else code == 2 and one_line(err)
    chance = np.random.default_rng(0).dirichlet([1, 1], 40)
    np.save(tmp_path / "probs.npy", chance.astype(kind))
    words = ["clean", "--from-probs", str(tmp_path / "probs.npy"), "--out", str(tmp_path / "r.h5")]
    code = exit_code([*words, "--scores", str(place / "work/scores.h5"), "--quiet"])
    err = capsys.readouterr().err
    assert (code, err) == (0, "") if kind in FLOATS else code == 2 and one_line(err)


def test_a_number_beyond_every_double_is_infinite_and_nothing_is_printed(
    place: Path, tmp_path: Path
) -> None:
    huge = np.full(40, np.finfo(np.longdouble).max)
    np.save(tmp_path / "huge.npy", huge)
    words = ["compare", str(place / "work/scores.h5:el2n@1"), str(tmp_path / "huge.npy")]
    code, _, err = with_streams(words, encoded("utf-8")(), encoded("utf-8")())
    assert code in (0, 2) and "Warning" not in err


# other systems


def test_a_system_without_some_signals_is_served() -> None:
    code = (
        "import signal\n"
        "for name in ('SIGHUP', 'pthread_kill', 'pthread_sigmask'): delattr(signal, name)\n"
        "import sys, prune_kit.runs.processes as p; assert len(p.ENDINGS) == 2\n"
        "sys.argv = ['prune-kit', '--version']\n"
        "from prune_kit_cli.main import run; run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("prune-kit ")


def test_signals_of_a_shell_that_ignores_them_stay_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import signal

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(sys, "argv", ["prune-kit", "--version"])
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with pytest.raises(SystemExit) as ended:
            run()
        assert ended.value.code == 0 and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
