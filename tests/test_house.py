"""The house: imports point down, the wheel holds what the tree holds, the documentation runs."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from prune_kit.experiments import recipe
from prune_kit_cli.main import COMMANDS, exit_code
from tests.reader import PROTOCOLS, train, training, unknown_options

ROOT = Path(__file__).parents[1]
RUN = [sys.executable, "-c", "from prune_kit_cli.main import run; run()"]
PACKAGES = ("prune_kit", "cli/prune_kit_cli")

# From the roof to the cellar. A wing imports itself and what lies on the floors below, and nothing
# else.
FLOORS = (
    ("__main__",),  # `python -m prune_kit`, which is the command line
    ("prune_kit_cli",),
    ("experiments",),
    ("pipeline",),
    ("scoring", "reporting"),
    ("scorers",),
    ("measures", "retraining"),
    ("runs", "cleaning", "selectors", "exporters", "comparison"),
    ("training", "results"),
    ("protocol",),
    ("data", "models"),
    ("storage",),
    ("registry", "checks", "randomness", "progress", "machine"),
    ("errors",),
)


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            relative = path.relative_to((ROOT / package).parent).with_suffix("")
            parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
            found[".".join(parts)] = path
    return found


def wing_of(name: str) -> str:
    """`runs` of prune_kit.runs.cache, `pipeline` of prune_kit.pipeline.

    The command line is one wing.
    """
    package, _, rest = name.partition(".")
    return rest.split(".")[0] if package == "prune_kit" else package


def floor_of(name: str) -> int:
    (floor,) = (number for number, wings in enumerate(FLOORS) if wing_of(name) in wings)
    return floor


def type_checking_only(tree: ast.Module) -> set[ast.AST]:
    guarded: set[ast.AST] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
        ):
            guarded |= {inner for statement in node.body for inner in ast.walk(statement)}
    return guarded


def imports_of(path: Path, known: set[str]) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    guarded = type_checking_only(tree)
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in guarded:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in known else node.module)
    return {name for name in names if name.split(".")[0] in ("prune_kit", "prune_kit_cli")}


def test_imports_point_down() -> None:
    known = modules()
    wrong = []
    for name, path in known.items():
        for target in imports_of(path, set(known)) - {"prune_kit"}:
            below = floor_of(target) > floor_of(name)
            if name != "prune_kit" and not below and wing_of(target) != wing_of(name):
                wrong.append(f"{name} imports {target}")
    assert wrong == []


def test_every_wing_stands_on_a_floor_and_every_floor_has_its_wings() -> None:
    named = [wing for wings in FLOORS for wing in wings]
    assert sorted(named) == sorted({wing_of(name) for name in modules()} - {""})


def test_files_and_functions_fit_into_a_look() -> None:
    """A function has at most 80 lines and 12 parameters. A command's signature is not counted."""
    wide = []
    for name, path in modules().items():
        text = path.read_text("utf-8")
        if len(text.splitlines()) > (330 if name == "prune_kit.pipeline" else 350):
            wide.append(name)
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef):
                continue
            is_command = ".commands." in name and not node.name.startswith("_")
            first = node.body[0].lineno if is_command else node.lineno
            given = node.args
            parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            count = len(parameters) + (given.vararg is not None) + (given.kwarg is not None)
            if (node.end_lineno or 0) - first >= 80 or (count > 12 and not is_command):
                wide.append(f"{name}.{node.name}")
    assert wide == []


SPEAK_FLAGS = {  # they make command lines or read them, and one page names a command's option
    "prune_kit.registry",
    "prune_kit.protocol.setup",
    "prune_kit.reporting.commands",
    "prune_kit.reporting.page",
}


def test_the_library_speaks_of_keywords_and_never_of_flags() -> None:
    found = []
    for name, path in modules().items():
        tree = ast.parse(path.read_text("utf-8"))
        documents = {
            node.body[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        found += [
            f"{name}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and node not in documents
            and re.search(r"(?<![\w-])--[a-z]", str(node.value))
            and wing_of(name) != "prune_kit_cli"
            and name not in SPEAK_FLAGS
        ]
    assert found == []


def test_every_command_is_a_file_of_the_folder_of_commands() -> None:
    files = {path.stem for path in (ROOT / "cli/prune_kit_cli/commands").glob("*.py")}
    assert sorted(COMMANDS) == sorted(files - {"__init__"})


def test_the_packages_written_by_hand_are_those_of_the_tree() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    tree = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert set(settings["packages"]) == tree | {"prune_kit.recipes"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder, copy = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    for name in ("prune_kit", "cli", "recipes"):
        shutil.copytree(
            ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = [
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(copy),
    ]
    done = subprocess.run([sys.executable, "-m", *build], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return zipfile.ZipFile(next(folder.glob("*.whl"))).namelist()


def test_the_wheel_has_two_top_level_names(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"prune_kit", "prune_kit_cli"}


def test_the_wheel_holds_every_file_and_recipe_of_the_tree(wheel: list[str]) -> None:
    packed = {name for name in wheel if ".dist-info" not in name}
    tree = {
        str(path.relative_to((ROOT / package).parent))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"prune_kit/py.typed", "prune_kit_cli/py.typed"} <= tree
    tree |= {f"prune_kit/recipes/{path.name}" for path in (ROOT / "recipes").glob("*.toml")}
    assert packed == tree


def test_importing_the_package_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, prune_kit; print([m for m in ('torch', 'numpy', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_function_and_class_has_a_docstring() -> None:
    bare = []
    for name, path in modules().items():
        tree = ast.parse(path.read_text("utf-8"))
        assert ast.get_docstring(tree), name
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith(
                "_"
            )
            if public and not ast.get_docstring(node):
                bare.append(f"{name}.{node.name}")
    assert bare == []


def undescribed(function: ast.FunctionDef) -> set[str]:
    """The parameters that a docstring neither lists nor refers to another one for."""
    text = ast.get_docstring(function) or ""
    if re.search(r"arameters\b[^.]*\bare\s+those\s+of", text):
        return set()
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    names = {one.arg for one in every if one} - {"self", "cls"}
    listed = re.findall(
        r"^\s*\**(\w+(?:, \**\w+)*)(?: : .*)?$", text.partition("Parameters\n")[2], re.M
    )
    described = {name for entry in listed for name in entry.replace("*", "").split(", ")}
    return names - described if len(names) >= 3 else set()


def test_functions_of_three_parameters_describe_each() -> None:
    bare = []
    for name, path in modules().items():
        tree = ast.parse(path.read_text("utf-8"))
        bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
        bare += [
            f"{name}.{node.name}: {', '.join(sorted(lacking))}"
            for node in (node for body in bodies for node in body)
            if isinstance(node, ast.FunctionDef)
            and wing_of(name) != "prune_kit_cli"
            and not node.name.startswith("_")
            and (lacking := undescribed(node))
        ]
    assert bare == []


def readme_blocks(language: str) -> list[str]:
    return re.findall(
        rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )


@pytest.fixture(scope="module", params=PROTOCOLS)
def reader(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str]]:
    """The folder of somebody who types what the README says, and how digits is trained.

    The run cache in it serves commands and snippets.
    """
    with pytest.MonkeyPatch.context() as patch:
        train(patch, request.param)
        yield tmp_path_factory.mktemp("reader"), request.param


def test_every_command_of_the_readme_is_understood(
    reader: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that need no data of the reader's own run, in order.

    Of the others the words are known.
    """
    monkeypatch.chdir(reader[0])
    monkeypatch.delenv("PRUNE_KIT_WORKDIR", raising=False)
    ran = 0
    for line in "".join(readme_blocks("sh")).splitlines():
        words = line.split("#")[0].split()
        if not words or words[0] == "make":
            continue
        assert words[0] == "prune-kit", line
        assert unknown_options(words) == [], line
        if not any("DIR" in word for word in words) and "--by" not in words:
            assert exit_code([*words[1:], "--quiet"]) == 0, line
            ran += 1
    assert ran == 10


def test_every_python_snippet_of_the_readme_runs(reader: tuple[Path, str]) -> None:
    folder, changes = reader
    blocks = readme_blocks("python")
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", f"{training(changes)}\n{block}"],
            capture_output=True,
            text=True,
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr[-2000:]


def test_recipes_are_found_beside_the_source_tree() -> None:
    assert recipe.recipes_folder().is_dir()
    assert "digits_demo" in recipe.recipe_names()
