"""The Train page: what can be chosen, what is told of it, and what the buttons do."""

import contextlib

import pandas as pd
import pytest

from dlcore import memory
from dlcore.catalogue.activations import Activation
from dlcore.catalogue.optimizers import Optimizer
from dlcore.engine.job import Job
from dlcore.history import History
from dlcore.recipe import Recipe
from dlcore.recipes import DEFAULT, RECIPES
from dlcore.settings import choices
from pages.parts import panels
from pages.parts.state import process, tab
from pages.parts.views import network
from tests.pages.helpers import (
    FAMILIES,
    LONG,
    choose,
    enabled,
    find,
    go,
    listen,
    opened,
    over,
    press,
    seen,
    small,
    told,
    under_way,
    well,
)
from tests.running import settle
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")

KINDS = [
    pytest.param(title, kind, id=f"{title}-{kind}".lower()) for title, members in FAMILIES.items() for kind in members
]


FAMILIES["Activation"] = choices(Activation)


def test_train_begins_with_the_default_recipe_ready_to_start():
    at = opened()
    assert find(at.selectbox, "Recipe").value == DEFAULT
    assert enabled(at) >= {"Start", "Step"}
    assert not enabled(at) & {"Pause", "Resume", "Stop"}
    assert "ready" in seen(at)
    assert not told(at)


@pytest.mark.parametrize("name", RECIPES)
def test_a_named_recipe_sets_the_controls(name):
    at = choose(opened(), "Recipe", name)
    recipe = RECIPES[name].recipe
    for label, choice in (
        ("Data", recipe.data),
        ("Architecture", recipe.model),
        ("Loss", recipe.loss),
        ("Optimizer", recipe.optimizer),
        ("Schedule", recipe.schedule),
    ):
        assert find(at.selectbox, label).value == choice.kind
    assert find(at.select_slider, "Learning rate").value == recipe.optimizer.lr
    assert find(at.number_input, "Epochs").value == recipe.epochs
    assert find(at.selectbox, "Batch size").value == recipe.batch_size
    assert "Start" in enabled(at)


@pytest.mark.parametrize(("title", "kind"), KINDS)
def test_every_kind_can_be_chosen(title, kind):
    at = choose(opened(), title, kind)
    assert find(at.selectbox, title).value == kind
    assert ("Start" in enabled(at)) == (not told(at))


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_another_optimizer_comes_with_its_own_defaults(kind):
    at = opened()
    find(at.select_slider, "Learning rate").set_value(0.1).run()
    at = choose(at, "Optimizer", kind)
    start = RECIPES[DEFAULT].recipe.optimizer
    if kind == start.kind:
        assert find(at.select_slider, "Learning rate").value == 0.1  # nothing was changed
        return
    defaults = choices(Optimizer)[kind]()
    assert find(at.select_slider, "Learning rate").value == defaults.lr
    for name, field in type(defaults).model_fields.items():
        if name not in ("kind", "lr"):
            (widget,) = [
                widget
                for widget in (*at.slider, *at.select_slider, *at.number_input, *at.toggle)
                if f"optimizer.{name}/" in widget.key
            ]
            assert (widget.label, widget.value) == (field.title, getattr(defaults, name))


def test_what_cannot_train_together_is_told_and_cannot_be_started():
    at = choose(choose(opened(), "Recipe", "two-moons"), "Architecture", "cnn")
    assert "needs pictures" in told(at)
    assert not enabled(at) & {"Start", "Step"}
    choose(at, "Architecture", "linear")
    assert not told(at)
    assert "Start" in enabled(at)


@pytest.mark.parametrize(
    ("label", "value", "words"),
    [("Epochs", 0, "the nearest is 1"), ("Epochs", 100_001, "the nearest is 100000"), ("Seed", -1, "the nearest is 0")],
)
def test_a_number_out_of_bounds_is_told_with_the_nearest(label, value, words):
    at = opened()
    well(find(at.number_input, label).set_value(value).run())
    assert words in told(at).replace("\\", "")
    assert "Start" not in enabled(at)


@pytest.mark.parametrize("text", ["", "a", "0", "64, -1"])
def test_widths_that_are_none_are_told(text):
    at = choose(opened(), "Recipe", "mlp")
    well(find(at.text_input, "Widths").set_value(text).run())
    assert "widths" in told(at)
    assert "Start" not in enabled(at)
    assert find(at.text_input, "Widths").value == text


def test_every_problem_is_told_at_once():
    at = opened()
    well(find(at.number_input, "Epochs").set_value(0).run())
    well(find(at.number_input, "Seed").set_value(-1).run())
    assert "epochs" in told(at)
    assert "seed" in told(at)


def test_own_values_survive_a_visit_to_another_page():
    at = choose(opened(), "Recipe", "mlp")
    well(find(at.number_input, "Epochs").set_value(7).run())
    well(find(at.select_slider, "Learning rate").set_value(0.05).run())
    well(find(at.text_input, "Widths").set_value("96, 48").run())
    go(go(at, "draw"), "train")
    assert find(at.selectbox, "Recipe").value == "mlp"
    assert find(at.number_input, "Epochs").value == 7
    assert find(at.select_slider, "Learning rate").value == 0.05
    assert find(at.text_input, "Widths").value == "96, 48"


def test_start_trains_to_the_end_and_the_table_appears():
    at = press(small(opened()), "Start")
    (job,) = process.jobs()
    assert job.name.startswith("two-moons")
    assert job.recipe.epochs == 3
    wait_until(over, LONG)
    well(at.run())
    assert job.status == "finished"
    assert "finished" in seen(at)
    tables = [table.value for table in at.dataframe if "epoch" in table.value]
    assert list(tables[0]["epoch"]) == [3, 2, 1]  # the newest first
    assert "Start" in enabled(at)
    assert "Download CSV" in enabled(at)


def test_a_regression_shows_neither_accuracy_nor_classes():
    at = choose(opened(), "Recipe", "linear-regression")
    well(find(at.number_input, "Epochs").set_value(5).run())
    press(at, "Start")
    wait_until(over, LONG)
    well(at.run())
    assert "Classes" not in [tab.label for tab in at.tabs]
    (table,) = [table.value for table in at.dataframe if "epoch" in table.value]
    assert not [name for name in table if "accuracy" in name]


def test_step_takes_one_step_from_fresh_weights_and_stop_ends_it():
    at = press(small(opened()), "Step")
    (job,) = process.jobs()
    wait_until(lambda: job.history.steps == 1, LONG)
    well(at.run())
    assert job.status == "paused"
    assert enabled(at) >= {"Resume", "Step", "Stop"}
    assert not enabled(at) & {"Start", "Pause"}
    press(at, "Step")
    wait_until(lambda: job.history.steps == 2, LONG)
    press(at, "Stop")
    wait_until(over, LONG)
    well(at.run())
    assert job.status == "stopped"
    assert "stopped" in seen(at)


def test_what_the_page_says_of_a_paused_run_is_of_the_step_after_which_it_stands(monkeypatch):
    monkeypatch.setattr(panels, "IN_HAND", LONG)
    at = choose(opened(), "Recipe", "digits")
    press(well(find(at.number_input, "Epochs").set_value(100_000).run()), "Start")
    (job,) = process.jobs()
    wait_until(lambda: job.history.steps, LONG)
    well(at.run())
    asked, add_step = listen(monkeypatch), History.add_step

    def in_hand(history, loss):
        wait_until(lambda: job.status == "paused", LONG)
        with contextlib.suppress(AssertionError):  # the page does not wait: by then it has drawn an earlier step
            wait_until(lambda: asked, 2)
        add_step(history, loss)

    monkeypatch.setattr(History, "add_step", in_hand)
    press(at, "Pause")
    settle(job)
    assert f"step {job.history.steps} of" in seen(at)


def test_a_run_that_diverges_says_what_to_do():
    at = choose(opened(), "Recipe", "linear-regression")
    well(find(at.select_slider, "Learning rate").set_value(1.0).run())
    press(at, "Start")
    wait_until(over, LONG)
    well(at.run())
    assert process.jobs()[0].status == "failed"
    assert "smaller learning rate" in told(at)


def test_another_tab_finds_the_run():
    press(small(opened(), epochs=2), "Start")
    other = opened()
    assert find(other.selectbox, "Recipe").value == "two-moons"
    assert find(other.number_input, "Epochs").value == 2
    assert len(process.jobs()) == 1


def test_a_look_is_at_the_run_that_the_page_was_drawn_for(monkeypatch):
    at = opened()
    under_way(at)
    status = panels.status

    def another(runs) -> None:
        """Another tab has queued a run of pictures, and its turn comes while the page is drawn."""
        status(runs)
        if len(process.jobs()) == 1:
            pictures = process.conductor().submit("pictures", Recipe(), paused=True, in_turn=True)
            process.jobs()[0].stop()
            wait_until(lambda: pictures.ready, LONG)

    monkeypatch.setattr(panels, "status", another)
    well(at.run())
    assert tab.shown_run().name == "pictures"
    assert "of 630" in seen(at)


def test_a_look_at_what_stands_still_asks_and_builds_nothing(monkeypatch):
    at = opened()
    under_way(at)
    done = []
    ask, assign = Job.ask, pd.DataFrame.assign
    monkeypatch.setattr(Job, "ask", lambda job, function: done.append("ask") or ask(job, function))
    monkeypatch.setattr(pd.DataFrame, "assign", lambda table, **new: done.append("table") or assign(table, **new))
    for _ in range(3):
        well(at.run())
    assert not done


def test_a_run_that_would_take_much_of_the_memory_is_warned_of_and_can_start(monkeypatch):
    assert not opened().warning
    monkeypatch.setattr(memory, "LARGE", 1e-9)
    at = opened()
    assert "GB" in told(at)
    assert "Start" in enabled(at)


def test_a_problem_is_mended_by_the_button_below_its_setting():
    at = small(opened())
    choose(at, "Architecture", "cnn")
    assert "Start" not in enabled(at)
    (below,) = at.sidebar.warning
    assert "needs pictures" in below.value
    assert "This cannot start yet: see **Architecture** on the left." in seen(at)
    press(at, "Switch to MLP")
    assert find(at.selectbox, "Architecture").value == "mlp"
    assert "Start" in enabled(at)
    assert not told(at)
    assert find(at.number_input, "Epochs").value == 3  # what else was changed stays


def test_problems_of_settings_that_are_folded_away_stand_below_the_fold():
    at = choose(opened(address={"recipe": "linear-regression"}), "Loss", "cross-entropy")
    (below,) = at.sidebar.warning
    assert "compares classes" in below.value
    assert "see **Loss and schedule** on the left" in seen(at)


def test_a_network_that_cannot_be_drawn_leaves_the_curves(monkeypatch, figures):
    def fails(*arguments, **how):
        raise ZeroDivisionError("no such thing")

    at = opened()
    under_way(at)
    monkeypatch.setattr(network, "show", fails)
    figures.clear()
    at.run()
    assert [one.value for one in at.exception] == ["no such thing"]
    assert {"loss", "accuracy"} <= figures.keys()
    assert "</b> right" in seen(at)
    assert "Each epoch" in {tab.label for tab in at.tabs}
