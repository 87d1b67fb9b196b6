"""Make the workdirs of this folder: one archive a kind, and `expected.json`, what was said of them.

The code of the commit that `expected.json` names made them, and later code reads them. Do not make
them anew to mend a test: the test is there for files that later code does not read as before. This
script runs with the code of then alone, in a clone at that commit, with this folder in its tests:

    python -m tests.legacy.make
"""

import contextlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

import prune_kit
from prune_kit.training.runs import key_of
from prune_kit_cli.main import exit_code

HERE = Path(__file__).parent
WAIT = 20.0  # seconds; what was interrupted had taken at least as long
WHERE = "--device cpu --precision fp32 --threads 1 --jobs 1"
PROTOCOL = "--model convnet --train epochs=3 --train batch_size=32 --train learning_rate=0.05"
HELD = "--train crop_padding=1 --train schedule=cosine"
LONGER = "--train epochs=5 --train learning_rate=0.1"
PERCEPTRON = "--model mlp --train epochs=3 --train batch_size=32 --train schedule=cosine"
METHODS = "el2n,grand,forgetting,cumulative_pl,cumulative_accuracy,aum,class_distance,random"
SCORE = f"score --data npz:digits.npz --method {METHODS} --epoch 2 --runs 2"
CSCORE = "score --data npz:digits.npz --method cscore"
LATER = "--data npz:digits.npz --method el2n,forgetting --epoch 3"
WORDING = ("description", "sentence", "notes")  # prose, which may be improved
RECIPE = """title = "A small experiment"
paper = "none: a test of our own"

[data]
source = "npz"

[train]
model = "convnet"
epochs = 2
batch_size = 32
learning_rate = 0.05
schedule = "cosine"

[score]
methods = ["el2n"]
epochs = [2]
runs = 1

[select]
rule = "window"
by = "el2n@2"
keep = [0.6, 0.3]
offset = 0.05

[retrain]
runs = 2
baseline = ["full", "random"]
budget = "epochs"

[seeds]
score = 4
retrain = 1000

[[expect]]
claim = "0.6 of the rows is as good as all of them"
where = "nowhere"
check = "keep 0.6 - full > -50"
"""

# every kind that a command line alone makes
KINDS: dict[str, list[str]] = {
    "pruning": [
        f"{SCORE} {PROTOCOL} {HELD} {WHERE}",
        "select --by el2n@2 --keep 0.5 --offset 0.1",
        "select --by el2n@2 --keep 0.5 --offset 0.1 --offset-from easy --out work/easy.h5",
        "select --by grand@2 --keep 0.3 --per-class --out work/per-class.h5",
        "select --rule random --keep 0.25 --seed 3 --out work/random.h5",
        "select --rule coverage --by aum@2 --keep 0.3 --drop-hardest 0.1 --bins 10 "
        "--out work/coverage.h5",
        "select --rule moderate --by class_distance@2 --keep 0.3 --out work/moderate.h5",
        "select --rule prototypes --by el2n@2 --keep 0.3 --keep-easy --per-class "
        "--out work/prototypes.h5",
        "select --rule top --by forgetting@2 --keep 0.2 --out work/top.h5",
        "select --rule bottom --by cumulative_pl@2 --keep 0.2 --out work/bottom.h5",
        f"retrain --selection work/selection.h5 --selection work/easy.h5 --runs 2 {WHERE}",
        f"sweep --by el2n@2 --keep 0.3 --offset 0,0.1 --runs 1 --baseline random {WHERE}",
        "compare --bootstrap 20 --seed 1",
        "export --selection work/selection.h5",
        "export --selection work/selection.h5 --what drop --out work/drop.npy",
        "export --selection work/per-class.h5 --out work/per-class.json",
        "export --selection work/coverage.h5 --out work/all-rows.csv",
    ],
    "labels": [
        "corrupt --data npz:rows.npz --kind flip --rate 0.2 --seed 5",
        "score --data npz:rows.npz --labels work/labels.h5 --method cumulative_pl,aum,forgetting "
        f"--epoch 5 --runs 2 --probes 0.15 --seed 11 {PROTOCOL} {LONGER} {WHERE}",
        "clean --evaluate",
        "clean --remove 0.1 --per-class --out work/known.h5",
        "clean --cut joint --out work/joint.h5",
        "clean --cut mixture --by aum@5 --out work/mixture.h5",
        "retrain --selection work/known.h5 --selection work/joint.h5 --relabel --runs 1 "
        f"--baseline full --budget epochs {WHERE}",
        "export --selection work/known.h5 --what drop",
        "export --selection work/known.h5 --out work/cleaned.txt",
        "export --selection work/joint.h5 --relabel work/corrected.csv",
        "export --selection work/joint.h5 --relabel work/corrected.npy",
    ],
    "folds": [
        f"{CSCORE} --ratios 30,50,80 --folds 5 --seed 2 {PERCEPTRON} {WHERE}",
        "select --keep 0.5 --offset 0.02",
        "clean --holdout --cut argmax",
        "export --selection work/removal.h5 --format csv",
    ],
    "folds-alone": [
        f"{CSCORE} --ratios 50,70 --folds 2 --sampling uniform {PROTOCOL} {WHERE}",
    ],
    "search": [
        f"score --data npz:digits.npz --method el2n --epoch 3 --runs 1 {PROTOCOL} {WHERE}",
        f"tune --keep 0.3,0.5 --offset 0,0.1,0.3 --runs 2 {WHERE}",
        "export --out work/found.txt",
    ],
    "recipe": [f"reproduce small.toml --data npz:digits.npz {WHERE}"],
}


def cut_digits() -> None:
    """Write `digits.npz`, 150 training and 60 test rows, and `rows.npz`, 250 without a test set."""
    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)
    label = digits.target.astype(np.int64)
    names = np.array(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    )
    np.savez_compressed(
        HERE / "digits.npz",
        x_train=images[:150],
        y_train=label[:150],
        x_test=images[300:360],
        y_test=label[300:360],
        class_names=names,
    )
    ids = np.array([f"picture-{row:03}" for row in range(250)])
    np.savez_compressed(HERE / "rows.npz", x_train=images[400:650], y_train=label[400:650], ids=ids)


def said(words: list[str]) -> dict[str, Any]:
    """Run one command line, and give the object that it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = exit_code([*words, "--json"])
    if code:
        raise SystemExit(f"{code}: prune-kit {' '.join(words)}")
    found: dict[str, Any] = without_wording(json.loads(printed.getvalue()))
    return found


def without_wording(value: Any) -> Any:
    """JSON values without what is prose."""
    if isinstance(value, dict):
        return {name: without_wording(v) for name, v in value.items() if name not in WORDING}
    return [without_wording(v) for v in value] if isinstance(value, list) else value


def steps_of(commands: list[str]) -> dict[str, Any]:
    """Every command line in the workdir `work`, and what it said."""
    lines = [[*command.split(), "--workdir", "work"] for command in commands]
    return {"steps": [{"words": words, "said": said(words)} for words in lines]}


def described() -> dict[str, Any]:
    """What `info` says of every file in the current folder, and of the checksums of workdirs."""
    paths = sorted(Path().rglob("*.h5"))
    works = sorted({path.parent for path in Path().rglob("runs") if path.is_dir()})
    return {
        "info": {path.as_posix(): said(["info", str(path)]) for path in paths},
        "verified": {
            work.as_posix(): said(["info", "--verify", "--workdir", str(work)]) for work in works
        },
    }


def interrupted_at(training: str, options: dict[str, Any]) -> None:
    """Score, and interrupt as a user would when the `training` of that name has ended 2 epochs."""
    waited = False

    def listen(step: Any) -> None:
        nonlocal waited
        if training not in step.what or not step.networks:
            return
        if not waited:
            time.sleep(WAIT)
            waited = True
        if step.done == 2:
            raise KeyboardInterrupt

    data = prune_kit.load_data("npz:digits.npz")
    where = {"device": "cpu", "precision": "fp32", "threads": 1, "jobs": 1, "workdir": "work"}
    with contextlib.suppress(KeyboardInterrupt):
        prune_kit.score(data, progress=listen, **where, **options)
        raise SystemExit("it was not interrupted")


def convnet() -> "prune_kit.TrainConfig":
    """The protocol that PROTOCOL and HELD are."""
    return prune_kit.TrainConfig(
        model="convnet",
        epochs=3,
        batch_size=32,
        learning_rate=0.05,
        schedule="cosine",
        crop_padding=1,
    )


def perceptron() -> "prune_kit.TrainConfig":
    """The protocol that PERCEPTRON is."""
    return prune_kit.TrainConfig(
        model="mlp", epochs=3, batch_size=32, learning_rate=0.05, schedule="cosine"
    )


def interrupted(go_on: str, interrupt: Callable[[], None]) -> dict[str, Any]:
    """Leave an interrupted workdir, and in `whole` the table of the same command undisturbed.

    Gives the command that goes on, and what it said.
    """
    undisturbed = [*go_on.split(), "--workdir", "whole"]
    said(undisturbed)
    shutil.rmtree("whole/runs")
    interrupt()
    shutil.copytree("work", "left")
    ended = said([*go_on.split(), "--workdir", "work"])
    for name, column in prune_kit.ScoreTable.read("whole/scores.h5").columns.items():
        again = prune_kit.ScoreTable.read("work/scores.h5").columns[name]
        assert np.array_equal(column.values, again.values, equal_nan=True), name
    shutil.rmtree("work")
    Path("left").rename("work")
    return {"go_on": [*go_on.split(), "--workdir", "work"], "waited": WAIT, "said": ended}


def interrupted_run() -> dict[str, Any]:
    """One network is finished; the second has ended two epochs of three."""
    methods = "--method el2n,forgetting,cumulative_pl --epoch 3 --runs 2"
    go_on = f"score --data npz:digits.npz {methods} {PROTOCOL} {HELD} {WHERE}"
    options = {
        "methods": "el2n,forgetting,cumulative_pl",
        "epoch": 3,
        "runs": 2,
        "config": convnet(),
    }
    return interrupted(go_on, lambda: interrupted_at("seed 1", options))


def interrupted_folds() -> dict[str, Any]:
    """Perceptrons by hand: a fold is there, one has ended two epochs of three, one was planned."""
    go_on = f"{CSCORE} --ratios 30,50,70 --folds 1 {PERCEPTRON} {WHERE}"
    options = {"methods": "cscore", "ratios": (30, 50, 70), "folds": 1, "config": perceptron()}
    return interrupted(go_on, lambda: interrupted_at("at 50 %", options))


def interrupted_folds_alone() -> dict[str, Any]:
    """The same of networks that train one by one, by the usual loop."""
    go_on = f"{CSCORE} --ratios 50 --folds 3 {PROTOCOL} {HELD} {WHERE}"
    options = {"methods": "cscore", "ratios": (50,), "folds": 3, "config": convnet()}
    return interrupted(go_on, lambda: interrupted_at("fold 2", options))


def pruning() -> dict[str, Any]:
    """Its commands; and in `later` the table of the same runs, trained further from their state."""
    made = steps_of(KINDS["pruning"])
    shutil.copytree("work", "longer")
    words = ["score", *LATER.split(), *WHERE.split(), "--workdir"]
    told = said([*words, "longer"]) | {"file": "work/scores.h5"}
    Path("later").mkdir()
    Path("longer/scores.h5").rename("later/scores.h5")
    shutil.rmtree("longer")
    return {**made, "later": {"words": [*words, "work"], "said": told}}


def forged() -> dict[str, Any]:
    """Files as a GPU, `compiled` and an older version would have written them: attributes alone."""
    score = f"score --data npz:digits.npz --method el2n,aum --epoch 3 --runs 1 {PROTOCOL} {WHERE}"
    said([*score.split(), "--workdir", "work"])
    said("select --by el2n@3 --keep 0.5 --workdir work".split())
    said([*f"retrain --runs 1 --baseline full {WHERE}".split(), "--workdir", "work"])
    compiled = {"compiled": True}
    _forge("compiled", compiled, {}, compiled, ())
    _forge(
        "gpu",
        {},
        {"precision": "bf16", "threads": None},
        {"precision": "bf16", "threads": None},
        (),
    )
    _forge("older", {}, {}, {}, ("threads",))
    for path in sorted(Path("work/runs").iterdir()):
        inputs = json.loads((path / "inputs.json").read_text())
        inputs |= {"device": "cuda", "precision": "bf16", "threads": None}
        there = Path("gpu/runs") / key_of(inputs)
        shutil.copytree(path, there, ignore=shutil.ignore_patterns("weights-*"))
        (there / "inputs.json").write_text(json.dumps(inputs, indent=1) + "\n")
    shutil.rmtree("work")
    commands = [
        [
            "select",
            "--by",
            "aum@3",
            "--keep",
            "0.4",
            "--workdir",
            folder,
            "--out",
            f"{folder}/other.h5",
        ]
        for folder in ("compiled", "gpu", "older")
    ]
    return {"steps": [{"words": words, "said": said(words)} for words in commands]}


def _forge(
    folder: str,
    config: dict[str, Any],
    where: dict[str, Any],
    told: dict[str, Any],
    without: tuple[str, ...],
) -> None:
    """Write the files of `work` to `folder`, with other parameters.

    `config` are those of the protocol, `where` of the place, `told` of outcomes; `without` go.
    """
    table = prune_kit.ScoreTable.read("work/scores.h5")

    def changed(parameters: dict[str, Any]) -> dict[str, Any]:
        values = {**parameters, "config": parameters["config"] | config, **where}
        return {name: value for name, value in values.items() if name not in without}

    columns = {
        name: replace(c, parameters=changed(c.parameters)) for name, c in table.columns.items()
    }
    replace(table, columns=columns).write(Path(folder) / "scores.h5")
    selection = prune_kit.Selection.read("work/selection.h5")
    replace(selection, scored_with=changed(selection.scored_with)).write(
        Path(folder) / "selection.h5"
    )
    outcomes = prune_kit.Outcomes.read("work/outcomes.h5")
    rows = [
        replace(
            row,
            config=json.dumps(
                {n: v for n, v in (json.loads(row.config) | told).items() if n not in without}
            ),
        )
        for row in outcomes.rows
    ]
    replace(outcomes, rows=tuple(rows)).write(Path(folder) / "outcomes.h5")


def machine() -> str:
    """What the last bits of a training depend on."""
    names = [
        line
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = names[0].partition(": ")[2] if names else platform.processor()
    return f"{processor}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


def commit() -> str:
    """The commit that the code is at. The code must be as it was committed."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=HERE, check=True, capture_output=True, text=True
        ).stdout.strip()

    if git("status", "--porcelain", "--", "../../prune_kit", "../../cli", "../../recipes"):
        raise SystemExit("the code is not as it was committed")
    return git("log", "-1", "--format=%H", "--", "../../prune_kit", "../../cli", "../../recipes")


def make(name: str, fill: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Fill a folder, keep it as an archive, and give what is expected of it."""
    began = time.monotonic()
    folder = Path(tempfile.gettempdir()) / "prune-kit-legacy"  # some files hold its name
    folder.mkdir()
    with contextlib.chdir(folder):
        for path in (*HERE.glob("*.npz"), *HERE.glob("*.toml")):
            shutil.copy(path, folder)
        expected = fill()
        expected |= described()
        given = [path for path in Path().iterdir() if not path.is_dir()]
        for path in given:
            path.unlink()
        for path in (*Path().rglob("*.png"), *Path().rglob("*.svg")):
            path.unlink()
        shutil.make_archive(str(HERE / name), "zip", ".")
    shutil.rmtree(folder)
    size = (HERE / f"{name}.zip").stat().st_size
    sys.stderr.write(f"{name}: {size / 1000:.0f} kB, {time.monotonic() - began:.1f} s\n")
    return expected


def main() -> None:
    """Make all of them."""
    cut_digits()
    (HERE / "small.toml").write_text(RECIPE)
    os.environ["COLUMNS"] = "120"
    made = {
        "commit": commit(),
        "machine": machine(),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    kinds = {}
    for name, commands in KINDS.items():
        if name != "pruning":
            kinds[name] = make(name, partial(steps_of, commands))
    for fill in (pruning, interrupted_run, interrupted_folds, interrupted_folds_alone, forged):
        name = fill.__name__.replace("_", "-")
        kinds[name] = make(name, fill)
    (HERE / "expected.json").write_text(json.dumps({"made": made, "kinds": kinds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
