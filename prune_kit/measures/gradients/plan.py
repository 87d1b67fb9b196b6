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
layer, and caches do not require a list of special cases. The first three ways are proven for other
data, too (`proofs.py`); parameters without a proof take the fourth. It maps over examples, so it
does not depend on which other rows there are.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from prune_kit.measures.gradients import (
    agreement,
    closed_forms,
    fallbacks,
    losses,
    proofs,
    refusals,
)
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
    measure_batch,
)
from prune_kit.measures.gradients.programs import Program, StateWritten
from prune_kit.measures.gradients.ways import by_form, by_layer
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


@dataclass(frozen=True, eq=False)
class Plan:
    """How the gradient norms of a network are computed.

    `ways` holds the way of every parameter by its full name, and `rows` the row counts of every
    layer by its name. `overwritten` names the layers whose input is overwritten in a pass.
    `programs` holds the proven program of a pass by its precision.
    """

    ways: dict[str, str]
    rows: dict[str, Rows] = field(default_factory=dict)
    overwritten: frozenset[str] = frozenset()
    programs: dict[str, Program] = field(default_factory=dict)

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
            If the network does not do what it did when the plan was made.
        RunError
            If the network does not return logits (B, classes), or a label names no class.
        """
        if self.chosen(SINGLE) or len(inputs) == 1:
            return fallbacks.single_squares(copied, inputs, labels)
        inputs = inputs.detach()
        squares: Squares = {}
        with refusals.quiet():
            if self.chosen(CLOSED, EXPANDED, LAYER):
                squares = self._pass_squares(copied, inputs, labels, precision)
            if remaining := self.chosen(NETWORK):
                try:
                    squares |= fallbacks.network_squares(copied, remaining, inputs, labels)
                except Exception as error:  # foreign code may refuse other rows by any error
                    if is_out_of_memory(error):
                        raise
                    raise PlanMismatch(f"{type(error).__name__}: {error}") from error
        return squares

    def _pass_squares(
        self, copied: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, precision: str
    ) -> Squares:
        """The squares of all parameters of the first three ways."""
        if precision not in self.programs:
            program, unproven = self.proof(copied, inputs, precision)
            if program is None or unproven:
                raise PlanMismatch(f"no proof of {', '.join(unproven)} in {precision}")
            self.programs[precision] = program
        try:
            result = self.run_pass(copied, inputs, labels, precision, self.programs[precision])
        except StateWritten as error:
            raise PlanMismatch(str(error)) from error
        if wrong := result.failed or result.overwritten or result.escaped:
            raise PlanMismatch(f"{wrong}")
        return result.squares

    def proof(
        self, copied: nn.Module, inputs: torch.Tensor, precision: str
    ) -> tuple[Program | None, set[str]]:
        """What is proven of the passes of this plan.

        The parameters are those of `proofs.prove`.
        """
        hooks = self._layer_hooks(copied)
        examples = inputs[: agreement.CHECKED]
        return proofs.prove(copied, hooks, self.chosen(EXPANDED), examples, precision)

    def run_pass(
        self,
        copied: nn.Module,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        precision: str = "fp32",
        known: Program | None = None,
    ) -> PassResult:
        """The result of the one pass that measures all parameters of the first three ways.

        Parameters are those of `squares`.
        """
        forget_caches(copied)
        hooks = self._layer_hooks(copied)
        try:
            return measure_batch(
                copied, hooks, self.chosen(EXPANDED), inputs, labels, precision, known
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
            measure = by_form(form) if form else by_layer(self.rows.get(layer, {}))
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
    copied = working_copy(model)
    inputs = inputs.detach()
    with refusals.quiet():
        writes = refusals.refuse_foreign_parameters(copied, inputs[:1])
        one_by_one = Plan({name: SINGLE for name, _ in copied.named_parameters()})
        rows = agreement.distinct_rows(inputs)
        if len(rows) < 2 or not one_by_one.ways:
            return one_by_one
        checked = checking_copy(model)
        examples = inputs[rows].to(torch.float64) if inputs.is_floating_point() else inputs[rows]
        try:
            with torch.no_grad():
                logits = checked(examples.clone())
        except (RuntimeError, TypeError):  # for example, a network that takes float32 only
            return one_by_one
        losses.refuse_output(logits, len(rows))
        refusals.refuse_coupling(checked, examples)
        if writes:
            return one_by_one
        labels = logits.argmin(1)  # the least likely class, so that the gradient is not near zero
        expected = fallbacks.single_squares(checked, examples, labels)
        if not expected:
            return one_by_one
        if proofs.obstacle(copied, inputs[: agreement.CHECKED]):
            chosen = Plan(dict.fromkeys(one_by_one.ways, NETWORK))
        else:
            chosen = _agreed(checked, examples, labels, expected)
            chosen = _proven(chosen, copied, inputs)
        remaining = chosen.chosen(NETWORK)
        agrees = agreement.of_network(remaining, checked, examples, labels, expected)
        return chosen if agrees else one_by_one


def _agreed(
    copied: nn.Module, examples: torch.Tensor, labels: torch.Tensor, expected: Squares
) -> Plan:
    """The plan in which all parameters but those of the network's way agree with `expected`."""
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
        wrong = [name for name in names if _layer(name) in broken or name in result.escaped]
        wrong = wrong or agreement.differing(names, result.squares, expected)
        if not wrong:
            break
        current = current.moved(wrong)
    return current


def _proven(current: Plan, copied: nn.Module, inputs: torch.Tensor) -> Plan:
    """The plan in which parameters without a proof take the way of the network."""
    while names := current.chosen(CLOSED, EXPANDED, LAYER):
        program, unproven = current.proof(copied, inputs, "fp32")
        wrong = {name for name in names if name in unproven or _layer(name) in unproven}
        if program is not None and not wrong:
            return replace(current, programs={"fp32": program})
        moved = wrong or names
        current = replace(current, ways={**current.ways, **dict.fromkeys(moved, NETWORK)})
    return current


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
        elif _has_form(layer, name):
            ways[name] = CLOSED
        elif parameter.dim() > 1 and len(parameter) == 1:
            ways[name] = EXPANDED
        else:
            ways[name] = _next(name, CLOSED)
    return ways


def _has_form(layer: nn.Module, name: str) -> bool:
    """Whether a parameter is one of the formula of its layer."""
    real = all(p is None or p.is_floating_point() for p in layer._parameters.values())
    own = type(layer) in FORMS and "forward" not in vars(layer)
    return own and real and name.endswith((".weight", ".bias"))


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
