import math

import numpy as np
import pytest
import torch

from dlcore.catalogue.activations import Activation, Identity
from dlcore.settings import choices

KINDS = choices(Activation)
X = np.concatenate([np.linspace(-6, 6, 49), [-30.0, -1e-3, 1e-3, 15.0]])


# Each function is its docstring's LaTeX, written out by hand; the docstring must be what people are shown.
def identity(x):
    r"f(x) = x"
    return x


def sigmoid(x):
    r"f(x) = \frac{1}{1 + e^{-x}}"
    return 1 / (1 + np.exp(-x))


def tanh(x):
    r"f(x) = \frac{e^{x} - e^{-x}}{e^{x} + e^{-x}}"
    return (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))


def relu(x):
    r"f(x) = \max(0, x)"
    return np.maximum(0, x)


def leaky_relu(x, slope):
    r"f(x) = \max(0, x) + \text{slope} \cdot \min(0, x)"
    return np.maximum(0, x) + slope * np.minimum(0, x)


def elu(x, alpha):
    r"f(x) = \max(0, x) + \min\left(0, \alpha (e^{x} - 1)\right)"
    return np.maximum(0, x) + np.minimum(0, alpha * (np.exp(x) - 1))


def gelu(x):
    r"f(x) = \frac{x}{2} \left(1 + \operatorname{erf}\frac{x}{\sqrt{2}}\right)"
    return x / 2 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


def silu(x):
    r"f(x) = \frac{x}{1 + e^{-x}}"
    return x / (1 + np.exp(-x))


def softplus(x, beta):
    r"f(x) = \frac{1}{\beta} \ln\left(1 + e^{\beta x}\right)"
    return np.log(1 + np.exp(beta * x)) / beta


FORMULAS = {
    "identity": identity,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "leaky-relu": leaky_relu,
    "elu": elu,
    "gelu": gelu,
    "silu": silu,
    "softplus": softplus,
}
OTHER = {"slope": 0.3, "alpha": 1.7, "beta": 2.5}


def settings_of(kind):
    return [name for name in KINDS[kind].model_fields if name != "kind"]


def test_every_activation_has_a_formula_of_its_own_here():
    assert FORMULAS.keys() == KINDS.keys()
    assert {name for kind in KINDS for name in settings_of(kind)} == OTHER.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_the_formula_shown_is_the_one_checked_here(kind):
    assert KINDS[kind].formula == FORMULAS[kind].__doc__


@pytest.mark.parametrize("other", [False, True], ids=["default", "other settings"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_activation_computes_its_formula(kind, other):
    activation = KINDS[kind](**{name: OTHER[name] for name in settings_of(kind)} if other else {})
    found = activation.build()(torch.from_numpy(X)).numpy()
    expected = FORMULAS[kind](X, **activation.model_dump(exclude={"kind"}))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if settings_of(kind)])
def test_every_setting_of_an_activation_matters(kind):
    x = torch.from_numpy(X)
    for name in settings_of(kind):
        assert not torch.allclose(KINDS[kind]().build()(x), KINDS[kind](**{name: OTHER[name]}).build()(x))


@pytest.mark.parametrize("kind", KINDS)
def test_an_activation_acts_on_each_number_alone_and_keeps_the_shape_and_its_input(kind):
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    kept = x.clone()
    module = KINDS[kind]().build()
    whole = module(x)
    assert whole.shape == x.shape
    assert torch.equal(x, kept)
    alone = torch.stack([module(number.view(1)) for number in x.flatten()]).view_as(x)
    torch.testing.assert_close(whole, alone, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_an_activation_has_no_weights_and_lets_gradients_through(kind):
    module = KINDS[kind]().build()
    x = torch.tensor([-0.5, 0.5], requires_grad=True)
    module(x).sum().backward()
    assert not list(module.parameters())
    assert torch.isfinite(x.grad).all()
    assert x.grad[1] > 0


def test_only_the_identity_leaves_everything_as_it_is():
    x = torch.from_numpy(X)
    same = [kind for kind, cls in KINDS.items() if torch.equal(cls().build()(x), x)]
    assert same == [Identity().kind]
