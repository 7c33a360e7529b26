"""The loss around a run, against computations of its own: scikit-learn's components, the run's own evaluation."""

import math
from collections import deque

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from dlcore.catalogue.activations import Tanh
from dlcore.catalogue.architectures import CNN, MLP, Linear, Recurrent
from dlcore.catalogue.datasets import load
from dlcore.catalogue.losses import MeanSquaredError
from dlcore.catalogue.optimizers import SGD, Adam
from dlcore.engine.conductor import Conductor
from dlcore.engine.randomness import generator
from dlcore.engine.trainer import Trainer
from dlcore.engine.training import EpochEnd, score
from dlcore.inside.errors import LookError
from dlcore.inside.landscape import SAMPLES, Course, kept_frames, landscape, still
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.runs.film import Frame
from dlcore.runs.store import Store
from tests.running import LONG, MOONS, alone, changed, few_digits, fingerprint, finish, opened, take

PLAIN = MOONS.model_copy(update={"epochs": 6})
LINE = RECIPES["linear-regression"].recipe.model_copy(update={"epochs": 30})
NORMED = changed(MOONS, model=MLP(widths=(8,), batch_norm=True, dropout=0.5))
FEW = 7  # points a side


def whole(found):
    """The last of the landscapes, each finer than the one before."""
    return deque(found, maxlen=1)[0]


def frame(trainer, epoch):
    weights = {name: value.clone() for name, value in trainer.run.model.state_dict().items()}
    return Frame(epoch, trainer.history.steps, weights, {})


def filmed(recipe=PLAIN, data=None):
    """A run, trained, and its frames, the one before the first step among them."""
    trainer = Trainer(recipe)
    trainer.begin(data or load(recipe.data))
    frames = [frame(trainer, 0)]
    with trainer.own_random():
        while (event := trainer.advance()) is not None:
            if isinstance(event, EpochEnd):
                frames.append(frame(trainer, event.epoch))
    return trainer.run, Course(1, recipe, frames)


def flat(weights):
    return torch.cat([value.flatten() for value in weights.values()]).double().numpy()


def own_loss(run):
    return score(run, run.data.train.first(SAMPLES)).loss


@pytest.mark.parametrize("plane", ["random", "film"])
@pytest.mark.parametrize("recipe", [PLAIN, NORMED, changed(PLAIN, precision="bfloat16")])
def test_in_the_middle_the_loss_is_the_runs_own(recipe, plane):
    run, course = filmed(recipe)
    found = whole(landscape(still(run), [course], plane, side=FEW))
    end = found.paths[0].points[-1]
    assert (end.x, end.y) == pytest.approx((0, 0), abs=1e-6)
    assert end.loss_true == pytest.approx(own_loss(run), rel=1e-5)
    assert end.loss_in_plane == pytest.approx(end.loss_true, rel=1e-3)
    if plane == "random":  # whose grid has the centre in its middle
        assert found.loss[FEW // 2, FEW // 2] == pytest.approx(own_loss(run), rel=1e-5)


RECIPES_OF_ALL_KINDS = {
    "cnn": Recipe(model=CNN(channels=(4, 4), dense=8), epochs=2),
    "recurrent": Recipe(model=Recurrent(hidden=8), epochs=2),
    "linear": Recipe(model=Linear(), epochs=2),
}


@pytest.mark.parametrize("recipe", RECIPES_OF_ALL_KINDS.values(), ids=RECIPES_OF_ALL_KINDS)
def test_every_kind_of_network_has_one(recipe):
    run, course = filmed(recipe, few_digits())
    found = whole(landscape(still(run), [course], "film", side=FEW))
    assert found.loss.shape == (FEW, FEW)
    assert found.samples == 200
    assert np.isfinite(found.loss).all()
    assert found.paths[0].points[-1].loss_true == pytest.approx(own_loss(run), rel=1e-4)


def test_of_two_weights_the_film_shows_everything_and_the_loss_is_the_parabola_that_it_is():
    run, course = filmed(LINE)
    found = whole(landscape(still(run), [course], "film", side=FEW))
    assert found.variance == pytest.approx(1)
    for point in found.paths[0].points:
        assert point.loss_in_plane == pytest.approx(point.loss_true, rel=1e-4)
    inputs, targets = (part.double().numpy() for part in (run.data.train.inputs, run.data.train.targets))
    components = PCA(2).fit(np.stack([flat(one.weights) for one in course.frames])).components_
    end = flat(course.frames[-1].weights)
    # Where the first frame lies fixes the signs.
    components = [part * -np.sign(part @ (flat(course.frames[0].weights) - end)) for part in components]
    for row, y in enumerate(found.axes[1]):
        for column, x in enumerate(found.axes[0]):
            slope, start = end + x * components[0] + y * components[1]
            assert found.loss[row, column] == pytest.approx(np.mean((inputs * slope + start - targets) ** 2), rel=1e-4)


def test_the_plane_of_a_film_holds_what_its_first_two_components_explain():
    run, course = filmed()
    found = whole(landscape(still(run), [course], "film", side=FEW))
    frames = np.stack([flat(one.weights) for one in course.frames])
    pca = PCA(2).fit(frames)
    assert found.variance == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-6)
    expected = np.abs((frames - frames[-1]) @ pca.components_.T)
    places = np.array([(point.x, point.y) for point in found.paths[0].points])
    np.testing.assert_allclose(np.abs(places), expected, atol=1e-5)
    assert (places[0] <= 0).all()
    for axis, along in zip(found.axes, places.T, strict=True):  # all of the path is on the picture
        assert axis[0] < along.min()
        assert along.max() < axis[-1]


def test_of_a_path_that_bends_the_plane_tells_less_than_the_truth():
    run, course = filmed()
    found = whole(landscape(still(run), [course], "random", side=FEW))
    first = found.paths[0].points[0]
    untrained = Trainer(PLAIN)
    untrained.begin(load(PLAIN.data))
    assert first.loss_true == pytest.approx(own_loss(untrained.run), rel=1e-5)
    assert first.loss_in_plane < first.loss_true
    assert found.variance < 0.5


def test_a_random_direction_has_filters_as_long_as_the_weights_own_and_leaves_biases_and_norms_alone():
    run, _ = filmed(NORMED)
    here = still(run)
    network, losses = run.model.eval(), {}
    found = whole(landscape(here, seed=3, side=3))
    sources = [generator(3, "landscape", number) for number in (1, 2)]
    directions = []
    for source in sources:
        moved = {}
        for name, value in network.named_parameters():
            if value.dim() == 2:
                drawn = torch.randn(value.shape, generator=source)
                rows = [d * value[place].norm() / d.norm() for place, d in enumerate(drawn)]
                moved[name] = torch.stack(rows).detach()
        directions.append(moved)
    assert set(directions[0]) == {"0.weight", "4.weight"}
    inputs, targets = run.data.train.first(SAMPLES)[:]
    with torch.no_grad():
        for row, y in enumerate((-1, 0, 1)):
            for column, x in enumerate((-1, 0, 1)):
                weights = {
                    name: here.weights[name] + x * directions[0][name] + y * directions[1][name] for name in moved
                }
                network.load_state_dict({**here.weights, **weights})
                losses[row, column] = float(run.recipe.loss.of(network(inputs), targets))
    for place, loss in losses.items():
        assert found.loss[place] == pytest.approx(loss, rel=1e-4)


def test_it_becomes_ever_finer_and_what_was_coarse_stays():
    run, course = filmed()
    seen = list(landscape(still(run), [course], "film"))
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert seen[-1].done == 1
    sizes = list(dict.fromkeys(one.loss.shape for one in seen))
    assert sizes == [(6, 6), (11, 11), (31, 31)]
    assert np.isfinite(seen[-1].loss).all()
    for one in seen:
        stride = 30 // (len(one.loss) - 1)
        np.testing.assert_array_equal(one.axes[0], seen[-1].axes[0][::stride])
        there = ~np.isnan(one.loss)
        assert (one.loss == seen[-1].loss[::stride, ::stride])[there].all()
        assert there.all() or len(one.loss) == 6
    rough = next(one for one in seen if len(one.loss) == 11)
    assert not any(math.isnan(point.loss_true) for point in rough.paths[0].points)


def test_nothing_is_computed_that_nobody_asks_for(monkeypatch):
    run, _ = filmed()
    counted = []
    of = type(run.recipe.loss).of
    monkeypatch.setattr(type(run.recipe.loss), "of", lambda *given: counted.append(1) or of(*given))
    steps = landscape(still(run))
    for _ in range(5):
        next(steps)
    steps.close()
    assert len(counted) == 5


def test_raced_runs_lie_on_one_plane_each_with_its_path():
    run, first = filmed()
    other = changed(PLAIN, optimizer=SGD(lr=0.5))
    _, second = filmed(other)
    found = whole(landscape(still(run), [first, second._replace(run=2)], "film", side=FEW))
    assert [path.run for path in found.paths] == [1, 2]
    starts = [path.points[0] for path in found.paths]
    assert starts[0][1:] == pytest.approx(starts[1][1:])  # the same first weights
    frames = [flat(one.weights) for course in (first, second) for one in course.frames]
    assert found.variance == pytest.approx(PCA(2).fit(np.stack(frames)).explained_variance_ratio_.sum(), rel=1e-6)


def test_a_long_film_is_thinned_but_keeps_its_ends():
    run, course = filmed()
    long = course._replace(frames=[one._replace(epoch=number) for number, one in enumerate(course.frames * 40)])
    (path,) = whole(landscape(still(run), [long], "film", side=3)).paths
    assert len(path.points) == 100
    assert (path.points[0].epoch, path.points[-1].epoch) == (0, len(long.frames) - 1)


DIFFERENT = {
    "network": changed(PLAIN, model=MLP(widths=(9,))),
    "network, in its activation alone": changed(PLAIN, model=MLP(widths=(8,), activation=Tanh())),
    "data set": changed(PLAIN, data=PLAIN.data.model_copy(update={"noise": 0.3})),
    "loss": changed(PLAIN, loss=MeanSquaredError()),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_runs_that_share_no_ground_are_a_sentence(what):
    run, course = filmed()
    _, other = filmed(changed(DIFFERENT[what], epochs=1))
    with pytest.raises(LookError, match=f"Run 2 has another {what.split(',')[0]} than .* race of optimizers"):
        landscape(still(run), [course, other._replace(run=2)], "film")


def test_another_dropout_is_the_same_ground():
    run, course = filmed()
    _, other = filmed(changed(PLAIN, model=MLP(widths=(8,), dropout=0.3), optimizer=Adam(lr=0.1), epochs=1))
    assert whole(landscape(still(run), [course, other._replace(run=2)], "film", side=3)).done == 1


def test_frames_that_do_not_fit_their_own_run_are_a_sentence():
    run, course = filmed()
    broken = course.frames[0]._replace(weights={"0.weight": torch.zeros(2, 2)})
    with pytest.raises(LookError, match="Run 1 has another network"):
        landscape(still(run), [course._replace(frames=[broken, *course.frames])], "film")


def test_what_makes_no_plane_is_a_sentence():
    run, course = filmed()
    with pytest.raises(LookError, match=r"three frames .* random directions"):
        landscape(still(run), [course._replace(frames=course.frames[:2])], "film")
    with pytest.raises(LookError, match=r"one line, .* random directions"):
        landscape(still(run), [course._replace(frames=course.frames[:1] * 5)], "film")
    run, _ = filmed(LINE)
    with pytest.raises(LookError, match=r"one weight, .* principal components"):
        landscape(still(run))


def test_a_network_that_is_too_large_is_a_sentence(monkeypatch):
    monkeypatch.setattr("dlcore.inside.landscape.MOST_WEIGHTS", 20)
    run, _ = filmed()
    with pytest.raises(LookError, match=r"42 weights is too large for a landscape; .* up to 20"):
        landscape(still(run))


def test_looking_at_a_run_in_training_leaves_no_trace():
    recipe = changed(NORMED, epochs=20)
    untouched = alone(recipe)
    conductor = Conductor(threads=1)
    job = conductor.submit("looked at", recipe, paused=True)
    take(job, 6)
    here = job.ask(still).result(LONG)
    job.resume()
    found = whole(landscape(here, side=FEW))
    assert np.isfinite(found.loss).all()
    finish(job)
    assert fingerprint(job) == untouched
    conductor.close()


@pytest.mark.parametrize(("most", "epochs"), [(200, [0, 1, 2, 3, 4, 5, 6]), (0, [1, 2, 3, 4, 5, 6])])
def test_the_frames_of_a_run_of_the_store_are_its_film_or_its_checkpoints(tmp_path, most, epochs):
    with opened(tmp_path) as conductor:
        conductor.frames = most
        job = conductor.submit("kept", PLAIN)
        finish(job)
        assert job.wait_saved(LONG)
        end = job.ask(still).result(LONG)
        frames = kept_frames(Store(tmp_path), job.number)
    assert [one.epoch for one in frames] == epochs
    assert flat(frames[-1].weights).tobytes() == flat(end.weights).tobytes()
