import sys

import numpy as np
import pytest

from prune_kit.data.spec import load_data
from prune_kit.errors import DataError

HEAD = """
import numpy as np
X = np.arange(20 * 4, dtype=np.uint8).reshape(20, 2, 2)
Y = np.arange(20) % 4
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the module `mypackage.mine` into the current folder."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write_module(text):
        (tmp_path / "mypackage").mkdir(exist_ok=True)
        (tmp_path / "mypackage" / "mine.py").write_text(HEAD + text)

    yield write_module
    for name in set(sys.modules) - before:
        if name.startswith("mypackage"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("result", "has_test"),
    [
        ("X, Y", False),
        ("X, Y, X[:4], Y[:4]", True),
        ("{'x_train': X, 'y_train': Y.tolist(), 'ids': [f'my {i}' for i in range(20)]}", False),
        (
            "{'x_train': X, 'y_train': Y, 'x_test': None, 'y_test': None, 'class_names': "
            "list('abcd')}",
            False,
        ),
    ],
)
def test_arrays_become_a_data_set(write, result, has_test):
    write(f"def digits():\n    return {result}\n")
    data = load_data("mypackage.mine:digits")
    np.testing.assert_array_equal(data.labels, np.arange(20) % 4)
    assert data.shape == (2, 2, 1)
    assert data.rows.data == "mypackage.mine:digits"
    assert (data.outside_test is not None) == has_test


def test_a_dataset_is_taken_as_it_is_under_the_specification_that_was_given(write):
    write(
        "from prune_kit.data.dataset import from_arrays\n"
        "def made():\n    return from_arrays(X, Y, name='own', spec='?', preparation='halved')\n"
    )
    data = load_data("mypackage.mine:made")
    assert (data.name, data.preparation, data.rows.data) == ("own", "halved", "mypackage.mine:made")


def test_the_search_path_is_left_as_it_was(write):
    write("def digits():\n    return X, Y\n")
    before = list(sys.path)
    load_data("mypackage.mine:digits")
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "def other():\n    pass\nmine = 3\n",
            "mypackage.mine lacks the function 'mine'; it has: other",
        ),
        (
            "def mine():\n    return X\n",
            r"mypackage\.mine:mine\(\) returned a ndarray; expected a Dataset, a dictionary",
        ),
        ("def mine():\n    return None\n", r"returned a NoneType; expected"),
        ("def mine():\n    return X, Y, X\n", r"returned a tuple of 3; expected"),
        ("def mine():\n    return {'x': X}\n", "lacks x_train and y_train; it has: x"),
        ("def mine():\n    return [[1], [1, 2]], Y\n", "x_train is not an array: "),
        ("def mine():\n    return X / 2, Y\n", r"are float64 .*expected uint8"),
        (
            "def mine():\n    raise KeyError('a\\nb')\n",
            r"mine\(\) failed: KeyError: .* \(.*mine\.py:6\)",
        ),
        (
            "def mine(path):\n    pass\n",
            r"mine\(\) failed: TypeError: .*missing 1 required positional argument",
        ),
        (
            "import mypackage_that_is_not_there\n",
            r"importing mypackage\.mine failed: ModuleNotFoundError: .*mine\.py:5",
        ),
        (
            "def mine(:\n",
            r"importing mypackage\.mine failed: SyntaxError: invalid syntax \(.*mine\.py:5\)",
        ),
        (
            "1 / 0\n",
            r"importing mypackage\.mine failed: ZeroDivisionError: division .*mine\.py:5\)",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(write, text, reason):
    write(text)
    with pytest.raises(DataError, match=reason) as caught:
        load_data("mypackage.mine:mine")
    assert "\n" not in str(caught.value)


def test_an_error_of_ours_passes_through(write):
    write(
        "from prune_kit.errors import DataError\ndef mine():\n    raise DataError('no such disk')\n"
    )
    with pytest.raises(DataError, match=r"^no such disk$"):
        load_data("mypackage.mine:mine")


@pytest.mark.parametrize("module", ["mypackage.theirs", "nowhere.at.all"])
def test_a_missing_module_is_named_with_where_it_was_looked_for(write, module, tmp_path):
    write("")
    with pytest.raises(
        DataError, match=f"the module '(mypackage.theirs|nowhere)' is not in {tmp_path}"
    ):
        load_data(f"{module}:mine")
