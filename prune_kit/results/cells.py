"""The cells of a sweep or a search: what each selection of a grid was."""

from typing import Any

AXES = ("by", "rule", "keep", "offset")
# a cell of a sweep has the axes; one of a search also epochs, and the chosen one also the rest
CELL: dict[str, tuple[type, ...]] = {
    "rule": (str,), "by": (str,), "keep": (int, float), "offset": (int, float),
    "epochs": (int,), "found": (bool,), "goal": (str,), "met": (bool,), "grid": (dict,),
    "validation": (int, float),
}  # fmt: skip


def checked_cells(cells: Any) -> dict[str, dict[str, Any]]:
    """The cells of a sweep or a search, from JSON. Raises ValueError for any other value."""
    if not isinstance(cells, dict) or not all(isinstance(cell, dict) for cell in cells.values()):
        raise ValueError("cells are not objects by name")
    for cell in cells.values():
        lacking = set(AXES) - cell.keys()
        wrong = [
            key
            for key, value in cell.items()
            if key not in CELL or not isinstance(value, CELL[key])
        ]
        if lacking or wrong:
            raise ValueError(f"a cell lacks {sorted(lacking)}, or does not fit in {wrong}")
        grid = cell.get("grid", {})
        if grid and not all(isinstance(grid.get(axis), list) for axis in AXES):
            raise ValueError("a grid has no list for each axis")
    if len({"epochs" in cell for cell in cells.values()}) > 1:
        raise ValueError("some cells are of a search, and some are not")
    return cells
