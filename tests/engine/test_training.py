import copy
import weakref
from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

from benchmarks.pictures import write_mnist
from dlcore.catalogue import splits
from dlcore.catalogue.architectures import CNN, MLP, Linear
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.datasets import Data, Line, Mnist, Mnist5k, Moons, PassFail, Sine, load
from dlcore.catalogue.losses import CrossEntropy, Loss, MeanSquaredError
from dlcore.catalogue.optimizers import SGD, Adam, Optimizer
from dlcore.catalogue.schedules import Cosine, LinearWarmup
from dlcore.catalogue.spec import Classes
from dlcore.catalogue.splits import Dataset, FiledSplit, Split
from dlcore.catalogue.tasks import task_of
from dlcore.engine import training
from dlcore.engine.predicting import predict
from dlcore.engine.randomness import generator
from dlcore.engine.training import EpochEnd, Evaluating, Place, Step, build, score, train
from dlcore.recipe import Recipe
from dlcore.settings import choices

MOONS = Recipe(
    data=Moons(samples=200), model=MLP(widths=(8,)), optimizer=SGD(lr=0.1, momentum=0.5), epochs=3, batch_size=32
)
STEPS = 4  # an epoch: 120 samples in batches of 32, the last of 24


def start(recipe=MOONS, data=None):
    return build(recipe, data or load(recipe.data))


def digits(samples=100):
    """Random pictures that pass for MNIST, so that a step costs little."""
    random = torch.Generator().manual_seed(0)
    splits = [
        Split(torch.randn(count, 1, 28, 28, generator=random), torch.randint(10, (count,), generator=random))
        for count in (samples, 40, 40)
    ]
    return Dataset(*splits, mean=torch.full((1, 1, 1), 0.25), std=torch.full((1, 1, 1), 0.5))


def weights(model):
    return [value.detach().clone() for value in model.state_dict().values()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def changed(recipe, **fields):
    return recipe.model_copy(update=fields)


# The loop


def test_the_loop_gives_the_weights_and_losses_of_one_written_by_hand():
    run = start(changed(MOONS, schedule=Cosine()))
    model, data = copy.deepcopy(run.model), run.data.train
    expected, total, step = [], 3 * STEPS, 0
    plain = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    for epoch in (1, 2, 3):
        order = torch.randperm(120, generator=generator(MOONS.seed, "order", epoch))
        for first in range(0, 120, 32):
            chosen = order[first : first + 32]
            plain.param_groups[0]["lr"] = 0.1 * (1 + np.cos(np.pi * step / total)) / 2
            plain.zero_grad()
            loss = torch.nn.CrossEntropyLoss()(model(data.inputs[chosen]), data.targets[chosen])
            loss.backward()
            plain.step()
            expected.append(loss.item())
            step += 1
    found = [event.loss.item() for event in train(run) if isinstance(event, Step)]
    assert found == pytest.approx(expected, rel=1e-5)
    for one, other in zip(weights(run.model), weights(model), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_the_loop_takes_the_very_steps_of_every_optimizer(kind):
    recipe = changed(MOONS, optimizer=choices(Optimizer)[kind](), batch_size="all", epochs=12)
    run, plain = start(recipe), start(recipe)
    for _ in train(run):
        pass
    plain.model.train()
    for _ in range(12):
        plain.optimizer.zero_grad()
        recipe.loss.of(plain.model(plain.data.train.inputs), plain.data.train.targets).backward()
        plain.optimizer.step()
    assert same(weights(run.model), weights(plain.model))


def test_a_network_that_was_asked_something_goes_on_with_dropout():
    run = start(changed(MOONS, model=MLP(widths=(8,), dropout=0.5)))
    events = train(run)
    next(events)
    predict(run, torch.zeros(1, 2))
    assert not run.model.training
    next(events)
    assert all(module.training for module in run.model.modules())


def test_the_graph_of_a_step_is_gone_when_it_is_told():
    run = start(changed(MOONS, optimizer=SGD(lr=0.1)))
    kept = []
    run.model.register_forward_hook(lambda module, inputs, outputs: kept.append(weakref.ref(outputs)))
    events = train(run)
    assert not next(events).loss.requires_grad
    assert kept[0]() is None


def test_events_come_as_steps_then_evaluations_then_the_end_of_the_epoch():
    kinds = [type(event) for event in train(start())]
    assert kinds == ([Step] * STEPS + [Evaluating] * 2 + [EpochEnd]) * 3


def test_events_carry_their_epoch_from_1():
    epochs = [event.epoch for event in train(start()) if not isinstance(event, Evaluating)]
    assert epochs == [1] * (STEPS + 1) + [2] * (STEPS + 1) + [3] * (STEPS + 1)


def test_evaluation_yields_after_every_batch_of_it(monkeypatch):
    monkeypatch.setattr(training, "EVALUATION_BATCH", 16)
    kinds = [type(event) for event in train(start(changed(MOONS, epochs=1)))]
    assert kinds == [Step] * STEPS + [Evaluating] * (2 * 3) + [EpochEnd]  # 40 samples in batches of 16, twice


def test_nothing_happens_before_the_first_step_is_asked_for():
    run = start()
    before = weights(run.model)
    events = train(run)
    assert same(weights(run.model), before)
    next(events)
    assert not same(weights(run.model), before)


def test_gradients_survive_the_yield_and_are_those_of_the_step():
    recipe = changed(MOONS, optimizer=SGD(lr=0.1, momentum=0.0))
    run = start(recipe)
    events = train(run)
    for _ in range(2):  # the second step too: gradients must not pile up
        before = weights(run.model)
        next(events)
        for old, parameter in zip(before, run.model.parameters(), strict=True):
            assert parameter.grad.abs().sum() > 0
            torch.testing.assert_close(parameter.detach(), old - 0.1 * parameter.grad)


def test_a_step_carries_a_loss_without_its_graph():
    loss = next(train(start())).loss
    assert loss.shape == ()
    assert not loss.requires_grad


@pytest.mark.parametrize("schedule", [Cosine(), LinearWarmup(epochs=2.0)])
def test_the_learning_rate_follows_the_schedule_at_each_step(schedule):
    run = start(changed(MOONS, schedule=schedule))
    rates, ends = [], []
    for event in train(run):
        if isinstance(event, Step):
            rates.append(run.optimizer.param_groups[0]["lr"])
        elif isinstance(event, EpochEnd):
            ends.append(event.lr)
    steps = np.arange(3 * STEPS)
    expected = (
        0.1 * (1 + np.cos(np.pi * steps / (3 * STEPS))) / 2
        if schedule.kind == "cosine"
        else 0.1 * np.minimum(1, (steps + 1) / (2 * STEPS))
    )
    assert rates == pytest.approx(expected)
    assert ends == rates[STEPS - 1 :: STEPS]


# Batches


def test_every_sample_comes_once_an_epoch_and_the_last_batch_is_what_is_left():
    run = start()
    inputs, targets = zip(*training.batches(run, 1), strict=True)
    assert [len(batch) for batch in inputs] == [32, 32, 32, 24]
    assert Counter(map(tuple, torch.cat(inputs).tolist())) == Counter(map(tuple, run.data.train.inputs.tolist()))
    pairs = dict(zip(map(tuple, run.data.train.inputs.tolist()), run.data.train.targets.tolist(), strict=True))
    assert [pairs[tuple(row)] for row in torch.cat(inputs).tolist()] == torch.cat(targets).tolist()


@pytest.mark.parametrize("size", [1, 7, 32, 119, 120, 500, "all"])
def test_batches_after_some_are_those_of_the_whole_epoch(size):
    """To the place in memory: rounding can hang on how a batch lies there."""
    run = start(changed(MOONS, batch_size=size))
    whole = list(training.batches(run, 2))
    assert len(whole) == run.steps_per_epoch
    for skip in {0, 1, 2, 31, 32, 33, 64, len(whole) - 1, len(whole)}:
        if skip <= len(whole):
            found = list(training.batches(run, 2, skip))
            assert len(found) == len(whole) - skip
            for one, other in zip(found, whole[skip:], strict=True):
                assert same(one, other)
                assert [part.storage_offset() for part in one] == [part.storage_offset() for part in other]


@pytest.mark.parametrize("size", [16, "all"])
def test_a_run_whose_pictures_stay_in_their_file_is_the_same_to_the_bit(size, tmp_path, monkeypatch):
    monkeypatch.setenv("DLCORE_DATA", str(tmp_path))
    write_mnist(tmp_path, 1500)
    recipe = Recipe(data=Mnist(), model=CNN(channels=(2,), dense=4, dropout=0.5), batch_size=size, epochs=2)
    found = []
    for most in (2**30, 0):
        monkeypatch.setattr(splits, "RESIDENT", most)
        data = Mnist().load(lambda share: None)
        assert isinstance(data.train, Split if most else FiledSplit)
        found.append([event for event in train(build(recipe, data)) if not isinstance(event, Evaluating)])
    assert len(found[0]) == 2 * (1 if size == "all" else 85) + 2
    for one, other in zip(*found, strict=True):
        if isinstance(one, Step):
            assert one == other
        else:
            for mine, yours in zip(one[1:3], other[1:3], strict=True):
                assert (mine.loss, mine.predicted.tolist()) == (yours.loss, yours.predicted.tolist())


@pytest.mark.parametrize(("epochs", "steps"), [(0, 0), (0, 1), (0, 4), (1, 0), (2, 3), (2, 4), (3, 0)])
def test_a_run_can_start_at_any_place(epochs, steps):
    """A place of four steps is one before the evaluation, which is still to come."""
    events = list(train(start(), Place(epochs, steps)))
    kinds = [type(event) for event in events]
    rest = [Step] * (STEPS - steps) + [Evaluating] * 2 + [EpochEnd] if epochs < 3 else []
    assert kinds == rest + ([Step] * STEPS + [Evaluating] * 2 + [EpochEnd]) * max(0, 2 - epochs)
    assert all(event.epoch == epochs + 1 for event in events[: len(rest)] if not isinstance(event, Evaluating))


def test_a_run_that_starts_late_has_the_learning_rate_of_its_place():
    recipe = changed(MOONS, schedule=Cosine())
    run = start(recipe)
    rates = [run.optimizer.param_groups[0]["lr"] for event in train(run, Place(1, 2)) if isinstance(event, Step)]
    assert rates == pytest.approx([0.1 * (1 + np.cos(np.pi * step / 12)) / 2 for step in range(6, 12)])


def test_small_batches_that_span_several_blocks_lose_no_sample():
    run = start(changed(MOONS, batch_size=1))
    found = [batch for batch, _ in training.batches(run, 1)]
    assert len(found) == 120
    assert {tuple(row) for row in torch.cat(found).tolist()} == {tuple(row) for row in run.data.train.inputs.tolist()}


def test_the_order_changes_from_epoch_to_epoch_and_with_the_seed_alone():
    def order(recipe, epoch):
        torch.rand(3)  # whatever else is drawn
        return torch.cat([inputs for inputs, _ in training.batches(start(recipe), epoch)])

    assert torch.equal(order(MOONS, 1), order(changed(MOONS, model=MLP(widths=(3,), dropout=0.5)), 1))
    assert not torch.equal(order(MOONS, 1), order(MOONS, 2))
    assert not torch.equal(order(MOONS, 1), order(changed(MOONS, seed=1), 1))


@pytest.mark.parametrize("size", ["all", 120, 1000])
def test_one_batch_of_all_samples_is_plain_gradient_descent(size):
    run = start(changed(MOONS, batch_size=size))
    assert run.steps_per_epoch == 1
    ((inputs, targets),) = training.batches(run, 1)
    assert torch.equal(inputs, run.data.train.inputs)
    assert torch.equal(targets, run.data.train.targets)
    assert [type(event) for event in train(run)] == [Step, Evaluating, Evaluating, EpochEnd] * 3


def test_gradient_descent_on_the_line_follows_the_formula():
    # dL/dw = 2 mean((w x + b - y) x), dL/db = 2 mean(w x + b - y)
    recipe = Recipe(data=Line(), model=Linear(), loss=MeanSquaredError(), optimizer=SGD(lr=0.01, momentum=0.0),
                    epochs=20, batch_size="all")  # fmt: skip
    run = start(recipe)
    w, b = (value.item() for value in run.model.parameters())
    x = np.array([1.0, 2, 3, 4])
    for _ in range(20):
        wrong = w * x + b - 2 * x
        w, b = w - 0.01 * 2 * np.mean(wrong * x), b - 0.01 * 2 * np.mean(wrong)
    for _ in train(run):
        pass
    assert [value.item() for value in run.model.parameters()] == pytest.approx([w, b], rel=1e-4)


# Evaluation


@pytest.mark.parametrize("size", [1, 7, 40, 512])
@pytest.mark.parametrize("kind", choices(Loss))
def test_evaluation_is_the_mean_over_the_whole_split_however_it_is_cut(monkeypatch, kind, size):
    monkeypatch.setattr(training, "EVALUATION_BATCH", size)
    run = start(changed(MOONS, loss=choices(Loss)[kind]()))
    split = run.data.validation
    with torch.no_grad():
        outputs = run.model.eval()(split.inputs)
        loss = run.recipe.loss.of(outputs, split.targets).item()
    found = score(run, split)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    classes = (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(1)
    assert found.predicted.tolist() == classes.tolist()
    assert found.accuracy == accuracy_score(split.targets, classes)


def test_regression_is_scored_by_its_values_without_accuracy():
    run = start(Recipe(data=Sine(), model=MLP(widths=(4,)), loss=MeanSquaredError()))
    found, split = score(run, run.data.validation), run.data.validation
    assert found.accuracy is None
    assert found.predicted.shape == (100, 1)
    assert found.loss == pytest.approx(np.mean((found.predicted - split.targets.numpy()) ** 2), rel=1e-5)


@pytest.mark.parametrize(("batch", "measured"), [(16, 40), (40, 40), (64, 64), (256, 120)])
def test_an_epoch_ends_with_the_scores_of_the_validation_split_and_of_a_like_number_of_training_samples(
    monkeypatch, batch, measured
):
    """40 samples validate, of 120 that are trained on: as many are measured, at least a batch, and few are whole."""
    monkeypatch.setattr(training, "EVALUATION_BATCH", batch)
    run = start(changed(MOONS, epochs=1))
    *_, end = train(run)
    sample = Split(run.data.train.inputs[:measured], run.data.train.targets[:measured])
    for found, split in ((end.train, sample), (end.validation, run.data.validation)):
        expected = score(run, split)
        assert (found.loss, found.accuracy) == (expected.loss, expected.accuracy)
        assert np.array_equal(found.predicted, expected.predicted)


@pytest.mark.parametrize("data", [Line(), PassFail()])
def test_the_training_curve_of_four_points_measures_all_four(data):
    loss = CrossEntropy() if task_of(data.spec()).classes else MeanSquaredError()
    run = start(Recipe(data=data, model=Linear(), loss=loss, optimizer=SGD(lr=0.1), epochs=1, batch_size=2))
    *_, end = train(run)
    x = np.array([1.0, 2, 3, 4])
    w, b = (value.detach().numpy().reshape(-1) for value in run.model.parameters())
    if task_of(data.spec()).classes:
        right = (w[1] * x + b[1] > w[0] * x + b[0]) == (x > 2.5)
        assert len(end.train.predicted) == 4
        assert end.train.accuracy == right.mean()
    else:
        assert end.train.loss == pytest.approx(np.mean((w * x + b - 2 * x) ** 2), rel=1e-5)


def test_evaluation_leaves_weights_batch_statistics_and_random_state_alone():
    run = start(changed(MOONS, model=MLP(widths=(8,), dropout=0.5, batch_norm=True)))
    next(train(run))
    before, state = weights(run.model), torch.get_rng_state()
    first = score(run, run.data.validation)
    assert same(weights(run.model), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert score(run, run.data.validation).loss == first.loss  # dropout is off


def test_dropout_is_on_again_for_the_step_after_an_evaluation():
    run = start(changed(MOONS, model=MLP(widths=(8,), dropout=0.5)))
    for event in train(run):
        assert run.model.training == isinstance(event, Step)


# Predicting


def test_predict_normalises_as_the_training_data_were():
    recipe = Recipe(model=MLP(widths=(8,)))
    run = start(recipe, digits())
    raw = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        expected = run.model.eval()((raw - 0.25) / 0.5).softmax(1)
    torch.testing.assert_close(predict(run, raw), expected)
    assert (predict(run, raw) - predict(run, (raw - run.data.mean) / run.data.std)).abs().max() > 1e-3


def test_predict_on_real_digits_gives_back_the_validation_scores():
    run = start(Recipe(model=MLP(widths=(8,))), load(Mnist5k()))
    split = run.data.validation
    raw = split.inputs * run.data.std + run.data.mean
    assert 0 <= raw.min() < raw.max() <= 1 + 1e-5
    agree = predict(run, raw).argmax(1).numpy() == score(run, split).predicted
    assert agree.mean() > 0.99  # all but a few that rounding may turn


def test_predict_leaves_the_random_state_alone_and_is_the_same_twice():
    run = start(changed(MOONS, model=MLP(widths=(8,), dropout=0.5)))
    next(train(run))
    state = torch.get_rng_state()
    raw = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(predict(run, raw), predict(run, raw))
    assert torch.equal(torch.get_rng_state(), state)


SMALL = {kind: data for kind, data in choices(Data).items() if data.inputs.shape != (3, 32, 32)}


@pytest.mark.parametrize("loss", choices(Loss))
@pytest.mark.parametrize("kind", [kind for kind, data in SMALL.items() if isinstance(data.targets, Classes)])
def test_probabilities_sum_to_one_for_every_loss_and_data(kind, loss):
    recipe = Recipe(data=SMALL[kind](), model=MLP(widths=(4,)), loss=choices(Loss)[loss](), optimizer=Adam(lr=0.1))
    data = digits() if recipe.shape == (1, 28, 28) else load(recipe.data)
    run = start(recipe, data)
    for _, event in zip(range(3), train(run), strict=False):
        assert isinstance(event, Step | Evaluating | EpochEnd)
    found = predict(run, 20 * torch.randn(50, *recipe.shape, generator=torch.Generator().manual_seed(0)))
    assert found.shape == (50, len(recipe.task.classes))
    assert found.min() >= 0
    torch.testing.assert_close(found.sum(1), torch.ones(50))


def test_predict_gives_plain_values_for_regression():
    run = start(Recipe(data=Sine(), model=MLP(widths=(4,)), loss=MeanSquaredError()))
    raw = torch.tensor([[-1.0], [2.0]])
    with torch.no_grad():
        torch.testing.assert_close(predict(run, raw), run.model(raw))


# Augmentation


def test_augmentation_applies_to_training_batches_only(monkeypatch):
    # Pictures with nothing but a sign: what the network sees tells where they have been.
    seen = []
    monkeypatch.setattr(Augmentation, "apply", lambda self, pictures: pictures + 100)
    run = start(Recipe(model=MLP(widths=(4,)), batch_size=50, epochs=1, augmentation=Augmentation(shift=0.1)), digits())
    run.model.register_forward_pre_hook(
        lambda model, inputs: seen.append((model.training, inputs[0].mean().item() > 50))
    )
    for _ in train(run):
        pass
    predict(run, torch.rand(2, 1, 28, 28))
    assert seen == [(True, True)] * 2 + [(False, False)] * 3


def test_augmentation_changes_the_course_and_is_decided_by_the_seed():
    def losses(**fields):
        recipe = Recipe(model=MLP(widths=(4,)), batch_size=50, epochs=2, **fields)
        return [event.loss.item() for event in train(start(recipe, digits())) if isinstance(event, Step)]

    moved = Augmentation(shift=0.1, rotate=20)
    assert losses(augmentation=moved) == losses(augmentation=moved)
    assert losses(augmentation=moved) != losses()


# Precision


@pytest.mark.parametrize("loss", choices(Loss))
def test_bfloat16_trains_near_float32_with_every_loss(loss):
    recipe = changed(MOONS, loss=choices(Loss)[loss](), epochs=5)
    ends = {}
    for precision in ("float32", "bfloat16"):
        run = start(changed(recipe, precision=precision))
        before = score(run, run.data.validation).loss
        *_, end = train(run)
        assert end.validation.loss < before
        assert all(parameter.dtype == torch.float32 for parameter in run.model.parameters())
        ends[precision] = end.validation.loss
    assert ends["bfloat16"] == pytest.approx(ends["float32"], rel=0.05)
    assert ends["bfloat16"] != ends["float32"]  # or it was not used at all


def test_bfloat16_trains_a_convolutional_network_too():
    recipe = Recipe(model=CNN(channels=(4,), dense=8), batch_size=50, epochs=10, optimizer=Adam(lr=0.01),
                    precision="bfloat16")  # fmt: skip
    losses = [event.loss.item() for event in train(start(recipe, digits())) if isinstance(event, Step)]
    assert losses[-1] < losses[0]


# Cost


def test_no_step_reads_a_number_from_its_device(monkeypatch):
    read = Counter()

    def counted(name):
        original = getattr(torch.Tensor, name)

        def wrapper(self, *arguments, **named):
            read[name] += 1
            return original(self, *arguments, **named)

        return wrapper

    events = train(start(changed(MOONS, optimizer=Adam(), schedule=Cosine())))
    next(events)
    for name in ("item", "tolist", "cpu", "numpy", "__float__", "__int__", "__bool__"):
        monkeypatch.setattr(torch.Tensor, name, counted(name))
    assert [type(next(events)) for _ in range(STEPS - 1)] == [Step] * (STEPS - 1)
    assert not read
    assert float(next(train(start())).loss) > 0
    assert read["__float__"] == 1  # what is counted here can be


# Beginning


def test_the_same_recipe_starts_from_the_same_weights_and_another_seed_from_others():
    torch.rand(7)
    assert same(weights(start().model), weights(start().model))
    assert not same(weights(start().model), weights(start(changed(MOONS, seed=1)).model))


def test_weights_do_not_depend_on_what_the_contestants_differ_in():
    other = start(changed(MOONS, optimizer=Adam(), batch_size=7, model=MLP(widths=(8,), dropout=0.3)))
    assert same(weights(start().model), weights(other.model))


# Steering


def test_a_steered_run_has_other_settings_from_its_next_step_on():
    run = start(changed(MOONS, model=MLP(widths=(8,), dropout=0.0), optimizer=SGD(lr=0.1, momentum=0.0)))
    events = train(run)
    next(events)
    steered = changed(run.recipe, model=MLP(widths=(8,), dropout=0.99), optimizer=SGD(lr=0.25, momentum=0.5), epochs=1)
    training.steer(run, steered)
    before = weights(run.model)
    next(events)
    assert run.recipe == steered
    for old, parameter in zip(before, run.model.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), old - 0.25 * parameter.grad)
    assert [module.p for module in run.model.modules() if isinstance(module, torch.nn.Dropout)] == [0.99]
    *_, last = events
    assert (type(last), last.epoch) == (EpochEnd, 1)


def test_dropout_of_units_and_of_channels_are_steered_each_on_its_own():
    recipe = Recipe(model=CNN(channels=(4,), dense=8, dropout=0.5, channel_dropout=0.25), batch_size=50)
    run = start(recipe, digits())
    for dropout, channels in ((0.5, 0.0), (0.1, 0.75)):
        steered = changed(
            recipe, model=recipe.model.model_copy(update={"dropout": dropout, "channel_dropout": channels})
        )
        training.steer(run, steered)
        shares = {type(module): module.p for module in run.model.modules() if hasattr(module, "p")}
        assert shares == {torch.nn.Dropout: dropout, torch.nn.Dropout2d: channels}


def test_more_epochs_are_taken_up_even_after_the_last():
    run = start()
    events = train(run)
    for event in events:
        if isinstance(event, EpochEnd) and event.epoch == 3:
            training.steer(run, changed(MOONS, epochs=4))
    assert event.epoch == 4
