"""How a plan is shown: what will be trained, what is there already, and where it runs."""

from typing import TYPE_CHECKING, Any

from prune_kit_cli.screen import count_of

if TYPE_CHECKING:
    from prune_kit.protocol.config import TrainConfig
    from prune_kit.retraining.plan import RetrainPlan
    from prune_kit.scoring.plan import ScorePlan

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def plan_notes(plan: "ScorePlan | RetrainPlan") -> list[tuple[str, str]]:
    """What a plan will train, as labelled lines."""
    if not plan.networks:
        return []
    epochs = count_of(plan.epochs_to_train, "epoch")
    cached = f"{plan.cached:,} more {'is' if plan.cached == 1 else 'are'} in the cache"
    cached = cached if plan.cached else "none is in the cache"
    return [("to train", f"{count_of(plan.networks, 'network')}, {epochs} in all; {cached}")]


def protocol_note(protocol: "TrainConfig", budget: str) -> str:
    """How the networks of a retraining are trained."""
    return f"{protocol.describe()}; the same number of {budget} for every set"


def dry_notes(plan: "ScorePlan | RetrainPlan") -> list[tuple[str, str]]:
    """What a command would do, for --dry-run: also where it would run, and in how much memory."""
    if not plan.networks:
        return [("to train", f"nothing: {count_of(plan.cached, 'network')} are in the cache")]
    at_once = min(plan.execution.jobs, plan.networks)
    memory = _memory(plan)
    together = f", {_bytes(memory * at_once)} for the {at_once} at once" * (at_once > 1)
    return [
        *plan_notes(plan),
        ("runs on", plan.execution.describe(plan.networks)),
        ("memory", f"about {_bytes(memory)} for each network that trains{together}"),
    ]


def plan_json(plan: "ScorePlan | RetrainPlan") -> dict[str, Any]:
    """A plan as JSON values."""
    return {
        "networks": plan.networks,
        "cached": plan.cached,
        "epochs": plan.epochs_to_train,
        "memory": _memory(plan),
        "device": plan.execution.device,
        "precision": plan.execution.precision,
        "jobs": plan.execution.jobs,
        "threads": plan.execution.threads,
        "setup": plan.setup.values(),
    }


def _memory(plan: "ScorePlan | RetrainPlan") -> int:
    from prune_kit.training.footprint import training_bytes

    return training_bytes(plan.setup.protocol, plan.data)


def _bytes(number: float) -> str:
    unit = 0
    while number >= 1024 and unit + 1 < len(UNITS):
        number /= 1024
        unit += 1
    return f"{number:.0f} {UNITS[unit]}" if number >= 10 else f"{number:.1f} {UNITS[unit]}"
