import pytest

from prune_kit.checks import MOST_RUNS, check_seeds
from prune_kit.errors import OptionError


@pytest.mark.parametrize("runs", [0, -1, MOST_RUNS + 1, 10**14])
def test_no_run_and_more_than_anybody_trains_are_refused(runs):
    with pytest.raises(
        OptionError, match=f"runs={runs} is out of range; at least 1, at most 10,000"
    ):
        check_seeds(runs)


def test_a_negative_seed_is_refused():
    check_seeds(1, 0)
    with pytest.raises(OptionError, match="seed=-1 is out of range; at least 0"):
        check_seeds(1, -1)
