"""The pages as Streamlit runs them, without a browser: what is shown, what is told, and what the buttons do."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import dlcore.inside.fit
from dlcore import memory
from dlcore.catalogue.activations import Activation
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.optimizers import Optimizer
from dlcore.engine.job import Job
from dlcore.history import History
from dlcore.recipe import Recipe
from dlcore.recipes import DEFAULT, RECIPES
from dlcore.settings import choices, family_of
from dlcore.sharing import to_query
from pages.parts import asking, live_chart, panels
from pages.parts.state import drafts, process, tab
from tests.running import settle
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PAGES = ("train", "compare", "draw", "runs", "reference")
FAMILIES = {field.title: family_of(field) for field in Recipe.model_fields.values() if family_of(field)}
FAMILIES["Activation"] = choices(Activation)
KINDS = [
    pytest.param(title, kind, id=f"{title}-{kind}".lower()) for title, members in FAMILIES.items() for kind in members
]
LONG = 120  # seconds


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Jobs belong to the process, which these tests share: each has none at first, and an empty store."""
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(asking, "PATIENCE", LONG)  # however slow the machine, an answer comes with the page
    st.cache_resource.clear()
    yield
    process.conductor().close()
    st.cache_resource.clear()


def opened(page: str = "train", address: Mapping[str, str | list[str]] | None = None) -> AppTest:
    at = AppTest.from_file(ROOT / "dashboard.py", default_timeout=LONG)
    at.query_params.update(address or {})
    at.run()
    return at if page == "train" else go(at, page)


def go(at: AppTest, page: str) -> AppTest:
    return well(at.switch_page(f"pages/{page}.py").run())


def well(at: AppTest) -> AppTest:
    assert not at.exception, at.exception
    return at


def find(widgets, label: str):
    """The one widget with this label."""
    (found,) = [widget for widget in widgets if widget.label == label]
    return found


def choose(at: AppTest, label: str, option) -> AppTest:
    return well(find(at.selectbox, label).select(option).run())


def small(at: AppTest, epochs: int = 3) -> AppTest:
    """A run that takes a moment: two moons, few epochs."""
    choose(at, "Recipe", "two-moons")
    return well(find(at.number_input, "Epochs").set_value(epochs).run())


def press(at: AppTest, label: str) -> AppTest:
    return well(find(at.button, label).click().run())


def enabled(at: AppTest) -> set[str]:
    return {button.label for button in at.button if not button.disabled}


def told(at: AppTest) -> str:
    return " ".join(found.value for found in (*at.warning, *at.error))


def seen(at: AppTest) -> str:
    """All text of the page: prose, tables of our own, and the lines over progress bars."""
    words = [found.value for found in (*at.markdown, *at.caption, *at.info, *at.success, *at.error, *at.warning)]
    words += [found.proto.body for found in at.get("html")]
    words += [found.proto.text for found in at.get("progress")]
    return "\n".join(words)


def listen(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that are asked something from now on, as often as they are."""
    asked, ask = [], Job.ask
    monkeypatch.setattr(Job, "ask", lambda job, function: asked.append(job) or ask(job, function))
    return asked


def over() -> bool:
    return bool(process.jobs()) and not any(job.active for job in process.jobs())


# --- Every page


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs(page):
    well(opened(page))


def test_a_page_can_be_left_for_any_other():
    at = opened()
    for page in (*PAGES, *reversed(PAGES)):
        go(at, page)


# --- Train


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
    assert [tab.label for tab in at.tabs] == ["Each epoch"]
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


def under_way(at: AppTest, epochs: int = 100_000) -> Job:
    """A run of two moons, paused after its first epoch, whose page is drawn."""
    press(small(at, epochs), "Start")
    job = process.jobs()[-1]
    wait_until(lambda: job.history.epochs, LONG)
    job.pause()
    settle(job)
    well(at.run())
    return job


@contextlib.contextmanager
def busy(job: Job) -> Iterator[None]:
    """Somebody has the training thread to themselves, as a long step would."""
    free, there = threading.Event(), threading.Event()
    job.ask(lambda run: (there.set(), free.wait(LONG)))
    assert there.wait(LONG)
    try:
        yield
    finally:
        free.set()


def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    """The figures of the page by their keys, as they are drawn last."""
    figures = {}
    real = live_chart.live_chart
    monkeypatch.setattr(
        live_chart,
        "live_chart",
        lambda figure, *, key, height: figures.update({key: figure}) or real(figure, key=key, height=height),
    )
    return figures


def reached(figure: dict) -> int:
    """The last step of a chart."""
    return max(step for line in figure["data"] for step in line["x"] if step is not None)


@pytest.mark.parametrize("recipe", ["two-moons", "linear-regression"])
def test_a_busy_network_is_a_sentence_beside_its_last_picture(monkeypatch, recipe):
    figures = drawn(monkeypatch)
    at = choose(opened(), "Recipe", recipe)
    press(at, "Step")
    (job,) = process.jobs()
    wait_until(lambda: job.history.steps == 1, LONG)
    well(at.run())
    before = figures.pop("fit")
    job.step()
    wait_until(lambda: job.history.steps == 2, LONG)
    monkeypatch.setattr(asking, "PATIENCE", 0.01)
    with busy(job):
        asked = listen(monkeypatch)
        for _ in range(3):
            well(at.run())
            assert asking.BUSY in seen(at)
            assert "The picture is of step 1." in seen(at)
            assert figures["fit"] == before
        assert asked == [job]  # and not again and again
    monkeypatch.setattr(asking, "PATIENCE", LONG)
    well(at.run())
    assert asking.BUSY not in seen(at)
    assert figures["fit"] != before


def test_a_network_that_is_busy_from_the_start_is_a_sentence(monkeypatch):
    at = opened()
    job = process.conductor().submit("moons", RECIPES["two-moons"].recipe, paused=True)
    wait_until(lambda: job.ready, LONG)
    monkeypatch.setattr(asking, "PATIENCE", 0.01)
    with busy(job):
        well(at.run())
        assert asking.BUSY in seen(at)
    wait_until(lambda: asking.BUSY not in seen(well(at.run())), LONG)


def test_a_network_that_cannot_answer_is_a_sentence(monkeypatch):
    def fail(run):
        raise RuntimeError("out of memory\nat some place")

    monkeypatch.setattr(dlcore.inside.fit, "fit", fail)
    at = opened()
    under_way(at)
    assert "The network cannot answer: out of memory\n" in seen(at).replace("\\", "")


def test_what_a_page_shows_of_a_run_is_of_one_moment(monkeypatch):
    figures = drawn(monkeypatch)
    at = opened()
    job = under_way(at)
    status = panels.status

    def goes_on(runs) -> None:
        """The run takes steps, into the next epoch, while the page is drawn."""
        status(runs)
        before = len(job.history.epochs)
        for _ in range(job.steps_per_epoch):
            job.step()
        wait_until(lambda: len(job.history.epochs) > before, LONG)

    monkeypatch.setattr(panels, "status", goes_on)
    for _ in range(3):
        well(at.run())
        told = re.search(r"step (\d+) of .* best epoch (\d+)", seen(at))
        step, best = map(int, told.groups())
        (table,) = [table.value for table in at.dataframe if "epoch" in table.value]
        before = (step - 1) // job.steps_per_epoch  # and an epoch's last step comes before its evaluation
        assert len(table) in ({before} if step % job.steps_per_epoch else {before, before + 1})
        assert list(table["epoch"]) == list(range(len(table), 0, -1))
        assert list(table["epoch"][table["best"] == "★"]) == [best]
        assert reached(figures["loss"]) == step
        assert reached(figures["accuracy"]) == table["step"][0]


def test_a_boundary_is_of_the_moment_that_the_charts_show(monkeypatch):
    figures, asked = drawn(monkeypatch), []
    ask = Job.ask

    def later(job: Job, function):
        """The run takes another step before it answers."""
        if job.status == "paused":
            steps = job.history.steps
            job.step()
            wait_until(lambda: job.history.steps > steps, LONG)
        asked.append(job.history.steps)
        return ask(job, function)

    at = opened()
    under_way(at)
    (job,) = process.jobs()
    before = job.history.steps
    job.step()
    wait_until(lambda: job.history.steps > before, LONG)  # or there would be nothing new to ask
    monkeypatch.setattr(Job, "ask", later)
    well(at.run())
    assert f"step {asked[-1]} of" in seen(at)
    assert reached(figures["loss"]) == asked[-1]


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


def test_another_tab_shows_what_trains_rather_than_what_is_over():
    process.store()
    going = process.conductor().submit("going", RECIPES["two-moons"].recipe, paused=True)
    over_ = process.conductor().submit("over", Recipe(epochs=1))
    wait_until(lambda: going.ready and not over_.active, LONG)
    at = well(opened())
    assert enabled(at) >= {"Resume", "Stop"}
    assert find(at.selectbox, "Recipe").value == "two-moons"
    going.stop()
    wait_until(lambda: not going.active, LONG)
    assert tab.shown_run() is going  # and what a person looks at stays when it is over


def test_what_is_queued_waits_its_turn_and_keeps_the_pace():
    at = opened()
    first = under_way(at)
    well(at.select_slider(key="pace").set_value(20).run())
    press(at, "Queue")
    second = process.jobs()[-1]
    assert second is not first
    assert (second.status, second.pace) == ("queued", 20)
    assert tab.shown_run() is first
    other = process.conductor().submit("not in turn", RECIPES["two-moons"].recipe, paused=True)
    wait_until(lambda: other.ready, LONG)
    assert second.status == "queued"
    first.stop()
    wait_until(lambda: not first.active, LONG)
    assert second.status == "queued"
    other.stop()
    wait_until(lambda: second.ready, LONG)


def test_queue_counts_two_quick_clicks_as_one_whatever_the_clock_says(monkeypatch):
    at = opened()
    under_way(at)
    press(at, "Queue")
    press(at, "Queue")
    assert len(process.jobs()) == 2
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)  # somebody sets the clock
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock + 10)
    press(at, "Queue")
    assert len(process.jobs()) == 3


def test_the_pace_is_that_of_the_run_in_every_tab_and_else_the_one_that_was_chosen():
    def shown(at: AppTest):
        return at.select_slider(key="pace").value

    at = opened()
    assert shown(at) == panels.FULL_SPEED
    well(at.select_slider(key="pace").set_value(20).run())
    assert shown(opened()) == 20  # as after a refresh
    job = under_way(at)
    assert (job.pace, shown(at), shown(opened())) == (20, 20, 20)
    job.set_pace(100)  # as another tab does
    settle(job)
    assert (shown(well(at.run())), shown(opened())) == (100, 100)
    well(at.select_slider(key="pace").set_value(200).run())
    settle(job)
    assert (job.pace, shown(well(at.run()))) == (200, 200)
    job.stop()
    wait_until(over, LONG)
    assert shown(well(at.run())) == 200


# --- Names that are markup

HOSTILE = "![i](http://evil.example/a) <img src=http://evil.example/b> :material/home: $x$"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and classes with such names: some over, one that is a branch, and some under way."""
    monkeypatch.setattr(type(RECIPES["two-moons"].recipe.data), "classes", (f"{HOSTILE}0", f"{HOSTILE}1"))
    monkeypatch.setattr(type(RECIPES[DEFAULT].recipe.data), "classes", tuple(f"{HOSTILE}{i}" for i in range(10)))
    conductor, moons = process.conductor(), RECIPES["two-moons"].recipe.model_copy(update={"epochs": 2})
    done = conductor.submit(HOSTILE, moons)
    assert done.wait(LONG)
    assert done.wait_saved(LONG)
    branch = conductor.branch(done.number, 1, HOSTILE, moons)
    assert branch.wait(LONG)
    assert conductor.submit(HOSTILE, Recipe(epochs=1)).wait(LONG)
    for recipe in (Recipe(epochs=2), moons):
        job = conductor.submit(HOSTILE, recipe, paused=True)
        wait_until(lambda job=job: job.ready, LONG)
    conductor.submit(HOSTILE, moons, in_turn=True)
    conductor.race([(f"{HOSTILE}{i}", moons) for i in range(2)])


def texts(at: AppTest) -> Iterator[tuple[str, str]]:
    """Every text of a page, with the kind of element that shows it: those that Streamlit or a browser may read as
    markup. Tables, fields and boxes of choices show theirs as it is.
    """
    plain = {"arrow_data_frame", "selectbox", "multiselect", "text_input", "text_area", "code", "bidi_component"}

    def inside(message) -> Iterator[str]:
        for field, value in message.ListFields():
            for one in [value] if isinstance(value, str) or not isinstance(value, Iterable) else value:
                if isinstance(one, str) and field.name not in ("id", "key", "user_key"):
                    yield from strings(json.loads(one)) if field.name == "spec" else [one]
                elif hasattr(one, "ListFields"):
                    yield from inside(one)

    def nodes(node) -> Iterator[tuple[str, str]]:
        for child in node.children.values():
            if child.type not in plain and child.proto:
                yield from ((child.type, text) for text in inside(child.proto))
            yield from nodes(child) if hasattr(child, "children") else ()

    return nodes(at._tree)


@pytest.mark.parametrize("page", PAGES)
def test_names_from_outside_are_no_markup(page, hostile, monkeypatch):
    figures = drawn(monkeypatch)
    at = opened()
    at.session_state["kept/strokes"] = [{"points": [[0.5, 0.2], [0.5, 0.8]], "width": 0.08}]
    at.session_state["details"] = "Classes"
    figures.clear()
    go(at, page)
    found = [*texts(at), *(("plotly_chart", text) for figure in figures.values() for text in strings(figure))]
    assert any("evil" in text for _, text in found) == (page != "reference")
    for kind, text in found:
        if kind in ("html", "plotly_chart"):
            assert "<img src" not in text
        else:
            assert "![i](" not in text
            assert not re.search(r"(?<!\\)<img|:material/home:", text)


def strings(value) -> Iterator[str]:
    """All texts in a figure."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(inner)


# --- Links


def link_to(name: str) -> dict[str, str]:
    return to_query(RECIPES[name].recipe.model_dump(mode="json"))


@pytest.mark.parametrize("name", RECIPES)
def test_a_link_opens_the_controls_of_its_recipe(name):
    at = well(opened(address=link_to(name)))
    assert find(at.selectbox, "Recipe").value == name
    assert find(at.selectbox, "Data").value == RECIPES[name].recipe.data.kind
    assert find(at.number_input, "Epochs").value == RECIPES[name].recipe.epochs
    assert not told(at)
    assert at.query_params == link_to(name)


def test_a_link_comes_before_the_run_that_is_there():
    press(small(opened(), epochs=2), "Start")
    at = well(opened(address={"epochs": "9"}))
    assert find(at.number_input, "Epochs").value == 9
    assert find(at.selectbox, "Data").value == Recipe().data.kind


def test_a_changed_recipe_is_named_after_the_one_that_it_comes_nearest_to():
    at = well(opened(address=link_to("two-moons") | {"epochs": "3"}))
    assert find(at.selectbox, "Recipe").value == "two-moons"
    press(at, "Start")
    assert process.jobs()[0].name == f"two-moons{drafts.CHANGED}"


def test_a_recipe_that_came_far_keeps_its_name_in_every_tab():
    at = choose(choose(choose(opened(), "Recipe", "two-moons"), "Activation", "relu"), "Optimizer", "sgd")
    assert at.query_params["recipe"] == "two-moons"
    again = well(opened(address=dict(at.query_params)))  # a refresh, or a link
    assert find(again.selectbox, "Recipe").value == "two-moons"
    assert again.query_params == at.query_params
    press(again, ":material/undo: Reset")
    assert again.query_params == link_to("two-moons")
    press(at, "Step")
    assert process.jobs()[0].name == f"two-moons{drafts.CHANGED}"
    assert find(opened().selectbox, "Recipe").value == "two-moons"  # by the name of the run that is there


def test_a_link_says_what_cannot_be_had_until_something_changes():
    at = well(opened(address={"data": "moons", "epochs": "0", "model": "<b>mpl</b>", "seed": "7"}))
    for words in ("This link asks for", "the nearest is 1", "it takes one of linear, mlp"):
        assert words in told(at).replace("\\", "")
    assert "<b>" not in told(at)
    assert find(at.selectbox, "Data").value == "moons"
    assert find(at.number_input, "Epochs").value == Recipe().epochs
    assert find(at.number_input, "Seed").value == 7
    assert "Start" in enabled(at)
    assert "This link asks for" in told(well(at.run()))
    well(find(at.number_input, "Epochs").set_value(8).run())
    assert not told(at)


def test_a_link_that_asks_for_a_thousand_things_is_told_in_short():
    at = well(opened(address={f"bogus{number}": "x" * 300 for number in range(900)}))
    assert "and 890 more" in told(at)
    assert len(told(at)) < 5000
    assert find(at.selectbox, "Recipe").value == DEFAULT


def test_what_a_link_puts_together_wrongly_opens_and_is_told():
    at = well(opened(address={"data": "moons", "model": "cnn"}))
    assert find(at.selectbox, "Architecture").value == "cnn"
    assert "needs pictures" in told(at)
    assert "Start" not in enabled(at)


def test_the_address_says_what_the_controls_say():
    at = opened()
    assert at.query_params == link_to(DEFAULT)
    choose(at, "Recipe", "two-moons")
    assert at.query_params == link_to("two-moons")
    well(find(at.select_slider, "Learning rate").set_value(0.1).run())
    assert at.query_params == link_to("two-moons") | {"optimizer.lr": "0.1"}
    well(find(at.number_input, "Epochs").set_value(0).run())
    assert at.query_params["epochs"] == "0"
    press(at, ":material/undo: Reset")
    assert at.query_params == link_to("two-moons")


def test_parameters_of_others_stay_in_the_address():
    at = well(opened(address={"token": ["a", "b"], "embed": "true", "epochs": "3"}))
    choose(at, "Recipe", "mlp")
    assert at.query_params == link_to("mlp") | {"token": ["a", "b"], "embed": "true"}


def test_an_address_that_the_browser_has_not_renewed_yet_undoes_nothing():
    at = opened()
    before = dict(at.query_params)
    choose(at, "Recipe", "two-moons")
    at.query_params = before
    well(find(at.number_input, "Epochs").set_value(7).run())
    assert find(at.selectbox, "Recipe").value == "two-moons"
    assert at.query_params == link_to("two-moons") | {"epochs": "7"}


def test_a_visit_to_another_page_loses_nothing_but_the_address():
    at = well(opened(address=link_to("two-moons")))
    at.query_params = {}  # as Streamlit does
    go(at, "draw")
    assert not at.query_params
    go(at, "train")
    assert find(at.selectbox, "Recipe").value == "two-moons"
    assert at.query_params == link_to("two-moons")


@pytest.mark.parametrize("text", [":material/home:", "https://a.org", "me@a.org", "www.a.org", "&lt;", "a: b", r"\*a*"])
def test_text_from_outside_is_escaped_and_broken_up_where_that_is_not_enough(text):
    shown = panels.escape(text)
    assert not re.search(r"(?<!\\)[&*:]", shown)
    plain = re.sub(r"\\(.)", r"\1", shown)
    assert not re.search(r"://|:[\w/+-]+:|@\S|www\.", plain.replace("\u2060", " "))
    assert plain.replace("\u2060", "") == text


# --- Compare


def test_a_race_is_set_up_from_the_start():
    at = opened("compare")
    (field,) = at.multiselect
    assert field.value == ["sgd", "adam", "rmsprop", "nadam"]
    assert "Start" in enabled(at)
    assert not told(at)


@pytest.mark.parametrize(
    "topic",
    ["Optimizer", "Activation", "Loss", "Schedule", "Learning rate", "Batch size", "Seed", "Architecture", "Anything"],
)
def test_every_topic_offers_a_race_that_can_start(topic):
    at = choose(opened("compare"), "What differs", topic)
    assert not told(at)
    assert "Start" in enabled(at)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Bad: optimizer=adm", "did you mean adam"),
        ("Bad: optimizer.rate=1", "optimizer.rate"),
        ("Bad: epochs=0", "the nearest is 1"),
        ("Bad: epochs", "SETTING=VALUE"),
        ("Bad", "SETTING=VALUE"),
    ],
)
def test_a_bad_contestant_is_told_and_cannot_start(line, words):
    at = choose(opened("compare"), "What differs", "Anything")
    (area,) = at.text_area
    well(area.set_value(f"Good: seed=1\n{line}").run())
    assert words in told(at).replace("\\", "")
    assert "Start" not in enabled(at)


def test_a_race_needs_two():
    at = opened("compare")
    well(at.multiselect[0].set_value(["adam"]).run())
    assert "2 to 8" in told(at)
    assert "Start" not in enabled(at)


def test_a_race_runs_to_its_verdict_and_the_field_is_remembered():
    at = small(opened("compare"), epochs=2)
    well(at.multiselect[0].set_value(["adam", "sgd"]).run())
    choose(at, "Learning rates", "own")
    press(at, "Start")
    assert [job.name for job in process.jobs()] == ["Adam", "SGD"]
    wait_until(over, LONG)
    well(at.run())
    assert "samples right after 2 epochs" in seen(at)
    assert all(name in seen(at) for name in ("Adam", "SGD"))
    go(go(at, "draw"), "compare")
    assert at.multiselect[0].value == ["adam", "sgd"]
    assert "samples right after 2 epochs" in seen(at)


# --- Draw


def test_draw_says_what_to_do_first():
    at = opened("draw")
    assert "No network can read your drawing yet" in at.subheader[0].value
    assert enabled(at) == {"Train digits"}


def test_draw_trains_digits_at_a_click_and_then_offers_the_pad():
    at = press(opened("draw"), "Train digits")
    (job,) = process.jobs()
    assert (job.name, job.recipe) == (DEFAULT, RECIPES[DEFAULT].recipe)
    assert at.multiselect[0].value == [job.number]
    assert "The pad is empty" in seen(at)


def test_draw_without_a_chosen_run_asks_for_one_even_when_something_is_drawn():
    at = press(opened("draw"), "Train digits")
    at.session_state["kept/strokes"] = [{"points": [[0.5, 0.2], [0.5, 0.8]], "width": 0.08}]
    well(at.multiselect[0].set_value([]).run())
    assert "Choose a run" in seen(at)


def test_draw_leaves_out_runs_that_read_no_pictures():
    press(small(opened(), epochs=1), "Start")
    assert "Train digits" in enabled(opened("draw"))


# --- Reference


@pytest.mark.parametrize("title", FAMILIES)
def test_the_reference_lists_every_kind_with_its_settings(title):
    at = opened("reference")
    at.session_state["families"] = title  # the tab that is open; only that one is made
    text = seen(well(at.run()))
    meanings = {meaning for table in at.table for meaning in table.value.get("meaning", [])}
    for kind, member in FAMILIES[title].items():
        assert f"`{kind}`" in text
        assert member.title in text
        assert {field.description for name, field in member.model_fields.items() if name != "kind"} <= meanings


def test_the_reference_lists_the_settings_of_a_run():
    at = opened("reference")
    at.session_state["families"] = "Run"
    well(at.run())
    meanings = {meaning for table in at.table for meaning in table.value.get("meaning", [])}
    for owner in (Recipe, Augmentation):
        assert {field.description for field in owner.model_fields.values()} <= meanings


def test_a_run_that_would_take_much_of_the_memory_is_warned_of_and_can_start(monkeypatch):
    assert not opened().warning
    monkeypatch.setattr(memory, "LARGE", 1e-9)
    at = opened()
    assert "GB" in told(at)
    assert "Start" in enabled(at)


def test_the_line_of_runs_is_there_before_the_first_one():
    """So that charts stand where they are when a run comes."""
    at = opened()
    (line,) = at.pills
    assert (line.disabled, line.options) == (True, [f"{DEFAULT} · not started"])
    under_way(at)
    (line,) = at.pills
    assert (line.disabled, line.options) == (False, [f"{panels.escape(process.jobs()[0].name)} · run 1"])
