"""What commands say of data: all bad files at once, how folders are understood, how far work is."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from prune_kit.progress import Progress
from prune_kit_cli import screen as screens
from prune_kit_cli.main import exit_code
from prune_kit_cli.screen import SILENCE, Screen
from tests.data.small_sets import write_tree

SHORT = "--model mlp --method el2n --epoch 1 --runs 1 --train epochs=1 --jobs 1".split()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNE_KIT_CACHE", str(tmp_path / "cache"))
    write_tree(tmp_path / "photos", per_class=6)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = exit_code([*words])
    out, err = capsys.readouterr()
    return code, out, err


def test_all_bad_files_are_shown_and_written_and_refused_once(place, capsys):
    (place / "photos/cat/a,b.png").write_text("no image")
    (place / "photos/dog/empty.png").touch()
    (place / "photos/dog/link.png").symlink_to("nowhere")
    code, out, err = said(capsys, "score", "--data", "photos", *SHORT)
    assert code == 2 and out == ""
    for name in ("cat/a,b.png", "dog/empty.png", "dog/link.png"):
        assert name in err.replace("\n", "")
    last = err.splitlines()[-1]
    assert last.startswith("error: 3 of 15 files cannot be used (1 is ")
    assert last.endswith(
        "all are listed in prune-kit-work/bad_files.csv. Mend or remove them, or give --skip-bad "
        "to go on without them"
    )
    with (place / "prune-kit-work/bad_files.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [Path(line["path"]).name for line in lines] == ["a,b.png", "empty.png", "link.png"]
    assert lines[1]["reason"] == "is empty (0 bytes)"


def test_with_skip_bad_the_others_are_scored_and_exported_under_their_names(place, capsys):
    (place / "photos/cat/0000.png").write_text("no image")
    code, _, err = said(capsys, "score", "--data", "photos", "--skip-bad", *SHORT)
    assert code == 0 and "1 of 12 files cannot be used and are skipped" in err
    for command in ("select --keep 0.9", "retrain --runs 1 --baseline none", "export --out k.csv"):
        code, _, err = said(capsys, *command.split())  # they read the same files again
        assert code == 0, err
    with (place / "k.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["id"] for line in lines][:2] == ["cat/0001.png", "cat/0002.png"]


def test_how_a_folder_was_understood_is_said(place, capsys):
    write_tree(place / "splits/Training", per_class=3)
    write_tree(place / "splits/Valid", per_class=2)
    write_tree(place / "splits/Training", classes=("cat",), per_class=1, size=(90, 70), seed=9)
    code, _, err = said(capsys, "score", "--data", "splits", "--dry-run", *SHORT)
    assert code == 0
    assert "Valid is the test set" in err and "and a test set of 4" in err
    assert "images have 2 sizes (90% are 8x8), so all are made 64x64" in err
    assert "--image-size 8 would take 2% of the memory and time" in err


def test_labels_in_the_order_of_rows_are_said(place, capsys):
    np.savez(place / "a.npz", x_train=np.zeros((20, 8, 8), np.uint8), y_train=np.arange(20) % 2)
    (place / "l.csv").write_text("label\n" + "0\n1\n" * 10)
    words = ["score", "--data", "a.npz", "--labels", "l.csv", "--dry-run", *SHORT]
    code, _, err = said(capsys, *words)
    assert code == 0 and "has no column that names rows, so line i is taken for row i" in err
    (place / "l.csv").write_text("photo,label\n" + "".join(f"{i},{i % 2}\n" for i in range(20)))
    code, _, err = said(capsys, *words)
    assert code == 2 and "Say which one does, such as --key photo" in err


ODD = {
    "a tuple": "(np.zeros(3), np.zeros(3))",
    "a path": "Path('photos')",
    "a specification": "'digits'",
    "a list": "[1]",
    "none": "None",
    "a folder of torchvision": "ImageFolder('photos')",
}
VERBS = {
    "score": "prune_kit.score(odd)",
    "retrain": "prune_kit.retrain(odd, {})",
    "report": "prune_kit.report(odd)",
    "select": "prune_kit.select(odd)",
    "clean": "prune_kit.clean(odd)",
    "export": "prune_kit.export(odd, 'k.txt')",
    "sweep": "prune_kit.sweep(odd, odd, by='el2n@1', keep=[0.5])",
    "tune": "prune_kit.tune(odd, odd)",
    "retrain of it": "prune_kit.retrain(prune_kit.load_data('digits'), odd)",
}


def test_verbs_say_in_one_line_what_they_cannot_take(place):
    program = "import json, sys, numpy as np, prune_kit\nfrom pathlib import Path\n"
    program += "from torchvision.datasets import ImageFolder\nfound = {}\n"
    for kind, made in ODD.items():
        program += f"odd = {made}\n"
        for verb, call in VERBS.items():
            program += (
                f"try:\n    {call}\n    found[{f'{verb}, {kind}'!r}] = 'taken'\n"
                f"except prune_kit.PruneKitError as error:\n"
                f"    found[{f'{verb}, {kind}'!r}] = str(error)\n"
            )
    program += "print(json.dumps(found))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == len(ODD) * len(VERBS)
    wrong = {
        case: text for case, text in found.items() if "; expected a " not in text or "\n" in text
    }
    assert wrong == {}


def test_what_is_asked_is_judged_before_an_image_is_read(place, capsys, monkeypatch):
    def read(*_: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr("prune_kit.data.decoding.inspect", read)
    for words, reason in (
        ("--model nonet", "unknown model 'nonet'"),
        ("--train model=timm:", "unknown model 'timm:'"),
        ("--observe nowhere", "unknown observation 'nowhere'"),
        ("--probes 0.7", "--probes 0.7 is out of range"),
        ("--device tpu", "unknown device 'tpu'"),
        ("--exif turn", "unknown --exif 'turn'"),
        ("--image-size 0", "--image-size 0 is out of range"),
    ):
        code, _, err = said(capsys, "score", "--data", "photos", *words.split())
        assert code == 2 and reason in err, words


def test_an_absent_folder_is_told_without_torch(place):
    program = (
        "import sys\nfrom prune_kit_cli.main import exit_code\n"
        "code = exit_code(['score', '--data', 'folder:nowhere'])\n"
        "sys.exit(code if 'torch' not in sys.modules else 99)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2 and "nowhere" in done.stderr, done.stderr


def test_a_log_is_never_silent_for_long_and_says_the_time_left(capsys):
    now = 0.0
    show = screens._lines(Screen(as_json=False, quiet=False), clock=lambda: now)
    for epoch in range(1, 100):
        now += 10.0
        show(Progress("resnet18, seed 0", epoch, 200, "", 4, 1))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 99 * 10 // SILENCE
    assert lines[0].split(": ")[1] == "3 of 200; about 2.2 hours left"
    assert "99 of 200" in lines[-1] and lines[-1].endswith("about 117 minutes left")


def test_a_log_of_short_work_has_a_line_for_each_piece_only(capsys):
    now = 0.0
    show = screens._lines(Screen(as_json=False, quiet=False), clock=lambda: now)
    for network in range(3):
        for epoch in range(1, 6):
            now += 1.0
            show(Progress(f"mlp, seed {network}", epoch, 5, "", 3, 1))
    assert (
        capsys.readouterr().err.split()
        == (
            "mlp, seed 0: done; about 10 s left mlp, seed 1: done; about 5 s left mlp, seed 2: done"
        ).split()
    )
