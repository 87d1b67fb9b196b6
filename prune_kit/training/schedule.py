"""Learning rates, counted in steps, as multiples of the base rate."""

import math

from prune_kit.protocol.config import TrainConfig


def steps_per_epoch(rows: int, batch_size: int, *, drop_last: bool) -> int:
    """How many batches an epoch over `rows` rows has. The one place that knows what happens to the last one.

    A last batch of one row joins the batch before it, since batch norm cannot normalise a single
    row. An epoch has one batch at least, however few the rows.
    """
    full, rest = divmod(rows, batch_size)
    return max(full + (rest > 1 and not drop_last), 1)


def batch_bounds(rows: int, batch_size: int, *, drop_last: bool) -> list[tuple[int, int]]:
    """The (start, stop) of every batch of an epoch."""
    count = steps_per_epoch(rows, batch_size, drop_last=drop_last)
    bounds = [(i * batch_size, min((i + 1) * batch_size, rows)) for i in range(count)]
    if not drop_last or rows < batch_size:
        bounds[-1] = (bounds[-1][0], rows)
    return bounds


def learning_rate(config: TrainConfig, step: int, total_steps: int, epoch_steps: int) -> float:
    """The rate of step `step` (0 .. total_steps - 1); `epoch_steps` are the steps of one epoch of the full data."""
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "step":
        passed = sum(step >= milestone * epoch_steps for milestone in config.milestones)
        return config.learning_rate * config.decay**passed
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * step / total_steps))
    peak = config.warmup * total_steps
    share = (
        (step + 1) / peak if step + 1 < peak else (total_steps - step) / max(total_steps - peak, 1)
    )
    return config.learning_rate * min(share, 1.0)
