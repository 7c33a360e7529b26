"""The network as a picture: what the browser is sent, a unit from nearby, and where the page part finds its answers."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from dlcore.catalogue.architectures import CNN, MLP, Recurrent, ResNet18
from dlcore.catalogue.datasets import Cifar10, Mnist5k, Moons, load
from dlcore.engine.training import untrained
from dlcore.inside.anatomy import Answer, Links, Unit, anatomy, unit
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from pages.parts import network_view
from pages.parts.network_view.card import card
from pages.parts.network_view.message import MOST_BARS, message, signed
from pages.parts.state import process
from tests.pages.helpers import LONG, seen, well
from tests.running import MOONS, finish
from tests.waiting import wait_until

LARGE = {
    "maps": Recipe(model=CNN(channels=(64, 64))),
    "many maps": Recipe(model=CNN(channels=(64,) * 4)),
    "planes": Recipe(data=Moons(samples=100), model=MLP(widths=(300,) * 3)),
    "deep": Recipe(data=Moons(samples=100), model=MLP(widths=(8,) * 12)),
    "states": Recipe(model=Recurrent(hidden=300)),
    "residual": Recipe(model=ResNet18()),
}
HOSTILE = "<img src=x onerror=alert(1)>"


def drawn(recipe: Recipe, sample: int = 0):
    return anatomy(untrained(recipe, load(recipe.data)), sample)


@pytest.mark.parametrize("recipe", LARGE.values(), ids=LARGE)
def test_a_message_is_small_however_large_the_network(recipe):
    text = json.dumps(message(drawn(recipe)), allow_nan=False, separators=(",", ":"))
    parts = [network_view.HERE / name for name in ("loader.js", "network_view.css")]
    assert len(text) + sum(part.stat().st_size for part in parts) + len(network_view.HTML) < 40_000


def test_bytes_are_what_they_stand_for():
    values = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 7.0, np.nan, np.inf])
    found = np.frombuffer(base64.b64decode(signed(values, 1.0)), np.uint8)
    assert found.tolist() == [1, 1, 128, 192, 255, 255, 128, 255]


def test_a_message_holds_what_the_anatomy_does():
    found = drawn(RECIPES["digits"].recipe, 3)
    sent = message(found)
    assert [layer["kind"] for layer in sent["layers"]] == ["maps", "maps", "maps", "units"]
    for layer, ours in zip(sent["layers"], found.layers, strict=True):
        values = (np.frombuffer(base64.b64decode(layer["data"]), np.uint8).astype(float) - 128) / 127 * layer["scale"]
        clipped = ours.activations.clip(-layer["scale"], layer["scale"])
        np.testing.assert_allclose(values.reshape(layer["shape"]), clipped, atol=layer["scale"] / 250)
        assert [link[:2] for link in layer["links"]] == np.stack([ours.links.sources, ours.links.targets]).T.tolist()
    assert sent["answer"]["shares"] == pytest.approx(found.answer.values.tolist(), abs=1e-4)
    assert sent["answer"]["right"] == found.answer.right
    assert "Convolution, 8 maps" in sent["label"]
    assert f"right is {found.answer.right}" in sent["told"] or sent["told"].endswith(": right.")


def test_a_network_that_diverged_is_drawn_all_the_same():
    run = untrained(MOONS, load(MOONS.data))
    with torch.no_grad():
        run.model[0].weight.fill_(torch.nan)
    assert json.dumps(message(anatomy(run, 0)), allow_nan=False)


def test_of_many_classes_the_likeliest_and_the_right_one_are_shown():
    shares = np.arange(100) / 4950
    found = drawn(MOONS)
    answer = Answer(
        "6", 100, tuple(map(str, range(100))), shares, 5, None, Links(*np.array([[0, 0], [99, 50], [1, 2]]))
    )
    sent = message(replace(found, answer=answer))["answer"]
    assert sent["names"] == ["5", *map(str, range(100 - MOST_BARS, 100))]
    assert sent["right"] == 0
    assert sent["links"] == [[0, MOST_BARS, 64]]  # the other one's class is not shown
    assert sent["left"] == 100 - MOST_BARS - 1


def test_a_unit_that_never_answers_is_called_dead():
    run = untrained(Recipe(), load(Mnist5k()))
    with torch.no_grad():
        run.model[1].weight[3], run.model[1].bias[3] = 0, -1
    assert "it is dead" in card(unit(run, "1", 3), run.recipe.task.classes)
    assert "it is dead" not in card(unit(run, "1", 4), run.recipe.task.classes)


@pytest.mark.parametrize("shape", [(9,), (9, 1, 4, 4), (9, 5, 2)])
def test_what_comes_from_outside_is_escaped(shape):
    numbers = np.zeros(9)
    edges = np.linspace(0, 1, 21)
    found = Unit(
        "0",
        HOSTILE,
        0,
        np.ones((2, 3, 3)),
        0.5,
        np.ones(()),
        numbers,
        np.ones(20, int),
        edges,
        np.arange(9),
        *(np.zeros(shape), np.zeros(9, int)),
    )
    made = card(found, (HOSTILE,))
    assert "<img src=x" not in made
    assert made.count("&lt;img src=x") == 10  # the title, and each sample's class


# On a page


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What the browser is sent."""
    found, mount = [], network_view._component

    def watched(*, data: dict, **how):
        found.append(json.loads(data["network"]))
        return mount(data=data, **how)

    monkeypatch.setattr(network_view, "_component", watched)
    return found


def page(settings: str, number: int, opened: tuple | None, sample: int, drawing: list | None = None) -> None:
    import torch

    from dlcore.recipe import read
    from pages.parts.network_view import Chosen
    from pages.parts.state import process
    from pages.parts.state.tab import keep, remember
    from pages.parts.views.network import KEY, show
    from pages.parts.views.subject import Subject

    if not remember("begun", False):
        keep(KEY, Chosen(sample, opened and list(opened)))
        keep("begun", True)
    raw = None if drawing is None else torch.tensor(drawing)
    show(Subject(process.record(number)) if number else None, recipe=read(settings), drawing=raw)


def open_page(recipe: Recipe, number: int = 0, opened: tuple | None = None, sample: int = 0) -> AppTest:
    args = (recipe.to_json(), number, opened, sample)
    return well(AppTest.from_function(page, default_timeout=LONG, args=args).run())


@pytest.mark.usefixtures("own_process")
@pytest.mark.parametrize("name", ["two-moons", "simplenet", "linear-regression"])
def test_before_training_the_network_is_that_which_training_begins_with(sent, name):
    recipe = RECIPES[name].recipe
    before = torch.get_rng_state()
    open_page(recipe, sample=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert sent[-1] == json.loads(json.dumps(message(drawn(recipe, 1))))


@pytest.mark.usefixtures("own_process")
def test_a_run_shows_its_own_weights_and_the_unit_that_was_opened(sent):
    job = process.conductor().submit("moons", MOONS)
    finish(job)
    at = open_page(MOONS, job.number, opened=("0", 2))
    assert sent[-1] == job.ask(lambda run: json.loads(json.dumps(message(anatomy(run, 0))))).result(LONG)
    assert "Dense, unit 3" in seen(at)


@pytest.mark.usefixtures("own_process")
def test_a_run_whose_turn_has_not_come_shows_the_network_that_it_begins_with(sent):
    first = process.conductor().submit("moons", MOONS, paused=True)
    waiting = process.conductor().submit("circles", RECIPES["two-moons"].recipe, in_turn=True)
    at = open_page(MOONS, waiting.number, opened=("3", 1))
    assert sent[-1] == json.loads(json.dumps(message(drawn(RECIPES["two-moons"].recipe))))
    assert "Dense, unit 2" in seen(at)
    for job in (waiting, first):
        job.stop()


@pytest.mark.usefixtures("own_process")
@pytest.mark.parametrize("opened", [("7", 2), ("0", 99), (1, "0"), "unit"])
def test_a_unit_that_this_network_has_not_is_not_asked_for(sent, opened):
    at = open_page(MOONS, opened=opened)
    assert sent
    assert 'class="unit"' not in seen(at)


@pytest.mark.usefixtures("own_process")
@pytest.mark.parametrize("sample", [-1, 10**9, "first", None, 2.5, True])
def test_a_sample_from_a_browser_may_be_anything(sent, sample):
    open_page(MOONS, sample=sample)
    assert 0 <= sent[-1]["sample"] < sent[-1]["samples"]


@pytest.mark.usefixtures("own_process")
def test_a_drawing_takes_the_place_of_the_samples(sent):
    drawing = torch.zeros(1, 28, 28)
    drawing[0, 5:20, 13:15] = 1
    args = (RECIPES["simplenet"].recipe.to_json(), 0, ("1", 3), 0, drawing.tolist())
    at = well(AppTest.from_function(page, default_timeout=LONG, args=args).run())
    run = untrained(RECIPES["simplenet"].recipe, load(Mnist5k()))
    assert sent[-1] == json.loads(json.dumps(message(anatomy(run, drawing))))
    assert sent[-1]["sample"] is None
    assert "Dense, unit 4" in seen(at)


@pytest.mark.usefixtures("own_process")
def test_data_that_are_not_here_are_not_fetched_to_be_looked_at(sent):
    at = open_page(Recipe(data=Cifar10()))
    assert "CIFAR" in seen(at)
    assert "is not on this machine yet" in seen(at)
    assert not sent


@pytest.mark.usefixtures("own_process")
def test_a_run_before_its_first_step_is_shown(sent):
    paused = process.conductor().submit("moons", MOONS, paused=True)
    wait_until(lambda: paused.ready, LONG)
    open_page(MOONS, paused.number)
    assert sent[-1]["samples"] == 40
    paused.stop()


def test_the_script_is_served_under_a_name_of_its_own():
    script = (network_view.STATIC / network_view._serve()).read_text(encoding="utf-8")
    assert script.count("export default") == 1
    assert "function layout(" in script
    assert "function drawLinks(" in script
