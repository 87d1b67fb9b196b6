"""The statistics that scores are made of, from logits and labels. N examples, C classes.

Minibatch signals come free with training (train mode, augmented, logits before the step); sweep
signals come from a clean pass in eval mode without augmentation. Both have the same names.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.nn import functional

# Every file of signals holds these. A later signal is added to NAMES alone: files that were written
# before it lack it, and what needs it asks for it by name.
FIRST_NAMES = ("correct", "p_label", "p_max", "negative_entropy", "margin", "l2_error", "predicted")
NAMES = FIRST_NAMES
BLOCK = 65_536


def statistics(
    logits: Float[torch.Tensor, "N C"], labels: Int[torch.Tensor, "N"]
) -> dict[str, np.ndarray]:
    """All signals of N examples. A row of NaN logits stands for an example that was not observed.

    `correct` int8, 1 where the largest logit is the label's, -1 where not observed; `p_label` and
    `p_max` in [0, 1]; `negative_entropy` sum p log p, in [-log C, 0]; `margin` the label's logit
    minus the largest other, of any size; `l2_error` || p - onehot(y) ||_2, in [0, sqrt 2];
    `predicted` int32, the class of the largest logit, -1 where not observed. Float signals are
    float32, NaN where not observed.
    """
    blocks = [
        _block(*block)
        for block in zip(torch.split(logits, BLOCK), torch.split(labels, BLOCK), strict=True)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in NAMES}


def _block(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, np.ndarray]:
    at_label = labels[:, None]
    log_probability = functional.log_softmax(logits, dim=1)
    probability = log_probability.exp()
    predicted = logits.argmax(1)
    observed = ~logits[:, 0].isnan()
    found = {
        "correct": torch.where(observed, predicted == labels, -1).to(torch.int8),
        "p_label": probability.gather(1, at_label)[:, 0],
        "p_max": probability.max(1).values,
        "negative_entropy": (probability * log_probability).sum(1),
        "margin": logits.gather(1, at_label)[:, 0]
        - logits.scatter(1, at_label, -torch.inf).max(1).values,
        "l2_error": (probability - functional.one_hot(labels, logits.shape[1])).norm(dim=1),
        "predicted": torch.where(observed, predicted, -1).to(torch.int32),
    }
    return {name: value.cpu().numpy() for name, value in found.items()}
