"""Spoiled files end in a refusal or in a value, never in a traceback.

The long form is `make soak`.
"""

from tests.faults.readers import READERS
from tests.faults.soak import mutations


def test_mutated_files_are_read_or_refused_by_every_reader() -> None:
    said: list[str] = []
    assert mutations(10 * len(READERS), 1, said.append) == []
    assert said[0].endswith("0 faults")
