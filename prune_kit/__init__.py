"""prune_kit: which training examples can be dropped, and which labels are wrong.

    import prune_kit
    data = prune_kit.load_data("digits")
    table = prune_kit.score(data, "el2n", epoch=20)
    selection = prune_kit.select(table, keep=0.5, offset=0.02)
    outcomes = prune_kit.retrain(data, selection)

Names are loaded when they are first used; importing the package imports neither torch nor numpy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prune_kit.cleaning.label_issues import find_label_issues
    from prune_kit.data.dataset import Dataset
    from prune_kit.data.spec import load_data
    from prune_kit.errors import PruneKitError
    from prune_kit.measures.gradients.norms import per_example_gradient_norms
    from prune_kit.pipeline import (
        clean,
        compare,
        export,
        report,
        retrain,
        score,
        select,
    )
    from prune_kit.protocol.config import TrainConfig
    from prune_kit.protocol.execution import Execution
    from prune_kit.protocol.setup import Setup
    from prune_kit.results.column import ScoreColumn
    from prune_kit.results.outcomes import Outcomes
    from prune_kit.results.removal import Removal
    from prune_kit.results.selection import Selection
    from prune_kit.results.table import ScoreTable
    from prune_kit.retraining.verbs import sweep, tune

_HOMES = {
    "Dataset": "data.dataset",
    "Execution": "protocol.execution",
    "Outcomes": "results.outcomes",
    "PruneKitError": "errors",
    "Removal": "results.removal",
    "ScoreColumn": "results.column",
    "ScoreTable": "results.table",
    "Selection": "results.selection",
    "Setup": "protocol.setup",
    "TrainConfig": "protocol.config",
    "clean": "pipeline",
    "compare": "pipeline",
    "export": "pipeline",
    "find_label_issues": "cleaning.label_issues",
    "load_data": "data.spec",
    "per_example_gradient_norms": "measures.gradients.norms",
    "report": "pipeline",
    "retrain": "pipeline",
    "score": "pipeline",
    "select": "pipeline",
    "sweep": "retraining.verbs",
    "tune": "retraining.verbs",
}

__all__ = [
    "Dataset",
    "Execution",
    "Outcomes",
    "PruneKitError",
    "Removal",
    "ScoreColumn",
    "ScoreTable",
    "Selection",
    "Setup",
    "TrainConfig",
    "clean",
    "compare",
    "export",
    "find_label_issues",
    "load_data",
    "per_example_gradient_norms",
    "report",
    "retrain",
    "score",
    "select",
    "sweep",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'prune_kit' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"prune_kit.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
