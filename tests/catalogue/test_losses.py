import math

import numpy as np
import pytest
import torch

from dlcore.catalogue.datasets import Data, Line, Mnist5k, Moons
from dlcore.catalogue.losses import BinaryCrossEntropy, CrossEntropy, Huber, Loss, MeanSquaredError
from dlcore.catalogue.tasks import task_of
from dlcore.settings import choices
from tests.sequences import Alphabet

KINDS = choices(Loss)
DATA = choices(Data)
OTHER = {"label_smoothing": 0.15, "delta": 0.4}
TIGHT = {"rtol": 1e-6, "atol": 1e-12}


# Each function is the loss of one sample, its docstring's LaTeX written out by hand; the docstring must be what
# people are shown. z are the outputs; q is one-hot, or 0 and 1 for a single output, or the target number.
def cross_entropy(z, q, label_smoothing):
    r"""
    L = -\sum_{k=1}^{K} \left((1 - s)\, q_k + \frac{s}{K}\right) \ln \frac{e^{z_k}}{\sum_j e^{z_j}}
    \qquad s = \text{label smoothing}
    """
    s, K = label_smoothing, len(z)
    return -sum(((1 - s) * q[k] + s / K) * math.log(math.exp(z[k]) / sum(math.exp(v) for v in z)) for k in range(K))


def binary_cross_entropy(z, q):
    r"""
    L = -\frac{1}{K} \sum_{k=1}^{K} \left(q_k \ln \sigma(z_k) + (1 - q_k) \ln (1 - \sigma(z_k))\right)
    """

    def sigma(v):
        return 1 / (1 + math.exp(-v))

    return -sum(q[k] * math.log(sigma(z[k])) + (1 - q[k]) * math.log(1 - sigma(z[k])) for k in range(len(z))) / len(z)


def mse(z, q):
    r"""
    L = \frac{1}{K} \sum_{k=1}^{K} (z_k - q_k)^2
    """
    return sum((z[k] - q[k]) ** 2 for k in range(len(z))) / len(z)


def mae(z, q):
    r"""
    L = \frac{1}{K} \sum_{k=1}^{K} |z_k - q_k|
    """
    return sum(abs(z[k] - q[k]) for k in range(len(z))) / len(z)


def huber(z, q, delta):
    r"""
    L = \frac{1}{K} \sum_{k=1}^{K} h(z_k - q_k) \qquad h(e) = \begin{cases} \frac{1}{2} e^2 & |e| \le \delta \\
    \delta \left(|e| - \frac{1}{2}\delta\right) & |e| > \delta \end{cases}
    """

    def h(e):
        return e**2 / 2 if abs(e) <= delta else delta * (abs(e) - delta / 2)

    return sum(h(z[k] - q[k]) for k in range(len(z))) / len(z)


FORMULAS = {
    "cross-entropy": cross_entropy,
    "binary-cross-entropy": binary_cross_entropy,
    "mse": mse,
    "mae": mae,
    "huber": huber,
}
VARIANTS = [
    pytest.param(cls(**settings), id=f"{kind}{settings or ''}")
    for kind, cls in KINDS.items()
    for settings in [{}, {name: OTHER[name] for name in cls.model_fields if name in OTHER}]
]
CLASSIFYING = [(loss, data) for loss in KINDS for data in DATA if not KINDS[loss]().problems(DATA[data]())]


def random_outputs(samples, outputs, seed=0):
    return 2 * np.random.default_rng(seed).normal(size=(samples, outputs))


def mean_over_samples(loss, outputs, wanted):
    settings = loss.model_dump(exclude={"kind"})
    return np.mean([FORMULAS[loss.kind](z, q, **settings) for z, q in zip(outputs, wanted, strict=True)])


def test_every_loss_has_a_formula_of_its_own_here():
    assert FORMULAS.keys() == KINDS.keys()
    assert {name for cls in KINDS.values() for name in cls.model_fields} - {"kind"} == OTHER.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_the_formula_shown_is_the_one_checked_here(kind):
    assert "".join(KINDS[kind].formula.split()) == "".join(FORMULAS[kind].__doc__.split())


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("loss", VARIANTS)
def test_a_loss_over_classes_is_the_mean_of_its_formula_over_samples(loss, classes):
    outputs, targets = random_outputs(7, classes), np.arange(7) * 3 % classes
    found = loss.of(torch.from_numpy(outputs), torch.from_numpy(targets)).item()
    np.testing.assert_allclose(found, mean_over_samples(loss, outputs, np.eye(classes)[targets]), **TIGHT)


def test_one_output_answers_a_single_question_about_the_second_class():
    outputs, targets = random_outputs(9, 1), np.arange(9) % 2
    found = BinaryCrossEntropy().of(torch.from_numpy(outputs), torch.from_numpy(targets)).item()
    np.testing.assert_allclose(
        found, mean_over_samples(BinaryCrossEntropy(), outputs, targets[:, None].astype(float)), **TIGHT
    )


@pytest.mark.parametrize("loss", [variant for variant in VARIANTS if not variant.values[0].problems(Line())])
def test_a_loss_over_numbers_is_the_mean_of_its_formula_over_samples(loss):
    outputs, targets = random_outputs(8, 1), random_outputs(8, 1, seed=1)
    found = loss.of(torch.from_numpy(outputs), torch.from_numpy(targets)).item()
    np.testing.assert_allclose(found, mean_over_samples(loss, outputs, targets), **TIGHT)


def test_huber_turns_from_squared_to_straight_at_delta():
    loss, zero = Huber(delta=2.0), torch.zeros(1, 1)
    losses = [loss.of(torch.tensor([[error]]), zero).item() for error in (-5.0, -2.0, 1.0, 2.0, 5.0)]
    assert losses == pytest.approx([8, 2, 0.5, 2, 8], rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS for name in KINDS[kind].model_fields if name != "kind"]
)
def test_every_setting_of_a_loss_matters(kind, name):
    outputs, targets = torch.from_numpy(random_outputs(7, 4)), torch.arange(7) % 4
    usual, other = KINDS[kind](), KINDS[kind](**{name: OTHER[name]})
    assert usual.of(outputs, targets).item() != pytest.approx(other.of(outputs, targets).item(), rel=1e-3)


@pytest.mark.parametrize(("kind", "data"), CLASSIFYING)
def test_a_loss_takes_the_outputs_that_it_asks_for(kind, data):
    loss, data = KINDS[kind](), DATA[data]()
    outputs = torch.randn(6, *loss.outputs(task_of(data.spec())), requires_grad=True)
    targets = torch.arange(6) % len(task_of(data.spec()).classes) if task_of(data.spec()).classes else torch.randn(6, 1)
    value = loss.of(outputs, targets)
    value.backward()
    assert value.shape == ()
    assert torch.isfinite(outputs.grad).all()
    assert outputs.grad.abs().sum() > 0


def test_outputs_are_one_a_class_one_for_numbers_and_one_for_a_yes_or_no():
    for loss in (kind() for kind in KINDS.values()):
        assert loss.outputs(task_of(Mnist5k().spec())) == (10,)
        assert loss.outputs(task_of(Moons().spec())) == ((1,) if loss.kind == "binary-cross-entropy" else (2,))
        if not loss.problems(Line()):
            assert loss.outputs(task_of(Line().spec())) == (1,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_for_classes_refuses_numbers_and_says_what_to_choose(kind):
    problems = KINDS[kind]().problems(Line())
    if kind in ("mse", "mae", "huber"):
        assert problems == []
    else:
        (problem,) = problems
        assert problem.setting == "loss.kind"
        for word in (kind, "line", "mse", "mae", "huber"):
            assert word in problem.text


@pytest.mark.parametrize("scale", [1, 30, 1e4], ids=["usual", "certain", "exploding"])
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_positive_sum_to_one_and_favour_the_largest_output(kind, scale):
    outputs = torch.from_numpy(random_outputs(200, 10)).float() * scale
    for shifted in (outputs, outputs + 2 * scale, outputs - 2 * scale):
        shares = KINDS[kind]().probabilities(shifted)
        assert shares.shape == shifted.shape
        assert (shares >= 0).all()
        torch.testing.assert_close(shares.sum(1), torch.ones(200), rtol=1e-5, atol=1e-5)
        largest = shares.gather(1, shifted.argmax(1, keepdim=True)).squeeze(1)
        torch.testing.assert_close(largest, shares.amax(1), rtol=0, atol=0)


def test_class_probabilities_are_the_softmax():
    z = random_outputs(5, 4)
    found = CrossEntropy().probabilities(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(found, np.exp(z) / np.exp(z).sum(1, keepdims=True), rtol=1e-9)


def test_one_vs_rest_probabilities_are_each_answer_over_the_sum():
    z = random_outputs(5, 4)
    answers = 1 / (1 + np.exp(-z))
    found = BinaryCrossEntropy().probabilities(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(found, answers / answers.sum(1, keepdims=True), rtol=1e-9)


def test_probabilities_of_a_single_output_are_no_and_yes():
    found = BinaryCrossEntropy().probabilities(torch.tensor([[0.0], [2.0]], dtype=torch.float64)).numpy()
    yes = 1 / (1 + math.exp(-2))
    np.testing.assert_allclose(found, [[0.5, 0.5], [1 - yes, yes]], rtol=1e-9)


def test_outputs_that_are_probabilities_already_stay_as_they_are():
    shares = torch.tensor([[0.7, 0.3, 0.0], [0.2, 0.3, 0.5], [0.0, 1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(MeanSquaredError().probabilities(shares), shares, rtol=1e-12, atol=1e-12)


def test_distance_probabilities_are_the_nearest_that_sum_to_one():
    """No other distribution among many is nearer to the outputs."""
    outputs = torch.from_numpy(random_outputs(20, 3))
    found = MeanSquaredError().probabilities(outputs)
    others = torch.from_numpy(np.random.default_rng(1).dirichlet(np.ones(3), 5000))
    distance = (outputs - found).square().sum(1)
    nearest = (outputs[:, None] - others[None]).square().sum(2).amin(1)
    assert (distance <= nearest + 1e-12).all()


@pytest.mark.parametrize("outputs", [[1.2, 1.5, 0.1], [-0.5, -0.1, -0.3], [1e8, 2e8, 0.0]])
def test_the_largest_output_wins_even_where_all_are_outside_0_to_1(outputs):
    assert MeanSquaredError().probabilities(torch.tensor([outputs])).argmax(1).item() == 1


def test_answers_that_are_all_nearly_no_still_sum_to_one():
    shares = BinaryCrossEntropy().probabilities(torch.tensor([[-300.0, -301.0, -400.0]]))
    np.testing.assert_allclose(shares.numpy(), [[1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0]], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.15])
def test_cross_entropy_at_each_place_is_the_mean_over_all_places(smoothing):
    z, y = np.random.default_rng(0).normal(size=(3, 5, 4)), np.random.default_rng(1).integers(0, 4, (3, 5))
    found = CrossEntropy(label_smoothing=smoothing).of(torch.from_numpy(z), torch.from_numpy(y)).item()
    each = [cross_entropy(z[place], np.eye(4)[y[place]], smoothing) for place in np.ndindex(3, 5)]
    assert found == pytest.approx(np.mean(each))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "cross-entropy"])
def test_a_loss_that_compares_one_answer_a_sample_refuses_the_next_token_and_says_what_to_choose(kind):
    (problem,) = KINDS[kind]().problems(Alphabet())
    assert problem.setting == "loss.kind"
    for word in (kind, "alphabet", "cross-entropy"):
        assert word in problem.text
