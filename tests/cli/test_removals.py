"""What export, retrain and info do with a removal, and what they say about it."""

import csv
import json
import math
import shutil

import h5py
import numpy as np
import pytest

from prune_kit.data.spec import load_data
from prune_kit.results.outcomes import Outcomes
from prune_kit.results.table import ScoreTable
from prune_kit_cli.main import exit_code
from prune_kit_cli.views.removal import (
    expectation_sentence,
    loss_table,
    rate_sentence,
    removal_json,
    removal_shown,
    suspects_table,
)
from tests.small_tables import removal_of, rows_of

TRAINING = ["--jobs", "1", "--device", "cpu"]
NAMES = ["[red]cat[/red]", "dog", "größe"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data, and work folders with a score table of it and: a selection and a removal, a removal, a
    selection."""
    folder = tmp_path_factory.mktemp("place")
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(
        folder / "mine.npz", x_train=images, y_train=np.arange(60) % 3, class_names=np.array(NAMES)
    )
    both = folder / "both"
    score = [
        "score",
        "--data",
        f"npz:{folder / 'mine.npz'}",
        "--model",
        "mlp",
        "--train",
        "epochs=1",
        "--runs",
        "1",
    ]
    for line in ([*score, *TRAINING], ["select", "--keep", "0.5"]):
        assert exit_code([*line, "--quiet", "--workdir", str(both)]) == 0
    table = ScoreTable.read(both / "scores.h5")
    listed = table.rows.training[[5, 20, 3, 11]]
    suggested = (table.rows.label[listed] + 1) % 3
    removal_of(
        listed,
        [*suggested[:3], -1],
        clear=[True, True, False, False],
        rows=table.rows,
        column="el2n@1",
        noise_rate=0.0914,
        noise_rate_low=0.0871,
        noise_rate_high=0.0944,
        precision=0.921,
        precision_low=0.88,
        scored_with=table.columns["el2n@1"].parameters,
    ).write(both / "removal.h5")
    for name, files in (("one", ["removal.h5", "removal.csv"]), ("selected", ["selection.h5"])):
        (folder / name).mkdir()
        for file in files:
            shutil.copy(both / file, folder / name)
    return folder


@pytest.fixture
def call(place, capsys, monkeypatch, tmp_path):
    """Runs one command line, `{place}` and `{tmp}` standing for folders.

    Gives the exit code, stdout and stderr.
    """
    monkeypatch.delenv("PRUNE_KIT_WORKDIR", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)

    def call(line, work="one"):
        words = [
            word.replace("{place}", str(place)).replace("{tmp}", str(tmp_path))
            for word in line.split()
        ]
        code = exit_code([*words, "--workdir", str(place / work)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def listed(place):
    with h5py.File(place / "one" / "removal.h5") as file:
        return file["index"][()]


# export


def test_a_removal_alone_in_the_work_folder_is_taken_and_stands_for_its_complement(
    call, place, listed, tmp_path
):
    training = ScoreTable.read(place / "both" / "scores.h5").rows.training
    code, out, _ = call("export")
    assert code == 0
    assert f"the {len(training) - 4} rows to keep, as row numbers of npz:" in out
    kept = np.loadtxt(place / "one" / "removal-keep.txt", dtype=int)
    assert kept.tolist() == np.setdiff1d(training, listed).tolist()
    call("export --what drop --out {tmp}/drop.npy")
    assert np.load(tmp_path / "drop.npy").tolist() == sorted(listed)


def test_the_table_of_all_rows_does_not_replace_the_list_beside_the_removal(call, place):
    before = (place / "one" / "removal.csv").read_bytes()
    code, out, _ = call("export --format csv")
    assert code == 0
    assert "removal-rows.csv: all 60 rows of npz:" in out
    assert (place / "one" / "removal.csv").read_bytes() == before
    for line in (
        "export --out {place}/one/removal.csv",
        "export --relabel {place}/one/removal.csv",
    ):
        code, _, err = call(line)
        assert code == 2
        assert (
            "removal.csv is the list of suspects, most suspect first; write to another file" in err
        )
    assert (place / "one" / "removal.csv").read_bytes() == before


def test_with_a_selection_and_a_removal_it_asks_which(call, place):
    code, _, err = call("export", "both")
    assert code == 2
    one, other = place / "both" / "removal.h5", place / "both" / "selection.h5"
    assert f"which selection? Say --selection FILE, one of: {one} (a removal), {other}" in err
    assert call("export --selection {place}/both/removal.h5 --out {tmp}/keep.txt", "both")[0] == 0


@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_relabelled_labels_are_taken_back_by_score(call, place, listed, tmp_path, suffix):
    code, out, _ = call(f"export --relabel {{tmp}}/labels.{suffix}")
    assert code == 0
    assert "a label for each of the 60 rows of npz:" in out
    words = " ".join(out.split())
    assert (
        "2 changed; of 1 listed row the label stays, since no class fits; of 1 listed row the "
        "label stays" in words
    )
    assert not [path for path in tmp_path.iterdir() if path.name != f"labels.{suffix}"]
    spec = "--data npz:{place}/mine.npz --method random --jobs 1"
    assert call(f"score {spec} --labels {{tmp}}/labels.{suffix} --workdir {{tmp}}/new")[0] == 0
    data = load_data(f"npz:{place / 'mine.npz'}", labels=tmp_path / f"labels.{suffix}")
    assert np.flatnonzero(data.labels != data.true_labels).tolist() == sorted(listed[:2])


def test_json_of_relabelling_counts(call):
    code, out, _ = call("export --relabel {tmp}/labels.npy --json")
    assert code == 0
    value = json.loads(out)
    assert (value["relabelled"], value["no_class_fits"], value["no_suggestion"]) == (2, 1, 1)


# retrain


def test_bare_retrain_runs_selections_and_removals(call, place):
    code, out, _ = call(f"retrain --runs 1 --relabel {' '.join(TRAINING)}", "both")
    assert code == 0
    names = [row.selection for row in Outcomes.read(place / "both" / "outcomes.h5").rows]
    assert names == ["full", "removal", "random-44", "selection", "random-24", "removal-relabelled"]
    assert "removal-relabelled" in out
    assert "removal-relabelled" in call("info {place}/both/outcomes.h5")[1]


# what is refused

WRONG = [
    (
        "export --relabel {tmp}/labels.npy",
        "selected",
        "--relabel requires a removal, which prune-kit clean writes",
    ),
    (
        "export --relabel {tmp}/labels.txt",
        "one",
        "labels.txt does not say how to write labels; expected a name that",
    ),
    ("export --relabel {tmp}/labels.npy --format npy", "one", "takes no --format and no --what"),
    ("export --relabel {tmp}/labels.npy --what drop", "one", "takes no --format and no --what"),
    ("export --relabel {tmp}/labels.npy --out {tmp}/keep.txt", "one", "leave out --out"),
    ("export --what all", "one", "unknown --what 'all'. There are: keep, drop"),
    (
        "export --selection {place}/both/scores.h5",
        "one",
        "expected prune_kit.selection or prune_kit.removal, which",
    ),
    ("export --selection {place}/mine.npz", "one", "is not a whole HDF5 file"),
    ("export --selection {place}/nowhere.h5", "one", "Make it with: prune-kit select or clean"),
    ("export", "nothing", "or a removal with: prune-kit clean"),
    (
        "retrain --relabel",
        "selected",
        "--relabel requires a removal, which prune-kit clean writes; given are selections:",
    ),
    ("info {place}/one/removal.csv", "one", "is not a whole HDF5 file"),
]


@pytest.mark.parametrize(("line", "work", "told"), WRONG, ids=[line for line, _, _ in WRONG])
def test_a_wrong_command_line_gets_one_clear_line_and_writes_nothing(
    call, tmp_path, line, work, told
):
    code, out, err = call(line, work)
    assert (code, out) == (2, "")
    [message] = [text for text in err.splitlines() if text.startswith("error: ")]
    assert told in message
    assert list(tmp_path.iterdir()) == []


# info


def test_info_says_what_is_listed_and_what_it_is_worth(call, place, listed):
    code, out, _ = call("info {place}/one/removal.h5")
    assert code == 0
    words = " ".join(out.split())
    assert (
        "4 of 48 training rows (8.3 %) are listed as wrong: el2n@1, cut by probes at a suspicion "
        "of 0.500" in words
    )
    assert "about 9.1 % of the labels are wrong (90 % interval 8.7 to 9.4 %)" in words
    assert (
        "precision 92.1 % (at least 88.0 %), the share of it that is wrong; recall unknown" in words
    )
    assert "given class suggested class rows" in words
    assert words.count("[red]cat[/red]") >= 2
    places = [words.index(f"train/{row} {row} ") for row in listed]
    assert places == sorted(places)


def test_json_of_info_has_it_all_and_null_for_what_is_unknown(call, place, listed):
    code, out, _ = call("info {place}/one/removal.h5 --json")
    assert code == 0
    value = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    with (place / "one" / "removal.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert (value["format"], value["rows"], value["removed"], value["kept"]) == (
        "prune_kit.removal",
        60,
        4,
        44,
    )
    assert (value["noise_rate"], value["precision_low"], value["recall"]) == (0.0914, 0.88, None)
    assert value["class_losses"].keys() == set(NAMES)
    assert sum(confusion["rows"] for confusion in value["confusions"]) == 2
    assert [suspect["id"] for suspect in value["suspects"]] == [line["id"] for line in lines]
    assert [suspect["suggested"] or "" for suspect in value["suspects"]] == [
        line["suggested_class"] for line in lines
    ]


# the sentences, which clean prints too


def test_an_unknown_rate_is_called_unknown():
    removal = removal_of([0], [1], label=[0, 1], cut_method="mixture")
    assert rate_sentence(removal) == "how many labels are wrong is unknown: mixture does not tell"
    assert "how good the list is, is unknown" in expectation_sentence(removal)


def test_a_rate_without_an_interval_says_so():
    removal = removal_of([0], [1], label=[0, 1], noise_rate=0.25)
    assert rate_sentence(removal) == "about 25.0 % of the labels are wrong (no interval)"


def test_a_share_that_the_user_gave_is_called_no_estimate():
    removal = removal_of([0], [1], label=[0, 1], noise_rate=0.25, cut_method="remove")
    assert rate_sentence(removal) == (
        "25.0 % of the labels are wrong as far as you say; nothing was estimated"
    )


def test_of_no_wrong_labels_nothing_is_removed():
    empty = removal_of(
        [], [], label=[0, 1], noise_rate=0.0, noise_rate_low=0.0, noise_rate_high=0.004
    )
    sentence = "about 0 % of the labels are wrong (90 % interval 0.0 to 0.4 %); nothing is removed"
    assert rate_sentence(empty) == sentence
    assert math.isnan(removal_json(empty)["cut"])
    assert len(removal_shown(empty)) == 3


def test_classes_are_told_by_what_they_lose_and_those_that_lose_nothing_are_left_out():
    rows = rows_of([0] * 4 + [1] * 2 + [2] * 3, class_names=("a", "b", "c", "none"))
    table = loss_table(removal_of([0, 4, 5], [1, 0, 0], rows=rows))
    assert [list(column.cells) for column in table.columns[1:4]] == [
        ["2", "1"],
        ["2", "4"],
        ["100.0 %", "25.0 %"],
    ]
    assert [str(cell) for cell in table.columns[0].cells] == ["b", "a"]


def test_ten_suspects_are_shown_and_a_class_that_does_not_fit_is_called_so():
    removal = removal_of(range(12), [1] * 12, clear=[False, *[True] * 11], label=[0] * 12 + [1])
    table = suspects_table(removal)
    assert table.row_count == 10
    assert str(next(iter(table.columns[3].cells))) == "class 1 (but no class fits)"
    assert suspects_table(removal, count=2).row_count == 2
