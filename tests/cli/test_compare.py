"""`prune-kit compare`, end to end on small tables: every form, every picture, every message."""

import json
import subprocess
import sys

import numpy as np
import pytest

import prune_kit
from prune_kit_cli.main import exit_code
from tests.cli.score_files import HELD, N, R, small_table, write_files
from tests.small_tables import column_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    write_files(folder)
    return folder


@pytest.fixture
def call(place, monkeypatch, capsys):
    """Runs `prune-kit compare` in the folder of the files.

    Gives the exit code, stdout and stderr.
    """
    monkeypatch.chdir(place)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")

    def call(line):
        words = line.split()
        code = exit_code(["compare", *words, *([] if "--workdir" in words else ["--workdir", "."])])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def found(call):
    """The JSON of a comparison without intervals."""

    def found(line):
        code, out, err = call(f"{line} --json --bootstrap 0")
        assert code == 0, err
        return json.loads(out)

    return found


def names(value):
    return [(pair["a"], pair["b"]) for pair in value["pairs"]]


ALL = ["el2n@20", "cscore", "forgetting@20", "input_norm"]


def test_the_bare_command_compares_all_columns_of_the_workdir(found):
    value = found("")
    assert names(value) == [
        (one, other) for number, one in enumerate(ALL) for other in ALL[number + 1 :]
    ]
    assert value["files"] == ["scores.h5"]
    assert value["rows"] == N - HELD


def test_one_column_alone_is_compared_with_all_others(found):
    assert names(found("scores.h5:cscore")) == [
        ("cscore", other) for other in ALL if other != "cscore"
    ]


def test_two_files_are_compared_column_by_column(found):
    assert names(found("scores.h5:cscore single.h5")) == [("cscore", "el2n@20")]
    assert len(names(found("scores.h5 noisy.h5 --align"))) == len(ALL) ** 2


def test_a_path_with_a_colon_is_a_path_and_not_a_column(found):
    assert found("a:b.h5")["files"] == ["a:b.h5"]
    assert names(found("a:b.h5:cscore a:b.h5:el2n@20")) == [("cscore", "el2n@20")]


def test_agreement_is_between_hardness_whatever_the_directions(found):
    [pair] = found("scores.h5:el2n@20 scores.h5:cscore")["pairs"]
    assert pair["spearman"]["value"] == pytest.approx(1)
    assert pair["hardest"]["value"] == pair["easiest"]["value"] == 1


@pytest.mark.parametrize("name", ["published.npz", "published.npy", "published.csv"])
def test_published_scores_are_easier_where_they_are_higher_unless_said_otherwise(call, found, name):
    [pair] = found(f"scores.h5:cscore {name}")["pairs"]
    assert pair["spearman"]["value"] == pytest.approx(1)
    [pair] = found(f"{name} scores.h5:cscore --harder higher")["pairs"]
    assert pair["spearman"]["value"] == pytest.approx(-1)
    assert (
        f"{name}: a higher score is taken as easier; if this is wrong, add --harder higher"
        in call(f"scores.h5 {name}")[2]
    )


def test_rows_that_are_left_out_are_counted_with_the_reason(call):
    _, _, err = call("scores.h5 published.csv")
    assert f"{N - HELD} of {N} rows count: {HELD} are held out as test" in err
    assert "cscore: of 54 training rows 2 never held out (NaN) are left out" in err
    assert "published.csv: of 54 training rows 27 without a score (NaN) are left out" in err


def test_infinite_scores_are_left_out_and_counted(tmp_path, call):
    table = small_table()
    values = table.columns["el2n@20"].values.copy()
    values[[0, 5]] = np.inf
    table.with_columns([column_of(values)]).write(tmp_path / "infinite.h5")
    code, out, err = call(f"{tmp_path / 'infinite.h5'}:el2n@20 scores.h5:forgetting@20 --json")
    assert code == 0
    assert json.loads(out)["pairs"][0]["rows"] == N - HELD - 2
    assert "el2n@20: of 54 training rows 2 infinite are left out" in err


def test_ends_that_ties_decide_are_told(call):
    [told] = [line for line in call("")[2].splitlines() if "chosen among equal scores" in line]
    assert (
        "of the 10 % at an end many are" in told
        and "forgetting@20 (60 % of the hardest, 100 % of" in told
    )


def test_a_constant_column_is_told_and_has_no_correlation(tmp_path, call):
    table = small_table()
    table.with_columns([column_of(np.zeros(N), name="random")]).write(tmp_path / "flat.h5")
    code, out, err = call(f"{tmp_path / 'flat.h5'}:random scores.h5:el2n@20 --json")
    assert code == 0
    assert json.loads(out)["pairs"][0]["spearman"]["value"] is None
    assert "random is the same for all rows: it ranks nothing" in err


# other rows


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("noisy.h5", "are relabelled, the first in row 3. --align matches"),
        ("part.h5", "a subset: 40 examples against 60. --align matches"),
        (
            "turned.h5",
            "the same examples in another order (the first that differs is row 0). --align matches",
        ),
        ("other.h5", "another data set"),
    ],
)
def test_tables_of_other_rows_are_refused_and_the_refusal_says_how_they_differ(call, other, told):
    code, out, err = call(f"scores.h5:el2n@20 {other}:el2n@20")
    assert (code, out) == (2, "")
    assert f"error: {other} is not the data of scores.h5: " in err
    assert told in err


@pytest.mark.parametrize(
    ("other", "count"), [("noisy.h5", 54), ("turned.h5", 54), ("part.h5", None)]
)
def test_align_matches_rows_by_content_and_joins_relabelled_tables(found, other, count):
    value = found(f"scores.h5:el2n@20 {other}:el2n@20 --align")
    [pair] = value["pairs"]
    assert pair["spearman"]["value"] == pytest.approx(1)
    assert pair["rows"] == (count or value["rows"]) > 20
    assert f"{other} is matched by content to scores.h5" in value["notes"][0]
    assert ("under another label" in value["notes"][0]) == (other == "noisy.h5")
    assert any("20 are in one file only" in note for note in value["notes"]) == (other == "part.h5")


def test_align_does_not_join_what_has_nothing_in_common(call):
    code, _, err = call("scores.h5 other.h5 --align")
    assert code == 2
    assert "other.h5 and scores.h5 do not share an example, so they cannot be aligned" in err


def test_published_labels_may_be_the_true_ones_of_a_relabelled_table_with_align(call, found):
    code, _, err = call("noisy.h5 published.npz")
    assert code == 2
    assert "6 of 60 labels differ, the first in row 3" in err
    assert "--align accepts them" in err
    assert len(found("noisy.h5 published.npz --align")["pairs"]) == len(ALL)


# runs


def test_the_number_of_runs_that_are_enough_ends_the_output(call, found):
    [line] = found("")["stability"]
    assert (line["column"], line["runs"], line["sizes"]) == ("el2n@20", R, [1, 2, 3, 4, 5, 6])
    assert line["with_all"][-1] == pytest.approx(1)
    assert line["independent"][3:] == [None] * 3
    assert call("")[1].rstrip().endswith(line["sentence"])
    assert "1 run is enough" in found("--enough 0.8")["stability"][0]["sentence"]
    assert "6 runs are too few" in found("--enough 0.9999")["stability"][0]["sentence"]


def test_a_table_of_one_column_still_tells_how_many_runs_are_enough(call):
    code, out, _ = call("single.h5")
    assert code == 0
    assert "as many other runs" in out
    assert "Kendall" not in out


def test_the_runs_of_both_tables_are_told_apart_and_those_of_one_table_told_once(found):
    lines = found("scores.h5:el2n@20 noisy.h5:el2n@20 --align")["stability"]
    assert [line["column"] for line in lines] == ["el2n@20", "noisy.h5: el2n@20"]
    assert len(found("scores.h5 scores.h5")["stability"]) == 1


# output


def test_the_table_shows_every_number_with_its_interval(call):
    code, out, err = call("scores.h5:el2n@20 scores.h5:forgetting@20")
    assert code == 0
    line = next(line for line in out.splitlines() if "forgetting@20" in line)
    assert line.count("[") == line.count("]") == 4
    assert (
        "95 % intervals from 200 resamples of the examples (seed 0), Kendall's asymptotic."
        in out.replace("\n", " ")
    )
    assert "compared  scores.h5" in err
    assert "input_norm *" in call("")[1]


def test_without_resamples_there_are_no_intervals(call):
    _, out, _ = call("--bootstrap 0")
    assert "[" not in out
    assert "No intervals (--bootstrap 0)." in out


def test_pairs_over_different_rows_show_their_number(call):
    assert "rows" in call("")[1].splitlines()[0]
    assert "rows" not in call("scores.h5:el2n@20 scores.h5:input_norm")[1].splitlines()[0]


def test_json_is_one_object_and_quiet_is_silent(call):
    code, out, _ = call("--json")
    assert code == 0
    value = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert {
        "files",
        "rows",
        "top",
        "bootstrap",
        "seed",
        "pairs",
        "stability",
        "notes",
        "harder",
        "picture",
    } == set(value)
    low, middle, high = (value["pairs"][0]["kendall"][end] for end in ("low", "value", "high"))
    assert low <= middle <= high
    assert call("--quiet") == (0, "", "")


@pytest.mark.parametrize(
    "line", ["", "scores.h5:el2n@20 published.npz", "scores.h5:cscore published.npz", "single.h5"]
)
@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture_is_drawn_the_same_each_time(tmp_path, call, line, suffix, start):
    first, again = tmp_path / f"first.{suffix}", tmp_path / f"again.{suffix}"
    for path in (first, again):
        code, _, err = call(f"{line} --bootstrap 0 --picture {path}")
        assert code == 0, err
        assert f"wrote     {path}" in err
    assert first.read_bytes().startswith(start)
    assert first.read_bytes() == again.read_bytes()


WRONG = [
    (
        "scores.h5:elan@20",
        "unknown column 'elan@20'. Did you mean 'el2n@20'? There are: el2n@20, cscore",
    ),
    ("nothing.h5", "there is no file nothing.h5. Make a score table with: prune-kit score"),
    ("scores.h5 nothing.npz", "there is no file nothing.npz"),
    (
        "--workdir nowhere",
        "there is no file nowhere/scores.h5. Make a score table with: prune-kit score",
    ),
    ("published.npz", "a published file does not say what its rows are; give a score table too"),
    (
        "published.npz published.npy",
        "published.npz and published.npy: a published file does not say",
    ),
    (
        "published.npz:scores scores.h5",
        "published.npz has no columns to choose from; write it without :scores",
    ),
    (
        "scores.h5 wrong.npz",
        "wrong.npz is not of the data of the score table (npz:/data/mine.npz): 6 of 60 labels "
        "differ",
    ),
    (
        "bare.h5",
        "there is nothing to compare in bare.h5: a comparison requires two columns, or one that "
        "keeps its single runs",
    ),
    ("none.h5", "there is nothing to compare in none.h5"),
    ("--top 0.6", "--top 0.6 is out of range"),
    ("--top 0", "--top 0 is out of range"),
    ("--top 0.001", "--top 0.001 of 52 examples is none; the least is --top 0.019"),
    (
        "--bootstrap 5",
        "--bootstrap 5 is out of range; 0 for no intervals, or at least 20 resamples",
    ),
    ("--bootstrap -1", "--bootstrap -1 is out of range"),
    ("--enough 1", "--enough 1 is out of range"),
    ("--seed -1", "--seed -1 is out of range; at least 0"),
    ("--harder up", "--harder up is unknown; expected higher or lower"),
    ("--picture all.pdf", "--picture all.pdf: expected a name that ends in .png or .svg"),
    (
        "bare_run.h5 --picture all.png",
        "--picture all.png: there is nothing to draw; one column, of one run",
    ),
    ("--picture scores.h5/x.png", "cannot write scores.h5/x.png"),
]


@pytest.mark.parametrize(("line", "told"), WRONG, ids=[line for line, _ in WRONG])
def test_a_wrong_command_line_gets_one_clear_line(call, line, told):
    code, out, err = call(line)
    assert (code, out) == (2, "")
    [error] = [text for text in err.splitlines() if text.startswith("error: ")]
    assert told in error


def test_columns_without_a_common_row_are_refused(tmp_path, call):
    table = small_table()
    values = np.full(N, np.nan)
    values[0] = 1.0
    table.with_columns([column_of(values, name="lof")]).write(tmp_path / "few.h5")
    code, _, err = call(f"{tmp_path / 'few.h5'}:lof")
    assert code == 2
    assert "lof and el2n@20 have 1 rows with a score in both; at least 2 are required" in err


def test_the_function_takes_tables_and_gives_the_numbers():
    table = small_table()
    found = prune_kit.compare(table, bootstrap=0)
    assert len(found.agreements) == 6
    assert found.agreements[0].spearman.value == pytest.approx(1)
    assert repr(found).startswith("Comparison(el2n@20 and cscore")
    assert "el2n@20" in prune_kit.compare(table, small_table(), bootstrap=0).sentences()[1]


def test_comparing_loads_no_torch_and_its_help_nothing_that_is_slow(place):
    code = "import sys; from prune_kit_cli.main import exit_code as go; go({}); print(set({}) & set(sys.modules))"  # noqa: E501
    for words, heavy in (
        (["compare", "--help"], ("torch", "scipy", "matplotlib", "numpy")),
        (["compare", str(place / "scores.h5"), "--bootstrap", "0"], ("torch", "matplotlib")),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code.format(words, heavy)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "set()"


def test_of_two_files_the_notes_say_whose_column_ties(tmp_path, call):
    table = small_table()
    table.with_columns([column_of(np.zeros(N), name="el2n@20")]).write(tmp_path / "flat.h5")
    err = call(f"scores.h5:el2n@20 {tmp_path / 'flat.h5'}:el2n@20")[2]
    assert "flat.h5: el2n@20 is the same for all rows" in err.replace("\n", "")


def test_a_column_of_votes_is_said_to_keep_no_runs(call):
    assert "cscore keeps votes and no runs" in call("scores.h5:cscore")[2]
    assert "cscore keeps votes and no runs" not in call("scores.h5:el2n@20")[2]


def test_a_file_of_the_training_rows_alone_is_told_what_to_do(place, call):
    np.save(place / "training.npy", np.arange(float(N - HELD)))
    code, _, err = call("scores.h5:el2n@20 training.npy")
    assert (
        code == 2
        and f"{N - HELD} of them train. Give every row a number, in the same order, NaN where"
        in err
    )


def test_an_interval_that_is_lacking_is_explained(tmp_path, call):
    table = small_table()
    once = np.zeros(N)
    once[1] = 1
    table.with_columns([column_of(once, name="random")]).write(tmp_path / "once.h5")
    out = call(f"{tmp_path / 'once.h5'}:random scores.h5:el2n@20")[1]
    assert "none where a resample has a single score" in out
