import numpy as np
import pytest
import torch

from dlcore.catalogue.optimizers import SGD, Optimizer, RMSprop
from dlcore.settings import choices

KINDS = choices(Optimizer)
STEPS = 12  # RAdam changes its rule within the first ten
OTHER = {
    "lr": 0.05,
    "momentum": 0.8,
    "nesterov": True,
    "weight_decay": 0.1,
    "beta1": 0.8,
    "beta2": 0.95,
    "eps": 0.03,
    "alpha": 0.9,
    "rho": 0.8,
}


# Each function is one step of its docstring's LaTeX, written out by hand: it takes the weights w, their gradient g,
# the step t from 1 and `kept`, a dictionary of what the method remembers, and returns the new weights. The docstring
# must be what people are shown.
def sgd(w, g, t, kept, lr, momentum, nesterov, weight_decay):
    r"""
    v \leftarrow \mu v + g \qquad w \leftarrow w - \eta\, v \qquad
    \text{(Nesterov: } w \leftarrow w - \eta\, (g + \mu v)\text{)}
    """
    g = g + weight_decay * w
    v = kept["v"] = momentum * kept.get("v", 0) + g
    return w - lr * (g + momentum * v) if nesterov else w - lr * v


def _moments(g, kept, beta1, beta2):
    kept["m"] = beta1 * kept.get("m", 0) + (1 - beta1) * g
    kept["v"] = beta2 * kept.get("v", 0) + (1 - beta2) * g**2
    return kept["m"], kept["v"]


def adam(w, g, t, kept, lr, beta1, beta2, eps, weight_decay):
    r"""
    m \leftarrow \beta_1 m + (1 - \beta_1) g \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \qquad
    w \leftarrow w - \eta\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}
    """
    m, v = _moments(g + weight_decay * w, kept, beta1, beta2)
    return w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


def adamw(w, g, t, kept, lr, beta1, beta2, eps, weight_decay):
    r"""
    w \leftarrow (1 - \eta \lambda) w \qquad m \leftarrow \beta_1 m + (1 - \beta_1) g \qquad
    v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \qquad
    w \leftarrow w - \eta\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}
    """
    w = (1 - lr * weight_decay) * w
    m, v = _moments(g, kept, beta1, beta2)
    return w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


def nadam(w, g, t, kept, lr, beta1, beta2, eps, weight_decay):
    r"""
    \mu_t = \beta_1 \left(1 - \tfrac{1}{2}\, 0.96^{0.004 t}\right) \qquad
    m \leftarrow \beta_1 m + (1 - \beta_1) g \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \qquad
    w \leftarrow w - \frac{\eta}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}
    \left(\frac{(1 - \mu_t)\, g}{1 - \prod_{i \le t} \mu_i} + \frac{\mu_{t+1}\, m}{1 - \prod_{i \le t+1} \mu_i}\right)
    """

    def mu(i):
        return beta1 * (1 - 0.96 ** (0.004 * i) / 2)

    def product(last):
        return np.prod([mu(i) for i in range(1, last + 1)])

    g = g + weight_decay * w
    m, v = _moments(g, kept, beta1, beta2)
    ahead = (1 - mu(t)) * g / (1 - product(t)) + mu(t + 1) * m / (1 - product(t + 1))
    return w - lr / (np.sqrt(v / (1 - beta2**t)) + eps) * ahead


def radam(w, g, t, kept, lr, beta1, beta2, eps, weight_decay):
    r"""
    \rho_\infty = \tfrac{2}{1 - \beta_2} - 1 \qquad
    \rho_t = \rho_\infty - \tfrac{2 t \beta_2^t}{1 - \beta_2^t} \qquad
    \hat m = \tfrac{m}{1 - \beta_1^t} \qquad w \leftarrow w - \eta\, \hat m \begin{cases}
    \sqrt{\tfrac{(\rho_t - 4)(\rho_t - 2) \rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2) \rho_t}}\,
    \tfrac{\sqrt{1 - \beta_2^t}}{\sqrt{v} + \epsilon} & \rho_t > 5 \\ 1 & \text{else} \end{cases}
    \qquad m, v \text{ as in Adam}
    """
    m, v = _moments(g + weight_decay * w, kept, beta1, beta2)
    last = 2 / (1 - beta2) - 1
    now = last - 2 * t * beta2**t / (1 - beta2**t)
    adapted = 1
    if now > 5:
        kept["adapted"] = True
        adapted = np.sqrt((now - 4) * (now - 2) * last / ((last - 4) * (last - 2) * now))
        adapted = adapted * np.sqrt(1 - beta2**t) / (np.sqrt(v) + eps)
    return w - lr * m / (1 - beta1**t) * adapted


def adagrad(w, g, t, kept, lr, eps, weight_decay):
    r"""
    s \leftarrow s + g^2 \qquad w \leftarrow w - \eta\, \frac{g}{\sqrt{s} + \epsilon}
    """
    g = g + weight_decay * w
    s = kept["s"] = kept.get("s", 0) + g**2
    return w - lr * g / (np.sqrt(s) + eps)


def rmsprop(w, g, t, kept, lr, alpha, momentum, eps, weight_decay):
    r"""
    s \leftarrow \alpha s + (1 - \alpha) g^2 \qquad b \leftarrow \mu b + \frac{g}{\sqrt{s} + \epsilon} \qquad
    w \leftarrow w - \eta\, b
    """
    g = g + weight_decay * w
    s = kept["s"] = alpha * kept.get("s", 0) + (1 - alpha) * g**2
    b = kept["b"] = momentum * kept.get("b", 0) + g / (np.sqrt(s) + eps)
    return w - lr * b


def adadelta(w, g, t, kept, lr, rho, eps, weight_decay):
    r"""
    s \leftarrow \rho s + (1 - \rho) g^2 \qquad d = \frac{\sqrt{u + \epsilon}}{\sqrt{s + \epsilon}}\, g \qquad
    u \leftarrow \rho u + (1 - \rho) d^2 \qquad w \leftarrow w - \eta\, d
    """
    g = g + weight_decay * w
    s = kept["s"] = rho * kept.get("s", 0) + (1 - rho) * g**2
    d = np.sqrt(kept.get("u", 0) + eps) / np.sqrt(s + eps) * g
    kept["u"] = rho * kept.get("u", 0) + (1 - rho) * d**2
    return w - lr * d


FORMULAS = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "nadam": nadam,
    "radam": radam,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adadelta": adadelta,
}


def settings_of(kind):
    return [name for name in KINDS[kind].model_fields if name != "kind"]


def changed_alone(kind, name):
    """The optimizer with one setting other than usual, beside the same without; Nesterov means momentum as well."""
    base = {"momentum": 0.8} if name == "nesterov" else {}
    return KINDS[kind](**base, **{name: OTHER[name]}), KINDS[kind](**base)


def variants():
    for kind, cls in KINDS.items():
        yield pytest.param(cls(), id=f"{kind}-default")
        yield pytest.param(cls(**{name: OTHER[name] for name in settings_of(kind)}), id=f"{kind}-all")
        for name in settings_of(kind):
            yield pytest.param(changed_alone(kind, name)[0], id=f"{kind}-{name}")


def start_and_gradients():
    random = np.random.default_rng(3)
    return random.normal(size=(4, 3)), random.normal(size=(STEPS, 4, 3))


def trained(optimizer, steps=STEPS):
    """The weights after each step, float64 so that the comparison can be tight."""
    w, gradients = start_and_gradients()
    weights = torch.nn.Parameter(torch.from_numpy(w.copy()))
    machine = optimizer.build([weights])
    path = []
    for g in gradients[:steps]:
        weights.grad = torch.from_numpy(g.copy())
        machine.step()
        path.append(weights.detach().numpy().copy())
    return np.array(path)


def by_formula(optimizer):
    w, gradients = start_and_gradients()
    kept, path = {}, []
    for t, g in enumerate(gradients, 1):
        w = FORMULAS[optimizer.kind](w, g, t, kept, **optimizer.model_dump(exclude={"kind"}))
        path.append(w)
    return np.array(path), kept


def test_every_optimizer_has_a_formula_of_its_own_here():
    assert FORMULAS.keys() == KINDS.keys()
    assert {name for kind in KINDS for name in settings_of(kind)} == OTHER.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_the_formula_shown_is_the_one_checked_here(kind):
    assert "".join(KINDS[kind].formula.split()) == "".join(FORMULAS[kind].__doc__.split())


@pytest.mark.parametrize("optimizer", list(variants()))
def test_an_optimizer_takes_the_steps_of_its_formula(optimizer):
    w, _ = start_and_gradients()
    found, expected = trained(optimizer), by_formula(optimizer)[0]
    # The way gone is compared, not the place: small steps from large weights would hide a wrong direction.
    np.testing.assert_allclose(found - w, expected - w, rtol=1e-6, atol=1e-12)


def test_the_run_is_long_enough_for_both_rules_of_radam():
    for optimizer in (KINDS["radam"](), KINDS["radam"](beta2=OTHER["beta2"])):
        assert by_formula(optimizer)[1].get("adapted")
        assert STEPS > 6


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in settings_of(kind)])
def test_every_setting_of_an_optimizer_matters(kind, name):
    other, usual = changed_alone(kind, name)
    assert other != usual
    assert not np.allclose(trained(other), trained(usual), rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimizer_makes_a_simple_loss_smaller(kind):
    weights = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    machine = KINDS[kind](lr=0.1).build([weights])
    for _ in range(50):
        machine.zero_grad()
        weights.square().sum().backward()
        machine.step()
    assert weights.square().sum() < 13
    assert torch.isfinite(weights).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_learning_rate_takes_effect_at_the_next_step(kind):
    """The loop sets it before every step, as the schedule wants."""
    weights = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    machine = KINDS[kind]().build([weights])
    for group in machine.param_groups:
        group["lr"] = 0.0
    weights.grad = torch.ones(3, dtype=torch.float64)
    machine.step()
    assert torch.equal(weights.detach(), torch.ones(3, dtype=torch.float64))


def test_nesterov_without_momentum_is_refused_in_words():
    (problem,) = SGD(nesterov=True, momentum=0).problems()
    assert problem.setting == "optimizer.nesterov"
    for word in ("optimizer.nesterov", "true", "optimizer.momentum", "0.9"):
        assert word in problem.text
    assert SGD(nesterov=True, momentum=0.9).problems() == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_usual_settings_of_an_optimizer_have_no_problems(kind):
    assert KINDS[kind]().problems() == []
    assert KINDS[kind]().build([torch.nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"] == KINDS[kind]().lr


# Changed on the way


def steered(first, then, after):
    """The weights after each step of an optimizer that is given other settings after so many steps."""
    w, gradients = start_and_gradients()
    weights = torch.nn.Parameter(torch.from_numpy(w.copy()))
    machine, path = first.build([weights]), []
    for step, g in enumerate(gradients):
        if step == after:
            then.steer(machine)
        weights.grad = torch.from_numpy(g.copy())
        machine.step()
        path.append(weights.detach().numpy().copy())
    return np.array(path)


def steered_by_formula(first, then, after):
    w, gradients = start_and_gradients()
    kept, path = {}, []
    for t, g in enumerate(gradients, 1):
        optimizer = first if t <= after else then
        w = FORMULAS[optimizer.kind](w, g, t, kept, **optimizer.model_dump(exclude={"kind"}))
        if getattr(optimizer, "momentum", None) == 0:  # speed that has no use is not kept either
            kept.pop("b", kept.pop("v", None))
        path.append(w)
    return np.array(path)


def steerings():
    """Every setting of every optimizer, from its usual value to another one and back."""
    for kind, cls in KINDS.items():
        for name in settings_of(kind):
            other, usual = changed_alone(kind, name)
            if (kind, name) != (
                "nadam",
                "beta1",
            ):  # its formula has a product over all steps, whose factors differ then
                yield pytest.param(usual, other, id=f"{kind}-{name}")
                yield pytest.param(other, usual, id=f"{kind}-{name}-back")
        yield pytest.param(cls(), cls(lr=OTHER["lr"], weight_decay=OTHER["weight_decay"]), id=f"{kind}-two")


@pytest.mark.parametrize(("first", "then"), list(steerings()))
@pytest.mark.parametrize("after", [0, 1, 7])
def test_an_optimizer_that_is_steered_goes_on_by_its_formula(first, then, after):
    """With other settings, and what it remembers as it was."""
    w, _ = start_and_gradients()
    found, expected = steered(first, then, after), steered_by_formula(first, then, after)
    np.testing.assert_allclose(found - w, expected - w, rtol=1e-6, atol=1e-9)  # there and back: small differences


def test_the_product_of_nadam_keeps_the_factors_that_it_had():
    first, then = KINDS["nadam"](), KINDS["nadam"](beta1=0.5)
    found = steered(first, then, 5)
    np.testing.assert_array_equal(found[:5], trained(first)[:5])
    assert np.isfinite(found).all()
    assert not np.allclose(found[5:], trained(first)[5:], rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_steering_leaves_memory_and_parameters_alone(kind):
    optimizer = KINDS[kind]()
    weights = torch.nn.Parameter(torch.ones(3))
    machine = optimizer.build([weights])
    weights.grad = torch.ones(3)
    machine.step()
    before = {name: torch.as_tensor(value).clone() for name, value in machine.state[weights].items()}
    KINDS[kind](lr=0.5).steer(machine)
    (group,) = machine.param_groups
    assert (group["lr"], group["params"]) == (0.5, [weights])
    assert group.keys() == optimizer.build([weights]).param_groups[0].keys()
    assert all(torch.equal(torch.as_tensor(machine.state[weights][name]), value) for name, value in before.items())


@pytest.mark.parametrize(
    "optimizer", [*(cls() for cls in KINDS.values()), SGD(momentum=0), RMSprop(momentum=0.5)], ids=repr
)
def test_an_optimizer_says_how_many_numbers_it_keeps_for_each_weight(optimizer):
    parameter = torch.nn.Parameter(torch.ones(5, 7))
    found = optimizer.build([parameter])
    parameter.grad = torch.ones(5, 7)
    for _ in range(2):
        found.step()
    kept = [value for value in found.state[parameter].values() if torch.is_tensor(value) and value.shape == (5, 7)]
    assert len(kept) == optimizer.kept


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_once_for_a_parameter_is_declared(kind):
    weight = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = KINDS[kind]().build([weight])
    weight.grad = torch.ones(3, 2)
    optimizer.step()
    kept = {name: value.shape for name, value in optimizer.state[weight].items() if torch.is_tensor(value)}
    assert {name for name, shape in kept.items() if shape == ()} <= {*KINDS[kind].single}
    assert {shape for name, shape in kept.items() if name not in KINDS[kind].single} <= {weight.shape}
