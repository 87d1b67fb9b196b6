"""The help finds its options in panels.

A method's option is declared in its file and nowhere else.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from prune_kit_cli.main import COMMANDS, exit_code, program
from prune_kit_cli.options import OUTPUT

ROOT = Path(__file__).parents[2]
SMALL = ("--runs", "1", "--model", "mlp", "--train", "epochs=1", "--epoch", "1", "--quiet")
TWO_SCREENS = 96  # lines of 80 columns

# by file of the copied tree: what stands there, and what stands there with one more option
ONE_MORE_OPTION = {
    "prune_kit/scorers/el2n.py": {
        'NEEDS = "sweep"\n': 'NEEDS = "sweep"\nOPTIONS = {\n    "power": {"type": "float", "default": 1.0, '  # noqa: E501
        '"minimum": 0, "metavar": "P", "help": "The power of the norm."}\n}\n',
        "epoch: int) ->": "epoch: int, power: float) ->",
        "for run in runs.recorded])": "for run in runs.recorded]) ** power",
    },
    "prune_kit/selectors/top.py": {
        '"per_class": "shared"': '"per_class": "shared", "spare": {"type": "int", "default": 0, '
        '"metavar": "N", "help": "Rows to spare."}',
        "per_class: bool\n": "per_class: bool, spare: int\n",
    },
}
SHIFTED = '''"""shifted: a rule that nobody knew, with an offset."""

from prune_kit.selectors import reasons_of_window

OPTIONS = {"offset": "shared", "per_class": "shared"}
USES_SCORES = True


def select(table, *, by, keep, offset, per_class):
    """As window."""
    return reasons_of_window(table, by, keep, offset, "hard", per_class)
'''
RECIPE = """
title = "A title"
paper = "A paper"
[data]
source = "digits"
[train]
model = "mlp"
epochs = 1
[score]
methods = ["{method}"]
epochs = [1]
power = 2.0
[select]
rule = "{rule}"
by = "el2n@1"
spare = {spare}
[retrain]
[seeds]
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the source tree in which two methods have one more option, and one rule is new."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("prune_kit", "cli", "recipes"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, changes in ONE_MORE_OPTION.items():
        text = (folder / name).read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        (folder / name).write_text(text)
    (folder / "prune_kit/selectors/shifted.py").write_text(SHIFTED)
    return folder


@pytest.fixture(scope="module")
def run(copy, tmp_path_factory):
    """Runs a program on the copy, in an empty folder; gives its exit code, stdout and stderr."""
    here = tmp_path_factory.mktemp("here")
    environment = {
        **{key: value for key, value in os.environ.items() if key != "PRUNE_KIT_WORKDIR"},
        "PYTHONPATH": f"{copy}{os.pathsep}{copy / 'cli'}",
        "COLUMNS": "80",
        "NO_COLOR": "1",
    }

    def run(*words, code=None):
        start = "import sys; from prune_kit_cli.main import exit_code; sys.exit(exit_code(sys.argv[1:]))"  # noqa: E501
        ended = subprocess.run(
            [sys.executable, "-c", code or start, *words],
            capture_output=True,
            text=True,
            cwd=here,
            env=environment,
            check=False,
        )
        return ended.returncode, ended.stdout, " ".join(ended.stderr.split())

    run.here = here
    return run


@pytest.fixture(scope="module")
def scored(run):
    """The same, where a table was scored with the new option."""
    assert run("score", "--method", "el2n", "--power", "0", *SMALL) == (0, "", "")
    return run


def test_one_more_option_of_a_method_is_a_flag_and_refused_for_other_methods(run):
    _, shown, _ = run("score", "--help")
    panel = shown.partition("With --method el2n ")[2].partition("╰")[0]
    assert "--power" in panel and "The power of the norm (default: 1)." in panel
    code, _, error = run("score", "--method", "aum", "--power", "2", *SMALL)
    assert code == 2
    assert "--method aum takes no --power. --power is for --method el2n" in error
    code, _, error = run("score", "--method", "el2n", "--power", "-1", *SMALL)
    assert (code, "--power -1.0 is out of range; at least 0" in error) == (2, True)


def test_one_more_option_of_a_method_reaches_the_score_and_its_column(scored):
    read = (
        "from prune_kit.results.table import ScoreTable\n"
        "table = ScoreTable.read('prune-kit-work/scores.h5')\n"
        "column = table.column('el2n@1')\n"
        "print(column.parameters['power'], set(column.values[table.rows.training].tolist()))"
    )
    assert scored(code=read)[1].strip() == "0.0 {1.0}"


def test_one_more_option_of_a_rule_is_a_flag_that_reaches_the_selection(scored):
    run = scored
    _, shown, _ = run("select", "--help")
    assert "--spare" in shown.partition("With --rule top ")[2].partition("╰")[0]
    code, _, error = run("select", "--spare", "3")
    assert code == 2
    assert (
        "takes no --spare; it takes --offset, --offset-from, --per-class. --spare is for" in error
    )
    assert run("select", "--rule", "top", "--spare", "3", "--quiet") == (0, "", "")
    read = (
        "from prune_kit.results.selection import Selection\n"
        "print(Selection.read('prune-kit-work/selection.h5').parameters)"
    )
    assert run(code=read)[1].strip() == "{'keep': 0.5, 'per_class': False, 'spare': 3}"


@pytest.mark.parametrize(
    ("method", "rule", "spare", "message"),
    [
        ("el2n", "top", "3", "{'methods': ['el2n'], 'epochs': [1], 'power': 2.0} 3"),
        ("aum", "top", "3", "mine.toml: method='aum' takes no `power`"),
        ("el2n", "window", "3", "mine.toml: rule='window' takes no `spare`"),
        ("el2n", "top", "'3'", "mine.toml: spare='3' does not fit; expected a whole number"),
    ],
)
def test_one_more_option_is_a_key_of_recipes(run, method, rule, spare, message):
    text = RECIPE.format(method=method, rule=rule, spare=spare)
    (run.here / "mine.toml").write_text(text)
    code = (
        "from prune_kit.errors import RecipeError\n"
        "from prune_kit.experiments.recipe import load_recipe\n"
        "try:\n"
        "    read = load_recipe('mine.toml')\n"
        "    print({key: read.score[key] for key in ('methods', 'epochs', 'power')}, end=' ')\n"
        "    print(read.select['spare'])\n"
        "except RecipeError as error:\n"
        "    print(error)\n"
    )
    assert message in run(code=code)[1]


def test_a_rule_that_declares_an_offset_has_one_wherever_offsets_are_tried_and_shown(run):
    code = """
import numpy as np
from prune_kit.data.identity import Rows
from prune_kit.reporting.figures.sweep import _by_offset, _by_share
from prune_kit.results.outcomes import Outcome, Outcomes
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.grid import Sweep, grid, options_of
from prune_kit_cli.views.search import search_table
from prune_kit_cli.views.sweep import _what
from tests.small_tables import table_of

cells, _ = grid(table_of(np.arange(100)), ["el2n@20"], ["shifted", "top"], [0.5], [0.0, 0.1])
names = [cell.name for cell in cells]
assert names == ["shifted el2n@20 keep 0.5 offset 0", "shifted el2n@20 keep 0.5 offset 0.1",
                 "top el2n@20 keep 0.5"], names
assert options_of(cells[1])["offset"] == 0.1 and "offset" not in options_of(cells[2])
rows = [Outcome(cell.name, 0, 50, 0.9, 1, 1.0, 1.0, "{}") for cell in cells]
rows.append(Outcome("full", 0, 100, 0.9, 1, 1.0, 1.0, "{}"))
sweep = Sweep.joined(Outcomes(tuple(rows), "f", "digits"), cells)
assert [title for title, _ in _by_offset(sweep)] == ["shifted el2n@20 keep 0.5"]
assert [_what(cell)[3] for cell in cells] == ["0", "0.1", ""]
"""
    returned, _, error = run(code=f"import sys; sys.path.append({str(ROOT)!r})\n{code}")
    assert returned == 0, error


@pytest.mark.parametrize("command", [name.replace("_", "-") for name in COMMANDS])
def test_every_option_stands_in_a_panel_and_those_of_output_come_last(command):
    parameters = program().commands[command].params
    options = [p for p in parameters if isinstance(p, typer.core.TyperOption)]
    panels = [option.rich_help_panel for option in options]
    assert None not in panels
    assert set(panels[panels.index(OUTPUT) :]) == {OUTPUT}


def test_the_help_of_score_fits_two_screens(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert exit_code(["score", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= TWO_SCREENS
    assert "--help" in lines[-3]


def test_the_declarations_of_all_methods_and_rules_are_read_without_importing_one():
    program = (
        "import sys; from prune_kit import registry\n"
        "assert 'bins' in registry.package_options('prune_kit.selectors')\n"
        "assert 'folds' in registry.package_options('prune_kit.scorers')\n"
        "loaded = {name for name in sys.modules if name.startswith('prune_kit')}\n"
        "assert loaded == {'prune_kit', 'prune_kit.errors', 'prune_kit.registry'}, loaded\n"
        "assert not {'numpy', 'torch', 'h5py'} & set(sys.modules)"
    )
    root = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=root, check=False
    )
    assert ended.returncode == 0, ended.stderr
