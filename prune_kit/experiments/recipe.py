"""Recipes: one TOML file for each experiment of a paper, turned into plain arguments of the verbs.

Sections: `[data]`, `[train]` (a TrainConfig), `[score]`, `[select]`, `[retrain]`, `[seeds]`, and
`[[expect]]` blocks. Each block is a paper's claim with one comparison that checks it. Without
`[select]` and `[retrain]` a recipe only scores. The keys of `[score]` and `[select]` include the
options that methods and rules declare.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prune_kit import pipeline, registry
from prune_kit.data.spec import load_data
from prune_kit.errors import OptionError, RecipeError
from prune_kit.experiments.expectation import Expectation, check_claim, refuse_unknown
from prune_kit.progress import Listener, silent
from prune_kit.protocol.execution import Execution
from prune_kit.results.outcomes import FULL, Outcomes
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.plan import RETRAIN_SEED
from prune_kit.scoring.columns import method_names, options_for
from prune_kit.scoring.plan import DEFAULT_RUNS
from prune_kit.selectors import DEFAULT_RULE
from prune_kit.storage.workdir import DEFAULT_WORKDIR

if TYPE_CHECKING:
    from prune_kit.data.dataset import Dataset
    from prune_kit.protocol.config import TrainConfig

# the methods' and the rules' own options are those that they declare
SCORE_OPTIONS = ("probes", *registry.package_options(registry.SCORERS))
SELECT_OPTIONS = tuple(registry.package_options(registry.SELECTORS))
KEYS = {
    "": {"title", "paper", "data", "train", "score", "select", "retrain", "seeds", "expect"},
    "data": {"source"},
    "score": {"methods", "epochs", "runs", "observe", *SCORE_OPTIONS},
    "select": {"rule", "by", "keep", *SELECT_OPTIONS},
    "retrain": {"runs", "baseline", "budget"},
    "seeds": {"score", "retrain"},
    "expect": {"claim", "where", "check", "measured"},
}
NEEDED = {
    "": {"title", "paper"},
    "data": {"source"},
    "score": {"methods", "epochs"},
    "expect": {"claim", "where", "check"},
}
SCALES = ("full", "smoke")
SMOKE_EPOCHS, SMOKE_RUNS, SMOKE_FOLDS, SMOKE_RATIOS = 10, 2, 2, (30, 70)


@dataclass(frozen=True)
class Recipe:
    """An experiment, from the data to the claims that it checks."""

    name: str
    title: str
    paper: str
    source: str
    train: "TrainConfig"
    score: dict[str, Any]
    select: dict[str, Any]
    retrain: dict[str, Any]
    seeds: dict[str, int]
    expect: tuple[Expectation, ...] = field(default=())


@dataclass(frozen=True, eq=False)
class Reproduction:
    """What came of a recipe.

    `verdicts` has for each expectation its measured value, and whether it holds. At smoke scale
    there are none: its figures mean nothing.
    """

    recipe: Recipe
    table: ScoreTable
    selections: dict[str, Selection]
    outcomes: Outcomes
    verdicts: tuple[tuple[Expectation, float, bool], ...]


def recipes_folder() -> Path:
    """Where the recipes are: inside the installed package, else beside it in the source tree."""
    package = Path(__file__).parents[1]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    """The recipes that come with prune_kit."""
    return sorted(path.stem for path in recipes_folder().glob("*.toml"))


def load_recipe(name: str | Path) -> Recipe:
    """Read a recipe by its name, or from a `.toml` file.

    Raises
    ------
    RecipeError
        If there is no such recipe, or if a key or a value is wrong. The message names it.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in recipe_names():
            raise registry.unknown_name_error(
                "recipe", str(name), [*recipe_names(), "or a .toml file"], RecipeError
            )
        path = recipes_folder() / f"{name}.toml"
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from error
    return _parse(path, content)


def reproduce(
    recipe: Recipe,
    *,
    data: str | None = None,
    scale: str = "full",
    execution: Execution | None = None,
    workdir: str | Path = DEFAULT_WORKDIR,
    progress: Listener = silent,
    announce: Callable[["Dataset", Recipe], None] = lambda _data, _recipe: None,
) -> Reproduction:
    """Score, select, retrain and check as a recipe says.

    Parameters
    ----------
    recipe
        The recipe, see `load_recipe`.
    data
        Where its data set lies, such as "cifar10:DIR". Not needed for digits.
    scale
        "full", or "smoke": the same steps on digits, with a small network, in about a minute.
    execution, workdir, progress
        As `pipeline.score`.
    announce
        Is told the data and the recipe that is run, before anything is trained.

    Raises
    ------
    RecipeError, OptionError
        If the recipe or an option does not fit, and what the verbs raise.
    """
    if scale not in SCALES:
        raise registry.unknown_name_error("scale", scale, SCALES)
    if scale == "smoke":
        recipe, data = smoke(recipe), "digits"
    if data is None and recipe.source != "digits":
        raise OptionError(
            f"recipe {recipe.name} requires its data: data='{recipe.source}:PATH', or "
            "scale='smoke' to try it"
        )
    loaded = load_data(data or recipe.source, progress=progress)
    announce(loaded, recipe)
    where: dict[str, Any] = {
        "execution": execution,
        "workdir": workdir,
        "progress": progress,
    }
    table = pipeline.score(
        loaded,
        recipe.score["methods"],
        epoch=recipe.score["epochs"],
        runs=recipe.score["runs"],
        observe=recipe.score.get("observe"),
        config=recipe.train,
        seed=recipe.seeds["score"],
        **{name: recipe.score[name] for name in SCORE_OPTIONS if name in recipe.score},
        **where,
    )
    selections = {
        name: pipeline.select(table, **options) for name, options in _grid(recipe.select).items()
    }
    if selections:
        outcomes = pipeline.retrain(
            loaded,
            selections,
            config=recipe.train,
            seed=recipe.seeds["retrain"],
            **recipe.retrain,
            **where,
        )
    else:
        outcomes = Outcomes((), loaded.fingerprint, loaded.rows.data)
    claims = () if scale == "smoke" else recipe.expect
    verdicts = tuple(check_claim(claim, table, outcomes) for claim in claims)
    return Reproduction(recipe, table, selections, outcomes, verdicts)


def smoke(recipe: Recipe) -> Recipe:
    """The same experiment made small: digits, the small convnet, 10 epochs and 2 seeds.

    The epochs of scores and milestones shrink in proportion.
    """
    whole = recipe.train.epochs

    def shrink(epoch: int) -> int:
        return max(round(epoch * SMOKE_EPOCHS / whole), 1) if epoch else 0

    def shrink_column(name: str) -> str:
        method, at, epoch = name.partition("@")
        return f"{method}@{shrink(int(epoch))}" if at else name

    milestones = ",".join(str(shrink(milestone)) for milestone in recipe.train.milestones)
    train = recipe.train.changed(
        {
            "model": "convnet",
            "epochs": SMOKE_EPOCHS,
            "batch_size": 64,
            "crop_padding": min(recipe.train.crop_padding, 1),
            "milestones": milestones,
        }
    )
    epochs = sorted({shrink(epoch) for epoch in recipe.score["epochs"]})
    folds = {"ratios": SMOKE_RATIOS, "folds": SMOKE_FOLDS} if "folds" in recipe.score else {}
    by = recipe.select.get("by", [])
    shrunk = [shrink_column(name) for name in ([by] if isinstance(by, str) else by)]
    return Recipe(
        name=recipe.name,
        title=recipe.title,
        paper=recipe.paper,
        source="digits",
        train=train,
        score={**recipe.score, "epochs": epochs, "runs": SMOKE_RUNS, **folds},
        select={**recipe.select, "by": shrunk} if shrunk else recipe.select,
        retrain={**recipe.retrain, "runs": SMOKE_RUNS},
        seeds=recipe.seeds,
    )


def _parse(path: Path, content: dict[str, Any]) -> Recipe:
    from prune_kit.protocol.config import TrainConfig

    _check_keys(path, "", content)
    if "select" not in content and "retrain" not in content:
        content = {**content, "select": {}, "retrain": {}}
    for section in ("data", "train", "score", "select", "retrain", "seeds"):
        if not isinstance(content.get(section), dict):
            raise RecipeError(f"{path} has no section [{section}]")
        _check_keys(path, section, content[section])
    if "probes" in content["score"] and content["select"]:
        raise RecipeError(
            f"{path}: [score] probes are for `clean`; a table with planted labels takes no [select]"
        )
    blocks = content.get("expect", [])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise RecipeError(f"{path}: expectations are written as blocks, each under [[expect]]")
    for block in blocks:
        _check_keys(path, "expect", block)
        refuse_unknown(path, str(block["check"]), {FULL, *_grid(content["select"])})
    try:
        config = TrainConfig.of(content["train"])
        _check_options(content["score"], content["select"])
        return Recipe(
            name=path.stem,
            title=content["title"],
            paper=content["paper"],
            source=content["data"]["source"],
            train=config,
            score={"runs": DEFAULT_RUNS, **content["score"]},
            select=content["select"],
            retrain=content["retrain"],
            seeds={"score": 0, "retrain": RETRAIN_SEED, **content["seeds"]},
            expect=tuple(Expectation(**block) for block in blocks),
        )
    except OptionError as error:
        raise RecipeError(f"{path}: {error}") from error


def _check_keys(path: Path, section: str, content: Mapping[str, Any]) -> None:
    where = f"[{section}]" if section else "the top level"
    known = KEYS.get(section, set(content))  # TrainConfig knows its own keys
    unknown = sorted(set(content) - known)
    if unknown:
        raise RecipeError(
            f"{path}: unknown key {unknown[0]!r} in {where}; there are: "
            f"{', '.join(sorted(KEYS[section]))}"
        )
    lacking = sorted(NEEDED.get(section, set()) - set(content))
    if lacking:
        raise RecipeError(f"{path} lacks the key {lacking[0]!r} in {where}")


def _check_options(score: Mapping[str, Any], select: dict[str, Any]) -> None:
    """Raise OptionError for an option that methods or rule do not take, or for a wrong value."""
    own = registry.package_options(registry.SCORERS)
    given = {name: value for name, value in score.items() if name in own}
    options_for(method_names(score["methods"]), given)
    for cell in _grid(select).values():
        chosen = {name: value for name, value in cell.items() if name in SELECT_OPTIONS}
        rule = cell.get("rule", DEFAULT_RULE)
        registry.chosen_options(registry.SELECTORS, "rule", [rule], chosen)


def _grid(select: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """One selection for each combination of the lists in `by`, `keep` and `offset`.

    A single one is called "selection". There is none without any option.
    """
    if not select:
        return {}
    lists = {
        key: value if isinstance(value, list) else [value]
        for key, value in select.items()
        if key in ("by", "keep", "offset")
    }
    fixed = {key: value for key, value in select.items() if key not in lists}
    cells = [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]
    if len(cells) == 1:
        return {"selection": {**fixed, **cells[0]}}
    varied = [key for key in lists if len(lists[key]) > 1]
    return {
        " ".join(_cell_word(key, cell[key]) for key in varied): {**fixed, **cell} for cell in cells
    }


def _cell_word(key: str, value: Any) -> str:
    return str(value) if key == "by" else f"{key} {value:g}"
