import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcore.catalogue.activations import Tanh
from dlcore.catalogue.architectures import CNN, MLP, Architecture, LeNet, Linear, Recurrent, ResNet18
from dlcore.catalogue.datasets import Circles, Data, Line, Mnist5k, Moons, PassFail, load
from dlcore.catalogue.losses import BinaryCrossEntropy, MeanSquaredError
from dlcore.catalogue.optimizers import Adam
from dlcore.catalogue.spec import Picture
from dlcore.catalogue.splits import Dataset, Split
from dlcore.engine.training import Run, build, train, untrained
from dlcore.inside.anatomy import BINS, COARSE, EXCITING, FINE, LINKS, MOST_LAYERS, MOST_MAPS, MOST_UNITS, anatomy, unit
from dlcore.inside.errors import LookError
from dlcore.inside.tracing import trace
from dlcore.recipe import Recipe
from dlcore.settings import choices
from tests.running import few_digits

KINDS, DATA = choices(Architecture), choices(Data)
VARIANTS = [
    *(cls() for cls in KINDS.values()),
    MLP(widths=(7, 5), activation=Tanh(), dropout=0.3, batch_norm=True),
    CNN(channels=(4, 5), padding=False, pooling="last", channel_dropout=0.3, dense=9),
    LeNet(activation=Tanh()),
    *(Recurrent(cell=cell, hidden=6, layers=2) for cell in ("rnn", "lstm", "gru")),
]
SHAPES = {data.inputs.shape: data for data in DATA.values()}
PAIRS = [
    pytest.param(architecture, data, id=f"{architecture.kind}{number}-{data().kind}")
    for number, architecture in enumerate(VARIANTS)
    for data in SHAPES.values()
    if not architecture.problems(data(), 64)
]


def made_up(data: Data, samples: int = 12) -> Dataset:
    """Random samples in the form of a data set's, so that nothing has to be fetched."""
    random, task = torch.Generator().manual_seed(0), Recipe(data=data).task
    inputs = torch.randn(samples, *data.spec().inputs.shape, generator=random)
    targets = torch.arange(samples) % len(task.classes) if task.classes else torch.randn(samples, 1, generator=random)
    channels = data.inputs.channels if isinstance(data.inputs, Picture) else 0
    scale = (
        (torch.full((channels, 1, 1), 0.3), torch.full((channels, 1, 1), 0.2)) if channels else (0 * torch.ones(1), 1)
    )
    split = Split(inputs, targets)
    return Dataset(split, split, split, scale[0], torch.as_tensor(scale[1]).float())


def network(architecture: Architecture, data: Data, dataset: Dataset | None = None, **fields) -> Run:
    loss = {} if Recipe(data=data).task.classes else {"loss": MeanSquaredError()}
    recipe = Recipe(data=data, model=architecture, **(loss | fields))
    return untrained(recipe, dataset or made_up(data))


def same(found: np.ndarray, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-5)


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@pytest.mark.parametrize(("architecture", "data"), PAIRS)
def test_every_network_can_be_drawn(architecture, data):
    run = network(architecture, data())
    random = torch.get_rng_state()
    found = anatomy(run, 1)
    assert torch.equal(torch.get_rng_state(), random)
    assert hooks(run.model) == 0
    assert len(found.layers) == min(found.hidden, MOST_LAYERS)
    for layer in found.layers:
        assert np.isfinite(layer.activations).all()
        assert len(layer.activations) <= MOST_UNITS
        assert len(layer.links.sources) == len(layer.links.targets) == len(layer.links.strengths) <= LINKS
    assert unit(run, found.answer.layer, 0).values.shape == (12,)
    inputs, _ = run.data.validation[1:2]
    expected = run.recipe.task.predict(run.model(inputs), run.recipe.loss)
    same(found.answer.values, expected[0])


def test_a_perceptron_shows_what_a_pass_by_hand_gives():
    run = network(MLP(widths=(20, 6)), Mnist5k())
    first, second, last = (module for module in run.model if isinstance(module, nn.Linear))
    x = run.data.validation.inputs[3].flatten()
    one = F.relu(first.weight @ x + first.bias)
    two = F.relu(second.weight @ one + second.bias)
    found = anatomy(run, 3)
    assert [layer.title for layer in found.layers] == ["Dense", "Dense"]
    assert [layer.then for layer in found.layers] == [("ReLU",), ("ReLU",)]
    same(found.layers[0].activations, one)
    same(found.layers[1].activations, two)
    same(found.answer.values, (last.weight @ two + last.bias).softmax(0))
    assert found.answer.right == int(run.data.validation.targets[3])
    same(found.input.values, run.data.validation.inputs[3] * 0.2 + 0.3)
    for links, weight, given in (
        (found.layers[0].links, first.weight, x),
        (found.layers[1].links, second.weight, one),
        (found.answer.links, last.weight, two),
    ):
        shares = (weight * given).detach().numpy()
        strongest = np.sort(np.abs(shares).ravel())[::-1][:LINKS]
        np.testing.assert_allclose(np.abs(links.strengths), strongest, rtol=1e-4)
        np.testing.assert_allclose(shares[links.targets, links.sources], links.strengths, rtol=1e-4)


def test_a_convolution_shows_its_maps_before_pooling_and_adds_them_up_where_a_dense_layer_looks():
    run = network(CNN(channels=(3, 4), dense=5, dropout=0.0), Mnist5k())
    first, second = (module for module in run.model if isinstance(module, nn.Conv2d))
    dense = next(module for module in run.model if isinstance(module, nn.Linear))
    x = run.data.validation.inputs[:1]
    one = F.relu(F.conv2d(x, first.weight, first.bias, padding=1))
    two = F.relu(F.conv2d(F.max_pool2d(one, 2), second.weight, second.bias, padding=1))
    pooled = F.max_pool2d(two, 2)
    three = F.relu(dense.weight @ pooled.flatten() + dense.bias)
    found = anatomy(run, 0)
    same(found.layers[0].activations, one[0])
    same(found.layers[1].activations, two[0])
    same(found.layers[2].activations, three)
    assert [layer.output for layer in found.layers] == [(3, 14, 14), (4, 7, 7), (5,)]
    assert [layer.then for layer in found.layers] == [("ReLU", "pooling"), ("ReLU", "pooling"), ("ReLU",)]
    shares = torch.einsum("umhw,mhw->um", dense.weight.view(5, 4, 7, 7), pooled[0]).detach().numpy()
    links = found.layers[2].links
    assert len(links.sources) == 20
    np.testing.assert_allclose(shares[links.targets, links.sources], links.strengths, rtol=1e-4, atol=1e-6)
    between = found.layers[1].links
    share = second.weight[0, 2].sum() * F.max_pool2d(one, 2)[0, 2].mean()
    (place,) = np.flatnonzero((between.targets == 0) & (between.sources == 2))
    assert between.strengths[place] == pytest.approx(share.item(), rel=1e-4)


def test_a_recurrent_layer_shows_its_state_after_every_row():
    run = network(Recurrent(hidden=6), Mnist5k())
    (layer,) = anatomy(run, 2).layers
    states, _ = run.model.cell(run.data.validation.inputs[2, 0])
    same(layer.activations, states)
    assert layer.units == 6
    links = anatomy(run, 2).answer.links
    shares = (run.model.output.weight * states[-1]).detach().numpy()
    np.testing.assert_allclose(shares[links.targets, links.sources], links.strengths, rtol=1e-4)


def test_a_unit_that_sees_two_features_has_a_map_of_the_plane():
    run = network(MLP(widths=(3,), activation=Tanh()), Circles(samples=60), load(Circles(samples=60)))
    found = anatomy(run, 0)
    (layer,) = found.layers
    assert layer.plane.shape == (3, COARSE, COARSE)
    (low, high), (bottom, top) = found.axes
    across, up = torch.linspace(low, high, FINE), torch.linspace(bottom, top, FINE)
    place = torch.stack([across[1 + 2 * 4], up[1 + 2 * 7]])  # of column 4 and row 7
    same(layer.plane[:, 7, 4], torch.tanh(run.model[0](place)))
    same(found.answer.plane[:, 20, 5], run.model(torch.stack([across[5], up[20]])[None]).softmax(1)[0])
    same(found.input.plane[:, 7, 4], place)
    np.testing.assert_allclose(layer.links.strengths[0], _largest(run.model[0].weight), rtol=1e-6)  # of no sample
    inputs = run.data.train.inputs
    assert low < inputs[:, 0].min() < inputs[:, 0].max() < high


def _largest(weight: torch.Tensor) -> float:
    flat = weight.detach().flatten().numpy()
    return flat[np.abs(flat).argmax()]


def test_one_feature_gives_curves_and_numbers_a_target():
    run = network(Linear(), Line(), load(Line()))
    found = anatomy(run, 1)
    assert found.layers == ()
    weight, bias = run.model[0].weight.item(), run.model[0].bias.item()
    places = np.linspace(*found.axes[0], FINE)
    np.testing.assert_allclose(found.answer.plane[0], weight * places + bias, rtol=1e-4)
    assert found.answer.right is None
    assert found.answer.target.tolist() == run.data.validation.targets[1].tolist()
    assert found.answer.links.strengths.tolist() == [pytest.approx(weight)]


def test_an_output_that_tells_two_classes_leads_to_the_second():
    run = network(Linear(), PassFail(), load(PassFail()), loss=BinaryCrossEntropy())
    assert anatomy(run, 0).answer.links.targets.tolist() == [1]


def test_a_drawing_is_seen_as_a_sample_is():
    run = network(MLP(widths=(4,)), Mnist5k())
    raw = run.data.validation.inputs[5] * run.data.std + run.data.mean
    ours, theirs = anatomy(run, raw), anatomy(run, 5)
    np.testing.assert_allclose(ours.layers[0].activations, theirs.layers[0].activations, rtol=1e-4, atol=1e-5)
    assert (ours.sample, ours.answer.right) == (None, None)


def test_large_layers_and_many_are_bounded():
    found = anatomy(network(MLP(widths=(200, 9)), Mnist5k()), 0)
    assert found.layers[0].activations.shape == (MOST_UNITS,)
    assert found.layers[0].units == 200
    assert found.layers[1].links.sources.max() < MOST_UNITS
    wide = anatomy(network(CNN(channels=(100,)), Mnist5k()), 0).layers[0]
    assert (len(wide.activations), wide.units) == (MOST_MAPS, 100)
    deep = anatomy(network(MLP(widths=(3,) * 15), Moons()), 0)
    assert (len(deep.layers), deep.hidden) == (MOST_LAYERS, 15)
    assert [deep.layers[0].name, deep.layers[-1].name] == ["0", str(14 * 3)]
    assert all(len(layer.links.sources) == 0 for layer in deep.layers[1:])  # what is before them is not drawn


def test_a_unit_from_nearby_is_what_a_pass_by_hand_gives():
    run = network(MLP(widths=(5,)), Mnist5k())
    found = unit(run, "1", 2, 4)
    inputs = run.data.validation.inputs
    values = F.relu(run.model[1](inputs.flatten(1)))[:, 2]
    same(found.values, values)
    same(found.weights, run.model[1].weight[2].view(1, 28, 28))
    assert found.bias == pytest.approx(run.model[1].bias[2].item())
    assert found.activation == pytest.approx(values[4].item(), rel=1e-4)
    assert found.counts.sum() == 12
    assert len(found.counts) == BINS
    assert found.strongest.tolist() == np.argsort(-values.detach().numpy(), kind="stable")[:EXCITING].tolist()
    same(found.inputs[0], inputs[found.strongest[0]] * 0.2 + 0.3)
    assert found.targets[0] == run.data.validation.targets[found.strongest[0]]


def test_a_filter_is_excited_by_the_sample_that_holds_its_pattern():
    run = network(CNN(channels=(2,), dense=3), Mnist5k())
    convolution = run.model[0]
    pattern = torch.tensor([[1.0, -1, 1], [-1, 1, -1], [1, -1, 1]])
    with torch.no_grad():
        convolution.weight[1, 0] = pattern
        run.data.validation.inputs[7, 0, 10:13, 10:13] = 100 * pattern
    found = unit(run, "0", 1, 7)
    same(found.weights, pattern[None])
    assert found.strongest[0] == 7
    assert np.unravel_index(found.activation.argmax(), (28, 28)) == (11, 11)


def test_what_the_answers_own_layer_looks_at_can_be_opened():
    run = network(Linear(), Mnist5k())
    same(unit(run, anatomy(run, 0).answer.layer, 3).weights, run.model[1].weight[3].view(1, 28, 28))


def test_what_is_not_there_is_a_sentence_that_says_what_is():
    run = network(MLP(widths=(5,)), Mnist5k())
    with pytest.raises(LookError, match="no validation sample 12; they are numbered from 0 to 11"):
        anatomy(run, 12)
    with pytest.raises(LookError, match=r"no layer 9; there are 1, 4"):
        unit(run, "9", 0)
    with pytest.raises(LookError, match="5 units, from 0 to 4; there is no 5"):
        unit(run, "1", 5)
    with pytest.raises(LookError, match=r"takes \(1, 28, 28\), not \(3, 3\)"):
        anatomy(run, torch.zeros(3, 3))
    nothing = Split(torch.empty(0), torch.empty(0))
    with pytest.raises(LookError, match="draw one"):
        anatomy(Run(run.recipe, Dataset(*3 * [nothing], run.data.mean, run.data.std), run.model, run.optimizer), 0)


def test_hooks_are_gone_even_when_a_pass_fails():
    run = network(MLP(widths=(5,)), Mnist5k())
    with pytest.raises(RuntimeError):
        trace(run, torch.zeros(1, 3))
    assert hooks(run.model) == 0


def test_a_network_of_blocks_that_use_their_activation_twice_is_read_in_order():
    run = network(ResNet18(), Mnist5k())
    traced, outputs = trace(run, run.data.validation.inputs[:2])
    names = [layer.name for layer in traced]
    assert names[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert names[-1] == "fc"
    block = run.model.layer1[0]
    with torch.inference_mode():
        same(traced[1].shown.numpy(), F.relu(block.bn1(block.conv1(traced[1].given))))
    assert outputs.shape == (2, 10)


@pytest.mark.parametrize("architecture", [CNN(channels=(4,), dense=8, dropout=0.5), MLP(widths=(8,), batch_norm=True)])
def test_looking_changes_no_weight(architecture):
    recipe = Recipe(data=Mnist5k(), model=architecture, optimizer=Adam(), epochs=2, batch_size=64)

    def trained(look: bool) -> list[torch.Tensor]:
        run = build(recipe, few_digits())
        for number, _ in enumerate(train(run)):
            if look:
                name = anatomy(run, number % 100).layers[0].name
                unit(run, name, number % 4)
        return list(run.model.state_dict().values())

    assert all(torch.equal(one, other) for one, other in zip(trained(False), trained(True), strict=True))
