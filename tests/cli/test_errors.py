"""Wrong command lines get one clear line and exit code 2 and leave every file as it was.

Right ones keep their word.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import typer
from PIL import Image

from prune_kit_cli.main import app, exit_code
from tests.data.small_sets import write_tree

TRAINING = ["--model", "mlp", "--train", "epochs=1", "--jobs", "1", "--device", "cpu"]
COMMANDS = [info.name or info.callback.__name__ for info in app.registered_commands]


def write_npz(path, seed=0, classes=2, **replaced):
    rng = np.random.default_rng(seed)
    arrays = {
        "x_train": rng.integers(0, 256, (40, 8, 8), dtype=np.uint8),
        "y_train": np.arange(40) % classes,
    }
    np.savez(path, **(arrays | replaced))


def broken_copy(source, target, **attributes):
    """A copy of one of our files with some attributes changed."""
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        file.attrs.update(attributes)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data, a work folder in which every stage has left its file, and everything that
    can be wrong."""
    folder = tmp_path_factory.mktemp("place")
    write_npz(folder / "mine.npz")
    write_npz(folder / "other.npz", seed=1)
    write_npz(folder / "one_class.npz", classes=1)
    write_npz(folder / "out_of_range.npz", y_train=np.full(40, 7), class_names=np.array(["a", "b"]))
    np.savez(folder / "no_arrays.npz", images=np.zeros(3))
    np.save(folder / "labels.npy", np.full(40, 5))
    np.save(folder / "few_labels.npy", np.zeros(3, int))
    write_tree(folder / "channels" / "one", classes=("cat",), mode="L")
    write_tree(folder / "channels" / "one", classes=("dog",), mode="RGB")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "channels/one/dog/16.png")
    write_tree(folder / "corrupt")
    image = folder / "corrupt" / "dog" / "0002.png"
    image.write_bytes(image.read_bytes()[:60])
    write_tree(folder / "empty_class")
    (folder / "empty_class" / "bird").mkdir()
    work = folder / "work"
    for line in (
        [
            "score",
            "--data",
            f"npz:{folder / 'mine.npz'}",
            "--method",
            "el2n,cumulative_pl",
            "--runs",
            "1",
            *TRAINING,
        ],
        ["select", "--by", "el2n@1"],
        ["retrain", "--runs", "1", "--jobs", "1", "--device", "cpu"],
        ["select", "--by", "el2n@1", "--keep", "0.25", "--out", str(folder / "two" / "b.h5")],
    ):
        assert exit_code([*line, "--quiet", "--workdir", str(work)]) == 0
    for name in ("a.h5", "full.h5"):
        shutil.copy(work / "selection.h5", folder / "two" / name)
    (folder / "two" / "full.h5").rename(folder / "full.h5")
    (folder / "empty").mkdir()
    whole = (work / "scores.h5").read_bytes()
    for name, content in {"truncated": whole[: len(whole) // 2], "text": b"index\n1\n"}.items():
        (folder / f"{name}.h5").write_bytes(content)
        (folder / f"{name}_work").mkdir()
        (folder / f"{name}_work" / "scores.h5").write_bytes(content)
    broken_copy(work / "scores.h5", folder / "version.h5", format_version=2)
    broken_copy(work / "scores.h5", folder / "foreign.h5", format="keras")
    (folder / "broken.toml").write_text("title = ")
    return folder


@pytest.fixture(autouse=True)
def quiet_surroundings(monkeypatch, tmp_path):
    """Nothing of the machine's own settings, and nothing left in the source tree."""
    monkeypatch.delenv("PRUNE_KIT_WORKDIR", raising=False)
    monkeypatch.setenv("PRUNE_KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(place, capsys):
    """Runs one command line, `{place}` standing for the folder.

    Gives the exit code, stdout and stderr.
    """

    def call(line, work="work"):
        words = [word.replace("{place}", str(place)) for word in line.split()]
        if words and words[0] in COMMANDS and "--help" not in words and "--workdir" not in words:
            words += ["--workdir", str(place / work)]
        code = exit_code(words)
        return code, *capsys.readouterr()

    return call


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


NEW = (
    "score --runs 1 --jobs 1 --device cpu --train epochs=1 --model mlp --data npz:{place}/mine.npz"
)

# command line, work folder, what the message says
WRONG = [
    # words
    ("scroe", "work", "No such command 'scroe'"),
    ("select --kep 0.5", "work", "No such option: --kep"),
    ("select surplus", "work", "surplus"),
    ("list", "work", "Missing argument"),
    ("list modles", "work", "unknown list 'modles'. Did you mean 'models'?"),
    ("select --keep half", "work", "'--keep'"),
    ("retrain --runs few", "work", "'--runs'"),
    ("score --runs 1.5", "work", "'--runs'"),
    # names
    (f"{NEW} --method el2m", "empty", "unknown method 'el2m'. Did you mean 'el2n'? There are: "),
    (f"{NEW} --method ,", "empty", "--method names no method; there are: "),
    (f"{NEW} --model mpl", "empty", "unknown model 'mpl'. Did you mean 'mlp'?"),
    (
        f"{NEW} --recipe digit_demo",
        "empty",
        "unknown recipe 'digit_demo'. Did you mean 'digits_demo'?",
    ),
    (f"{NEW} --recipe {{place}}/broken.toml", "empty", "broken.toml"),
    (f"{NEW} --observe sweeps", "empty", "unknown observation 'sweeps'. Did you mean 'sweep'?"),
    (f"{NEW} --precision fp16", "empty", "unknown precision 'fp16'"),
    ("reproduce nobody", "empty", "unknown recipe 'nobody'"),
    ("reproduce digits_demo --scale smal", "empty", "unknown scale 'smal'"),
    ("reproduce data_diet_cifar10", "empty", "requires its data: --data cifar10:PATH"),
    ("select --by el2n@2", "work", "unknown column 'el2n@2'. Did you mean 'el2n@1'?"),
    ("select", "work", "which column? Say --by, one of: el2n@1, cumulative_pl@1"),
    ("select --by el2n@1 --rule tpo", "work", "unknown rule 'tpo'. Did you mean 'top'?"),
    (
        "select --by el2n@1 --rule top --offset 0.1",
        "work",
        "--rule top takes no --offset; it takes --per-class",
    ),
    (
        "select --by el2n@1 --offset-from left",
        "work",
        "unknown --offset-from 'left'. There are: hard, easy",
    ),
    ("export --format tx", "work", "unknown format 'tx'. Did you mean 'txt'?"),
    ("export --what all", "work", "unknown --what 'all'. There are: keep, drop"),
    ("retrain --baseline fulll", "work", "unknown baseline 'fulll'. Did you mean 'full'?"),
    ("retrain --budget hours", "work", "unknown --budget 'hours'. There are: steps, epochs"),
    # numbers
    ("select --by el2n@1 --keep 0", "work", "--keep 0 is out of range"),
    ("select --by el2n@1 --keep 1.5", "work", "--keep 1.5 is out of range"),
    ("select --by el2n@1 --keep nan", "work", "--keep nan is out of range"),
    ("select --by el2n@1 --keep -0.5", "work", "--keep -0.5 is out of range"),
    (
        "select --by el2n@1 --keep 0.001",
        "work",
        "is less than one example; the least is --keep 0.031",
    ),
    ("select --by el2n@1 --offset nan", "work", "--offset nan is out of range"),
    ("select --by el2n@1 --offset -1", "work", "--offset -1 is out of range"),
    ("select --by el2n@1 --keep 0.75 --offset 0.5", "work", "the largest is --offset 0.25"),
    (
        f"{NEW} --epoch 2",
        "empty",
        "--epoch 2 is out of range for el2n: the protocol has epochs 0 to 1",
    ),
    (f"{NEW} --epoch -1", "empty", "--epoch -1 is out of range"),
    (f"{NEW} --epoch 0 --method forgetting", "empty", "--epoch 0 is out of range for forgetting"),
    (f"{NEW} --epoch two", "empty", "--epoch two is no whole number"),
    (f"{NEW} --epoch 1,", "empty", "--epoch 1, is no whole number"),
    (f"{NEW} --runs 0", "empty", "--runs 0 is out of range"),
    (f"{NEW} --jobs 0", "empty", "--jobs 0 is out of range"),
    (f"{NEW} --device cuda:99", "empty", "device 'cuda:99' is not there"),
    (f"{NEW} --device tpu", "empty", "unknown device 'tpu'"),
    (f"{NEW} --seed -1", "empty", "--seed -1 is out of range"),
    (f"{NEW} --train garbage", "empty", "--train 'garbage' must have the form KEY=VALUE"),
    (f"{NEW} --train epoch=1", "empty", "unknown training option 'epoch'. Did you mean 'epochs'?"),
    (f"{NEW} --train epochs=one", "empty", "epochs = 'one' does not fit; expected a whole number"),
    (f"{NEW} --train epochs=0", "empty", "epochs = 0 is out of range"),
    (f"{NEW} --train learning_rate=nan", "empty", "learning_rate = nan is out of range"),
    (f"{NEW} --train schedule=linear", "empty", "unknown schedule 'linear'"),
    ("select --by el2n@1 --rule random --seed -1", "work", "--seed -1 is out of range"),
    ("retrain --runs 0", "work", "--runs 0 is out of range"),
    ("retrain --jobs 0", "work", "--jobs 0 is out of range"),
    ("retrain --threads 0", "work", "--threads 0 is out of range"),
    ("retrain --threads 100000", "work", "--threads 100000 is more than this machine's cores"),
    (
        "score --data npz:{place}/nowhere.npz --precision fp16",
        "empty",
        "unknown precision 'fp16'",
    ),  # before any data
    (
        "score --data npz:{place}/nowhere.npz --train epoch=1",
        "empty",
        "unknown training option 'epoch'",
    ),
    ("reproduce digits_demo --jobs 0", "empty", "--jobs 0 is out of range"),
    ("retrain --seed -1", "work", "--seed -1 is out of range"),
    # data
    ("score --data nonsense", "empty", "unknown data source 'nonsense'"),
    ("score --data minst:x", "empty", "unknown data source 'minst'. Did you mean 'mnist'?"),
    ("score --data mnist", "empty", "lacks a path; write mnist:PATH"),
    ("score --data folder:{place}/nowhere", "empty", "nowhere"),
    ("score --data mnist:{place}/nowhere", "empty", "nowhere"),
    ("score --data npz:{place}/nowhere.npz", "empty", "does not exist"),
    ("score --data npz:{place}/text.h5", "empty", "is not an .npz file"),
    (
        "score --data npz:{place}/no_arrays.npz",
        "empty",
        "lacks x_train and y_train; it has: images",
    ),
    ("score --data npz:{place}/one_class.npz", "empty", "one class only"),
    (
        "score --data npz:{place}/out_of_range.npz",
        "empty",
        "label 7 in row 0 is out of range 0 .. 1",
    ),
    (f"{NEW} --labels {{place}}/labels.npy", "empty", "label 5 in row 0 is out of range 0 .. 1"),
    (f"{NEW} --labels {{place}}/few_labels.npy", "empty", "expected (40,), one per image"),
    (f"{NEW} --labels {{place}}/nowhere.npy", "empty", "does not exist"),
    (f"{NEW} --image-size 8", "empty", "--image-size is for --data folder"),
    ("score --data folder:{place}/channels/one", "empty", "pixels of mode I;16"),
    ("score --data folder:{place}/corrupt", "empty", "dog/0002.png"),
    ("score --data folder:{place}/empty_class", "empty", "class 'bird' is empty"),
    ("score --data os.path:nowhere", "empty", "nowhere"),
    # files of ours
    ("select", "empty", "there is no file {place}/empty/scores.h5. Make it with: prune-kit score"),
    ("retrain", "empty", "there is no selection in {place}/empty. Make one with: prune-kit select"),
    ("export", "empty", "there is no selection in {place}/empty"),
    ("export", "two", "which selection? Say --selection FILE, one of: "),
    ("info", "empty", "there are no files in {place}/empty"),
    ("info {place}/nowhere.h5", "work", "there is no file {place}/nowhere.h5"),
    ("info {place}/mine.npz", "work", "is not a whole HDF5 file"),
    (
        "select --scores {place}/truncated.h5",
        "work",
        "{place}/truncated.h5 is not a whole HDF5 file",
    ),
    ("select", "truncated_work", "{place}/truncated_work/scores.h5 is not a whole HDF5 file"),
    (
        "score --runs 1",
        "truncated_work",
        "{place}/truncated_work/scores.h5 is not a whole HDF5 file",
    ),
    ("select", "text_work", "{place}/text_work/scores.h5 is not a whole HDF5 file"),
    (
        "select --scores {place}/version.h5",
        "work",
        "has format version 2; this prune-kit reads version 1",
    ),
    ("select --scores {place}/foreign.h5", "work", "is keras; expected prune_kit.scores"),
    (
        "select --scores {place}/work/selection.h5",
        "work",
        "is prune_kit.selection; expected prune_kit.scores",
    ),
    (
        "export --selection {place}/work/scores.h5",
        "work",
        "is prune_kit.scores; expected prune_kit.selection",
    ),
    (
        "retrain --selection {place}/work/outcomes.h5",
        "work",
        "is prune_kit.outcomes; expected prune_kit.selection",
    ),
    (
        "retrain --selection {place}/work/selection.h5 --selection {place}/work/selection.h5",
        "work",
        "the same name",
    ),
    ("retrain --selection {place}/full.h5", "work", "selection 'full' has the name of a baseline"),
    (
        "retrain --data npz:{place}/other.npz",
        "work",
        "is not the data of selection 'selection': another data set",
    ),
    ("score --data npz:{place}/other.npz", "work", "is not the data of the score table"),
    ("score --model convnet", "work", "was made otherwise: model convnet (the table has mlp)"),
    ("score --seed 3", "work", "was made otherwise: seed 3 (the table has 0)"),
    (
        "score --train compiled=true",
        "work",
        "was made otherwise: compiled true (the table has false)",
    ),
    # places that cannot be written
    (
        "select --by el2n@1 --out {place}/mine.npz/selection.h5",
        "work",
        "cannot write {place}/mine.npz/selection.h5",
    ),
    (
        "select --by el2n@1 --out {place}/empty",
        "work",
        "is there already, and is no selection file",
    ),
    ("select --by el2n@1 --out .", "work", "is there already, and is no selection file"),
    ("export --out {place}/mine.npz/keep.txt", "work", "cannot write {place}/mine.npz/keep.txt"),
    (NEW, "mine.npz", "cannot write into {place}/mine.npz"),
    ("select", "mine.npz", "there is no file {place}/mine.npz/scores.h5"),
    ("info", "mine.npz", "there are no files in {place}/mine.npz"),
]


@pytest.mark.parametrize(
    ("line", "work", "told"), WRONG, ids=[f"{line} ({work})" for line, work, _ in WRONG]
)
def test_a_wrong_command_line_gets_one_clear_line_and_touches_nothing(
    place, call, line, work, told
):
    before = contents(place)
    code, out, err = call(line, work)
    assert (code, out) == (2, "")
    lines = [text for text in err.splitlines() if text.startswith("error: ")]
    assert len(lines) == 1, err
    assert err.endswith(f"{lines[0]}\n")
    assert told.replace("{place}", str(place)) in lines[0]
    after = contents(place)
    assert {path: after.get(path) for path in before} == before
    assert not [path for path in after if path.name.endswith(".tmp")]


@pytest.mark.parametrize(
    "line", ["select --keep 2", "export --format x", "info {place}/text.h5", "score --epoch x"]
)
def test_an_error_is_all_that_is_printed_with_quiet_and_with_json(call, line):
    for option in ("--quiet", "--json"):
        code, out, err = call(f"{line} {option}")
        assert (code, out) == (2, "")
        assert len([text for text in err.splitlines() if text.startswith("error: ")]) == 1
        if option == "--quiet":
            assert len(err.splitlines()) == 1


@pytest.mark.skipif(
    torch.cuda.is_available(), reason="this machine has what the test asks for in vain"
)
def test_a_gpu_that_is_not_there_is_told(call):
    code, _, err = call(f"{NEW} --device cuda", "empty")
    assert code == 2
    assert "device 'cuda' is not there: this machine has 0 CUDA devices. Try --device cpu" in err


def test_a_bug_of_ours_is_not_dressed_up_as_an_error_of_the_user(call, monkeypatch):
    def bug(*words, **options):
        raise ZeroDivisionError

    monkeypatch.setattr("prune_kit.pipeline.select", bug)
    with pytest.raises(ZeroDivisionError):
        call("select --by el2n@1")


# what the right ones print

RIGHT = {
    "score --runs 1 --method el2n --jobs 1": {"file", "made", "columns", "trained", "fingerprint"},
    "select --by el2n@1 --keep 0.5 --out {place}/json/a.h5": {
        "kept",
        "dropped",
        "class_shares",
        "description",
    },
    "retrain --runs 1 --jobs 1 --selection {place}/work/selection.h5": {
        "file",
        "budget",
        "outcomes",
    },
    "export --out {place}/json/keep.txt": {"file", "format", "what", "kept", "dropped"},
    "info {place}/work/scores.h5": {"format", "fingerprint", "columns", "rows"},
    "info {place}/work/selection.h5": {"format", "rule", "kept", "class_shares"},
    "info {place}/work/outcomes.h5": {"format", "outcomes"},
    "info": {"files"},
    **{
        f"list {what}": {what}
        for what in ("data", "models", "methods", "rules", "cuts", "formats", "recipes")
    },
}


@pytest.mark.parametrize("line", RIGHT)
def test_json_is_one_object_on_stdout_and_nothing_else(call, line):
    code, out, _ = call(f"{line} --json")
    assert code == 0
    assert len(out.splitlines()) == 1
    value = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert RIGHT[line] <= set(value)


@pytest.mark.parametrize("line", RIGHT)
def test_quiet_prints_nothing_at_all(call, line):
    assert call(f"{line} --quiet") == (0, "", "")


@pytest.mark.parametrize("line", RIGHT)
def test_results_go_to_stdout_and_notes_to_stderr(call, line):
    code, out, err = call(line)
    assert code == 0
    assert out
    assert "error" not in err
    if line.split()[0] in ("score", "select", "retrain"):
        assert "wrote" in err
        assert "wrote" not in out


# help


def test_the_bare_command_shows_the_help(call):
    assert call("") == call("--help")
    code, out, err = call("")
    assert (code, err) == (0, "")
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_with_an_example_that_it_understands(call, command):
    code, out, err = call(f"{command} --help")
    assert (code, err) == (0, "")
    [example] = [line.split("Example: ")[1] for line in out.splitlines() if "Example: " in line]
    program, name, *words = example.strip(" │").split()
    assert (program, name) == ("prune-kit", command)
    parser = typer.main.get_command(app).commands[command]
    parser.make_context(command, words)  # raises for an option that is not there


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_json_quiet_and_workdir(command):
    options = {
        word
        for option in typer.main.get_command(app).commands[command].params
        for word in option.opts
    }
    assert {"--json", "--quiet", "--workdir"} <= options


# what is not loaded


def test_help_select_export_info_and_list_do_not_load_torch(place, tmp_path):
    lines = [
        ["--help"],
        *([name, "--help"] for name in COMMANDS),
        *(
            ["list", what]
            for what in ("data", "models", "methods", "rules", "cuts", "formats", "recipes")
        ),
        [
            "select",
            "--by",
            "el2n@1",
            "--workdir",
            str(place / "work"),
            "--out",
            str(tmp_path / "selection.h5"),
        ],
        ["export", "--format", "csv", "--workdir", str(tmp_path)],
        ["info", "--workdir", str(place / "work")],
    ]
    program = (
        "import sys; from prune_kit_cli.main import exit_code\nfrom prune_kit.storage import hdf5; "
        f"hdf5.CHECKED_BYTES = 0\nassert exit_code(['info', {str(place / 'work/scores.h5')!r}]) == "
        "0\nassert not {'torch', 'jaxtyping'} & set(sys.modules)  # a large table is told in under "
        f"a second\nfor line in {lines!r}:\n    assert exit_code(line) == 0, line\n    assert "
        "'torch' not in sys.modules, line\n"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:0] = [{str(root)!r}, {str(root / 'cli')!r}]\n{program}",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_the_help_does_not_even_load_numpy():
    program = (
        "import sys, prune_kit; from prune_kit_cli.main import exit_code\n"
        "assert exit_code(['score', '--help']) == 0\n"
        "assert not {'torch', 'numpy', 'h5py'} & set(sys.modules)"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:0] = [{str(root)!r}, {str(root / 'cli')!r}]\n{program}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
