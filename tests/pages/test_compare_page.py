"""The Compare page: at which learning rates a race is run, what sets its contestants apart, and the runs beside it."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import Line, Moons
from dlcore.catalogue.losses import MeanSquaredError
from dlcore.catalogue.optimizers import SGD
from dlcore.engine.conductor import Conductor
from dlcore.engine.job import Job
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.runs.records import Stored
from dlcore.runs.store import Store
from dlcore.studies import races
from pages.parts import live_chart, session
from pages.parts.charts import DASHES, accuracy_figure, called, dashes, loss_figure
from tests.pages.test_pages import choose, enabled, find, opened, press, seen, small, told, well
from tests.waiting import wait_until

LONG = 120  # seconds
QUICK = Recipe(data=Moons(samples=200), model=MLP(widths=(8,)), batch_size=32, epochs=3)  # 4 steps an epoch


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where the runs of a dashboard are that was just started."""
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "runs"))
    st.cache_resource.clear()
    yield tmp_path / "runs"
    session.conductor().close()
    st.cache_resource.clear()


@pytest.fixture
def elsewhere(root: Path) -> Iterator[Conductor]:
    """Another process that trains, for all that the dashboard can see."""
    conductor = Conductor(threads=1, store=Store(root))
    yield conductor
    conductor.close()
    conductor.store.close()


@pytest.fixture
def charts(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    """The figures that the page drew last, by the chart's key."""
    drawn = {}
    monkeypatch.setattr(live_chart, "live_chart", lambda figure, *, key, height: drawn.update({key: figure}))
    return drawn


def trained(conductor: Conductor, name: str = "earlier", recipe: Recipe = QUICK) -> Job:
    job = conductor.submit(name, recipe)
    assert job.wait(LONG)
    assert job.wait_saved(LONG)
    return job


def beside(at: AppTest, *numbers: int) -> AppTest:
    return well(find(at.multiselect, "Beside them").set_value(list(numbers)).run())


def race(at: AppTest, rates: str = "own", epochs: int = 2) -> AppTest:
    """A small race from its start to its end."""
    small(at, epochs)
    well(find(at.multiselect, "Contestants").set_value(["adam", "sgd"]).run())
    choose(at, "Learning rates", rates)
    press(at, "Start")
    wait_until(over, LONG)
    return well(at.run())


def over() -> bool:
    """Whether the race is run."""
    tuning, jobs = races.tuning(session.conductor()), session.latest_race()
    return not (tuning and tuning.going) and len(jobs) == 2 and not any(job.active for job in jobs)


def rows(at: AppTest) -> list[list[str]]:
    """The cells of the standings, as HTML."""
    (table,) = [found.proto.body for found in at.get("html") if "<th>place</th>" in found.proto.body]
    return [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(<td>.*?)</tr>", table)]


def bar(at: AppTest) -> tuple[int, str]:
    """How far the progress bar is, in percent, and what is said over it."""
    (found,) = [found.proto for found in at.get("progress")]
    return found.value, found.text


def legend(figure: dict) -> list[str]:
    return [trace["name"] for trace in figure["data"] if trace.get("showlegend", True)]


def run(number: int, steps: int = 0, name: str = "run", **known) -> Stored:
    found = Stored(number, name, QUICK, steps_per_epoch=4, **known)
    found.history.steps = steps
    return found


# --- The page


def test_with_nothing_stored_nothing_is_offered():
    assert [field.label for field in opened("compare").multiselect] == ["Contestants"]


def test_with_no_race_the_chosen_runs_are_shown_alone(elsewhere, charts):
    first, last = trained(elsewhere, "first"), trained(elsewhere, "last")
    at = opened("compare")
    assert find(at.multiselect, "Beside them").options == [called(last), called(first)]
    beside(at, first.number, last.number)
    assert [(row[0], re.sub("<.*?>", "", row[1]), *row[2:5]) for row in rows(at)] == [
        ("–", f"first · run&nbsp;{first.number}", "0.001", "finished", "3&nbsp;of&nbsp;3"),
        ("–", f"last · run&nbsp;{last.number}", "0.001", "finished", "3&nbsp;of&nbsp;3"),
    ]
    for key in ("race-loss-chart", "race-accuracy-chart"):
        assert legend(charts[key]) == [called(first), called(last)]


def test_runs_beside_a_race_have_no_place_in_it(elsewhere, charts):
    other = trained(elsewhere)
    at = race(beside(opened("compare"), other.number))
    assert [row[0] for row in rows(at)] == ["1", "2", "–"]
    assert legend(charts["race-loss-chart"]) == ["Adam · rate 0.001", "SGD · rate 0.01", called(other)]
    (verdict,) = [found.value for found in at.success]
    assert "samples right after 2 epochs" in verdict
    assert "earlier" not in verdict


def test_contestants_are_not_offered_beside_themselves_but_are_after_the_next_race(elsewhere):
    other = trained(elsewhere)
    at = race(opened("compare"))
    assert find(at.multiselect, "Beside them").options == [called(other)]
    before = session.latest_race()
    at = race(at)
    wait_until(lambda: called(before[0]) in find(well(at.run()).multiselect, "Beside them").options, LONG)


def test_no_more_than_four_are_taken(elsewhere):
    trained(elsewhere)
    assert find(opened("compare").multiselect, "Beside them").proto.max_selections == 4


def test_a_name_is_shown_as_it_is(elsewhere, charts):
    other = trained(elsewhere, "<b>x</b> & *y*")
    at = beside(opened("compare"), other.number)
    assert "&lt;b&gt;x&lt;/b&gt; &amp; *y*" in rows(at)[0][1]
    assert "<b>" not in seen(at)
    assert not [trace for trace in charts["race-loss-chart"]["data"] if "<b>" in trace["name"]]


def test_a_run_that_another_process_trains_goes_on_in_the_standings(elsewhere):
    job = elsewhere.submit("there", QUICK.model_copy(update={"epochs": 100_000}), pace=50)
    wait_until(lambda: job.saved_epochs > 0, LONG)
    at = beside(opened("compare"), job.number)

    def epoch() -> int:
        (cells,) = rows(well(at.run()))
        return int(cells[4].split("&nbsp;")[0])

    assert rows(at)[0][3] == "training"
    first = epoch()
    wait_until(lambda: epoch() > first, LONG)
    job.stop()
    wait_until(lambda: rows(well(at.run()))[0][3] == "stopped", LONG)


def test_a_regression_alone_has_no_accuracy_chart(elsewhere, charts):
    recipe = Recipe(data=Line(), loss=MeanSquaredError(), model=MLP(widths=(4,)), batch_size="all", epochs=3)
    other = trained(elsewhere, "line", recipe)
    at = opened("compare")
    charts.clear()
    beside(at, other.number)
    assert list(charts) == ["race-loss-chart"]
    assert "Numbers have no accuracy" in seen(at)
    assert rows(at)[0][5] == "–"


def test_a_run_of_a_newer_format_is_told_and_left_out(elsewhere):
    newer, other = trained(elsewhere, "newer"), trained(elsewhere, "other")
    sql = "UPDATE runs SET format = 99 WHERE number = ?"
    elsewhere.store.database.write(lambda db: db.execute(sql, [newer.number]))
    at = beside(opened("compare"), newer.number, other.number)
    assert "update dlcore" in at.warning[0].value
    assert len(rows(at)) == 1


def test_without_a_store_earlier_jobs_can_be_beside_a_race(monkeypatch, tmp_path):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "a file"))
    job = session.conductor().submit("here", QUICK)
    assert job.wait(LONG)
    at = race(beside(opened("compare"), job.number))
    assert session.store() is None
    assert [row[0] for row in rows(at)] == ["1", "2", "–"]


# --- Learning rates


def differences(at: AppTest) -> dict[str, dict[str, str]]:
    """What is shown of each contestant's settings, by their titles; of the race to come, if that is another."""
    *_, table = [found.proto.body for found in at.get("html") if "<th>setting</th>" in found.proto.body]
    names = re.findall("<th>(.*?)</th>", table)[1:]
    lines = [re.findall("<td>(.*?)</td>", line) for line in re.findall("<tr>(<td>.*?)</tr>", table)]
    return {title: dict(zip(names, values, strict=True)) for title, *values in lines}


def rates(at: AppTest) -> dict[str, str]:
    return differences(at)["Learning rate"]


def unfold(at: AppTest, place: str) -> AppTest:
    """For the next run: AppTest forgets what was unfolded."""
    at.session_state[f"race/own/{place}/fold"] = True
    return at


def give(at: AppTest, place: str, what: str, label: str, value) -> AppTest:
    """Unfold a contestant's settings and set one."""
    well(unfold(at, place).run())
    setting(getattr(at, what), label, place).set_value(value)
    return well(unfold(at, place).run())


def setting(widgets, label: str, place: str):
    """A control of one contestant."""
    (found,) = [widget for widget in widgets if widget.label == label and place in (widget.key or "")]
    return found


def test_every_contestant_shows_at_which_rates_it_will_race(charts):
    at = opened("compare")
    assert find(at.selectbox, "Learning rates").value == "best"
    assert rates(at) == {
        "SGD": "tries 0.001, 0.01, 0.1",
        "Adam": "tries 0.0001, 0.001, 0.01",
        "RMSprop": "tries 0.0001, 0.001, 0.01",
        "NAdam": "tries 0.0002, 0.002, 0.02",
    }
    choose(at, "Learning rates", "own")
    own = {"SGD": "0.01", "Adam": "0.001", "RMSprop": "0.001", "NAdam": "0.002"}
    assert rates(at) == own
    choose(at, "Recipe", "linear-regression")  # whose SGD has another one
    assert rates(at) == own
    choose(at, "Learning rates", "same")
    assert rates(at) == dict.fromkeys(own, f"{RECIPES['linear-regression'].recipe.optimizer.lr:g}")


@pytest.mark.parametrize("how", ["same", "own"])
def test_a_race_at_given_rates_names_them_wherever_it_is_shown(charts, how):
    at = race(opened("compare"), how)
    wanted = {"Adam": "0.01" if how == "same" else "0.001", "SGD": "0.01"}
    assert RECIPES["two-moons"].recipe.optimizer.lr == 0.01
    assert {job.name: f"{job.first_recipe.optimizer.lr:g}" for job in session.latest_race()} == wanted
    assert {re.sub("<.*?>", "", row[1]): row[2] for row in rows(at)} == rates(at) == wanted
    assert set(legend(charts["race-accuracy-chart"])) == {f"{name} · rate {rate}" for name, rate in wanted.items()}
    (verdict,) = [found.value.replace("\\", "") for found in at.success]
    told = "All trained at the learning rate 0.01." if how == "same" else "Their learning rates: Adam 0.001, SGD 0.01."
    assert told in verdict


def test_the_best_of_three_are_tried_first_and_told_and_kept(root, charts):
    at = race(opened("compare"), "best", epochs=10)
    names = [row["name"] for row in reversed(session.store().rows())]
    assert names == [*(f"Adam, rate {rate}" for rate in ("0.0001", "0.001", "0.01")),
                     *(f"SGD, rate {rate}" for rate in ("0.001", "0.01", "0.1")), "Adam", "SGD"]  # fmt: skip
    tuning = races.tuning(session.conductor())
    text = seen(at).replace("\\", "")
    for job in session.latest_race():
        (best,) = [one for one in tuning.tries[job.name] if one.won]
        assert job.first_recipe.optimizer.lr == best.rate
        assert f"{job.name}: {tuning.told(job.name)}" in text
    told = [tuning.told(name) for name in ("Adam", "SGD")]
    restart()
    text = seen(opened("compare")).replace("\\", "")
    assert all(sentence in text for sentence in told)


def test_the_bar_never_falls_from_the_first_try_to_the_end_of_the_race(monkeypatch):
    conductor, gate, came = session.conductor(), threading.Semaphore(0), []
    begin = conductor.race

    def held(*arguments, **how):
        came.append(1)
        assert gate.acquire(timeout=LONG)
        return begin(*arguments, **how | {"paused": True})

    monkeypatch.setattr(conductor, "race", held)
    at = small(opened("compare"), epochs=10)
    well(find(at.multiselect, "Contestants").set_value(["adam", "sgd"]).run())
    gate.release()
    press(at, "Start")
    bars = [bar(well(at.run()))]
    tuning = races.tuning(conductor)
    for count in (2, 3):
        stage = tuning.stage
        for job in stage.jobs:
            job.resume()
        wait_until(lambda count=count: len(came) == count, LONG)  # what went before is over
        bars.append(bar(well(at.run())))
        gate.release()
        wait_until(lambda before=stage: tuning.stage is not before, LONG)
        wait_until(lambda: all(job.ready for job in session.latest_race()), LONG)
        bars.append(bar(well(at.run())))
    assert [text.split(" · ")[:2] for _, text in bars] == [
        ["**paused**", "trying learning rates: Adam at 0.0001, 0.001, 0.01"],
        ["**preparing**", "learning rates are tried: Adam"],
        ["**paused**", "trying learning rates: SGD at 0.001, 0.01, 0.1"],
        ["**preparing**", "learning rates are tried: SGD"],
        ["**paused**", "epoch 0 of 10"],
    ]
    assert [value for value, _ in bars] == [0, 18, 18, 37, 37]  # three tries of 2 epochs each, and a race of 20
    assert "38% of tries and race" in bars[-1][1]
    for job in session.latest_race():
        job.resume()
    wait_until(over, LONG)
    assert bar(well(at.run()))[0] == 100


def test_a_page_that_is_closed_meanwhile_leaves_the_race_on_its_way():
    at = small(opened("compare"), epochs=10)
    well(find(at.multiselect, "Contestants").set_value(["adam", "sgd"]).run())
    press(at, "Start")
    del at
    wait_until(over, LONG)
    assert [job.name for job in session.latest_race()] == ["Adam", "SGD"]


def test_stop_ends_the_tries_and_there_is_no_race():
    at = small(opened("compare"), epochs=100_000)
    press(at, "Start")
    wait_until(lambda: session.latest_race()[0].ready, LONG)
    assert "trying learning rates: SGD at 0.001, 0.01, 0.1 · contestant 1 of 4 · epoch" in seen(well(at.run()))
    press(at, "Stop")
    wait_until(lambda: not races.tuning(session.conductor()).going, LONG)
    assert [job.name for job in session.jobs()] == [f"SGD, rate {rate}" for rate in ("0.001", "0.01", "0.1")]
    assert "Start" in enabled(well(at.run()))
    assert "stopped while learning rates were tried" in at.info[0].value
    assert not at.success


def test_nothing_can_be_started_while_rates_are_tried(monkeypatch):
    at = small(opened("compare"), epochs=100_000)
    press(at, "Start")
    tuning = races.tuning(session.conductor())
    monkeypatch.setattr(session, "latest_race", lambda: [])  # as between two tries
    assert not enabled(opened("compare")) & {"Start", "Step"}
    assert tuning.going


def test_a_rate_that_a_contestant_is_given_is_not_tried(charts):
    at = give(opened("compare"), "Optimizer/sgd", "select_slider", "Learning rate", 0.05)
    assert rates(at)["SGD"] == "0.05"
    race(at, "best", epochs=5)
    assert [row["name"] for row in reversed(session.store().rows())] == [
        *(f"Adam, rate {rate}" for rate in ("0.0001", "0.001", "0.01")), "Adam", "SGD",
    ]  # fmt: skip
    assert session.jobs()[-1].first_recipe.optimizer.lr == 0.05


# --- The address


def test_what_contestants_share_outlives_a_refresh():
    at = small(opened("compare"), epochs=7)
    assert (at.query_params["data"], at.query_params["epochs"]) == ("moons", "7")
    again = opened_at(dict(at.query_params))
    assert find(again.selectbox, "Recipe").value == "two-moons"
    assert find(again.number_input, "Epochs").value == 7
    assert again.query_params == at.query_params


def test_what_a_link_to_a_race_asks_for_and_cannot_have_is_told():
    at = opened_at({"data": "moons", "epochs": "0"})
    assert "This link asks for what cannot be had" in told(at)
    assert "Start" in enabled(at)


def opened_at(address: dict[str, str]) -> AppTest:
    at = opened()
    at.query_params = address
    return well(at.switch_page("pages/compare.py").run())


# --- What sets contestants apart


def restart() -> None:
    """The dashboard ends, and begins again over the same runs."""
    session.conductor().close()
    st.cache_resource.clear()


def test_a_contestant_is_given_settings_by_the_controls_of_the_train_page():
    at = choose(small(opened("compare"), epochs=1), "Learning rates", "own")
    give(at, "Optimizer/sgd", "slider", "Momentum", 0.5)
    give(at, "Optimizer/sgd", "selectbox", "Architecture", "linear")
    press(at, "Start")
    recipes = {job.name: job.first_recipe for job in session.jobs()}
    assert (recipes["SGD"].optimizer.momentum, recipes["SGD"].model.kind) == (0.5, "linear")
    assert {recipes[name].model.kind for name in ("Adam", "RMSprop", "NAdam")} == {"mlp"}
    shown = differences(at)
    assert shown["Architecture"] == {"SGD": "Linear", "Adam": "MLP", "RMSprop": "MLP", "NAdam": "MLP"}
    assert shown["Optimizer: momentum"] == {"SGD": "0.5", "Adam": "–", "RMSprop": "0", "NAdam": "–"}


def test_what_a_contestant_was_given_outlives_a_change_of_what_is_shared():
    at = choose(opened("compare"), "Learning rates", "same")
    give(at, "Optimizer/sgd", "slider", "Momentum", 0.5)
    choose(at, "Recipe", "linear-regression")
    shared = RECIPES["linear-regression"].recipe.optimizer  # SGD, too
    well(unfold(at, "Optimizer/sgd").run())
    assert setting(at.slider, "Momentum", "Optimizer/sgd").value == 0.5
    assert setting(at.select_slider, "Learning rate", "Optimizer/sgd").value == shared.lr
    setting(at.button, "Reset", "Optimizer/sgd").click()
    well(unfold(at, "Optimizer/sgd").run())
    assert setting(at.slider, "Momentum", "Optimizer/sgd").value == shared.momentum


def test_what_sets_the_next_race_apart_is_told_beside_the_one_that_is_over():
    at = race(opened("compare"), "best")
    captions = lambda: [found.value for found in at.caption if "differ" in found.value]  # noqa: E731
    assert captions() == ["In what they differ"]
    well(find(at.multiselect, "Contestants").set_value(["adam", "nadam"]).run())
    assert captions() == ["In what they differ", "In what those of the next race differ"]
    assert rates(at) == {"Adam": "tries 0.0001, 0.001, 0.01", "NAdam": "tries 0.0002, 0.002, 0.02"}


def test_what_all_of_the_next_race_have_that_those_of_the_last_one_had_not_is_told():
    at = race(opened("compare"))
    assert "instead of" not in seen(at)
    choose(at, "Recipe", "linear-regression")
    (found,) = [found.value.replace("\\", "") for found in at.caption if "instead of" in found.value]
    assert found.startswith("In all of the next race: Data: Line instead of Two moons · Architecture: Linear instead")
    assert "Epochs: 1000 instead of 2" in found
    assert "learning rate" not in found


def test_contestants_with_settings_of_their_own_need_no_syntax():
    at = choose(small(opened("compare"), epochs=1), "What differs", "Own settings")
    assert "Start" in enabled(at)
    choose(at, "Learning rates", "own")
    give(at, "Own settings/1", "selectbox", "Optimizer", "sgd")
    well(find(at.text_input, "Contestants").set_value("One, Two, Three").run())
    give(at, "Own settings/2", "slider", "Beta 1", 0.5)
    press(at, "Start")
    optimizers = {job.name: job.first_recipe.optimizer for job in session.jobs()}
    base = RECIPES["two-moons"].recipe.optimizer
    assert optimizers["One"] == base.model_copy(update={"lr": 0.001})
    assert optimizers["Two"] == SGD()
    assert optimizers["Three"] == base.model_copy(update={"lr": 0.001, "beta1": 0.5})


def test_a_contestant_that_is_there_twice_is_told():
    at = choose(opened("compare"), "What differs", "Anything")
    (area,) = at.text_area
    well(area.set_value("Same: seed=1\nSame: seed=2").run())
    assert "more than once" in told(at)


# --- A race that is over


def test_a_contestant_that_is_let_go_stays_in_its_race(charts):
    at = race(opened("compare"))
    first, second = races.ranking(session.latest_race())
    assert first.wait_saved(LONG)
    assert second.wait_saved(LONG)
    session.conductor().forget(first.number)
    for _ in range(2):
        assert [(row[0], re.sub("<.*?>", "", row[1])) for row in rows(well(at.run()))] == [
            ("1", first.name),
            ("2", second.name),
        ]
        assert f"{first.name} came first" in at.success[0].value
        session.conductor().forget(second.number)
    assert not session.jobs()
    assert len(legend(charts["race-loss-chart"])) == 2


def test_the_last_race_is_there_again_after_a_restart():
    race(opened("compare"))
    names = [job.name for job in session.latest_race()]
    restart()
    at = opened("compare")
    assert [run.name for run in session.latest_race()] == names
    assert [row[0] for row in rows(at)] == ["1", "2"]
    assert "came first" in at.success[0].value
    assert "equally good networks" not in at.success[0].value
    assert not enabled(at) & {"Pause", "Stop"}
    race(at)
    assert all(isinstance(run, Job) for run in session.latest_race())


def test_a_contestant_that_goes_on_is_still_in_its_race():
    at = race(opened("compare"))
    first, second = session.latest_race()
    restart()
    job = session.conductor().resume(first.number, {"epochs": 100_000})
    job.race = first.race  # as the conductor keeps it
    assert [run.number for run in session.latest_race()] == [first.number, second.number]
    at = opened("compare")
    assert len(rows(at)) == 2
    assert not at.success  # the race is on
    press(at, "Stop")
    assert job.wait(LONG)
    assert "came first" in well(at.run()).success[0].value


# --- The charts


def test_two_runs_of_one_colour_are_told_apart():
    runs = [run(number) for number in (1, 2, 9, 10, 17, 25, 33)]
    assert dashes(runs) == ["solid", "solid", "dash", "dash", "dot", "dashdot", "longdash"]
    for make in (loss_figure, accuracy_figure):
        figure = make(runs[:1], runs[1:])
        go.Figure(figure)
        looks = {(trace["line"]["color"], trace["line"]["dash"]) for trace in figure["data"]}
        assert len(looks) == len(runs)
    assert len(set(DASHES)) >= 5  # a contestant and four beside it


def test_the_axis_reaches_to_the_longest_run():
    racing = run(1, steps=5, status="training")  # 12 steps to do
    ended = run(2, steps=40, status="finished")
    stopped = run(3, steps=2, status="stopped")
    going = run(4, steps=6, status="training")
    reach = lambda *runs: loss_figure(*runs)["layout"]["xaxis"]["range"][1]  # noqa: E731
    assert reach([racing], [ended]) == 40
    assert reach([racing], [stopped]) == 12
    assert reach([], [stopped]) == 2
    assert reach([], [stopped, going]) == 12


def test_runs_of_one_name_are_hidden_one_by_one():
    for make in (loss_figure, accuracy_figure):
        groups = {trace["legendgroup"] for trace in make([run(1, name="a")], [run(2, name="a")])["data"]}
        assert len(groups) == 2
