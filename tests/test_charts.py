"""Figures: valid for plotly, the same size however long the run, and true to what was measured."""

import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from dlcore.history import Change, Epoch, History
from dlcore.recipe import Recipe
from dlcore.records import Branch, Stored
from pages.parts.charts import COLOURS, accuracy_figure, colour, confusion_figure, loss_figure


def row(number: int, step: int, **measured) -> Epoch:
    values = {"train_loss": 0.4, "train_accuracy": 0.8, "val_loss": 0.5, "val_accuracy": 0.75} | measured
    return Epoch(epoch=number, step=step, lr=0.01, seconds=1.0, steps_per_second=100.0, **values)


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
        assert trace(make(race), "third")["line"]["color"] == colour(3)
        assert trace(make(race), "fourth")["line"]["color"] == colour(4)


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
    assert {found["name"] for found in race["data"] if found.get("showlegend", True)} == {"simplenet", "other"}


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


def test_an_accuracy_axis_without_epochs_goes_from_0_to_1():
    assert accuracy_figure([job([1.0])])["layout"]["yaxis"]["range"] == [0, 1]


def test_confusion_counts_are_written_and_shares_are_coloured():
    figure = confusion_figure(np.array([[3, 1], [0, 0]]), ["no", "yes"])
    check(figure)
    (heat,) = figure["data"]
    assert heat["z"] == [[0.75, 0.25], [0.0, 0.0]]  # a class without samples is no division by zero
    assert heat["text"] == [[3, 1], [0, 0]]
    assert figure["layout"]["yaxis"]["autorange"] == "reversed"


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


def test_changes_on_the_way_and_the_place_of_a_branch_are_marked_with_words():
    changes = [Change(5, "optimizer.lr", 0.01), Change(5, "model.dropout", 0.5), Change(8, "pace", None)]
    branched = job([1.0] * 10, changes=changes, branch=Branch(7, 1, 3))
    for figure in (loss_figure([branched]), accuracy_figure([branched])):
        layout = figure["layout"]
        assert [line["x0"] for line in layout["shapes"]] == [3, 5, 8]
        words = [note["text"] for note in layout["annotations"]]
        assert words == ["branch of run 7", "learning rate 0.01, dropout 0.5", "full speed"]
        check(figure)
    assert "shapes" not in loss_figure([branched, job([1.0], number=2)])["layout"]
