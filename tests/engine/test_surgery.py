"""Surgery: a unit is silenced, a layer frozen or shaken from the next step on, and a run that goes on repeats it."""

import pytest
import torch

from dlcore.catalogue.activations import ReLU, Tanh
from dlcore.catalogue.architectures import CNN, MLP, LeNet, Recurrent, ResNet18
from dlcore.catalogue.datasets import Cifar10, Moons, load
from dlcore.catalogue.optimizers import SGD, Adam, Optimizer
from dlcore.catalogue.splits import Dataset, Split
from dlcore.engine.randomness import generator
from dlcore.engine.trainer import Trainer
from dlcore.engine.training import Run, Step, build
from dlcore.inside.layers import health
from dlcore.recipe import Recipe
from dlcore.runs.operations import frozen, parts
from dlcore.settings import SettingsError, choices
from tests.running import MOONS, alone, changed, course, fingerprint, finish, opened, take

RECIPE = changed(MOONS, optimizer=SGD(lr=0.1, momentum=0.9, weight_decay=0.01))
FREEZE, MELT = {"surgery.freeze.dense": True}, {"surgery.freeze.dense": False}
SILENCE, NOISE = {"surgery.silence.dense.3": True}, {"surgery.noise.dense": 0.5}


def trainer(recipe=RECIPE) -> Trainer:
    begun = Trainer(recipe)
    begun.begin(load(recipe.data))
    return begun


def steps(begun: Trainer, count: int) -> None:
    """So many training steps, with the evaluations between them."""
    with begun.own_random():
        while count and (event := begun.advance()) is not None:
            count -= isinstance(event, Step)


def weights(begun: Trainer, prefix: str = "") -> dict[str, torch.Tensor]:
    state = begun.run.model.state_dict()
    return {name: value.clone() for name, value in state.items() if name.startswith(prefix)}


def same(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def layers(begun: Trainer):
    return {layer.name: layer for layer in begun.answer(health, gradients=True)}


@pytest.mark.parametrize("optimizer", [SGD(lr=0.1, momentum=0.9), Adam()], ids=["sgd", "adam"])
def test_a_silenced_unit_behind_a_relu_is_the_one_that_is_dead_and_stays_so(optimizer):
    begun = trainer(changed(RECIPE, optimizer=optimizer, model=MLP(widths=(8,), activation=ReLU())))
    steps(begun, 2)
    before = layers(begun)["dense"].dead_units
    begun.steer(SILENCE)
    assert layers(begun)["dense"].dead_units == before  # until the next step
    steps(begun, 1)
    assert layers(begun)["dense"].dead_units == tuple(sorted({*before, 2}))
    steps(begun, 5)
    assert 2 in layers(begun)["dense"].dead_units


def test_a_silenced_unit_behind_a_tanh_learns_again():
    begun = trainer(changed(RECIPE, model=MLP(widths=(8,), activation=Tanh())))
    steps(begun, 2)
    begun.steer(SILENCE)
    steps(begun, 1)
    after_one = weights(begun, "0.weight")["0.weight"][2].norm()
    steps(begun, 6)
    assert 2 not in layers(begun)["dense"].dead_units
    assert weights(begun, "0.weight")["0.weight"][2].norm() > after_one


def test_silencing_touches_what_leads_to_the_unit_alone():
    begun, other = trainer(), trainer()
    for one in (begun, other):
        steps(one, 3)
    before = weights(begun)
    begun.steer(SILENCE)
    begun._operate()
    after = weights(begun)
    for name, value in before.items():
        changed_rows = (after[name] != value).reshape(len(value), -1).any(1).nonzero().flatten().tolist()
        assert changed_rows == ([2] if name in ("0.weight", "0.bias") else []), name
    assert not after["0.weight"][2].any()
    assert not after["0.bias"][2].any()
    first = begun.run.optimizer.state[begun.run.model[0].weight]["momentum_buffer"]
    assert not first[2].any()
    assert first[3].any()


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_a_silenced_unit_of_a_recurrent_layer_says_nothing_at_any_time(kind):
    recipe = Recipe(model=Recurrent(cell=kind, hidden=6, layers=2), batch_size=8)
    picture = recipe.inputs
    few = Split(torch.rand(16, *picture.shape), torch.arange(16) % 10)
    begun = Trainer(recipe)
    begun.begin(Dataset(few, few, few, torch.zeros(1), torch.ones(1)))
    begun.steer({f"surgery.silence.{kind}.4": True})
    begun._operate()
    with torch.no_grad():
        states, _ = begun.run.model.cell(begun.run.model._rows(few.inputs))
    assert not states[..., 3].any()
    assert states[..., 2].any()


def test_a_frozen_layer_moves_by_nothing_and_then_learns_again():
    begun = trainer()
    steps(begun, 3)
    begun.steer(FREEZE)
    before = weights(begun)
    steps(begun, 6)
    assert same(weights(begun, "0."), {name: value for name, value in before.items() if name.startswith("0.")})
    assert not same(weights(begun, parts(RECIPE)["output"].path), before)
    assert layers(begun)["dense"].gradient_norm == 0 < layers(begun)["output"].gradient_norm
    begun.steer(MELT)
    steps(begun, 1)
    assert not torch.equal(weights(begun)["0.weight"], before["0.weight"])


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_with_every_layer_frozen_training_goes_on_and_changes_nothing(kind):
    begun = trainer(changed(RECIPE, optimizer=choices(Optimizer)[kind]()))
    steps(begun, 2)
    before = weights(begun)
    begun.steer(FREEZE | {"surgery.freeze.output": True})
    steps(begun, 4)
    assert same(weights(begun), before)
    begun.steer(MELT)
    steps(begun, 2)
    assert not same(weights(begun), before)


def test_noise_has_the_deviation_that_was_asked_for_and_hangs_on_seed_layer_and_step_alone():
    recipe = Recipe(model=MLP(widths=(128,)))
    few = Split(torch.rand(64, 1, 28, 28), torch.arange(64) % 10)
    begun = Trainer(recipe)
    begun.begin(Dataset(few, few, few, torch.zeros(1), torch.ones(1)))
    before = weights(begun)["1.weight"]
    begun.steer({"surgery.noise.dense": 0.25})
    begun._operate()
    added = weights(begun)["1.weight"] - before
    assert float(added.std()) == pytest.approx(0.25 * float(before.std()), rel=0.02)
    expected = torch.randn(before.shape, generator=generator(recipe.seed, "noise", "dense", 0))
    assert torch.allclose(added, expected * 0.25 * before.std(correction=0), atol=1e-7)


SCRIPT = [
    (0, {"surgery.freeze.output": True}),
    (2, SILENCE),
    (4, NOISE | {"surgery.freeze.output": False}),  # after the last step of an epoch
    (5, FREEZE),
    (9, MELT | {"surgery.noise.output": 0.1}),
]


@pytest.mark.parametrize("ends", [[2], [4], [5], [1, 3, 6, 9], [2, 4, 5, 9, 11]], ids=str)
@pytest.mark.parametrize("how", ["close_at", "kill_at"])
def test_a_run_that_is_broken_off_around_operations_ends_as_one_that_is_not(tmp_path, how, ends, quick_saving):
    _, expected, made = course(tmp_path / "whole", RECIPE, SCRIPT)
    _, found, again = course(tmp_path / "broken", RECIPE, SCRIPT, **{how: ends})
    assert found == expected
    assert again == made
    assert expected != alone(RECIPE)


def test_a_branch_repeats_nothing_that_is_in_its_weights_and_keeps_what_is_frozen(tmp_path, quick_saving):
    with opened(tmp_path / "runs") as conductor:
        parent = conductor.submit("parent", RECIPE, paused=True)
        take(parent, 2)
        parent.steer(SILENCE | FREEZE)
        take(parent, 2)
        parent.steer(NOISE)
        parent.resume()
        finish(parent)
        assert parent.wait_saved(60)
        found = conductor.branch(1, 1, "branch", changed(RECIPE, epochs=2))
        finish(found)
        assert frozen(found.history.changes) == ["dense"]
        weight = found.ask(lambda run: run.model[0].weight.clone()).result(60)
    assert not weight[2].any()
    assert [change.setting for change in found.history.changes] == ["surgery.freeze.dense", "surgery.silence.dense.3"]


def test_what_is_done_after_the_last_step_waits_for_a_next_one():
    begun = trainer(changed(RECIPE, epochs=1))
    steps(begun, 4)
    begun.steer(NOISE)
    before = weights(begun)
    steps(begun, 1)
    assert begun.over
    assert same(weights(begun), before)


@pytest.mark.parametrize("model", [CNN(channels=(4, 8)), LeNet(), MLP(widths=(8, 4)), Recurrent(), ResNet18()], ids=str)
def test_layers_are_called_as_those_who_look_call_them(model):
    recipe = Recipe(model=model, data=Cifar10())
    few = Split(torch.rand(8, *recipe.shape), torch.arange(8) % 10)
    run: Run = build(recipe, Dataset(few, few, few, torch.zeros(1), torch.ones(1)))
    with torch.enable_grad():
        named = {layer.name.replace(" ", "-"): layer.path for layer in health(run)}
    assert {name: part.path for name, part in parts(recipe).items()} == named


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"surgery.silence.dens.1": True}, "has dense, output; did you mean dense?"),
        ({"surgery.silence.dense.9": True}, "names unit 9, but dense has 8; the nearest is 8."),
        ({"surgery.silence.dense.0": True}, "there are surgery.silence.LAYER.UNIT"),
        ({"surgery.silence.dense": True}, "there are surgery.silence.LAYER.UNIT"),
        ({"surgery.silence.dense.1": False}, "it takes true"),
        ({"surgery.freeze.dense": 1}, "it takes true or false."),
        ({"surgery.noise.dense": 0}, "it takes a number above 0 and at most 10."),
        ({"surgery.noise.dense": float("nan")}, "it takes a number above 0 and at most 10."),
        ({"surgery.remove.dense": True}, "is no operation"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_changes_nothing(conductor, asked, words):
    job = conductor.submit("moons", MOONS, paused=True)
    with pytest.raises(SettingsError) as error:
        job.steer(asked | {"epochs": 4})
    (problem,) = error.value.problems
    assert words in problem.text
    assert job.history.changes == []
    job.stop()


def test_all_problems_are_told_at_once(conductor):
    job = conductor.submit("moons", MOONS, paused=True)
    with pytest.raises(SettingsError) as error:
        job.steer({"surgery.freeze.conv": True, "optimizer.lr": -1, "surgery.noise.output": 11})
    assert {problem.setting for problem in error.value.problems} == {
        "surgery.freeze.conv", "surgery.noise.output", "optimizer.lr",
    }  # fmt: skip
    job.stop()


def test_a_job_is_operated_on_between_two_steps(conductor):
    job = conductor.submit("moons", changed(MOONS, data=Moons(samples=200)), paused=True)
    job.steer(SILENCE)
    job.resume()
    finish(job)
    assert [(change.step, change.setting) for change in job.history.changes] == [(0, "surgery.silence.dense.3")]
    assert fingerprint(job) != alone(MOONS)
