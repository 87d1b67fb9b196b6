"""Single layers and awkward networks, in float64, against a loop over single examples."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from prune_kit.errors import RunError
from prune_kit.measures.gradients import closed_forms, convolutions
from prune_kit.measures.gradients.norms import per_example_gradient_norms
from prune_kit.measures.gradients.plan import CLOSED, EXPANDED, LAYER, NETWORK, SINGLE
from tests.measures.test_gradient_norms import CLASSES, assert_exact, batch_of, untied, ways_of

AXES = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small layers are faster so, above all on a machine that is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def head(features: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(features, CLASSES))


@st.composite
def random_convolutions(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """A random small convolution and the shape (C, ...) of an input that it takes."""
    axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(axes))
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    padding: Any = draw(st.sampled_from(["valid", "number", "same"]))
    stride = tuple(1 if padding == "same" else draw(st.integers(1, 3)) for _ in range(axes))
    if padding == "number":
        padding = tuple(draw(st.integers(0, 2)) for _ in range(axes))
    size = tuple(draw(st.integers(5, 6 if axes == 3 else 8)) for _ in range(axes))
    options = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "padding_mode": mode,
    }
    torch.manual_seed(0)
    return AXES[axes](inputs, outputs, kernel, bias=draw(st.booleans()), **options).double(), (
        inputs,
        *size,
    )


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@settings(max_examples=60, deadline=None)
@given(layer_and_shape=random_convolutions(), gram=st.booleans(), last=st.booleans())
def test_both_forms_of_any_convolution_equal_autograd(
    layer_and_shape: tuple[nn.Module, tuple[int, ...]], gram: bool, last: bool
) -> None:
    layer, shape = layer_and_shape
    inputs = batch_of(3, *shape)[0]
    if last and inputs.dim() == 4:
        inputs = inputs.to(memory_format=torch.channels_last)
    output = layer(inputs)
    gradient = torch.randn(
        output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(3)
    )
    expected = []
    for row in range(3):
        gradients = torch.autograd.grad(
            layer(inputs[[row]]), list(layer.parameters()), gradient[[row]]
        )
        expected.append([float(g.square().sum()) for g in gradients])
    with pytest.MonkeyPatch.context() as patch:
        price = property(lambda shape: 0 if gram else math.inf)
        patch.setattr(convolutions.Geometry, "gram_price", price)
        squares = convolutions.convolution(layer, inputs, gradient, 3)
    torch.testing.assert_close(
        torch.stack([squares[name] for name, _ in layer.named_parameters()], dim=1),
        torch.tensor(expected, dtype=torch.float64),
        rtol=1e-9,
        atol=1e-12,
    )


@pytest.mark.parametrize("positions", [1, 2, 40])
def test_a_product_is_the_same_in_chunks_and_by_either_form(
    positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = batch_of(9, positions, 7)[0]
    g = batch_of(9, positions, 5)[0].flip(0)
    expected = torch.einsum("bti,bto->bio", x, g).square().sum((1, 2))
    torch.testing.assert_close(closed_forms.product_squares(x, g), expected)
    monkeypatch.setitem(closed_forms.CHUNK_BYTES, "cpu", 600)
    torch.testing.assert_close(closed_forms.product_squares(x, g), expected)


class Tokens(nn.Module):
    """Turns floats into tokens 0 to 9, so that an embedding can be tested with float inputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.abs() * 4).long().clamp(max=9)


class Applied(nn.Module):
    """Any forward function over given parts."""

    def __init__(
        self, forward: Callable[..., torch.Tensor], **parts: nn.Module | nn.Parameter
    ) -> None:
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(5)))


def then_zeroed(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Autograd needs no input of a sigmoid, so it may be overwritten."""
    hidden = self.first(x)
    output: torch.Tensor = self.scaled(hidden)
    hidden.zero_()
    return self.last(output)  # type: ignore[no-any-return]


def tied() -> nn.Module:
    first, second = nn.Linear(12, 12), nn.Linear(12, 12)
    second.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), nn.Linear(12, CLASSES))


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], set[str]]] = {
    "group norm": (
        lambda: nn.Sequential(nn.GroupNorm(2, 4), nn.ReLU(), head(36)),
        (4, 3, 3),
        {CLOSED},
    ),
    "layer norm": (lambda: nn.Sequential(nn.LayerNorm(6), nn.ReLU(), head(24)), (4, 6), {CLOSED}),
    "layer norm over an image": (
        lambda: nn.Sequential(nn.LayerNorm((3, 3)), head(36)),
        (4, 3, 3),
        {CLOSED},
    ),
    "batch norm of vectors": (lambda: nn.Sequential(nn.BatchNorm1d(6), head(6)), (6,), {CLOSED}),
    "batch norm of volumes": (
        lambda: nn.Sequential(nn.BatchNorm3d(2), head(16)),
        (2, 2, 2, 2),
        {CLOSED},
    ),
    "embedding": (
        lambda: nn.Sequential(Tokens(), nn.Embedding(10, 3, padding_idx=1), head(24)),
        (8,),
        {CLOSED},
    ),
    "instance norm": (
        lambda: nn.Sequential(nn.InstanceNorm2d(4, affine=True), head(36)),
        (4, 3, 3),
        {CLOSED, LAYER},
    ),
    "prelu": (lambda: nn.Sequential(nn.PReLU(4), head(36)), (4, 3, 3), {CLOSED, LAYER}),
    "transposed convolution": (
        lambda: nn.Sequential(nn.ConvTranspose2d(2, 3, 2), head(48)),
        (2, 3, 3),
        {CLOSED, LAYER},
    ),
    "linear in windows": (
        lambda: nn.Sequential(
            nn.Unflatten(1, (3, 4)),
            nn.Flatten(0, 1),
            nn.Linear(4, 4),
            nn.Unflatten(0, (-1, 3)),
            head(12),
        ),
        (12,),
        {CLOSED},
    ),
    "class token and positions": (
        lambda: Applied(
            lambda self, x: self.last(
                torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
            ),
            token=parameter(1, 1, 4),
            positions=parameter(1, 4, 4),
            last=nn.Sequential(nn.Tanh(), head(16)),
        ),
        (3, 4),
        {CLOSED, EXPANDED},
    ),
    "a scale of the network's own": (
        lambda: Applied(
            lambda self, x: self.last((self.scale * x).tanh()),
            scale=parameter(6),
            last=nn.Linear(6, CLASSES),
        ),
        (6,),
        {CLOSED, NETWORK},
    ),
    "tied weights": (tied, (12,), {CLOSED, NETWORK}),
    "a layer called twice": (
        lambda: Applied(
            lambda self, x: self.last(self.twice(self.twice(x).tanh())),
            twice=nn.Linear(6, 6),
            last=nn.Linear(6, CLASSES),
        ),
        (6,),
        {CLOSED, NETWORK},
    ),
    "a weight used behind the layer's back": (
        lambda: Applied(
            lambda self, x: functional.linear(self.first(x).tanh(), self.first.weight[:CLASSES]),
            first=nn.Linear(6, 6),
        ),
        (6,),
        {CLOSED, NETWORK},
    ),
    "a layer never reached": (
        lambda: Applied(
            lambda self, x: self.used(x), used=nn.Linear(6, CLASSES), unused=nn.Linear(6, 6)
        ),
        (6,),
        {CLOSED},
    ),
    "in-place activations": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            head(16),
        ),
        (2, 4, 4),
        {CLOSED},
    ),
    "an input that is overwritten after use": (
        lambda: Applied(
            then_zeroed,
            first=nn.Linear(6, 6),
            scaled=Applied(lambda self, x: self.scale * x.sigmoid(), scale=parameter(6)),
            last=nn.Linear(6, CLASSES),
        ),
        (6,),
        {CLOSED, LAYER},
    ),
    "multi-head attention": (
        lambda: Applied(
            lambda self, x: self.last(self.attention(x, x, x, need_weights=False)[0]),
            attention=nn.MultiheadAttention(4, 2, batch_first=True),
            last=head(12),
        ),
        (3, 4),
        {CLOSED, NETWORK},
    ),
    "a transformer's encoder layer": (
        lambda: nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), head(12)),
        (3, 4),
        {CLOSED, NETWORK},
    ),
    "weight norm": (
        lambda: nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)), nn.Tanh(), nn.Linear(6, CLASSES)
        ),
        (6,),
        {CLOSED, LAYER, NETWORK},
    ),
    "positions first": (
        lambda: Applied(
            lambda self, x: self.last(self.first(x.transpose(0, 1)).transpose(0, 1).tanh()),
            first=nn.Linear(4, 4),
            last=head(12),
        ),
        (3, 4),
        {CLOSED, NETWORK},
    ),
    "a recurrent layer": (
        lambda: Applied(
            lambda self, x: self.last(self.recurrent(x)[0][:, -1]),
            recurrent=nn.GRU(4, 5, batch_first=True),
            last=nn.Linear(5, CLASSES),
        ),
        (3, 4),
        {SINGLE},
    ),
    "a path that depends on the data": (
        lambda: Applied(
            lambda self, x: self.scale * (self.last(x) if float(x.detach().sum()) < 1e9 else x),
            scale=parameter(CLASSES),
            last=nn.Linear(6, CLASSES),
        ),
        (6,),
        {SINGLE},
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_exact_and_goes_the_cheapest_way(name: str) -> None:
    build, shape, ways = LAYERS[name]
    torch.manual_seed(6)
    model = untied(build())
    inputs, labels = batch_of(7, *shape)
    assert_exact(model, inputs, labels)
    assert ways_of(model) == ways


def state_of(model: nn.Module) -> list[Any]:
    """Everything in a network that a pass could change."""
    hooks = [kind for kind in vars(nn.Module()) if "hook" in kind]
    return [
        [
            (
                name,
                module.training,
                sorted(vars(module)),
                [len(getattr(module, kind) or ()) for kind in hooks],
            )
            for name, module in model.named_modules()
        ],
        [
            (name, id(p), p.requires_grad, p.grad, p._version, p.tolist())
            for name, p in model.named_parameters()
        ],
        [
            (name, id(buffer), buffer._version, buffer.tolist())
            for name, buffer in model.named_buffers()
        ],
    ]


class Shared(list[int]):
    """A list that a deep copy of its owner shares."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Shared":
        return self


class Breaking(nn.Module):
    """Raises `error` in its `last` forward pass, and changes a buffer of its own in each."""

    def __init__(self, error: BaseException, last: int) -> None:
        super().__init__()
        self.error = error
        self.passes_left = Shared([last])
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert isinstance(self.passes, torch.Tensor)
        self.passes += 1
        self.passes_left[0] -= 1
        if self.passes_left[0] == 0:
            raise self.error
        return x


@pytest.mark.parametrize("last", [1, 2, 3, 5, 8, 1000])
@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()])
def test_nothing_is_left_behind_also_after_an_exception(error: BaseException, last: int) -> None:
    model = nn.Sequential(
        nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), Breaking(error, last), head(6)
    )
    model[0].weight.requires_grad_(False)
    model[1].eval()
    model[4][1].weight.grad = torch.ones_like(model[4][1].weight)
    inputs, labels = batch_of(5, 6)
    before = state_of(model)
    random_state = torch.get_rng_state()
    try:
        per_example_gradient_norms(model, inputs.float(), labels)
    except (ZeroDivisionError, KeyboardInterrupt):
        assert last < 1000
    assert state_of(model) == before
    assert torch.equal(torch.get_rng_state(), random_state)


def test_the_mode_of_the_network_does_not_matter_and_frozen_parameters_count() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), head(6)).double()
    inputs, labels = batch_of(5, 6)
    norms = per_example_gradient_norms(model.train(), inputs, labels)
    model.eval().requires_grad_(False)
    assert torch.equal(per_example_gradient_norms(model, inputs, labels), norms)
    with torch.inference_mode():
        assert torch.equal(per_example_gradient_norms(model, inputs, labels), norms)


def test_norms_follow_the_weights_though_the_plan_is_kept() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, CLASSES)).double()
    inputs, labels = batch_of(5, 6)
    assert_exact(model, inputs, labels)
    with torch.no_grad():
        model[0].weight.mul_(3)
    assert_exact(model, inputs, labels)
    model[0] = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6)).double()
    assert_exact(model, inputs, labels)


def test_a_path_that_changes_after_the_plan_goes_by_single_examples() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        if len(x) > 3:  # the plan is made with three examples, which call it once
            hidden = self.first(hidden)
        return self.last(hidden.tanh())  # type: ignore[no-any-return]

    model = untied(Applied(forward, first=nn.Linear(6, 6), last=nn.Linear(6, CLASSES)))
    inputs, labels = batch_of(7, 6)
    norms = per_example_gradient_norms(model, inputs, labels)
    twice = untied(
        Applied(
            lambda self, x: self.last(self.first(x).tanh()),
            first=nn.Linear(6, 6),
            last=nn.Linear(6, CLASSES),
        )
    )
    twice.load_state_dict(model.state_dict())
    assert_exact(twice, inputs, labels)
    torch.testing.assert_close(
        norms, per_example_gradient_norms(twice, inputs, labels), rtol=1e-9, atol=0
    )


def test_batch_statistics_in_eval_mode_are_refused_by_name() -> None:
    model = nn.Sequential(
        nn.Linear(6, 6), nn.BatchNorm1d(6, track_running_stats=False), head(6)
    ).double()
    with pytest.raises(RunError, match=r"1 \(BatchNorm1d\) keeps no running statistics"):
        per_example_gradient_norms(model, *batch_of(5, 6))


def test_a_network_that_couples_its_examples_is_refused_by_the_name_of_the_module() -> None:
    centred = Applied(lambda self, x: x - x.mean(0))
    model = nn.Sequential(nn.Linear(6, 6), nn.Sequential(nn.Tanh(), centred), head(6)).double()
    with pytest.raises(RunError, match=r"1\.1 \(Applied\) makes the examples of a batch depend"):
        per_example_gradient_norms(model, *batch_of(5, 6))


def test_a_function_that_refers_to_another_module_is_refused() -> None:
    outside = nn.Linear(6, 6).double()
    model = nn.Sequential(Applied(lambda self, x: outside(x)), head(6)).double()
    with pytest.raises(
        RunError, match=r"uses a parameter of shape \(6,( 6)?\) that is not its own"
    ):
        per_example_gradient_norms(model, *batch_of(5, 6))


def test_other_outputs_than_logits_are_refused() -> None:
    with pytest.raises(
        RunError, match=r"returned \(3, 2, 3\) for 3 examples; a gradient norm requires"
    ):
        per_example_gradient_norms(
            nn.Sequential(nn.Linear(6, 6), nn.Unflatten(1, (2, 3))).double(), *batch_of(5, 6)
        )
    with pytest.raises(RunError, match="does not have a shape yet"):
        per_example_gradient_norms(nn.LazyLinear(3).double(), *batch_of(5, 6))
