"""What stands beside the code: CI, hooks, citation and guides agree with pyproject.toml."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FLOORS = [sys.executable, str(ROOT / ".github/floors.py")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def parsed(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


def steps_of(job: dict[str, Any]) -> str:
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


def pythons_of(job: dict[str, Any]) -> list[str]:
    matrix = job.get("strategy", {}).get("matrix", {})
    used = [step["with"]["python-version"] for step in job["steps"] if "with" in step]
    return matrix.get("python", used)


def pythons_declared() -> list[str]:
    names = [word.rpartition(" :: ")[2] for word in PROJECT["classifiers"]]
    return [name for name in names if re.fullmatch(r"3\.\d+", name)]


def version_key(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    return parsed(".github/workflows/ci.yml")["jobs"]


def test_the_floors_are_those_of_pyproject() -> None:
    done = subprocess.run([*FLOORS, "parquet", "test"], capture_output=True, text=True, check=True)
    printed = dict(line.split("==") for line in done.stdout.splitlines())
    asked: dict[str, list[str]] = {}
    extras = PROJECT["optional-dependencies"]
    for requirement in PROJECT["dependencies"] + extras["parquet"] + extras["test"]:
        name, floor = requirement.split(">=")
        asked.setdefault(name, []).append(floor)
    assert printed == {name: max(floors, key=version_key) for name, floors in asked.items()}
    assert len(asked["jaxtyping"]) == 2  # so that the highest of several floors is tried


def test_a_requirement_without_a_floor_stops_the_floors(tmp_path: Path) -> None:
    (tmp_path / ".github").mkdir()
    script = tmp_path / ".github/floors.py"
    script.write_text((ROOT / ".github/floors.py").read_text("utf-8"))
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["numpy<2"]\n')
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "'numpy<2' has no floor; expected the form name>=version" in done.stderr


def test_the_ci_runs_every_python_that_is_declared(jobs: dict[str, Any]) -> None:
    assert pythons_of(jobs["newest"]) == pythons_declared()
    assert PROJECT["requires-python"] == f">={pythons_declared()[0]}"
    assert steps_of(jobs["newest"]) == "make test"


def test_the_ci_tests_the_floors_on_the_oldest_python(jobs: dict[str, Any]) -> None:
    assert pythons_of(jobs["floors"]) == pythons_declared()[:1]
    steps = steps_of(jobs["floors"])
    assert "python .github/floors.py parquet test > floors.txt" in steps
    assert "--constraint floors.txt --editable '.[parquet,test]'" in steps
    assert "pytest" in steps


def test_the_ci_runs_the_demo_of_the_wheel_and_makes_the_documentation(
    jobs: dict[str, Any],
) -> None:
    assert "pip wheel" in steps_of(jobs["wheel"])
    assert "fresh/bin/prune-kit demo" in steps_of(jobs["wheel"])
    assert steps_of(jobs["docs"]) == "make docs"


def test_the_hooks_use_the_tools_of_the_test_extra() -> None:
    (repository,) = parsed(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    tools = {requirement.split(">=")[0] for requirement in PROJECT["optional-dependencies"]["test"]}
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].split()[0] in tools


def test_the_citation_names_the_version_and_the_five_papers() -> None:
    citation = parsed("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert (citation["title"], citation["type"]) == (PROJECT["name"], "software")
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["message"] and citation["authors"]
    papers = {paper["url"].rpartition("/")[2]: paper for paper in citation["references"]}
    assert papers.keys() == {"2107.07075", "2002.03206", "2002.03206v1", "1905.10854", "2003.07422"}
    for number, paper in papers.items():
        assert paper["identifiers"] == [{"type": "other", "value": f"arXiv:{number}"}]
        assert {"type", "title", "authors", "year"} <= paper.keys()
        assert all(author.keys() == {"family-names", "given-names"} for author in paper["authors"])
        assert 2000 + int(number[:2]) <= paper["year"] <= 2021  # that of the version cited


def test_the_changelog_knows_the_version() -> None:
    titles = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert titles[0] == "Unreleased"
    assert titles[1].split()[0] == PROJECT["version"]


def test_the_contributing_guide_adds_everything_in_five_lines() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    recipes = re.findall(r"^### an? (.*)\n\n((?:\d\. .*\n|   .*\n)+)", text, re.MULTILINE)
    assert [name for name, _ in recipes] == [
        "score", "rule", "cut", "data source", "family of networks", "format", "optimiser",
        "command",
    ]  # fmt: skip
    for name, lines in recipes:
        assert len(re.findall(r"^\d\. ", lines, re.MULTILINE)) == 5, name


def test_the_places_that_the_contributing_guide_names_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    paths = {path for path in re.findall(r"`([\w./]+/[\w./]*)`", text) if "NAME" not in path}
    folders = {path.rpartition("/")[0] for path in re.findall(r"`([\w./]+/NAME\.py)`", text)}
    assert len(paths | folders) > 8
    assert [
        path
        for path in paths | folders
        if not (ROOT / path).exists() and not list(ROOT.glob(f"*/**/{path}"))
    ] == []
    for name in re.findall(r"function of the training wing, `(\w+)`", text):
        assert any(
            f"def {name}(" in path.read_text("utf-8") for path in (ROOT / "prune_kit").rglob("*.py")
        )
