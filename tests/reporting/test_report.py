"""The report: its sections, that the HTML is whole and safe, and that it stays small."""

import base64
import re
import shutil
import subprocess
from dataclasses import asdict, replace
from html.parser import HTMLParser

import numpy as np
import pytest

from prune_kit import pipeline
from prune_kit.data.dataset import Dataset
from prune_kit.errors import IdentityError, OptionError
from prune_kit.protocol.defaults import protocol
from prune_kit.reporting import limits
from prune_kit.reporting.blocks import visible
from prune_kit.reporting.thumbnails import thumbnail
from prune_kit.results.outcomes import Outcome, Outcomes
from prune_kit.results.selection import DROPPED_EASY, DROPPED_HARD, KEPT
from prune_kit.results.table import ScoreTable
from prune_kit_cli.main import exit_code
from tests.small_tables import column_of, removal_of, rows_of, selection_of

VOID = {"meta", "img", "br", "hr", "link", "input"}
CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    "",
)
BAD = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "a\x00b\x1b[31m",
    "\u202egnp.exe",
    "$x_{$",
    "  ",
)


class Page(HTMLParser):
    """Every tag, attribute and text; fails where a tag is closed that is not open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def anchors(self):
        return [
            value
            for name, value in self.attributes
            if name == "id" and not value.endswith("-figure")
        ]


def data_of(rows, *, side=8, channels=1):
    chance = np.random.default_rng(0)
    return Dataset(
        "mine", chance.integers(0, 256, (len(rows), side, side, channels), dtype=np.uint8), rows
    )


def everything(n=60, classes=3, **rows):
    """Data and one of each result, over made-up scores."""
    label = np.arange(n) % classes
    chance = np.random.default_rng(1)
    rows.setdefault("options", {"labels_file": "noisy.npy"})
    rows = rows_of(
        label, true_label=np.where(np.arange(n) % 10 == 0, (label + 1) % classes, label), **rows
    )
    runs = chance.random((4, n)).astype(np.float32)
    columns = [
        column_of(runs.mean(axis=0), extras={"per_run": runs}, seeds=(0, 1, 2, 3)),
        column_of(chance.random(n), name="grand@0"),
        column_of(chance.random(n), name="input_norm", companion=True),
    ]
    table = ScoreTable(rows, {column.name: column for column in columns})
    order = np.argsort(table.columns["el2n@20"].values)
    reason = np.full(n, KEPT, dtype=np.uint8)
    reason[order[: n // 3]], reason[order[-2:]] = DROPPED_EASY, DROPPED_HARD
    selection = selection_of(reason, rows=rows, score=table.columns["el2n@20"].values)
    removal = removal_of(
        [0, 10, 20], (label[[0, 10, 20]] + 1) % classes, rows=rows, column="el2n@20", noise_rate=0.1
    )
    trained = [
        Outcome(name, seed, kept, 0.9 + 0.01 * seed, 10, 1.0, 0.5, "{}")
        for name, kept in (("full", n), ("selection", 38), ("random-38", 38))
        for seed in (0, 1)
    ]
    outcomes = Outcomes(tuple(trained), rows.fingerprint, rows.data)
    cells = {"selection": {"rule": "window", "by": "el2n@20", "keep": 0.6, "offset": 0.0}}
    found = {"table": table, "selection": selection, "removal": removal, "outcomes": outcomes}
    return data_of(rows), found | {"sweep": replace(outcomes, cells=cells)}


@pytest.fixture(scope="module")
def whole_page(tmp_path_factory):
    """A page with all sections, the folder of its figures and tables, and what it was made of."""
    folder = tmp_path_factory.mktemp("figures")
    data, found = everything()
    return pipeline.report(data, **found, figures=folder), folder, (data, found)


def test_each_section_is_there_exactly_when_its_result_is(whole_page):
    data, found = everything()
    whole = [
        "data",
        "score-1",
        "score-2",
        "score-3",
        "agreement",
        "stability",
        "selection",
        "suspects",
        "retraining",
    ]
    assert Page(whole_page[0]).anchors == [*whole, "sweep", "provenance"]
    assert Page(pipeline.report(data)).anchors == ["data", "provenance"]
    anchors = {
        "selection": "selection",
        "removal": "suspects",
        "outcomes": "retraining",
        "sweep": "sweep",
    }
    for name, anchor in anchors.items():
        there = Page(pipeline.report(data, **{name: found[name]})).anchors
        assert there == ["data", anchor, "provenance"]


def test_the_contents_lead_to_the_sections_and_every_picture_has_an_alternative_text(whole_page):
    page = Page(whole_page[0])
    assert [value[1:] for name, value in page.attributes if name == "href"] == page.anchors
    alts = [value for name, value in page.attributes if name == "alt"]
    assert len(alts) == page.tags.count("img") and all(len(alt) > 10 for alt in alts)
    assert "script" not in page.tags


def test_the_same_inputs_make_the_same_page(whole_page):
    text, _, (data, found) = whole_page
    assert pipeline.report(data, **found) == text


def test_names_ids_and_paths_are_text_and_nothing_in_them_is_hidden():
    n = 60
    ids = [f"{BAD[row % len(BAD)].replace(chr(0), chr(1))}{row}" for row in range(n)]
    data, found = everything(
        n, len(BAD), class_names=BAD, ids=ids, data='npz:http://evil/<b>&".npz'
    )
    text = pipeline.report(data, **found)
    page = Page(text)
    assert not {"script", "b", "iframe", "link"} & set(page.tags)
    known = "lang charset http-equiv content name aria-label href id class src alt scope".split()
    assert all(name in known for name, _ in page.attributes)
    assert "<script>alert(1)</script>" in page.texts
    for hidden in ("\x00", "\x1b", "\u202e"):
        assert hidden not in text
    assert "\\u202egnp.exe" in text


def test_a_steep_score_and_columns_with_dollar_signs_are_drawn():
    n = 400
    rows = rows_of(np.arange(n) % 2)
    values = np.where(np.arange(n) < 350, 0, np.arange(n) / n)
    columns = [column_of(values, name="$x_{$@1"), column_of(-values, name="\u202e$@2")]
    Page(
        pipeline.report(
            data_of(rows), table=ScoreTable(rows, {c.name: c for c in columns}), per_class=1
        )
    )


def test_nothing_is_fetched():
    data, found = everything(data="npz:https://example.org/x.npz")
    text = pipeline.report(data, **found)
    page = Page(text)
    for name, value in page.attributes:
        assert name != "src" or value.startswith("data:image/")
        assert name != "href" or value.startswith("#")
    assert "url(" not in text and "@import" not in text
    assert "default-src &#x27;none&#x27;" in text
    assert re.findall(r"https?://", text) == re.findall(r"https?://", "".join(page.texts))


def test_results_of_other_data_are_refused():
    data, found = everything()
    other = rows_of(np.arange(61) % 3)
    with pytest.raises(IdentityError, match="is not the data of the score table"):
        pipeline.report(data_of(other), table=found["table"])
    with pytest.raises(IdentityError, match="outcomes"):
        pipeline.report(data_of(other), outcomes=found["outcomes"])
    with pytest.raises(OptionError, match="per_class=21 is out of range"):
        pipeline.report(data, per_class=21)


@pytest.mark.parametrize("values", ["nan", "infinite", "constant", "one row", "huge"])
def test_odd_scores_break_nothing(values):
    n = 30
    scores = np.linspace(0, 1, n).astype(np.float32)
    if values == "nan":
        scores[:] = np.nan
    elif values == "infinite":
        scores[:3], scores[5] = (np.inf, -np.inf, np.nan), np.inf
    elif values == "constant":
        scores[:] = 1
    elif values == "one row":
        scores[1:] = np.nan
    else:
        scores *= 3e38
    rows = rows_of(np.arange(n) % 2, class_names=("a", "b", "an empty class"))
    runs = np.stack([scores, scores])
    columns = {c.name: c for c in (
        column_of(scores, name="odd@1", extras={"per_run": runs}, seeds=(0, 1)),
        column_of(np.arange(n), name="plain@1", harder="lower"),
    )}  # fmt: skip
    table = ScoreTable(rows, columns)
    selection = selection_of(
        np.where(np.arange(n) < 9, DROPPED_EASY, KEPT), rows=rows, score=scores, column="odd@1"
    )
    Page(pipeline.report(data_of(rows), table=table, selection=selection))
    Page(pipeline.report(data_of(rows), table=ScoreTable(rows, {"odd@1": columns["odd@1"]})))


@pytest.mark.parametrize(("side", "channels"), [(4, 1), (4, 3), (65, 1), (512, 3)])
def test_images_of_any_size_become_small_thumbnails(side, channels):
    image = np.random.default_rng(0).integers(0, 256, (side, side, channels), dtype=np.uint8)
    uri = thumbnail(image)
    assert re.match(r"data:image/(png|jpeg);base64,", uri) and len(uri) < 9000


def test_a_thousand_classes_and_noisy_images_stay_under_five_megabytes():
    n, classes = 4000, 1000
    rows = rows_of(
        np.arange(n) % classes, class_names=tuple(f"{c} {'long ' * 60}" for c in range(classes))
    )
    chance = np.random.default_rng(2)
    pool = chance.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)
    columns = {f"el2n@{t}": column_of(chance.random(n), name=f"el2n@{t}") for t in range(12)}
    table = ScoreTable(rows, columns)
    text = pipeline.report(Dataset("many", pool, rows), table=table, per_class=20)
    assert len(text.encode()) < 5_000_000
    assert "no room for the image" in text and "10 of 1,000 classes" in text
    Page(text)


def test_hidden_signs_are_spelled_out_and_long_texts_end_in_an_ellipsis():
    assert visible("a\u200fb\n\ud800") == "a\\u200fb\\u000a\\ud800"
    assert visible("x" * 500) == "x" * 119 + "…"
    assert visible("été 漢字 שלום") == "été 漢字 שלום"


def test_the_figures_and_whole_tables_are_written_on_request(whole_page):
    text, folder, _ = whole_page
    assert (folder / "selection.png").read_bytes().startswith(b"\x89PNG")
    assert base64.b64encode((folder / "retraining.svg").read_bytes()).decode() in text
    assert (folder / "suspects.csv").read_text().splitlines()[
        0
    ] == "id,index,given label,suggested label,suspicion"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    words = ["score", "--method", "el2n,aum", "--epoch", "1", "--runs", "2", "--jobs", "1"]
    assert exit_code([*words, "--device", "cpu", "--quiet", "--workdir", str(folder)]) == 0
    assert exit_code(["select", "--by", "el2n@1", "--quiet", "--workdir", str(folder)]) == 0
    return folder


def test_the_command_writes_the_page_of_a_workdir_and_says_what_is_left_out(
    workdir, tmp_path, capsys
):
    figures = tmp_path / "figures"
    assert exit_code(["report", "--figures", str(figures), "--workdir", str(workdir)]) == 0
    out, err = capsys.readouterr()
    page = Page((workdir / "report.html").read_text("utf-8"))
    assert {"score-1", "score-2", "agreement", "selection"} < set(page.anchors)
    assert "prune-kit select --rule window --by el2n@1" in "".join(page.texts)
    assert "report.html (" in err and "no removal: there is no removal.h5" in err and out == ""
    assert {path.suffix for path in figures.iterdir()} == {".png", ".svg", ".csv"}


def test_the_commands_name_the_model_the_protocol_and_the_options():
    config = asdict(
        protocol(data_of(rows_of(np.arange(20) % 2))).changed({"model": "mlp", "epochs": 8})
    )
    trained = {
        "config": config,
        "seed": 3,
        "observe": "minibatches",
        "precision": "fp32",
        "threads": 1,
    }
    folds = {"ratios": [30, 70], "folds": 7, "sampling": "balanced", "fold_precision": "bf16"}
    rows = rows_of(np.arange(20) % 2)
    columns = [
        column_of(np.arange(20), name="el2n@2", parameters={**trained, "epoch": 2}, seeds=(3, 4)),
        column_of(np.arange(20), name="el2n@4", parameters={**trained, "epoch": 4}, seeds=(3, 4)),
        column_of(np.arange(20), name="cscore", parameters=trained | folds),
        column_of(np.arange(20), name="density", parameters={"seed": 3, "space": "pixels"}),
    ]
    table = ScoreTable(rows, {column.name: column for column in columns})
    text = "".join(Page(pipeline.report(data_of(rows), table=table, per_class=0)).texts)
    score, ending = (
        "prune-kit score --data npz:/data/mine.npz --method",
        "--model mlp --train epochs=8",
    )
    for line in (
        f"{score} el2n --epoch 2,4 --runs 2 --seed 3 --precision fp32 --threads 1 {ending}\n",
        f"{score} cscore --ratios 30,70 --folds 7 --sampling balanced --seed 3 {ending}\n",
        f"{score} density --space pixels --seed 3",
    ):
        assert line in text
    assert "It averages the votes of 14 networks, 7 for each share trained on: 30 %, 70 %." in text


@pytest.mark.parametrize(
    ("trained", "gradients", "words"),
    [
        ("fp32", None, " --precision fp32"),
        ("bf16", None, " --precision bf16"),
        ("bf16", "bf16", " --precision bf16"),
        ("bf16", "fp32 (TF32 allowed)", ""),
    ],
)
def test_the_command_names_precision_and_threads_for_what_another_machine_would_take(
    trained: str, gradients: str | None, words: str
) -> None:
    rows = rows_of(np.arange(20) % 2)
    config = protocol(data_of(rows)).changed({"compiled": True}).values()
    parameters = {
        "config": config,
        "seed": 3,
        "observe": "minibatches",
        "precision": trained,
        "threads": 1,
        "epoch": 2,
    }
    parameters |= {"gradient_precision": gradients} if gradients else {}
    column = column_of(
        np.arange(20), name="grand@2" if gradients else "el2n@2", parameters=parameters, seeds=(3,)
    )
    text = "".join(
        Page(pipeline.report(data_of(rows), table=ScoreTable(rows, {column.name: column}))).texts
    )
    assert (
        f"{column.method} --epoch 2 --runs 1 --seed 3{words} --threads 1 --train compiled=true\n"
        in text
    )


def test_of_many_columns_the_latest_epochs_are_shown_first():
    epochs = [*range(1, 12)]
    names = [*(f"{method}@{epoch}" for method in ("el2n", "aum") for epoch in epochs), "density"]
    columns = [column_of(np.arange(6), name=name) for name in names]
    shown = limits.columns(
        ScoreTable(rows_of(np.zeros(6, np.int64)), {column.name: column for column in columns})
    )
    assert len(shown) == limits.COLUMNS and {"el2n@11", "aum@11", "density"} < set(shown)
    assert shown == [name for name in names if name in shown]


def test_quiet_is_quiet_and_json_is_one_object(workdir, tmp_path, capsys):
    there = ["--out", str(tmp_path / "page.html"), "--per-class", "0", "--workdir", str(workdir)]
    assert exit_code(["report", "--quiet", *there]) == 0
    assert capsys.readouterr() == ("", "")
    assert exit_code(["report", "--json", *there]) == 0
    assert '"left_out": ["removal", "outcomes", "sweep", "search"]' in capsys.readouterr().out


def test_without_a_score_table_one_line_says_so(tmp_path, capsys):
    assert exit_code(["report", "--workdir", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "scores.h5" in err and len(err.splitlines()) == 1


def test_the_page_never_replaces_another_file_of_the_workdir(workdir, capsys):
    before = (workdir / "scores.h5").read_bytes()
    assert (
        exit_code(["report", "--out", str(workdir / "scores.h5"), "--workdir", str(workdir)]) == 2
    )
    assert "expected a name that ends in .html" in capsys.readouterr().err
    assert (workdir / "scores.h5").read_bytes() == before


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_a_browser_shows_the_page_and_runs_nothing_in_it(tmp_path):
    data, found = everything(60, len(BAD), class_names=BAD)
    page = tmp_path / "report.html"
    page.write_text(pipeline.report(data, **found), "utf-8")
    words = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    done = subprocess.run(
        [*words, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120
    )
    shown = Page(re.sub(r"<!DOCTYPE html>", "", done.stdout))
    assert "script" not in shown.tags and "sweep" in shown.anchors
    assert {value for name, value in shown.attributes if name == "href"} >= {"#data", "#provenance"}
