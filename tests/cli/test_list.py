"""`prune-kit list`: every list names what its folder holds."""

import json
from pathlib import Path

import pytest

from prune_kit.data.spec import FUNCTION
from prune_kit_cli.commands.list import list_
from prune_kit_cli.main import exit_code

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "methods": "prune_kit/scorers/*.py",
    "rules": "prune_kit/selectors/*.py",
    "cuts": "prune_kit/cleaning/cuts/*.py",
    "formats": "prune_kit/exporters/*.py",
    "recipes": "recipes/*.toml",
}


def listed(what: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The entries of a list, which are printed as text and as JSON."""
    assert exit_code(["list", what]) == 0
    text = capsys.readouterr().out
    assert exit_code(["list", what, "--json"]) == 0
    entries: dict[str, str] = json.loads(capsys.readouterr().out)[what]
    assert all(name in text for name in entries)
    assert all(entries.values())
    return entries


@pytest.mark.parametrize("what", FOLDERS)
def test_a_list_names_every_file_of_its_folder(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {path.stem for path in ROOT.glob(FOLDERS[what]) if not path.stem.startswith("_")}
    assert set(listed(what, capsys)) == names


def test_the_data_sources_are_listed_as_they_are_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stems = {path.stem for path in (ROOT / "prune_kit/data/sources").glob("*.py")} - {"__init__"}
    sources = {f"{stem.replace('_', '-')}:PATH" for stem in stems - {"digits", "function"}}
    assert set(listed("data", capsys)) == sources | {"digits", FUNCTION}


def test_the_models_are_listed_and_a_library_takes_a_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    entries = listed("models", capsys)
    assert {"mlp", "convnet", "resnet18", "timm:NAME", "torchvision:NAME"} <= set(entries)


def test_every_list_that_the_help_names_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    argument = list_.__annotations__["what"].__metadata__[0]
    assert set(argument.metavar.split("|")) == {*FOLDERS, "data", "models"}
