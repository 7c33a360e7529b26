"""A trainer alone: no thread, no queue, no store."""

import copy
import math

import pytest
import torch
from torch import nn

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import load
from dlcore.catalogue.optimizers import SGD
from dlcore.catalogue.schedules import Cosine
from dlcore.catalogue.stopping import Stopping
from dlcore.engine.trainer import DivergenceError, Trainer
from dlcore.engine.training import EpochEnd, Evaluating, Place, Step, batches, build, train
from dlcore.history import History
from dlcore.runs.checkpoints import CheckpointError, check_weights
from dlcore.runs.records import PACE
from tests.running import DROPPING, MOONS, PER_EPOCH, changed, measured


def begun(recipe=DROPPING, *arguments, **how):
    trainer = Trainer(recipe, *arguments, **how)
    trainer.begin(load(recipe.data, recipe.device))
    return trainer


def trained(trainer, steps=None):
    """The trainer after so many steps, or at its end."""
    with trainer.own_random():
        while not trainer.over and (steps is None or trainer.history.steps < steps):
            trainer.advance()
    return trainer


def weights(trainer):
    return [value.cpu().numpy().tobytes() for value in trainer.run.model.state_dict().values()]


def test_it_trains_as_the_loop_alone_does(device):
    recipe = changed(DROPPING, device=device)
    trainer = trained(begun(recipe))
    run = build(recipe, load(recipe.data, device))
    events = list(train(run))
    losses = torch.stack([event.loss for event in events if isinstance(event, Step)])
    assert trainer.history.losses.tobytes() == losses.cpu().numpy().tobytes()
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert [row.val_loss for row in trainer.history.epochs] == [end.validation.loss for end in ends]
    assert weights(trainer) == [value.cpu().numpy().tobytes() for value in run.model.state_dict().values()]


def test_it_goes_from_one_event_to_the_next_and_knows_its_place():
    trainer, seen = begun(MOONS), []
    with trainer.own_random():
        while (event := trainer.advance()) is not None:
            seen.append((type(event), trainer.place))
    steps = [place for kind, place in seen if kind is Step]
    assert steps == [Place(epoch, step) for epoch in range(3) for step in range(1, PER_EPOCH + 1)]
    assert [place for kind, place in seen if kind is EpochEnd] == [Place(epoch) for epoch in (1, 2, 3)]
    assert any(kind is Evaluating for kind, _ in seen)
    assert trainer.over
    assert trainer.reason == ""
    assert trainer.advance() is None


def test_two_by_turns_are_as_each_alone(device):
    recipes = [changed(DROPPING, seed=seed, device=device) for seed in (1, 2)]
    alone = [measured(trained(begun(recipe)).history) for recipe in recipes]
    both = [begun(recipe) for recipe in recipes]
    while not all(one.over for one in both):
        for one in both:
            if not one.over:
                with one.own_random():
                    one.advance()
            torch.rand(3)  # and whatever else draws
            torch.rand_like(one.run.data.train.inputs)
    assert [measured(one.history) for one in both] == alone


@pytest.mark.parametrize("steps", [3, 4, 9])
def test_another_goes_on_from_what_was_captured_to_the_bit(device, steps):
    recipe = changed(DROPPING, device=device)
    whole = trained(begun(recipe))
    first = trained(begun(recipe), steps)
    checkpoint = first.capture()
    second = begun(recipe, first.history.until(checkpoint.step), checkpoint=checkpoint)
    assert second.place == first.place
    assert measured(trained(second).history) == measured(whole.history)
    assert weights(second) == weights(whole)


def test_what_is_changed_holds_from_the_next_step_on_and_is_part_of_the_history():
    trainer = trained(begun(), 5)
    assert trainer.steer({"optimizer.lr": 0.25, PACE: 7.0}) == []
    assert (trainer.recipe.optimizer.lr, trainer.pace) == (0.25, 7.0)
    assert [(change.step, change.setting) for change in trainer.history.changes] == [(5, "optimizer.lr"), (5, PACE)]
    again = trained(begun(DROPPING, History(changes=copy.deepcopy(trainer.history.changes))))
    assert measured(again.history) == measured(trained(trainer).history)
    assert measured(again.history) != measured(trained(begun()).history)


def test_it_can_be_steered_before_it_has_its_data():
    trainer = Trainer(MOONS)
    trainer.steer({"epochs": 1})
    trainer.begin(load(MOONS.data))
    assert len(trained(trainer).history.epochs) == 1


def test_a_rule_ends_it_with_its_reason():
    trainer = trained(begun(changed(MOONS, stop=Stopping(accuracy=0.01))))
    assert trainer.over
    assert trainer.reason.startswith("validation accuracy reached")
    assert len(trainer.history.epochs) == 1


def test_a_loss_that_is_no_number_is_raised():
    trainer = begun(changed(MOONS, optimizer=SGD(lr=10), epochs=100))
    trained(trainer, 1)
    trainer.history.add_step(torch.tensor(float("nan")))
    with pytest.raises(DivergenceError, match=r"at step 2\. Try a smaller learning rate"):
        trainer.look()


def test_looking_inside_with_gradients_changes_nothing(device):
    recipe = changed(DROPPING, device=device)
    trainer = trained(begun(recipe), 5)
    gradients = [parameter.grad.clone() for parameter in trainer.run.model.parameters()]
    random = torch.get_rng_state()

    def saliency(run):
        inputs = run.data.validation.inputs[:10].clone().requires_grad_()
        run.model(inputs).square().sum().backward()
        torch.rand(5)
        torch.rand_like(inputs)
        return inputs.grad.cpu()

    assert trainer.answer(saliency, gradients=True).abs().sum() > 0
    assert torch.equal(torch.get_rng_state(), random)
    kept = [parameter.grad for parameter in trainer.run.model.parameters()]
    assert all(map(torch.equal, kept, gradients))
    assert measured(trained(trainer).history) == measured(trained(begun(recipe)).history)


def test_a_question_without_gradients_is_asked_in_inference_mode():
    trainer = begun()
    seen = trainer.answer(lambda run: (run.model.training, torch.is_inference_mode_enabled()))
    assert seen == (False, True)


# Groups of parameters


def by_parts(architecture, model):
    """The last layer learns at the rate itself, all before it at a tenth."""
    *before, last = [module for module in model.modules() if isinstance(module, nn.Linear)]
    slow = [parameter for module in before for parameter in module.parameters()]
    return [{"params": list(last.parameters()), "rate": 1.0}, {"params": slow, "rate": 0.1}]


PARTS = changed(DROPPING, model=MLP(widths=(8,)), optimizer=SGD(lr=0.1, momentum=0.9), schedule=Cosine())


def test_groups_learn_at_rates_of_their_own(monkeypatch):
    monkeypatch.setattr(MLP, "groups", by_parts)
    trainer = begun(PARTS)
    network = copy.deepcopy(trainer.run.model)
    first, last = (module for module in network.modules() if isinstance(module, nn.Linear))
    parts = [{"params": last.parameters(), "lr": 0.1}, {"params": first.parameters(), "lr": 0.01}]
    optimizer, total = torch.optim.SGD(parts, momentum=0.9), PER_EPOCH * PARTS.epochs
    for step, (inputs, targets) in enumerate(batches(trainer.run, 1)):
        for group, rate in zip(optimizer.param_groups, (0.1, 0.01), strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * step / total)) / 2
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    trained(trainer, PER_EPOCH)
    for ours, theirs in zip(trainer.run.model.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("steps", [3, 4])
def test_groups_go_on_from_a_checkpoint_and_can_be_steered(monkeypatch, steps):
    monkeypatch.setattr(MLP, "groups", by_parts)
    whole, first = begun(PARTS), begun(PARTS)
    for one in (whole, first):
        trained(one, steps)
        one.steer({"optimizer.lr": 0.05})
    checkpoint = first.capture()
    check_weights(checkpoint, PARTS)
    second = begun(PARTS, first.history.until(checkpoint.step), checkpoint=checkpoint)
    assert [group["rate"] for group in second.run.optimizer.param_groups] == [1.0, 0.1]
    assert measured(trained(second).history) == measured(trained(whole).history)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="memory does not fit"):
        check_weights(checkpoint, PARTS)


def test_a_checkpoint_from_before_there_were_groups_goes_on(monkeypatch):
    whole = trained(begun())
    first = trained(begun(), 5)
    checkpoint = first.capture()
    for group in checkpoint.optimizer["param_groups"]:
        del group["rate"]
    second = begun(DROPPING, first.history.until(checkpoint.step), checkpoint=checkpoint)
    assert measured(trained(second).history) == measured(whole.history)


def test_what_has_learned_weights_is_not_drawn_anew(monkeypatch):
    drawn, make = begun(PARTS).run.model, MLP.build

    def learned(*arguments):
        model = make(*arguments)
        nn.init.constant_(model[0].weight, 0.5)
        return model

    monkeypatch.setattr(MLP, "build", learned)
    monkeypatch.setattr(MLP, "ready", lambda architecture, model: [model[0]])
    model = begun(PARTS).run.model
    assert (model[0].weight == 0.5).all()
    assert torch.equal(model[-1].weight, drawn[-1].weight)
