"""Which way each parameter's per-example gradient norms are computed: tried, and compared with the definition.

Ways, cheapest first: a closed form for layers of exactly a known type; one copy per example for
parameters (1, ...) that are combined with activations; the layer's own vector-Jacobian product;
`torch.func` over the whole network; single examples. A few examples are measured in float64 on a
copy of the network and compared with single examples, parameter by parameter; where a way does not
apply or its answer differs, the parameter takes the next way. So weight sharing, layers called
twice, weights read behind a layer's back, and caches need no list of cases.
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
from prune_kit.measures.gradients.passage import (
    Call,
    Measure,
    Passage,
    Tap,
    Unexpected,
    cross_entropy,
    measure_batch,
)
from prune_kit.training.out_of_memory import is_out_of_memory

CLOSED, EXPANDED, LAYER, NETWORK, SINGLE = (
    "closed form",
    "expanded",
    "layer",
    "network",
    "single examples",
)
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
CHECKED = 3  # examples
TOLERANCE, ROUNDING = 1e-8, 1e-20  # on squares: of the parameter's own, and of the whole gradient's


@dataclass(frozen=True, eq=False)
class Plan:
    """The way of every parameter by its name, and by layer: its row counts, and whether its input is overwritten."""

    ways: dict[str, str]
    rows: dict[str, Rows] = field(default_factory=dict)
    overwritten: frozenset[str] = frozenset()

    def chosen(self, *ways: str) -> tuple[str, ...]:
        """The parameters that go one of these ways."""
        return tuple(name for name, way in self.ways.items() if way in ways)

    def squares(
        self, copied: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, precision: str = "fp32"
    ) -> Squares:
        """The squared norms (B,) by parameter, of a batch on a working copy of the network.

        A parameter that no example reaches may lack. Raises Unexpected when a layer does not do as
        it did.
        """
        if self.chosen(SINGLE) or len(inputs) == 1:
            return fallbacks.single_squares(copied, inputs, labels)
        passage = self.passage(copied, inputs, labels, precision)
        if passage.failed or passage.overwritten:
            raise Unexpected(f"{passage.failed or passage.overwritten}")
        left = self.chosen(NETWORK)
        return passage.squares | (
            fallbacks.network_squares(copied, left, inputs, labels) if left else {}
        )

    def passage(
        self, copied: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, precision: str = "fp32"
    ) -> Passage:
        """The one pass that measures all parameters but those of the last two ways."""
        forget_caches(copied)
        try:
            return measure_batch(
                copied, self._taps(copied), self.chosen(EXPANDED), inputs, labels, precision
            )
        finally:
            forget_caches(copied)

    def moved(self, names: Collection[str]) -> "Plan":
        """These parameters take their next way."""
        ways = {name: _next(name, way) if name in names else way for name, way in self.ways.items()}
        return replace(self, ways=ways)

    def _taps(self, copied: nn.Module) -> dict[str, Tap]:
        names: dict[str, list[str]] = {}
        for name in self.chosen(CLOSED, LAYER):
            layer, _, key = name.rpartition(".")
            names.setdefault(layer, []).append(key)
        taps: dict[str, Tap] = {}
        for layer, keys in names.items():
            closed = all(self.ways[f"{layer}.{key}"] == CLOSED for key in keys)
            form = FORMS[type(copied.get_submodule(layer))] if closed else None
            measure = _by_form(form) if form else _by_layer(self.rows.get(layer, {}))
            taps[layer] = Tap(measure, tuple(keys), layer in self.overwritten)
        return taps


def plan(model: nn.Module, inputs: torch.Tensor) -> Plan:
    """Plan the gradient norms of `model` for batches like this one.

    Raises RunError when the network couples the examples of a batch, gives no logits, or uses
    parameters that are not its own.
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
    except (
        RuntimeError,
        TypeError,
    ):  # such as a network that insists on float32: nothing to compare in
        return one_by_one
    cross_entropy(logits, torch.zeros(len(rows), dtype=torch.int64, device=inputs.device))
    refusals.refuse_coupling(copied, examples)
    labels = logits.argmin(1)  # the least likely class: a gradient that rounding cannot take away
    return _agreed(copied, examples, labels) or one_by_one


def _agreed(copied: nn.Module, examples: torch.Tensor, labels: torch.Tensor) -> Plan | None:
    """Move parameters from way to way until all agree with single examples; None if some never do."""
    expected = fallbacks.single_squares(copied, examples, labels)
    if not expected:
        return None
    current = Plan(_first_ways(copied), _row_counts(copied, examples[:1], labels[:1]))
    while by_passage := current.chosen(CLOSED, EXPANDED, LAYER):
        try:
            passage = current.passage(copied, examples, labels)
        except (
            Exception
        ) as error:  # foreign code; it may refuse expanded parameters in any way it likes
            if is_out_of_memory(error):
                raise
            current = current.moved(current.chosen(EXPANDED) or by_passage)
            continue
        if new := passage.overwritten - current.overwritten:
            current = replace(current, overwritten=current.overwritten | new)
            continue
        broken = passage.overwritten | passage.failed.keys()
        wrong = [name for name in by_passage if _layer(name) in broken] or _differing(
            by_passage, passage.squares, expected
        )
        if not wrong:
            break
        current = current.moved(wrong)
    return (
        current
        if _network_agrees(current.chosen(NETWORK), copied, examples, labels, expected)
        else None
    )


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
    """The parameters whose squares are not those of single examples; a lacking one counts as zero."""
    total = torch.stack(list(expected.values())).sum(0)
    wrong = []
    for name in names:
        found = squares.get(name, torch.zeros_like(total))
        truth = expected.get(name, torch.zeros_like(total))
        close = (found - truth).abs() <= TOLERANCE * truth + ROUNDING * total
        if not bool(close.all()):
            wrong.append(name)
    return wrong


def _first_ways(copied: nn.Module) -> dict[str, str]:
    """The cheapest way that a parameter's place and shape allow."""
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
    """The next way. What the network itself owns has no layer to be measured at."""
    following = NEXT[way]
    return NETWORK if following == LAYER and not _layer(name) else following


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _row_counts(copied: nn.Module, example: torch.Tensor, label: torch.Tensor) -> dict[str, Rows]:
    """What each layer's tensors count when there is one example; layers that are not reached lack."""
    counts: dict[str, Rows] = {}

    def recording(layer: str) -> Measure:
        def measure(call: Call, gradient: torch.Tensor, examples: int) -> Squares:
            counts[layer] = fallbacks.row_counts(call)
            return {}

        return measure

    layers = dict.fromkeys(_layer(name) for name, _ in copied.named_parameters())
    taps = {layer: Tap(recording(layer), (), copy_inputs=True) for layer in layers if layer}
    measure_batch(copied, taps, (), example, label)
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
    """Up to `CHECKED` rows of a batch, all different: the first, and the last ones that differ."""
    rows = [0] if len(inputs) else []
    for row in reversed(range(len(inputs))):
        if len(rows) < CHECKED and all(
            not torch.equal(inputs[row], inputs[other]) for other in rows
        ):
            rows.append(row)
    return rows
