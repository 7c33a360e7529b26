import itertools
import math

import pytest
import torch
from torch import nn

from dlcore.catalogue.activations import Activation, Tanh
from dlcore.catalogue.architectures import (
    CNN,
    MLP,
    Architecture,
    LeNet,
    Linear,
    Recurrent,
    blank,
    layers,
    size,
    skeleton,
)
from dlcore.catalogue.datasets import Cifar10, Data, DataError, Mnist5k, Moons
from dlcore.catalogue.spec import Classes, Features, Picture, Spec
from dlcore.engine.training import initialise
from dlcore.settings import choices, parse
from tests.sequences import Alphabet, NextOfWave

KINDS, DATA, ACTIVATIONS = choices(Architecture), choices(Data), choices(Activation)
DIGITS = Picture(1, 28, 28)
SHAPES = sorted({cls.inputs.shape for cls in DATA.values()})
VARIANTS = [
    *(cls() for cls in KINDS.values()),
    MLP(widths=(7, 5, 3), activation=Tanh(), dropout=0.3, batch_norm=True),
    CNN(channels=(4, 5, 6), dense=9, dropout=0.0, activation=Tanh()),
    CNN(channels=(4, 5, 6), padding=False, channel_dropout=0.3),
    CNN(channels=(4, 5, 6), pooling="last"),
    CNN(channels=(4, 5), padding=False, pooling="last", dense=9),
    LeNet(activation=Tanh()),
    *(Recurrent(cell=cell, hidden=6, layers=2, dropout=0.2) for cell in ("rnn", "lstm", "gru")),
]
PAIRS = [
    pytest.param(architecture, data(), id=f"{architecture.kind}{number}-{kind}")
    for number, architecture in enumerate(VARIANTS)
    for kind, data in DATA.items()
    if not architecture.problems(data(), 64)
]
# One data set for each shape is enough where nothing but the shape matters.
SHAPED = [
    pair
    for pair in PAIRS
    if pair.values[1].kind in {next(kind for kind in DATA if DATA[kind].inputs.shape == shape) for shape in SHAPES}
]


def first_weights(architecture, seed=0, inputs=DIGITS, outputs=(10,)):
    model = architecture.build(inputs, outputs)
    initialise(model, seed)
    return model


def layer_weights(model, kind):
    return [module.weight for module in model.modules() if isinstance(module, kind)]


def test_every_architecture_fits_some_data_set():
    assert {pair.values[0].kind for pair in PAIRS} == set(KINDS)


@pytest.mark.parametrize(("architecture", "data"), SHAPED)
def test_a_network_takes_the_shape_of_its_data_and_gives_its_outputs(architecture, data):
    with torch.device("meta"):  # shapes alone; no weights, no arithmetic
        model = architecture.build(data.spec().inputs, (7,)).train()
        assert model(torch.zeros(3, *data.spec().inputs.shape)).shape == (3, 7)
        assert model.eval()(torch.zeros(1, *data.spec().inputs.shape)).shape == (1, 7)


@pytest.mark.parametrize(("architecture", "data"), SHAPED)
def test_the_table_of_layers_counts_the_real_networks_weights(architecture, data):
    found = layers(architecture, data.spec().inputs, (7,))
    with torch.device("meta"):
        real = architecture.build(data.spec().inputs, (7,))
    assert sum(layer.parameters for layer in found) == sum(parameter.numel() for parameter in real.parameters())
    assert size(architecture, data.spec().inputs, (7,)) == sum(layer.parameters for layer in found)
    assert found[-1].output == (7,)


@pytest.mark.parametrize(
    ("architecture", "inputs"),
    [(Linear(), Features(("x", "y"))), (MLP(widths=(5,)), Features(("x", "y"))), (MLP(), DIGITS)],
)
def test_the_table_of_layers_lists_what_data_pass_in_order(architecture, inputs):
    found = [layer.name for layer in layers(architecture, inputs, (3,))]
    passed = (module for module in architecture.build(inputs, (3,)) if not isinstance(module, nn.Dropout))
    assert found == [type(module).__name__ for module in passed]  # dropout is 0 here, and changes nothing


def test_the_table_of_layers_has_the_sizes_that_one_can_count_by_hand():
    found = {(layer.name, layer.output, layer.parameters) for layer in layers(CNN(), DIGITS, (10,))}
    assert ("Conv2d", (32, 28, 28), 32 * 9 + 32) in found
    assert ("Conv2d", (64, 14, 14), 64 * 32 * 9 + 64) in found
    assert ("Linear", (128,), 64 * 7 * 7 * 128 + 128) in found
    assert ("Linear", (10,), 128 * 10 + 10) in found
    (lstm,) = [layer for layer in layers(Recurrent(), DIGITS, (10,)) if layer.name == "LSTM"]
    assert lstm.parameters == 4 * 128 * (28 + 128 + 2)


@pytest.mark.parametrize("look", [skeleton, size, layers])
@pytest.mark.parametrize("architecture", VARIANTS, ids=repr)
def test_looking_at_a_network_draws_no_random_numbers_and_allocates_no_weights(architecture, look):
    before = torch.get_rng_state()
    look(architecture, DIGITS, (10,))
    assert torch.equal(torch.get_rng_state(), before)
    tensors = skeleton(architecture, DIGITS, (10,)).state_dict().values()
    assert all(tensor.is_meta for tensor in tensors)


@pytest.mark.parametrize(("architecture", "data"), SHAPED)
def test_a_network_built_without_weights_answers_as_the_one_whose_weights_it_gets(architecture, data):
    real = first_weights(architecture, inputs=data.spec().inputs, outputs=(7,)).train()
    inputs = torch.rand(5, *data.spec().inputs.shape, generator=torch.Generator().manual_seed(0))
    real(inputs)  # moves what batch norm remembers away from where it begins
    found = skeleton(architecture, data.spec().inputs, (7,))
    found.load_state_dict(real.state_dict(), assign=True)
    assert not any(tensor.is_meta for tensor in [*found.parameters(), *found.buffers()])
    with torch.no_grad():
        assert torch.equal(found.eval()(inputs), real.eval()(inputs))


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("cls", [cls for cls in KINDS.values() if "activation" in cls.model_fields])
def test_an_architecture_uses_the_activation_that_is_chosen(cls, kind):
    model = cls(activation=ACTIVATIONS[kind]()).build(DIGITS, (10,))
    assert any(type(module) is type(ACTIVATIONS[kind]().build()) for module in model.modules())


@pytest.mark.parametrize(
    "architecture",
    [
        MLP(widths=(64,), dropout=0.5),
        CNN(channels=(4,), dropout=0.5),
        CNN(channels=(4,), dropout=0.0, channel_dropout=0.5),
        Recurrent(hidden=8, dropout=0.5),
    ],
)
def test_dropout_acts_in_training_and_not_in_evaluation(architecture):
    model, inputs = first_weights(architecture), torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        assert not torch.equal(model.train()(inputs), model(inputs))
        assert torch.equal(model.eval()(inputs), model(inputs))


def test_a_convolutional_network_of_before_padding_could_be_set_is_the_same_to_the_names_of_its_weights():
    """Files hold weights by these names; a recipe that says nothing of padding and pooling means this network."""
    plain = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 3 * 3, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10)),
    )
    initialise(plain, 3)
    written = '{"kind": "cnn", "channels": [8, 16, 32], "dense": 64, "activation": {"kind": "relu"}, "dropout": 0.2}'
    model = first_weights(parse(CNN, written), seed=3)
    ours, theirs = model.state_dict(), plain.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    inputs, found = torch.rand(9, 1, 28, 28), []
    for network in (model, plain):
        torch.manual_seed(1)
        found.append(network(inputs))
        found.append(torch.rand(3))  # and not one random number more is drawn
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])


def test_channel_dropout_silences_whole_patterns_and_makes_the_others_up_for_it():
    model = first_weights(CNN(channels=(50,), channel_dropout=0.4))
    seen = []
    (layer,) = (module for module in model.modules() if isinstance(module, nn.Dropout2d))
    layer.register_forward_hook(lambda layer, inputs, output: seen.append((inputs[0], output)))
    model(torch.rand(20, 1, 28, 28) + 1)
    before, after = (maps.flatten(2) for maps in seen[0])
    silent = (after == 0).all(2)
    assert silent.float().mean().item() == pytest.approx(0.4, abs=0.06)  # of 1,000 patterns
    torch.testing.assert_close(after[~silent], before[~silent] / 0.6)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("pooling", ["each", "last"])
@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("side", range(1, 29))
def test_convolutions_are_refused_exactly_where_nothing_would_be_left_of_a_picture(side, padding, pooling):
    small = Tiny(side, side + 3)
    for count in range(1, 7):
        model = CNN(channels=(2,) * count, padding=padding, pooling=pooling)
        problems = model.problems(small, 64)
        if side < CNN.smallest:
            assert [problem.setting for problem in problems] == ["model.kind"]
        elif problems:
            (problem,) = problems
            with pytest.raises(RuntimeError):
                skeleton(model, small.inputs, (2,))(blank(small.inputs, 2))
            assert problem.setting == "model.channels"
            assert f"has {count} convolutions" in problem.text
            assert ("takes 2 pixels off" in problem.text) == (not padding)
            assert ("halves" in problem.text) == (pooling == "each")
            fix = int(problem.text.split("at most ")[1].rstrip("."))
            assert 1 <= fix < count
            assert CNN(channels=(2,) * fix, padding=padding, pooling=pooling).problems(small, 64) == []
        else:
            assert skeleton(model, small.inputs, (2,))(blank(small.inputs, 2)).shape == (2, 2)


def test_a_recurrent_network_reads_rows_from_top_to_bottom():
    model = first_weights(Recurrent(cell="rnn", hidden=5), inputs=Picture(1, 4, 3), outputs=(2,)).eval()
    picture = torch.rand(1, 1, 4, 3)
    cell, state = model.cell, torch.zeros(5)
    with torch.no_grad():
        for row in picture[0, 0]:
            state = torch.tanh(cell.weight_ih_l0 @ row + cell.bias_ih_l0 + cell.weight_hh_l0 @ state + cell.bias_hh_l0)
        expected = model.output.weight @ state + model.output.bias
        torch.testing.assert_close(model(picture)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", [cls() for kind, cls in KINDS.items() if kind != "resnet18"], ids=repr)
def test_the_same_seed_draws_the_same_weights_and_another_seed_others(architecture):
    torch.manual_seed(1)
    first = first_weights(architecture, seed=3).state_dict()
    torch.manual_seed(2)
    again, other = first_weights(architecture, seed=3).state_dict(), first_weights(architecture, seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_weights_do_not_depend_on_activation_dropout_or_batch_norm(activation, dropout, batch_norm):
    plain = first_weights(MLP(widths=(20, 20, 20)))
    other = first_weights(
        MLP(widths=(20, 20, 20), activation=ACTIVATIONS[activation](), dropout=dropout, batch_norm=batch_norm)
    )
    pairs = list(zip(layer_weights(plain, nn.Linear), layer_weights(other, nn.Linear), strict=True))
    assert len(pairs) == 4
    assert all(torch.equal(first, second) for first, second in pairs)


def test_layers_of_the_same_shape_start_equal_in_different_networks():
    shallow, deep = first_weights(MLP(widths=(128,))), first_weights(MLP(widths=(128, 64, 64)))
    assert torch.equal(shallow[1].weight, deep[1].weight)
    assert torch.equal(shallow[1].bias, deep[1].bias)
    lenet, cnn = first_weights(LeNet()), first_weights(CNN(channels=(6,), dense=84))
    assert torch.equal(lenet[-1].weight, cnn[-1].weight)


def test_layers_of_the_same_shape_within_a_network_differ():
    weights = layer_weights(first_weights(MLP(widths=(20,) * 5)), nn.Linear)[1:-1]
    for first, second in itertools.combinations(weights, 2):
        assert not torch.equal(first, second)


def test_weights_are_drawn_from_pytorchs_own_range():
    model = first_weights(MLP(widths=(256,)))
    limit = 1 / math.sqrt(784)
    assert model[1].weight.abs().max() <= limit
    assert model[1].weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
    assert model[1].weight.mean().abs() < limit / 100


@pytest.mark.parametrize("cls", [cls for cls in KINDS.values() if cls.reads == (Picture,)])
def test_a_network_for_pictures_refuses_features_and_says_what_to_choose(cls):
    (problem,) = cls().problems(Moons(), 64)
    assert problem.setting == "model.kind"
    for word in (cls().kind, "moons", "mlp", "mnist-5k"):
        assert word in problem.text


class Tiny:
    """A stand-in for a data set of very small pictures; no Data, or it would join the catalogue."""

    kind, train_size = "tiny", 100

    def __init__(self, height=3, width=3):
        self.inputs = Picture(1, height, width)

    def spec(self):
        return Spec(self.inputs, Classes(("a", "b")))


@pytest.mark.parametrize("cls", [cls for cls in KINDS.values() if cls.smallest > 1])
def test_a_network_refuses_pictures_that_are_too_small_for_it(cls):
    (problem,) = cls().problems(Tiny(), 64)
    assert problem.setting == "model.kind"
    for word in (cls().kind, str(cls.smallest), "tiny", "3"):
        assert word in problem.text


@pytest.mark.parametrize("cls", [cls for cls in KINDS.values() if cls.smallest > 1])
def test_the_smallest_picture_that_an_architecture_allows_is_enough_for_it(cls):
    small = Tiny(cls.smallest, cls.smallest)
    assert cls().problems(small, 64) == []
    with torch.device("meta"):
        assert cls().build(small.inputs, (2,))(torch.zeros(4, *small.inputs.shape)).shape == (4, 2)


@pytest.mark.parametrize(("data", "most"), [(Mnist5k(), 4), (Cifar10(), 5)], ids=["28 pixels", "32 pixels"])
def test_convolutions_are_refused_beyond_the_last_pixel_and_not_before(data, most):
    assert CNN(channels=(2,) * most).problems(data, 64) == []
    with torch.device("meta"):
        CNN(channels=(2,) * most).build(data.spec().inputs, (2,))(torch.zeros(2, *data.spec().inputs.shape))
    (problem,) = CNN(channels=(2,) * (most + 1)).problems(data, 64)
    assert problem.setting == "model.channels"
    for word in (f"has {most + 1} ", data.kind, f"at most {most}"):
        assert word in problem.text


@pytest.mark.parametrize("samples", [20, 21, 26, 31, 600])
@pytest.mark.parametrize("batch_size", [0, 1, 2, 3, 4, 5, 12, 18, 599, 600, 700])
def test_batch_norm_is_refused_where_a_batch_has_a_single_sample_and_the_fix_named_is_one(samples, batch_size):
    data, model = Moons(samples=samples), MLP(batch_norm=True)
    train = data.train_size
    sizes = [min(batch_size, train - start) for start in range(0, train, batch_size)] if batch_size else [train]
    problems = model.problems(data, batch_size)
    assert bool(problems) == (1 in sizes)
    assert MLP().problems(data, batch_size) == []
    for problem in problems:
        assert problem.setting == "batch_size"
        assert f"batch_size {batch_size} " in problem.text
        fix = int(problem.text.split("set batch_size to ")[1].split(",")[0])
        assert fix > batch_size
        assert model.problems(data, fix) == []


def test_torchvision_that_does_not_fit_torch_is_answered_with_what_to_reinstall(monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("dlcore.catalogue.datasets.formats.importlib.import_module", broken)
    with pytest.raises(DataError, match=r"torchvision::nms does not exist.*reinstall both with `pip install"):
        KINDS["resnet18"]().build(DIGITS, (10,))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "recurrent"])
def test_a_network_that_cannot_read_tokens_refuses_them_and_says_what_to_choose(kind):
    (problem,) = KINDS[kind]().problems(Alphabet(), 64)
    assert problem.setting == "model.kind"
    assert f"model is {kind}, which needs " in problem.text
    assert "but alphabet has tokens; choose recurrent" in problem.text


def test_a_network_for_pictures_refuses_series_and_says_what_to_choose():
    (problem,) = CNN().problems(NextOfWave(), 64)
    assert problem.text == (
        "model is cnn, which needs pictures, but next-of-wave has series; choose linear, mlp or recurrent, or a data "
        "set of pictures such as mnist-5k."
    )
