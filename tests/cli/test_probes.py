"""What `score --probes` says on the terminal and as JSON, and what comes after it."""

import json

import pytest

from prune_kit.results.table import ScoreTable
from prune_kit_cli.main import exit_code

SCORE = [
    "score",
    "--model",
    "mlp",
    "--train",
    "epochs=1",
    "--runs",
    "1",
    "--jobs",
    "1",
    "--device",
    "cpu",
]
PROBES = 29  # round(0.02 * 1438), the training rows of digits


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder in which digits are scored with probes."""
    folder = tmp_path_factory.mktemp("work")
    assert exit_code([*SCORE, "--probes", "0.02", "--quiet", "--workdir", str(folder)]) == 0
    return folder


@pytest.fixture
def call(work, capsys, monkeypatch):
    """Runs one command line in the work folder; gives the exit code, stdout and stderr."""
    monkeypatch.delenv("PRUNE_KIT_WORKDIR", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*words, workdir=work):
        code = exit_code([*words, "--workdir", str(workdir)])
        return code, *capsys.readouterr()

    return call


def test_the_file_holds_the_planted_labels(work):
    assert len(ScoreTable.read(work / "scores.h5").probes) == PROBES


def test_scoring_tells_the_probes_and_proposes_to_clean(call, work):
    code, _, err = call(
        "score", "--method", "cumulative_pl", "--epoch", "1", "--jobs", "1", "--device", "cpu"
    )
    assert code == 0
    assert "trained   nothing" in err
    assert f"probes    {PROBES} of 1,438 training rows" in err
    assert f"next      prune-kit clean --auto --workdir {work}" in err
    assert "prune-kit select" not in err


def test_json_of_score_carries_the_count(call):
    code, out, _ = call("score", "--epoch", "1", "--jobs", "1", "--device", "cpu", "--json")
    assert code == 0
    assert json.loads(out)["probes"] == PROBES


def test_info_tells_the_probes_in_words_and_as_json(call, work):
    code, out, _ = call("info", str(work / "scores.h5"))
    assert code == 0
    assert f"probes: {PROBES} of 1,438 training rows had a planted wrong label" in out
    _, out, _ = call("info", str(work / "scores.h5"), "--json")
    value = json.loads(out)
    assert value["probes"] == PROBES
    assert value["columns"]["el2n@1"]["probes"] == 0.02


def test_without_probes_no_line_speaks_of_them(call, tmp_path):
    code, out, err = call("score", "--method", "random", workdir=tmp_path)
    assert code == 0
    assert "probes  " not in err
    assert "prune-kit select" in err
    _, out, _ = call("info", str(tmp_path / "scores.h5"))
    assert "probes:" not in out
    _, out, _ = call("info", str(tmp_path / "scores.h5"), "--json")
    assert json.loads(out)["probes"] == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("select --by el2n@1", f"scored with {PROBES} probes"),
        (
            "score --jobs 1 --device cpu --probes 0.1",
            "made otherwise: probes 0.1 (the table has 0.02)",
        ),
        (
            "score --jobs 1 --device cpu --probes 0",
            "made otherwise: probes 0 (the table has 0.02)",
        ),
        ("score --fresh --method random --probes 0.1", "--probes is not for random"),
        ("score --fresh --probes 0.5", "--probes 0.5 is out of range"),
        ("score --fresh --probes 0.0001", "less than one row; the least is --probes 0.0007"),
        ("score --fresh --probes few", "'--probes'"),
    ],
)
def test_what_does_not_go_with_probes_gets_one_clear_line(call, work, line, told):
    before = (work / "scores.h5").read_bytes()
    code, out, err = call(*line.split())
    assert (code, out) == (2, "")
    [error] = [text for text in err.splitlines() if text.startswith("error: ")]
    assert told in error
    assert (work / "scores.h5").read_bytes() == before
