"""Networks, inputs and labels that are unlike ours: the norms are right, or RunError says why."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from prune_kit import per_example_gradient_norms
from prune_kit.errors import RunError

ROWS, WIDTH, CLASSES = 7, 8, 5


def data(seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(ROWS, WIDTH, generator=generator)
    return inputs, torch.randint(0, CLASSES, (ROWS,), generator=generator)


def one_by_one(model, inputs, labels):
    """The definition, in float64: all parameters, complex ones too, one example at a time."""
    copied = copy.deepcopy(model).double().eval()
    for parameter in copied.parameters():
        parameter.requires_grad_(True)
        if parameter.is_complex():
            parameter.data = parameter.data.to(torch.complex128)
    norms = []
    for row in range(len(inputs)):
        twin = inputs[[row, row]]  # a batch of one goes other ways in some layers
        twin = twin.double() if twin.is_floating_point() else twin
        loss = functional.cross_entropy(copied(twin)[:1], labels[row : row + 1])
        copied.zero_grad()
        loss.backward()
        gradients = [parameter.grad for parameter in copied.parameters()]
        squares = [(g.to_dense().abs() ** 2).sum() for g in gradients if g is not None]
        norms.append(float(sum(squares)) ** 0.5)
    return torch.tensor(norms)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.scale = nn.Linear(WIDTH, CLASSES), nn.Parameter(torch.tensor(2.6))

    def forward(self, x):
        return self.linear(x) * self.scale.exp()


class HalfFrozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        with torch.no_grad():
            hidden = self.body(x)
        return self.head(hidden)


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.reentrant = reentrant
        self.stem = nn.Linear(WIDTH, WIDTH)
        self.body = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        return self.head(checkpoint(self.body, self.stem(x), use_reentrant=self.reentrant))


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.turn = nn.Parameter(torch.randn(WIDTH, WIDTH, dtype=torch.complex64))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        return self.head((x.to(self.turn.dtype) @ self.turn).abs().to(x.dtype))


class Routed(nn.Module):
    """Some rows use the first weight once more, outside of its layer."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        hard = (x[:, :1] > 1).to(hidden.dtype)
        return self.head(hidden + hard * functional.linear(hidden, self.first.weight.t()))


class Experts(nn.Module):
    """Each row goes to the expert that its own inputs choose."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(WIDTH, CLASSES) for _ in range(3))

    def forward(self, x):
        which = x[:, :3].argmax(1)
        out = x.new_zeros(len(x), CLASSES)
        for number, expert in enumerate(self.experts):
            rows = which == number
            if rows.any():
                out[rows] = expert(x[rows])
        return out


NETWORKS = {
    "a 0-dimensional parameter": Scaled,
    "a body without gradients": HalfFrozen,
    "checkpointing": lambda: Checkpointed(False),
    "complex parameters": Complex,
    "rows that reuse a weight": Routed,
    "experts": Experts,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_norms_of_odd_networks_are_those_of_single_examples(name):
    torch.manual_seed(0)
    model, (inputs, labels) = NETWORKS[name](), data()
    inputs[:, 0] = 0
    inputs[3:5, 0] = 2  # rows that are not among the few that are compared
    expected = one_by_one(model, inputs, labels)
    for _ in range(2):
        found = per_example_gradient_norms(model, inputs, labels)
        torch.testing.assert_close(found.double(), expected.double(), rtol=1e-4, atol=1e-6)


def test_reentrant_checkpointing_is_refused_with_the_reason():
    with pytest.raises(RunError, match="use_reentrant"):
        per_example_gradient_norms(Checkpointed(True), *data())


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_norms_are_floats_whatever_the_inputs_are(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.EmbeddingBag(11, WIDTH), nn.Linear(WIDTH, CLASSES))
    inputs = torch.randint(0, 11, (ROWS, 4)).to(getattr(torch, dtype))
    labels = data()[1]

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return self.inner(x.long())

    found = per_example_gradient_norms(Tokens(), inputs, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), one_by_one(Tokens(), inputs, labels).double(), rtol=1e-4, atol=1e-6
    )
    assert per_example_gradient_norms(Tokens().double(), inputs, labels).dtype == torch.float64


@pytest.mark.parametrize("sparse", [False, True])
def test_an_embedding_is_right_and_stays_as_it_is(sparse):
    torch.manual_seed(0)

    class Bounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(11, WIDTH, max_norm=1.0, sparse=sparse)
            self.head = nn.Linear(WIDTH, CLASSES)

        def forward(self, x):
            return self.head(self.table(x).sum(1))

    model, inputs = Bounded(), torch.randint(0, 11, (ROWS, 4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        per_example_gradient_norms(model, inputs, data()[1])
    except RunError as error:
        assert "\n" not in str(error)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_change_after_the_first_call_is_seen():
    torch.manual_seed(0)
    inputs, labels = data()

    class Switched(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
            self.head, self.twice = nn.Linear(WIDTH, CLASSES), False

        def forward(self, x):
            hidden = torch.relu(self.b(torch.relu(self.a(x))))
            return self.head(torch.relu(self.a(hidden)) if self.twice else hidden)

    model = Switched()

    def check():
        found = per_example_gradient_norms(model, inputs, labels)
        expected = one_by_one(model, inputs, labels)
        torch.testing.assert_close(found.double(), expected.double(), rtol=1e-4, atol=1e-6)

    check()
    model.b.weight = model.a.weight  # tied
    check()
    model.b.weight = nn.Parameter(model.a.weight.detach().clone())  # and untied
    check()
    model.twice = True
    check()
    model.twice = False
    check()


LABELS = {
    "out of range": lambda labels: labels * 0 + CLASSES,
    "-1": lambda labels: labels * 0 - 1,
    "too few": lambda labels: labels[:-1],
    "floats": lambda labels: labels.float(),
    "columns": lambda labels: labels[:, None],
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_are_none_are_refused(kind):
    inputs, labels = data()
    with pytest.raises(RunError) as caught:
        per_example_gradient_norms(nn.Linear(WIDTH, CLASSES), inputs, LABELS[kind](labels))
    assert "\n" not in str(caught.value)


def test_a_row_whose_label_torch_ignores_has_no_gradient_or_is_refused():
    inputs, labels = data()
    labels[2] = -100
    try:
        found = per_example_gradient_norms(nn.Linear(WIDTH, CLASSES), inputs, labels)
    except RunError as error:
        assert "\n" not in str(error)
    else:
        assert found[2] == 0 and (found[[0, 1, 3]] > 0).all()


class Out(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.linear, self.wrap = nn.Linear(WIDTH, CLASSES), wrap

    def forward(self, x):
        return self.wrap(self.linear(x))


ODD = {
    "inputs of numpy": lambda x, y: (nn.Linear(WIDTH, CLASSES), x.numpy(), y),
    "inputs by name": lambda x, y: (nn.Linear(WIDTH, CLASSES), {"x": x}, y),
    "a list of inputs": lambda x, y: (nn.Linear(WIDTH, CLASSES), x.tolist(), y),
    "labels of numpy": lambda x, y: (nn.Linear(WIDTH, CLASSES), x, y.numpy()),
    "int32 labels": lambda x, y: (nn.Linear(WIDTH, CLASSES), x, y.int()),
    "an output by name": lambda x, y: (Out(lambda out: {"logits": out}), x, y),
    "a tuple": lambda x, y: (Out(lambda out: (out, out)), x, y),
    "no batch": lambda x, y: (Out(lambda out: out.sum()), x, y),
    "other widths": lambda x, y: (nn.Linear(WIDTH + 1, CLASSES), x, y),
}


@pytest.mark.parametrize("kind", ODD)
def test_other_arguments_are_understood_or_refused_in_one_line(kind):
    try:
        found = per_example_gradient_norms(*ODD[kind](*data()))
    except RunError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert found.shape == (ROWS,) and np.isfinite(found.detach().numpy()).all()


def test_a_network_made_in_inference_mode_is_measured_or_refused():
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES))
    inputs, labels = data()
    try:
        found = per_example_gradient_norms(model, inputs, labels)
    except RunError as error:
        assert "inference" in str(error)
    else:
        expected = one_by_one(model, inputs, labels)
        torch.testing.assert_close(found.double(), expected.double(), rtol=1e-4, atol=1e-6)
