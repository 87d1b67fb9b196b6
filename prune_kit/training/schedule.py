"""Learning rates, counted in steps, as multiples of the base rate."""

import math

from prune_kit.protocol.config import TrainConfig


def steps_per_epoch(rows: int, batch_size: int, *, drop_last: bool) -> int:
    """Give the number of batches of an epoch.

    A last batch of one row joins the batch before it, for batch norm cannot normalise a single row.

    Parameters
    ----------
    rows : how many rows an epoch passes over.
    batch_size : how many rows a whole batch has.
    drop_last : whether a last batch that is not whole is left out.

    Returns
    -------
    At least 1, however few the rows.
    """
    full, rest = divmod(rows, batch_size)
    return max(full + (rest > 1 and not drop_last), 1)


def batch_bounds(rows: int, batch_size: int, *, drop_last: bool) -> list[tuple[int, int]]:
    """Give the (start, stop) of every batch of an epoch.

    Parameters are those of `steps_per_epoch`.
    """
    count = steps_per_epoch(rows, batch_size, drop_last=drop_last)
    bounds = [(i * batch_size, min((i + 1) * batch_size, rows)) for i in range(count)]
    if not drop_last or rows < batch_size:
        bounds[-1] = (bounds[-1][0], rows)
    return bounds


def learning_rate(config: TrainConfig, step: int, total_steps: int, epoch_steps: int) -> float:
    """Give the learning rate of a step.

    Parameters
    ----------
    config : the protocol, which names the schedule.
    step : in 0 .. total_steps - 1.
    total_steps : of the whole protocol.
    epoch_steps : the steps of one epoch of the full data; milestones are counted in them.
    """
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
