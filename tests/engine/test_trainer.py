"""A trainer alone: no thread, no queue, no store."""

import copy

import pytest
import torch

from dlcore.catalogue.datasets import load
from dlcore.catalogue.optimizers import SGD
from dlcore.catalogue.stopping import Stopping
from dlcore.engine.trainer import DivergenceError, Trainer
from dlcore.engine.training import EpochEnd, Evaluating, Place, Step, build, train
from dlcore.history import History
from dlcore.runs.records import PACE
from tests.running import DROPPING, MOONS, PER_EPOCH, changed, measured


def begun(recipe=DROPPING, *arguments, **how):
    trainer = Trainer(recipe, *arguments, **how)
    trainer.begin(load(recipe.data))
    return trainer


def trained(trainer, steps=None):
    """The trainer after so many steps, or at its end."""
    with trainer.own_random():
        while not trainer.over and (steps is None or trainer.history.steps < steps):
            trainer.advance()
    return trainer


def weights(trainer):
    return [value.numpy().tobytes() for value in trainer.run.model.state_dict().values()]


def test_it_trains_as_the_loop_alone_does():
    trainer = trained(begun())
    run = build(DROPPING, load(DROPPING.data))
    events = list(train(run))
    losses = torch.stack([event.loss for event in events if isinstance(event, Step)])
    assert trainer.history.losses.tobytes() == losses.numpy().tobytes()
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert [row.val_loss for row in trainer.history.epochs] == [end.validation.loss for end in ends]
    assert weights(trainer) == [value.numpy().tobytes() for value in run.model.state_dict().values()]


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


def test_two_by_turns_are_as_each_alone():
    alone = [measured(trained(begun(changed(DROPPING, seed=seed))).history) for seed in (1, 2)]
    both = [begun(changed(DROPPING, seed=seed)) for seed in (1, 2)]
    while not all(one.over for one in both):
        for one in both:
            if not one.over:
                with one.own_random():
                    one.advance()
            torch.rand(3)  # and whatever else draws
    assert [measured(one.history) for one in both] == alone


@pytest.mark.parametrize("steps", [3, 4, 9])
def test_another_goes_on_from_what_was_captured_to_the_bit(steps):
    whole = trained(begun())
    first = trained(begun(), steps)
    checkpoint = first.capture()
    second = begun(DROPPING, first.history.until(checkpoint.step), checkpoint=checkpoint)
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


def test_looking_inside_with_gradients_changes_nothing():
    trainer = trained(begun(), 5)
    gradients = [parameter.grad.clone() for parameter in trainer.run.model.parameters()]
    random = torch.get_rng_state()

    def saliency(run):
        inputs = run.data.validation.inputs[:10].clone().requires_grad_()
        run.model(inputs).square().sum().backward()
        torch.rand(5)
        return inputs.grad

    assert trainer.answer(saliency, gradients=True).abs().sum() > 0
    assert torch.equal(torch.get_rng_state(), random)
    kept = [parameter.grad for parameter in trainer.run.model.parameters()]
    assert all(map(torch.equal, kept, gradients))
    assert measured(trained(trainer).history) == measured(trained(begun()).history)


def test_a_question_without_gradients_is_asked_in_inference_mode():
    trainer = begun()
    seen = trainer.answer(lambda run: (run.model.training, torch.is_inference_mode_enabled()))
    assert seen == (False, True)
