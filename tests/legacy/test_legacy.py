"""What the code of commit 91f6dc0 wrote is read as before: files, runs, and trainings cut short.

README.md in this folder says what is kept here, and make.py how it was made. The tests use the
command line and the public names of `prune_kit`, so that they say the same of any version. What is
only read must be equal to the last bit. What is trained is so on the machine of then; elsewhere it
must be alike, as in test_golden.py.
"""

import csv
import io
import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import prune_kit
from prune_kit_cli.main import exit_code

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())
KINDS = EXPECTED["kinds"]
WITH_STEPS = [kind for kind, expected in KINDS.items() if "steps" in expected]
INTERRUPTED = [kind for kind, expected in KINDS.items() if "go_on" in expected]
SCORED = [
    kind for kind in WITH_STEPS if any(s["words"][0] == "score" for s in KINDS[kind]["steps"])
]
WORDING = {"description", "sentence", "notes"}  # prose, which may be improved
TAKES_NEW_LOCATION = ("retrain", "sweep", "tune")  # these take the data of a file, from --data
# mean differences, in standard deviations, on another processor
ALIKE = 0.75  # of whole trainings, as in test_golden.py
ALIKE_TO_THE_END = 0.05  # of those that go on for an epoch from the same weights and momentum
Unpack = Callable[[str], Path]
Say = Callable[[list[str]], dict[str, Any]]


def machine() -> str:
    """What the last bits of a training depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line for line in lines if line.startswith("model name")]
    processor = names[0].partition(": ")[2] if names else platform.processor()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{processor}, {capability}, torch {torch.__version__}"


@pytest.fixture
def unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unpack:
    """Put the workdirs of a kind, and the data, into the current folder."""

    def put(kind: str) -> Path:
        shutil.unpack_archive(HERE / f"{kind}.zip", tmp_path)
        for name in ("digits.npz", "rows.npz", "small.toml"):
            shutil.copy(HERE / name, tmp_path)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return put


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run one command line, and give the JSON object that it prints."""

    def run(words: list[str]) -> dict[str, Any]:
        capsys.readouterr()
        code = exit_code([*words, "--json"])
        printed = capsys.readouterr()
        assert code == 0, f"prune-kit {' '.join(words)}: {printed.err}"
        said: dict[str, Any] = json.loads(printed.out)
        return said

    return run


def check_says(then: Any, now: Any, where: str) -> None:
    """Assert that `now` holds all of `then`; it may hold more, and say prose in other words."""
    if isinstance(then, dict):
        assert isinstance(now, dict), where
        for name, value in then.items():
            if name not in WORDING:
                assert name in now, f"{where}: {name} is gone"
                check_says(value, now[name], f"{where}: {name}")
    elif isinstance(then, list):
        assert isinstance(now, list) and len(now) == len(then), where
        for number, (value, other) in enumerate(zip(then, now, strict=True)):
            check_says(value, other, f"{where}: {number}")
    elif isinstance(then, float):
        assert now == pytest.approx(then, rel=1e-6, abs=1e-9), where
    else:
        assert now == then, where


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """Every data set of an HDF5 file by its name, read without prune_kit."""
    found: dict[str, np.ndarray] = {}

    def keep(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return found


def check_same_arrays(then: dict[str, np.ndarray], now: dict[str, np.ndarray], where: str) -> None:
    """Assert that every array of then is there, to the last bit.

    `config` is JSON, and may grow. It holds the protocol within, as columns do; then the fields of
    the protocol stood beside the others.
    """
    for name, values in then.items():
        assert name in now, f"{where} lacks {name}"
        if name == "config":
            pairs = zip(values, now[name], strict=True)
            for number, (old, new) in enumerate(pairs):
                setup = json.loads(new)
                told = {**setup, **setup.get("config", {})}
                check_says(json.loads(old), told, f"{where}: config {number}")
        elif values.dtype == object or values.dtype.kind == "S":
            assert values.tolist() == now[name].tolist(), f"{where}: {name}"
        else:
            assert values.dtype == now[name].dtype, f"{where}: {name}"
            assert np.array_equal(values, now[name], equal_nan=values.dtype.kind == "f"), (
                f"{where}: {name}"
            )


def files_of_runs(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Every file of a run cache under a folder: when it was written, and what it holds."""
    paths = [path for path in folder.rglob("*") if path.is_file() and "runs" in path.parts]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def keys_in(folder: Path) -> set[str]:
    """The keys of the runs under a folder."""
    return {path.parent.name for path in folder.rglob("inputs.json")}


def check_nothing_trained(before: dict[Path, tuple[int, bytes]], folder: Path) -> None:
    """Assert that no file of a run was written again, and that no run is new."""
    after = files_of_runs(folder)
    assert before, "there is no run to train again"
    assert {path for path, held in before.items() if after.get(path) != held} == set()
    assert keys_in(folder) == {path.parent.name for path in before if path.name == "inputs.json"}


def relocated(words: list[str]) -> list[str]:
    """A command of then, with the place where its data are now."""
    data = "npz:rows.npz" if Path("work/labels.h5").is_file() else "npz:digits.npz"
    return [*words, "--data", data] if words[0] in TAKES_NEW_LOCATION else words


def score_words(kind: str) -> list[str]:
    """The command that scored."""
    steps = KINDS[kind]["steps"]
    words: list[str] = next(step["words"] for step in steps if step["words"][0] == "score")
    return words


def check_trained_alike(then: Path, now: Path, alike: float) -> None:
    """Assert that two tables have the same columns and arrays beside them.

    They have the same bits on the machine of then, else they differ by at most `alike` on average.
    """
    old, new = prune_kit.ScoreTable.read(then), prune_kit.ScoreTable.read(now)
    assert old.columns.keys() <= new.columns.keys()
    same = machine() == EXPECTED["made"]["machine"]
    for name, column in old.columns.items():
        other = new.columns[name]
        pairs = {"values": (column.values, other.values)}
        pairs |= {extra: (array, other.extras[extra]) for extra, array in column.extras.items()}
        for array_name, arrays in pairs.items():
            before, after = (array.astype(np.float64) for array in arrays)
            where = f"{name}: {array_name}"
            assert np.array_equal(np.isnan(before), np.isnan(after)), where
            if same:
                assert np.array_equal(before, after, equal_nan=True), where
            else:
                apart = np.nanmean(np.abs(before - after))
                assert apart <= alike * np.nanstd(before), where


@pytest.mark.parametrize("kind", KINDS)
def test_info_says_of_every_file_what_it_said_then(kind: str, unpack: Unpack, say: Say) -> None:
    unpack(kind)
    for path, then in KINDS[kind]["info"].items():
        check_says(then, say(["info", path]), path)
    for workdir, then in KINDS[kind]["verified"].items():
        check_says(then, say(["info", "--verify", "--workdir", workdir]), workdir)


@pytest.mark.parametrize("kind", KINDS)
def test_python_reads_what_every_file_holds(kind: str, unpack: Unpack) -> None:
    folder = unpack(kind)
    paths = sorted(folder.rglob("*.h5"))
    assert paths
    for path in paths:
        with h5py.File(path, "r") as file:
            format_name = file.attrs["format"]
        held = arrays_of(path)
        if format_name == "prune_kit.scores":
            table = prune_kit.ScoreTable.read(path)
            names = {name.partition("/")[2] for name in held if name.startswith("scores/")}
            assert set(table.columns) == names
            for name, column in table.columns.items():
                assert np.array_equal(column.values, held[f"scores/{name}"], equal_nan=True)
                for extra, values in column.extras.items():
                    assert np.array_equal(values, held[f"{extra}/{name}"], equal_nan=True)
                    assert extra == "probability" or values.shape[-1] == len(table.rows)
            assert np.array_equal(table.rows.label, held["label"])
        elif format_name == "prune_kit.selection":
            selection = prune_kit.Selection.read(path)
            assert np.array_equal(selection.index, held["index"])
            assert np.array_equal(selection.reason, held["reason"])
        elif format_name == "prune_kit.removal":
            removal = prune_kit.Removal.read(path)
            for name in ("index", "suspicion", "suggested_label"):
                assert np.array_equal(getattr(removal, name), held[name])
        elif format_name == "prune_kit.outcomes":
            outcomes = prune_kit.Outcomes.read(path)
            for name in ("seed", "kept", "test_accuracy", "steps", "epochs", "seconds"):
                assert [getattr(row, name) for row in outcomes.rows] == held[name].tolist()
        else:
            assert format_name == "prune_kit.labels"


@pytest.mark.parametrize("kind", WITH_STEPS)
def test_the_commands_of_then_train_nothing_and_make_the_same(
    kind: str, unpack: Unpack, say: Say
) -> None:
    folder = unpack(kind)
    arrays = {path: arrays_of(path) for path in folder.rglob("*.h5")}
    lists = {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".txt", ".npy", ".csv", ".json") and "runs" not in path.parts
    }
    runs = files_of_runs(folder)
    for step in KINDS[kind]["steps"]:
        now = say(relocated(step["words"]))
        then = dict(step["said"])
        if step["words"][0] == "score":
            then |= {"made": [], "trained": 0}
        then.pop("goal", None)  # prose, where it was not the user's own words
        check_says(then, now, " ".join(step["words"]))
    check_nothing_trained(runs, folder)
    for path, held in arrays.items():
        check_same_arrays(held, arrays_of(path), path.name)
    for path, content in lists.items():
        if path.suffix == ".json":
            then = json.loads(content)
            then.pop("created")
            check_says(then, json.loads(path.read_bytes()), path.name)
        elif path.suffix == ".csv":
            check_same_csv(content, path.read_bytes(), path.name)
        else:
            assert path.read_bytes() == content, path.name


def check_same_csv(then: bytes, now: bytes, name: str) -> None:
    """Columns stay, in their order, and cells too; new columns are the last.

    Since Unreleased a table of a removal has the suspicion as its score, which was empty, and once
    more under its name; corrected labels have the names of the classes, too.
    """
    before, after = (list(csv.reader(io.StringIO(text.decode()))) for text in (then, now))
    for old, new in zip(before, after, strict=True):
        for column, cell, found in zip(before[0], old, new, strict=False):
            filled = column == "score" and cell == "" and "suspicion" in after[0]
            assert filled or found == cell, name
        assert len(new) == len(after[0]) >= len(old), name


@pytest.mark.parametrize("kind", SCORED)
def test_scores_made_afresh_of_the_runs_of_then_are_the_same_bits(
    kind: str, unpack: Unpack, say: Say
) -> None:
    folder = unpack(kind)
    then, runs = arrays_of(folder / "work/scores.h5"), files_of_runs(folder)
    said = say([*score_words(kind), "--fresh"])
    assert said["trained"] == 0
    assert set(said["made"]) == set(KINDS[kind]["info"]["work/scores.h5"]["columns"])
    check_nothing_trained(runs, folder)
    check_same_arrays(then, arrays_of(folder / "work/scores.h5"), "scores.h5")


def test_python_finds_the_runs_of_then(unpack: Unpack) -> None:
    folder = unpack("pruning")
    runs = files_of_runs(folder)
    config = prune_kit.TrainConfig(
        model="convnet", epochs=3, batch_size=32, learning_rate=0.05,
        schedule="cosine", crop_padding=1,
    )  # fmt: skip
    data = prune_kit.load_data("npz:digits.npz")
    where = {"device": "cpu", "precision": "fp32", "jobs": 1, "workdir": "work"}
    then = prune_kit.ScoreTable.read("work/scores.h5")
    table = prune_kit.score(data, "el2n,forgetting", epoch=2, runs=2, config=config, **where)
    for name, column in table.columns.items():
        assert np.array_equal(column.values, then.columns[name].values), name
    selections = {
        name: prune_kit.Selection.read(f"work/{name}.h5") for name in ("selection", "easy")
    }
    outcomes = prune_kit.retrain(data, selections, runs=2, **where)
    check_nothing_trained(runs, folder)
    recorded = prune_kit.Outcomes.read("work/outcomes.h5")
    assert [
        (row.selection, row.seed, row.kept, row.test_accuracy, row.seconds) for row in outcomes.rows
    ] == [
        (row.selection, row.seed, row.kept, row.test_accuracy, row.seconds) for row in recorded.rows
    ]


@pytest.mark.parametrize("kind", [kind for kind in SCORED if kind != "search"])
def test_what_is_trained_anew_has_the_keys_of_then(kind: str, unpack: Unpack, say: Say) -> None:
    folder = unpack(kind)
    inputs = {path: json.loads(path.read_text()) for path in folder.rglob("inputs.json")}
    shutil.copytree("work", "then")
    shutil.rmtree("work/runs")
    for step in KINDS[kind]["steps"]:
        if step["words"][0] in ("retrain", "sweep"):  # of the files of then
            say(relocated(step["words"]))
    say([*score_words(kind), "--fresh"])
    made = {
        path: json.loads(path.read_text()) for path in Path("work").resolve().rglob("inputs.json")
    }
    assert {path.parent.name for path in made} == {path.parent.name for path in inputs}
    assert made == inputs
    check_trained_alike(Path("then/scores.h5"), Path("work/scores.h5"), ALIKE)


@pytest.mark.parametrize("kind", INTERRUPTED)
def test_what_was_interrupted_goes_on_from_its_epoch(kind: str, unpack: Unpack, say: Say) -> None:
    folder = unpack(kind)
    expected = KINDS[kind]
    kept = {p: held for p, held in files_of_runs(folder).items() if "state" not in p.name}
    keys = keys_in(folder)
    assert list(folder.rglob("state.safetensors"))
    check_says(expected["said"], say(expected["go_on"]), kind)
    after = files_of_runs(folder)
    in_work = {path for path in kept if "in-work" in path.parts}
    assert {path for path in kept if after.get(path) != kept[path]} <= in_work
    assert keys_in(folder) <= keys, "it began another training"
    # the two epochs before the interrupt took this long, and from the start all take a second
    table = prune_kit.ScoreTable.read("work/scores.h5")
    assert max(column.seconds for column in table.columns.values()) >= expected["waited"]
    check_trained_alike(Path("whole/scores.h5"), Path("work/scores.h5"), ALIKE_TO_THE_END)


def test_runs_that_ended_early_are_trained_further(unpack: Unpack, say: Say) -> None:
    folder = unpack("pruning")
    expected = KINDS["pruning"]["later"]
    keys, first = keys_in(folder), files_of_runs(folder)
    check_says(expected["said"], say(expected["words"]), "later")
    assert keys_in(folder) == keys
    after = files_of_runs(folder)
    signals = {path for path in first if path.suffix in (".npz", ".npy")}
    assert {path for path in signals if after[path] != first[path]} == set()
    check_trained_alike(Path("later/scores.h5"), Path("work/scores.h5"), ALIKE_TO_THE_END)


def test_a_compiled_table_is_not_extended_by_networks_that_are_not(
    unpack: Unpack, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = unpack("forged")
    before = (folder / "compiled/scores.h5").read_bytes()
    words = ["score", "--data", "npz:digits.npz", "--method", "forgetting", "--epoch", "3"]
    usual = [
        "--train",
        "compiled=false",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--workdir",
        "compiled",
    ]
    assert exit_code([*words, *usual]) == 2
    assert "compiled" in capsys.readouterr().err.replace("--workdir compiled", "")
    assert (folder / "compiled/scores.h5").read_bytes() == before


def test_a_table_that_does_not_tell_its_threads_has_what_is_asked_for(
    unpack: Unpack, say: Say
) -> None:
    folder = unpack("forged")
    words = ["score", "--data", "npz:digits.npz", "--method", "el2n,aum", "--epoch", "3"]
    said = say([*words, "--runs", "1", "--device", "cpu", "--threads", "1", "--workdir", "older"])
    assert (said["made"], said["trained"]) == ([], 0)
    assert not (folder / "older/runs").exists()


def test_the_report_shows_what_is_in_a_workdir_of_then(unpack: Unpack, say: Say) -> None:
    folder = unpack("recipe")
    words = ["report", "--workdir", "work/small", "--data", "npz:digits.npz", "--per-class", "1"]
    said = say(words)
    assert (folder / "work/small/report.html").stat().st_size == said["bytes"]
