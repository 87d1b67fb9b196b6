"""What a shell offers: names, columns and files, without torch, and never an error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prune_kit.errors import PruneKitError
from prune_kit_cli import completion
from prune_kit_cli.main import exit_code, run
from tests.small_tables import column_of, table_of


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    table = table_of(list(range(20)), name="el2n@20")
    columns = ("el2n@5", "grand@10", "evil; $(touch x)")
    table = table.with_columns(column_of(range(20), name=name) for name in columns)
    table.write(folder / "scores.h5")
    table_of(list(range(20))).write(folder / "with blank.h5")
    assert exit_code(["select", "--by", "el2n@20", "--quiet", "--workdir", str(folder)]) == 0
    (folder / "damaged.h5").write_bytes(b"\x89HDF\r\n\x1a\nhalf")
    return folder


def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str) -> str:
    """What bash is offered at the end of a line, which it has broken into words itself."""
    words = line.split(" ")
    for character in "@:=":
        words = [
            part
            for word in words
            for part in word.replace(character, f"\n{character}\n").split("\n")
            if part or not word
        ]
    monkeypatch.setenv(completion.VARIABLE, "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    assert completion.answer() == 0
    out, err = capsys.readouterr()
    assert err == ""
    return " ".join(out.split())


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("prune-kit sel", "select"),
        ("prune-kit score --method gra", "grand"),
        ("prune-kit score --method el2n,forg", "el2n,forgetting"),
        ("prune-kit select --rule mod", "moderate"),
        ("prune-kit select --offset-from ", "hard easy"),
        ("prune-kit clean --cut p", "probes"),
        ("prune-kit export --format p", "parquet"),
        ("prune-kit score --model resnet", "resnet18 resnet50"),
        ("prune-kit score --data mn", "mnist:"),
        ("prune-kit score --data dig", "digits"),
        ("prune-kit score --recipe digits", "digits_demo"),
        ("prune-kit reproduce digits", "digits_demo"),
        ("prune-kit list m", "models methods"),
        ("prune-kit select --workdir {} --by gr", "grand@10"),
        ("prune-kit select --workdir {} --by ", "el2n@20 el2n@5 grand@10"),
        ("prune-kit select --workdir {} --by el2n@", "20 5"),
        ("prune-kit select --workdir {} --by el2n@2", "20"),
        ("prune-kit select --workdir {} --by=el2n@2", "20"),
        ("prune-kit sweep --workdir {} --by grand@10,el2n@2", "20"),
        ("prune-kit select --scores {}/scores.h5 --by gr", "grand@10"),
        ("prune-kit export --workdir {} --selection ", "{}/selection.h5"),
        ("prune-kit compare --workdir {} ", "{}/scores.h5"),
        ("prune-kit select --workdir nowhere --by ", ""),
        ("prune-kit select --workdir ~nouser --by ", ""),
        ("prune-kit select --scores {}/damaged.h5 --by ", ""),
        ("prune-kit select --scores /dev/null --by ", ""),
        ("prune-kit select --nonsense ", ""),
    ],
)
def test_names_columns_and_files_are_offered(
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    offered: str,
) -> None:
    line, offered = line.replace("{}", str(workdir)), offered.replace("{}", str(workdir))
    assert asked(monkeypatch, capsys, line) == offered


def test_files_of_the_workdir_are_offered_but_for_names_that_a_shell_would_break(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked(monkeypatch, capsys, f"prune-kit info --workdir {workdir} ")
    assert found.split() == [f"{workdir}/{n}.h5" for n in ("damaged", "scores", "selection")]


@pytest.mark.parametrize("question", ["complete_bash", "complete_nonsense", "", "x_y", "source_x"])
def test_an_odd_question_has_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], question: str
) -> None:
    monkeypatch.setenv(completion.VARIABLE, question)
    for name in ("COMP_WORDS", "COMP_CWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["prune-kit"])
    with pytest.raises(SystemExit):
        run()
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_while_completing_is_no_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise PruneKitError("broken")

    monkeypatch.setattr("prune_kit_cli.main.program", fails)
    assert asked(monkeypatch, capsys, "prune-kit sel") == ""


def test_columns_are_offered_without_torch(workdir: Path) -> None:
    words = ["prune-kit", "select", "--workdir", str(workdir), "--by", ""]
    code = (
        "import sys; from prune_kit_cli import completion; assert completion.answer() == 0; "
        "print([m for m in ('torch', 'scipy', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    environment = {"_PRUNE_KIT_COMPLETE": "complete_bash", "COMP_CWORD": "5"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment, "COMP_WORDS": "\n".join(words)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["el2n@20", "el2n@5", "grand@10", "[]"], done.stderr


def test_the_help_and_the_script_need_no_numpy(tmp_path: Path) -> None:
    code = (
        "import os, sys; from prune_kit_cli.main import exit_code; "
        "assert exit_code(['--help']) == 0; os.environ['_PRUNE_KIT_COMPLETE'] = 'source_zsh'; "
        "from prune_kit_cli import completion; assert completion.answer() == 0; "
        "assert not {'numpy', 'torch', 'h5py'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--install-completion" in done.stdout and "#compdef prune-kit" in done.stdout


@pytest.mark.parametrize("flag", ["--show-completion", "--install-completion"])
def test_completion_is_installed_for_the_shell_or_one_line_says_why_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flag: str,
) -> None:
    import shellingham

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shellingham, "detect_shell", lambda *_, **__: ("bash", "/bin/bash"))
    assert exit_code([flag]) == 0
    assert "completion" in capsys.readouterr().out
    assert flag == "--show-completion" or (tmp_path / ".bashrc").is_file()

    def unknown(*_: object, **__: object) -> None:
        raise shellingham.ShellDetectionFailure

    monkeypatch.setattr(shellingham, "detect_shell", unknown)
    assert exit_code([flag]) == 2
    assert "Traceback" not in capsys.readouterr().err
