"""From words to values: where each stage finds its predecessor's file, and which protocol the options ask for."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from prune_kit import files
from prune_kit.errors import FileError, OptionError
from prune_kit.selection import Selection
from prune_kit.settled import training_config
from prune_kit.table import ScoreTable
from prune_kit_cli.options import DEFAULT_WORKDIR

if TYPE_CHECKING:
    from prune_kit.data.dataset import Dataset
    from prune_kit.training.config import TrainConfig

SCORES, SELECTION, OUTCOMES, LABELS = "scores.h5", "selection.h5", "outcomes.h5", "labels.h5"


def read_scores(workdir: Path, path: Path | None = None) -> ScoreTable:
    """The score table of the workdir, or another one, without the arrays that later stages do not need."""
    return ScoreTable.read(path or workdir / SCORES, extras=False)


def selection_files(workdir: Path) -> list[Path]:
    """Every selection file in the workdir."""
    found = [path for path in sorted(workdir.glob("*.h5")) if files.kind_of(path) == "selection"]
    if not found:
        raise FileError(f"there is no selection in {workdir}. Make one with: prune-kit select --keep 0.5")
    return found


def read_selections(workdir: Path, given: list[Path] | None) -> dict[str, Selection]:
    """The selections that were named, or all of the workdir, by the names of their files."""
    paths = given or selection_files(workdir)
    selections = {path.stem: Selection.read(path) for path in paths}
    if len(selections) < len(paths):
        raise OptionError("two selection files have the same name; rename one, the outcomes are listed by it")
    return selections


def numbers(texts: list[str] | None, option: str) -> list[int] | None:
    """Whole numbers from repeated or comma-separated options."""
    if not texts:
        return None
    try:
        return [int(part) for text in texts for part in text.split(",")]
    except ValueError as error:
        raise OptionError(
            f"{option} {','.join(texts)} is no whole number, nor a list of them such as 5,10,20"
        ) from error


def protocol(
    data: "Dataset", settled: dict[str, object], recipe: str | None, model: str | None, changes: list[str] | None
) -> "TrainConfig":
    """The protocol that the options ask for: a recipe's, else the settled one, else the data set's."""
    from prune_kit.recipe import load_recipe

    config = load_recipe(recipe).train if recipe else None
    config = training_config(data, settled, config, model)
    pairs = [change.partition("=") for change in changes or []]
    for key, equals, _ in pairs:
        if not equals:
            raise OptionError(f"--train {key!r} must have the form KEY=VALUE, such as epochs=10")
    return config.changed({key: value for key, _, value in pairs})


def there(workdir: Path) -> str:
    """The words that lead the next command to the same workdir."""
    usual = Path(os.environ.get("PRUNE_KIT_WORKDIR", DEFAULT_WORKDIR))
    return "" if workdir == usual else f" --workdir {shlex.quote(str(workdir))}"
