"""The commands that the report shows make the same again: repeated in the same workdir they train
nothing."""

import html
import re
import shlex
import shutil
from pathlib import Path

import pytest

from prune_kit.protocol import execution
from prune_kit_cli.main import exit_code

SHORT = ["--model", "mlp", "--train", "epochs=2", "--train", "batch_size=32"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of training, with options that are not the default."""
    folder = tmp_path_factory.mktemp("again")
    there = ["--quiet", "--workdir", str(folder)]
    short = ["--runs", "1", "--seed", "7", *there]
    commands = (
        ["score", "--method", "el2n,grand", "--epoch", "1", "--threads", "2", *SHORT, *short],
        ["score", "--method", "cscore", "--ratios", "50", "--folds", "2", *there],
        ["select", "--by", "el2n@1", "--keep", "0.4", *there],
        [
            "retrain",
            "--budget",
            "epochs",
            "--precision",
            "bf16",
            "--baseline",
            "full",
            "--train",
            "epochs=3",
            *short,
        ],
        [
            "sweep",
            "--by",
            "el2n@1",
            "--keep",
            "0.5",
            "--threads",
            "1",
            "--baseline",
            "random",
            *short,
        ],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "_cores", lambda: 2)
        for words in commands:
            assert exit_code(words) == 0
    return folder


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_cores", lambda: 2)


@pytest.fixture
def workdir(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "work"))


def shown(workdir: Path) -> list[str]:
    assert exit_code(["report", "--quiet", "--workdir", str(workdir)]) == 0
    text = html.unescape(re.sub("<[^>]*>", "\n", (workdir / "report.html").read_text("utf-8")))
    return re.findall(
        r"^.*prune-kit ((?:score|retrain|sweep|tune) .*?)\s*(?:#.*)?$", text, re.MULTILINE
    )


def test_the_commands_of_the_report_train_nothing_again(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = shown(workdir)
    assert [command.split()[0] for command in commands] == [
        "score",
        "score",
        "score",
        "retrain",
        "sweep",
    ]
    for command in commands:
        words = shlex.split(command)
        anew = ["--fresh"] if command == commands[0] else []
        assert exit_code([*words, *anew, "--workdir", str(workdir)]) == 0
        told = capsys.readouterr().err
        assert "nothing: every run that this needs is there" in told, command
        assert "another protocol" not in told and "no longer holds" not in told, command


def test_what_a_retraining_took_over_from_the_scores_is_not_named(workdir: Path) -> None:
    retrain, sweep = shown(workdir)[3:]
    assert retrain == (
        "retrain --baseline full --runs 1 --seed 7 --budget epochs --precision bf16 --train "
        "epochs=3"
    )
    assert sweep.endswith("--baseline random --runs 1 --seed 7 --threads 1")


def test_info_tells_the_protocol_of_retrainings(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, line in (
        (
            "outcomes.h5",
            "3 epochs, batch 32, bf16, 2 threads each, seed 7 on, the same number of epochs for "
            "every set",
        ),
        (
            "sweep.h5",
            "2 epochs, batch 32, fp32, 1 thread each, seed 7 on, the same number of steps for "
            "every set",
        ),
        ("scores.h5", "2 epochs, batch 32, fp32, 2 threads each, seed 7 on"),
    ):
        assert exit_code(["info", str(workdir / name)]) == 0
        assert f"networks: mlp, {line}\n" in capsys.readouterr().out


def test_a_retraining_by_another_protocol_says_what_it_replaces(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["retrain", "--runs", "1", "--baseline", "none", "--workdir", str(workdir)]
    assert exit_code(words) == 0
    told = capsys.readouterr().err
    assert (
        "note      outcomes.h5 no longer holds: full, seed 7 (their networks are cached)\n" in told
    )
    assert (
        "note      outcomes.h5 held another protocol's outcomes: precision bf16 (now fp32), "
        "epochs 3 (now 2), budget epochs (now steps)\n"
    ) in told
    assert "runs on   cpu in fp32: one network at a time, 2 threads each" in told
    assert exit_code(words) == 0
    assert "note " not in capsys.readouterr().err


def test_a_search_is_repeated_by_its_command(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["--by", "el2n@1", "--keep", "0.5", "--offset", "0,0.2"]
    tune = [
        "tune",
        *grid,
        "--runs",
        "1",
        "--validation",
        "0.25",
        "--budget",
        "epochs",
        "--train",
        "epochs=3",
    ]
    assert exit_code([*tune, "--precision", "bf16", "--quiet", "--workdir", str(workdir)]) == 0
    command = shown(workdir)[-1]
    assert command.endswith(
        "--goal accuracy --validation 0.25 --runs 1 --seed 1000 --budget epochs --precision bf16 "
        "--train epochs=3"
    )
    assert exit_code([*shlex.split(command), "--workdir", str(workdir)]) == 0
    assert "nothing: every run that this needs is there" in capsys.readouterr().err
