"""Print the oldest version of every dependency that pyproject.toml allows, one a line.

    python .github/floors.py parquet test > floors.txt
    pip install --constraint floors.txt '.[parquet,test]'

The words are the extras to include. Where a package has several floors, the highest one counts.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)>=(?P<floor>[0-9][0-9.]*)")


def floors(requirements: Iterable[str]) -> dict[str, str]:
    """Return the highest floor of each package.

    Parameters
    ----------
    requirements : iterable of str
        Requirements of the form `name>=version`, the only form that pyproject.toml uses.

    Returns
    -------
    dict of str to str
        The version by the name of the package.

    Raises
    ------
    ValueError
        If a requirement has another form.
    """
    versions: dict[str, str] = {}
    for requirement in requirements:
        parts = REQUIREMENT.fullmatch(requirement)
        if parts is None:
            raise ValueError(f"{requirement!r} has no floor; expected the form name>=version")
        name, floor = parts["name"], parts["floor"]
        versions[name] = max(versions.get(name, floor), floor, key=release)
    return versions


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparison: 1.10 is above 1.9."""
    return tuple(int(number) for number in version.split("."))


def main(extras: Iterable[str]) -> None:
    """Print the floors of the dependencies and of the extras named."""
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    requirements = [*project["dependencies"]]
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    for name, floor in floors(requirements).items():
        print(f"{name}=={floor}")


if __name__ == "__main__":
    main(sys.argv[1:])
