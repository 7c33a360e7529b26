"""Figures: valid for plotly, the same size however long the run, and true to what was measured."""

import itertools
import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from dlcore.history import Change, Epoch, History
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.runs.records import Branch, Stored
from pages.parts.charts import accuracy_figure, loss_figure, overlay_figure
from pages.parts.run_looks import COLOURS, colour


def row(number: int, step: int, **measured) -> Epoch:
    values = {"train_loss": 0.4, "train_accuracy": 0.8, "val_loss": 0.5, "val_accuracy": 0.75, "seconds": 1.0}
    return Epoch(epoch=number, step=step, lr=0.01, steps_per_second=100.0, **(values | measured))


def job(losses=(), epochs=(), number=1, name="simplenet", total=None, **known) -> Stored:
    """A run with this history."""
    history = History(losses, epochs, known.pop("changes", ()))
    steps = total or len(losses)
    return Stored(number, name, Recipe(epochs=1), history, steps_per_epoch=steps, status="finished", **known)


def long_job(steps: int, epochs: int):
    random = np.random.default_rng(0)
    rows = [row(i + 1, (i + 1) * steps // epochs, val_loss=random.random()) for i in range(epochs)]
    return job(random.random(steps), rows)


def trace(figure: dict, name: str) -> dict:
    return next(found for found in figure["data"] if found["name"] == name)


def check(figure: dict) -> None:
    """Plotly itself accepts it, and a browser can parse it."""
    go.Figure(figure)
    json.dumps(figure)


@pytest.mark.parametrize("make", [loss_figure, accuracy_figure])
@pytest.mark.parametrize(
    "jobs",
    [
        [],
        [job()],
        [job([1.0, 0.5])],
        [job([1.0, 0.5], [row(1, 2)])],
        [job([1.0], [row(1, 1)], number=1, name="a"), job([2.0], [], number=2, name="b")],
        [job([1.0], [row(1, 1, train_accuracy=None, val_accuracy=None)])],
        [job([1.0, float("nan")], [row(1, 2, val_loss=float("inf"))])],
    ],
    ids=["nothing", "no steps", "steps", "an epoch", "a race", "regression", "diverged"],
)
def test_figures_are_valid(make, jobs):
    figure = make(jobs)
    go.Figure(figure)
    assert figure["layout"]["xaxis"]["title"]["text"] == "step"
    assert figure["layout"]["yaxis"]["title"]["text"] in ("loss", "accuracy")
    assert figure["layout"]["meta"]["label"]


def test_a_figure_does_not_grow_with_the_run():
    short, long = (loss_figure([long_job(steps, steps // 5)]) for steps in (10**3, 10**6))
    assert len(json.dumps(long)) < 1.5 * len(json.dumps(short))
    assert all(len(found["x"]) <= 400 for found in long["data"])
    check(long)
    check(accuracy_figure([long_job(10**6, 10**5)]))


def test_numbers_have_five_digits_whatever_their_size():
    draw = np.random.default_rng(0)
    sizes = np.float32(10.0) ** draw.integers(-30, 30, 300)
    losses = np.float32(draw.uniform(-1, 1, 300) * sizes)
    losses[:7] = [0, np.nan, np.inf, 1, 0.1, 100_000, 1e-45]
    drawn = trace(loss_figure([job(losses)]), "each step")["y"]
    np.testing.assert_allclose(drawn, [float(f"{loss:.5g}") for loss in losses], rtol=1e-14)
    assert len(json.dumps(drawn)) < 16 * len(losses)


def test_the_highest_and_the_lowest_step_stay_in_the_picture():
    losses = np.full(100_000, 1.0)
    losses[33_333], losses[77_777] = 9.0, 0.125
    steps = trace(loss_figure([job(losses)]), "each step")
    assert dict(zip(steps["x"], steps["y"], strict=True)) | {33_334: 9.0, 77_778: 0.125} == dict(
        zip(steps["x"], steps["y"], strict=True)
    )
    assert (steps["x"][0], steps["x"][-1]) == (1, 100_000)


def test_the_best_epoch_stays_in_the_picture():
    rows = [row(i, 10 * i, val_accuracy=0.9, val_loss=0.3) for i in range(1, 5001)]
    rows[1233] = row(1234, 12340, val_accuracy=0.987, val_loss=0.0123)
    run = job([1.0], rows)
    accuracy = trace(accuracy_figure([run]), "validation")
    assert accuracy["y"][accuracy["x"].index(12340)] == 0.987
    loss = trace(loss_figure([run]), "validation")
    assert loss["y"][loss["x"].index(12340)] == 0.0123


def test_validation_is_drawn_bolder_than_training():
    figure = loss_figure([job([1.0], [row(1, 1)])])
    assert trace(figure, "validation")["line"]["width"] > trace(figure, "training")["line"]["width"]


def test_a_run_keeps_its_colour_alone_and_beside_others():
    alone, other = job([1.0], [row(1, 1)], number=3, name="third"), job([1.0], [row(1, 1)], number=4, name="fourth")
    race = [other, alone]
    colours = {found["line"]["color"] for make in (loss_figure, accuracy_figure) for found in make([alone])["data"]}
    assert colours == {colour(3)}
    for make in (loss_figure, accuracy_figure):
        assert trace(make(race), "third · rate 0.001")["line"]["color"] == colour(3)
        assert trace(make(race), "fourth · rate 0.001")["line"]["color"] == colour(4)


def test_eight_runs_in_a_row_have_eight_colours():
    assert len({colour(number) for number in range(5, 13)}) == len(COLOURS) == 8


def test_traces_have_names_and_ids_that_stay():
    run = job([1.0, 0.5], [row(1, 2)])
    ids = [found["uid"] for found in loss_figure([run])["data"]]
    assert [found["name"] for found in loss_figure([run])["data"]] == [
        "each step",
        "steps, smoothed",
        "training",
        "validation",
    ]
    assert len(set(ids)) == len(ids)
    run.history.add_step(torch.tensor(0.25))
    assert [found["uid"] for found in loss_figure([run])["data"]] == ids
    race = loss_figure([run, job([1.0], [row(1, 1)], number=2, name="other")])
    assert len({found["uid"] for found in race["data"]}) == len(race["data"])
    # plotly makes CSS selectors of them
    assert all(re.fullmatch(r"[a-z_]+-\d+", found["uid"]) for found in race["data"])
    names = {found["name"] for found in race["data"] if found.get("showlegend", True)}
    assert names == {"simplenet · rate 0.001", "other · rate 0.001"}


def test_the_view_belongs_to_the_runs_shown():
    first, second = job([1.0]), job([1.0], number=2)
    views = [loss_figure(jobs)["layout"]["uirevision"] for jobs in ([first], [second], [first, second])]
    assert len(set(views)) == 3
    first.history.add_step(torch.tensor(0.5))
    assert loss_figure([first])["layout"]["uirevision"] == views[0]


def test_the_axis_reaches_to_the_end_of_the_run():
    assert loss_figure([job([1.0, 0.5], total=640)])["layout"]["xaxis"]["range"] == [0, 640]


def test_regression_has_no_points_of_accuracy():
    rows = [row(1, 1, train_accuracy=None, val_accuracy=None)]
    assert all(found["y"] == [None] for found in accuracy_figure([job([1.0], rows)])["data"])


@pytest.mark.parametrize("rows", [[], [row(1, 1, train_accuracy=0.97, val_accuracy=0.98)]], ids=["none", "an epoch"])
def test_an_accuracy_axis_goes_from_0_to_1(rows):
    runs = [job([1.0], rows), job([1.0], rows, number=2)]
    for shown in ([], runs[:1], runs):
        assert accuracy_figure(shown)["layout"]["yaxis"]["range"] == [0, 1]
    assert overlay_figure(runs, "accuracy", "step")["layout"]["yaxis"]["range"] == [0, 1]


def test_an_accuracy_axis_of_an_imported_run_goes_from_0_to_1_and_says_that_its_measurements_are_lost():
    nothing = {"train_loss": np.nan, "train_accuracy": None, "val_loss": np.nan, "val_accuracy": None}
    rows, changes = [row(1, 2, **nothing), row(2, 4, **nothing)], [Change(4, "lost", None)]
    imported = job([np.nan] * 4, rows, changes=changes)
    for layout in (accuracy_figure([imported])["layout"], overlay_figure([imported], "accuracy", "step")["layout"]):
        assert layout["yaxis"]["range"] == [0, 1]
    for figure in (loss_figure([imported]), accuracy_figure([imported])):
        assert [note["hovertext"] for note in figure["layout"]["annotations"]] == ["measurements before are lost"]


def test_the_best_epoch_has_a_star_on_the_validation_line_alone():
    rows = [row(1, 10, val_accuracy=0.7), row(2, 20, val_accuracy=0.9), row(3, 30, val_accuracy=0.8)]
    for figure in (loss_figure([job([1.0] * 30, rows)]), accuracy_figure([job([1.0] * 30, rows)])):
        assert trace(figure, "validation")["marker"]["symbol"] == ["circle", "star", "circle"]
        assert "symbol" not in trace(figure, "training")["marker"]
        check(figure)


def test_the_star_stays_in_a_long_run_whose_best_accuracy_is_no_extreme_of_its_loss():
    random = np.random.default_rng(0)
    rows = [row(i + 1, i + 1, val_loss=random.random(), val_accuracy=0.5) for i in range(1000)]
    rows[500] = row(501, 501, val_loss=0.5, val_accuracy=0.9)
    line = trace(loss_figure([job([1.0] * 1000, rows)]), "validation")
    place = line["marker"]["symbol"].index("star")
    assert (line["x"][place], line["y"][place]) == (501, 0.5)
    assert sum(size > 0 for size in line["marker"]["size"]) == 1


def test_changes_on_the_way_and_the_place_of_a_branch_are_marked_by_numbered_flags_whose_words_are_told():
    changes = [Change(5, "optimizer.lr", 0.01), Change(5, "model.dropout", 0.5), Change(8, "pace", None)]
    changes = [Change(3, "data.kind", "moons"), Change(3, "loss.kind", "mse"), *changes]
    branched = job([1.0] * 10, changes=changes, branch=Branch(7, 1, 3), stepping=30.0)
    for figure in (loss_figure([branched]), accuracy_figure([branched])):
        layout = figure["layout"]
        lines = [line["x0"] for line in layout["shapes"] if line["name"] == "mark"]
        assert lines == [note["x"] for note in layout["annotations"]] == [3, 5, 8]
        assert [note["text"] for note in layout["annotations"]] == ["1", "2", "3"]
        words = [note["hovertext"] for note in layout["annotations"]]
        elsewhere = "measured on other data, measured by another loss"
        assert words == [f"branch of run 7, {elsewhere}", "learning rate 0.01, dropout 0.5", "full speed"]
        check(figure)
    assert "annotations" not in loss_figure([branched, job([1.0], number=2)])["layout"]


def test_the_lines_of_one_run_are_named_at_their_ends_and_several_runs_have_a_legend():
    one, other = job([1.0], [row(1, 1)]), job([1.0], [row(1, 1)], number=2)
    for make in (loss_figure, accuracy_figure):
        alone, both = make([one]), make([one, other])
        ends = {found["name"]: found["meta"]["end"] for found in alone["data"] if "end" in found.get("meta", {})}
        assert ends == {"training": "training", "validation": "validation"}
        assert not alone["layout"]["showlegend"]
        assert both["layout"]["showlegend"]
        assert not any("end" in found.get("meta", {}) for found in both["data"])
        assert trace(alone, "training")["line"]["dash"] != trace(alone, "validation")["line"]["dash"]


def test_charts_of_the_same_runs_over_the_same_axis_have_one_crosshair():
    one, other = job([1.0]), job([1.0], number=2)
    groups = [
        make(runs)["layout"]["meta"]["group"] for runs in ([one], [other]) for make in (loss_figure, accuracy_figure)
    ]
    assert groups[0] == groups[1] != groups[2] == groups[3]
    over = [
        overlay_figure([one, other], *how)["layout"]["meta"]["group"] for how in (("loss", "step"), ("loss", "time"))
    ]
    assert over[0] != over[1]


def test_words_stand_at_the_star():
    rows = [row(1, 10, val_accuracy=0.7), row(2, 20, val_accuracy=0.9821), row(3, 30, val_accuracy=0.8)]
    run = job([1.0] * 30, rows)
    assert trace(accuracy_figure([run]), "validation")["meta"]["best"] == [1, "best 98.2%"]
    assert trace(loss_figure([run]), "validation")["meta"]["best"] == [1, "best epoch"]
    rows = [row(i, 10 * i, train_accuracy=None, val_accuracy=None, val_loss=1 / i) for i in (1, 2, 3)]
    numbers = Stored(1, "line", RECIPES["linear-regression"].recipe, History([1.0] * 30, rows))
    assert trace(loss_figure([numbers]), "validation")["meta"]["best"] == [2, "best 0.333"]


def test_the_line_of_guessing_is_drawn_where_all_runs_have_the_same():
    digits, moons = RECIPES["digits"].recipe, RECIPES["two-moons"].recipe
    runs = [Stored(number, "run", recipe) for number, recipe in enumerate((digits, digits, moons), 1)]

    def lines(*shown, **how) -> list[tuple[float, str]]:
        shapes = accuracy_figure(*shown, **how)["layout"].get("shapes", [])
        return [(line["y0"], line["label"]["text"]) for line in shapes if line["name"] == "guessing"]

    assert lines(runs[:1]) == lines(runs[:2]) == lines([], recipe=digits) == [(0.1, "guessing 10%")]
    assert lines(runs[2:]) == [(0.5, "guessing 50%")]
    assert lines(runs[:1], runs[2:]) == lines([]) == lines([], recipe=RECIPES["linear-regression"].recipe) == []


def part(figure: dict, name: str, number: int) -> dict:
    return next(found for found in figure["data"] if found["uid"] == f"{name}-{number}")


def paced(number: int, per_epoch: int, seconds: float, **known) -> Stored:
    """A run whose epochs take so many steps and seconds each; three are done, and half of the fourth."""
    rows = [row(epoch, epoch * per_epoch, val_loss=1 / epoch, seconds=epoch * seconds) for epoch in (1, 2, 3)]
    losses = np.linspace(1, 0, per_epoch * 3 + per_epoch // 2)
    return job(losses, rows, number, total=per_epoch, stepping=3.5 * seconds, **known)


@pytest.mark.parametrize("measure", ["loss", "accuracy"])
@pytest.mark.parametrize("x", ["step", "epoch", "time"])
def test_an_overlay_is_valid_whatever_the_runs_have_done(measure, x):
    bad = row(1, 2, val_loss=float("inf"), val_accuracy=None)
    runs = [job(), job([1.0], number=2), job([1.0, float("nan")], [bad], number=3), paced(4, 10, 2.0)]
    figure = overlay_figure(runs, measure, x)
    check(figure)
    assert len({found["uid"] for found in figure["data"]}) == len(figure["data"])


def test_runs_of_another_batch_size_or_speed_meet_over_epochs_or_time():
    slow, quick = paced(1, 10, 4.0), paced(2, 40, 2.0)
    places = {
        x: [part(overlay_figure([slow, quick], "loss", x), "validation", number)["x"] for number in (1, 2)]
        for x in ("step", "epoch", "time")
    }
    assert places["step"] == [[10, 20, 30], [40, 80, 120]]
    assert places["epoch"] == [[1, 2, 3], [1, 2, 3]]
    assert places["time"] == [[4, 8, 12], [2, 4, 6]]
    for x, end in (("epoch", 3.5), ("time", 14.0)):
        steps = part(overlay_figure([slow, quick], "loss", x), "steps", 1)["x"]
        assert steps[-1] == pytest.approx(end)  # past the last epoch, at the pace so far
        assert steps == sorted(steps)
        assert steps[4] == pytest.approx(end * 5 / 35)  # within an epoch, between its ends


@pytest.mark.parametrize(("seconds", "title", "end"), [(3.0, "seconds", 9), (60.0, "minutes", 3), (7200.0, "hours", 6)])
def test_a_time_axis_has_the_unit_that_suits_the_longest_run(seconds, title, end):
    figure = overlay_figure([paced(1, 10, seconds)], "loss", "time")
    assert figure["layout"]["xaxis"]["title"]["text"] == f"time ({title})"
    assert part(figure, "validation", 1)["x"][-1] == end


def test_runs_of_one_colour_have_other_dashes_and_names_tell_their_numbers():
    figure = overlay_figure([paced(number, 10, 1.0) for number in (1, 2, 9, 17)], "accuracy", "step")
    lines = [part(figure, "validation", number) for number in (1, 2, 9, 17)]
    looks = [(line["line"]["color"], line["line"]["dash"]) for line in lines]
    assert len(set(looks)) == 4
    assert looks[0][0] == looks[2][0] == looks[3][0] == colour(1)
    assert [line["name"] for line in lines] == [f"simplenet · run {number}" for number in (1, 2, 9, 17)]


def test_a_branch_begins_where_it_left_its_parent_if_that_is_shown_and_a_ring_marks_the_place():
    parent, child = paced(1, 10, 1.0), paced(2, 10, 1.0, branch=Branch(1, 2, 20))
    for measure, value in (("loss", 0.5), ("accuracy", 0.75)):
        both, alone = overlay_figure([parent, child], measure, "step"), overlay_figure([child], measure, "step")
        assert part(both, "validation", 2)["x"] == [20, 30]
        assert part(alone, "validation", 2)["x"] == [10, 20, 30]
        for figure in (both, alone):
            ring = part(figure, "branch", 2)
            assert (ring["x"], ring["y"]) == ([20], [value])
            assert "left run 1" in ring["text"][0]
    steps = part(overlay_figure([parent, child], "loss", "step"), "steps", 2)["x"]
    assert (steps[0], steps[-1]) == (21, 35)


def test_an_overlay_of_long_runs_is_no_larger_and_its_names_are_no_markup():
    figures = [overlay_figure([long_job(steps, 1000)], "loss", "step") for steps in (20_000, 200_000)]
    sizes = [[len(found["x"]) for found in figure["data"]] for figure in figures]
    assert all(90 <= size <= 202 for size in itertools.chain(*sizes))
    named = job([1.0], [row(1, 1)], name="<b>x</b> & y")
    assert trace(overlay_figure([named], "loss", "step"), "&lt;b&gt;x&lt;/b&gt; &amp; y · run 1")
