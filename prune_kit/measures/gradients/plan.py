"""The choice of how each parameter's per-example gradient norms are computed.

The ways, the cheapest first:

1. a closed form, for layers of exactly a known type;
2. one copy per example, for parameters (1, ...) that are combined with activations;
3. the vector-Jacobian product of the layer;
4. `torch.func` over the whole network;
5. single examples, which is the definition.

A few examples are measured in float64 on a copy of the network, and compared with single examples,
parameter by parameter. Where a way does not apply or its answer differs, the parameter takes the
next way. So weight sharing, layers that are called twice, weights that are read from outside their
layer, and caches do not require a list of special cases.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from prune_kit.measures.gradients import closed_forms, fallbacks, refusals
from prune_kit.measures.gradients.closed_forms import Form, Squares
from prune_kit.measures.gradients.convolutions import convolution
from prune_kit.measures.gradients.copies import checking_copy, forget_caches, working_copy
from prune_kit.measures.gradients.fallbacks import Rows
from prune_kit.measures.gradients.passes import (
    Call,
    LayerHook,
    Measure,
    PassResult,
    PlanMismatch,
    cross_entropy,
    measure_batch,
)
from prune_kit.training.out_of_memory import is_out_of_memory

CLOSED = "closed form"
EXPANDED = "expanded"
LAYER = "layer"
NETWORK = "network"
SINGLE = "single examples"
NEXT = {CLOSED: LAYER, EXPANDED: LAYER, LAYER: NETWORK, NETWORK: SINGLE}
FORMS: Mapping[type[nn.Module], Form] = {
    nn.Linear: closed_forms.linear,
    nn.Conv1d: convolution,
    nn.Conv2d: convolution,
    nn.Conv3d: convolution,
    nn.BatchNorm1d: closed_forms.batch_norm,
    nn.BatchNorm2d: closed_forms.batch_norm,
    nn.BatchNorm3d: closed_forms.batch_norm,
    nn.GroupNorm: closed_forms.group_norm,
    nn.LayerNorm: closed_forms.layer_norm,
    nn.Embedding: closed_forms.embedding,
}
CHECKED = 3  # the examples that the ways are compared on
TOLERANCE = 1e-8  # relative to the parameter's squared norm
ROUNDING = 1e-20  # relative to the squared norm of the whole gradient


@dataclass(frozen=True, eq=False)
class Plan:
    """How the gradient norms of a network are computed.

    `ways` holds the way of every parameter by its full name, and `rows` the row counts of every
    layer by its name. `overwritten` names the layers whose input is overwritten in a pass.
    """

    ways: dict[str, str]
    rows: dict[str, Rows] = field(default_factory=dict)
    overwritten: frozenset[str] = frozenset()

    def chosen(self, *ways: str) -> tuple[str, ...]:
        """The names of the parameters that go one of these ways."""
        return tuple(name for name, way in self.ways.items() if way in ways)

    def squares(
        self, copied: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, precision: str = "fp32"
    ) -> Squares:
        """The squared gradient norms of a batch.

        Parameters
        ----------
        copied
            A working copy of the network.
        inputs
            The inputs (B, ...).
        labels
            The labels (B,).
        precision
            "fp32", or "bf16" for autocast.

        Returns
        -------
        dict of (B,)
            The squared norms by the parameter's full name. A parameter that does not affect the
            loss of any example may be left out.

        Raises
        ------
        PlanMismatch
            If a layer does not behave as it did when the plan was made.
        """
        if self.chosen(SINGLE) or len(inputs) == 1:
            return fallbacks.single_squares(copied, inputs, labels)
        result = self.run_pass(copied, inputs, labels, precision)
        if result.failed or result.overwritten:
            raise PlanMismatch(f"{result.failed or result.overwritten}")
        remaining = self.chosen(NETWORK)
        if not remaining:
            return result.squares
        return result.squares | fallbacks.network_squares(copied, remaining, inputs, labels)

    def run_pass(
        self, copied: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, precision: str = "fp32"
    ) -> PassResult:
        """The result of the one pass that measures all parameters of the first three ways.

        Parameters are those of `squares`.
        """
        forget_caches(copied)
        try:
            return measure_batch(
                copied, self._layer_hooks(copied), self.chosen(EXPANDED), inputs, labels, precision
            )
        finally:
            forget_caches(copied)

    def moved(self, names: Collection[str]) -> "Plan":
        """The plan in which these parameters take their next way."""
        ways = {name: _next(name, way) if name in names else way for name, way in self.ways.items()}
        return replace(self, ways=ways)

    def _layer_hooks(self, copied: nn.Module) -> dict[str, LayerHook]:
        names: dict[str, list[str]] = {}
        for name in self.chosen(CLOSED, LAYER):
            layer, _, key = name.rpartition(".")
            names.setdefault(layer, []).append(key)
        hooks: dict[str, LayerHook] = {}
        for layer, keys in names.items():
            closed = all(self.ways[f"{layer}.{key}"] == CLOSED for key in keys)
            form = FORMS[type(copied.get_submodule(layer))] if closed else None
            measure = _by_form(form) if form else _by_layer(self.rows.get(layer, {}))
            hooks[layer] = LayerHook(measure, tuple(keys), layer in self.overwritten)
        return hooks


def plan(model: nn.Module, inputs: torch.Tensor) -> Plan:
    """Plan the gradient norms of a network for batches like this one.

    Parameters
    ----------
    model
        The network. It does not change.
    inputs
        The inputs (B, ...) of a batch.

    Returns
    -------
    Plan
        The way of every parameter. All go by single examples where the batch holds fewer than two
        different rows, or the network does not run in float64.

    Raises
    ------
    RunError
        If the examples of a batch depend on each other, the network does not return logits
        (B, classes), uses parameters of another network, or cannot be copied.
    """
    refusals.refuse_batch_statistics(model)
    refusals.refuse_foreign_parameters(working_copy(model), inputs[:1])
    one_by_one = Plan({name: SINGLE for name, _ in model.named_parameters()})
    rows = distinct_rows(inputs)
    if len(rows) < 2 or not one_by_one.ways:
        return one_by_one
    copied = checking_copy(model)
    examples = inputs[rows].to(torch.float64) if inputs.is_floating_point() else inputs[rows]
    try:
        with torch.no_grad():
            logits = copied(examples)
    except (RuntimeError, TypeError):  # for example, a network that takes float32 only
        return one_by_one
    cross_entropy(logits, torch.zeros(len(rows), dtype=torch.int64, device=inputs.device))
    refusals.refuse_coupling(copied, examples)
    labels = logits.argmin(1)  # the least likely class, so that the gradient is not near zero
    return _agreed(copied, examples, labels) or one_by_one


def _agreed(copied: nn.Module, examples: torch.Tensor, labels: torch.Tensor) -> Plan | None:
    """The plan in which all parameters agree with single examples; None if some never do."""
    expected = fallbacks.single_squares(copied, examples, labels)
    if not expected:
        return None
    current = Plan(_first_ways(copied), _row_counts(copied, examples[:1], labels[:1]))
    while names := current.chosen(CLOSED, EXPANDED, LAYER):
        try:
            result = current.run_pass(copied, examples, labels)
        except Exception as error:  # foreign code may refuse expanded parameters by any error
            if is_out_of_memory(error):
                raise
            current = current.moved(current.chosen(EXPANDED) or names)
            continue
        if new := result.overwritten - current.overwritten:
            current = replace(current, overwritten=current.overwritten | new)
            continue
        broken = result.overwritten | result.failed.keys()
        wrong = [name for name in names if _layer(name) in broken]
        wrong = wrong or _differing(names, result.squares, expected)
        if not wrong:
            break
        current = current.moved(wrong)
    agrees = _network_agrees(current.chosen(NETWORK), copied, examples, labels, expected)
    return current if agrees else None


def _network_agrees(
    names: tuple[str, ...],
    copied: nn.Module,
    examples: torch.Tensor,
    labels: torch.Tensor,
    expected: Squares,
) -> bool:
    if not names:
        return True
    try:
        squares = fallbacks.network_squares(copied, names, examples, labels)
    except Exception as error:  # not every network can be transformed by torch.func
        if is_out_of_memory(error):
            raise
        return False
    return not _differing(names, squares, expected)


def _differing(names: Collection[str], squares: Squares, expected: Squares) -> list[str]:
    """The parameters whose squares differ from those of single examples; a missing one is zero."""
    total = torch.stack(list(expected.values())).sum(0)
    wrong = []
    for name in names:
        square = squares.get(name, torch.zeros_like(total))
        truth = expected.get(name, torch.zeros_like(total))
        close = (square - truth).abs() <= TOLERANCE * truth + ROUNDING * total
        if not bool(close.all()):
            wrong.append(name)
    return wrong


def _first_ways(copied: nn.Module) -> dict[str, str]:
    """The cheapest way of each parameter that its layer and its shape allow."""
    owners = Counter(
        id(parameter) for module in copied.modules() for parameter in module._parameters.values()
    )
    ways = {}
    for name, parameter in copied.named_parameters():
        layer = copied.get_submodule(_layer(name))
        if owners[id(parameter)] > 1:
            ways[name] = NETWORK
        elif type(layer) in FORMS and name.endswith(("weight", "bias")) and _layer(name):
            ways[name] = CLOSED
        elif parameter.dim() > 1 and len(parameter) == 1:
            ways[name] = EXPANDED
        else:
            ways[name] = _next(name, CLOSED)
    return ways


def _next(name: str, way: str) -> str:
    """The next way; a parameter of the network itself skips the way by its layer."""
    following = NEXT[way]
    return NETWORK if following == LAYER and not _layer(name) else following


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _row_counts(copied: nn.Module, example: torch.Tensor, label: torch.Tensor) -> dict[str, Rows]:
    """The row counts of each layer for one example; layers that are not reached are left out."""
    counts: dict[str, Rows] = {}

    def recording(layer: str) -> Measure:
        def measure(call: Call, gradient: torch.Tensor, examples: int) -> Squares:
            counts[layer] = fallbacks.row_counts(call)
            return {}

        return measure

    layers = dict.fromkeys(_layer(name) for name, _ in copied.named_parameters())
    hooks = {layer: LayerHook(recording(layer), (), copy_inputs=True) for layer in layers if layer}
    measure_batch(copied, hooks, (), example, label)
    forget_caches(copied)
    return counts


def _by_form(form: Form) -> Measure:
    def measure(call: Call, gradient: torch.Tensor, examples: int) -> Squares:
        (inputs,) = (*call.args, *call.kwargs.values())
        return form(call.layer, inputs, gradient, examples)

    return measure


def _by_layer(rows: Rows) -> Measure:
    def measure(call: Call, gradient: torch.Tensor, examples: int) -> Squares:
        return fallbacks.layer_squares(call, gradient, examples, rows)

    return measure


def distinct_rows(inputs: torch.Tensor) -> list[int]:
    """Up to three rows of a batch that are all different: the first, and the last that differ.

    Parameters
    ----------
    inputs
        The inputs (B, ...) of a batch.

    Returns
    -------
    list of int
        The positions of the rows.
    """
    rows = [0] if len(inputs) else []
    for row in reversed(range(len(inputs))):
        if len(rows) == CHECKED:
            break
        if all(not torch.equal(inputs[row], inputs[other]) for other in rows):
            rows.append(row)
    return rows
