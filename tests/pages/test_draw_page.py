"""The Draw page with runs of the store: who may answer, by which weights, and what happens when these cannot be had."""

import re
import time
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from dlcore.catalogue.architectures import Linear
from dlcore.catalogue.datasets import FashionMnist, Moons
from dlcore.catalogue.optimizers import SGD
from dlcore.engine.capture import network
from dlcore.engine.conductor import Conductor
from dlcore.engine.job import Job
from dlcore.engine.predicting import predict
from dlcore.inside.drawing import drawing_to_digit
from dlcore.recipe import Recipe
from dlcore.recipes import DEFAULT, RECIPES
from dlcore.runs.records import Stored
from dlcore.runs.store import Store
from pages.parts import answers, asking
from pages.parts.run_looks import called
from pages.parts.state import process
from tests.pages.drawing import QUICK, STROKES, choose, drawn, kept, trained
from tests.pages.helpers import (
    LONG,
    busy,
    enabled,
    go,
    listen,
    opened,
    press,
    seen,
    small,
    well,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


WORSE = {"optimizer.lr": 10, "epochs": 4}  # by this it forgets what it knew


def overfitted(conductor: Conductor) -> Job:
    """A run whose last epoch is not its best one."""
    job = kept(conductor.resume(trained(conductor).number, WORSE))
    assert job.history.best.epoch < job.history.epochs[-1].epoch
    return job


def weigh(at: AppTest, weights: str) -> AppTest:
    (control,) = at.segmented_control
    return well(control.set_value(weights).run())


def question() -> torch.Tensor:
    return torch.from_numpy(drawing_to_digit(STROKES)).view(1, 1, 28, 28)


def shares(at: AppTest) -> list[str]:
    """What the bars of all cards say."""
    return re.findall(r"<b>(.+?)</b>", seen(at))


def said(store: Store, number: int, epoch: int) -> list[str]:
    """The same, computed from a checkpoint."""
    run = store.open(number)
    found = predict(network(run.recipe, store.checkpoint(number, epoch)), question())
    return [f"{share:.1%}" for share in found[0].tolist()]


def damage(root: Path, number: int, epoch: int) -> None:
    (root / str(number) / f"epoch-{epoch}.pt").write_bytes(b"not a checkpoint")


def test_the_latest_stored_run_answers_when_nothing_trains_here(elsewhere):
    first, last = trained(elsewhere, "first"), trained(elsewhere, "last")
    at = drawn()
    assert at.multiselect[0].options == [called(last), called(first)]
    assert at.multiselect[0].value == [last.number]
    assert f"**last** · run {last.number} · finished" in seen(at)
    assert "last, epoch 3 · " in seen(at)
    assert shares(at) == said(elsewhere.store, last.number, 3)


def test_the_best_run_answers_at_first_whichever_is_the_latest(elsewhere):
    good = trained(elsewhere, "good")
    bad = trained(elsewhere, "bad", QUICK.model_copy(update={"optimizer": SGD(lr=1e-6)}))
    assert bad.history.best.val_accuracy < good.history.best.val_accuracy
    assert drawn().multiselect[0].value == [good.number]


def test_a_run_of_this_process_comes_first_and_is_listed_once(elsewhere):
    old = trained(elsewhere)
    at = opened("draw")
    job = trained(process.conductor(), "here")
    newer = trained(elsewhere, "newer")
    well(go(at, "reference"))
    well(go(at, "draw"))
    assert at.multiselect[0].options == [called(newer), called(job), called(old)]
    assert drawn().multiselect[0].value == [job.number]


def test_only_runs_that_read_pictures_and_have_a_checkpoint_are_offered(elsewhere):
    trained(elsewhere, "moons", Recipe(data=Moons(), model=Linear(), epochs=1))
    waiting = elsewhere.submit("at its start", QUICK, paused=True)
    wait_until(lambda: waiting.ready, LONG)
    at = opened("draw")
    assert "No network can read your drawing yet" in at.subheader[0].value
    good = trained(elsewhere)
    assert opened("draw").multiselect[0].options == [called(good)]


def test_clothes_have_the_right_shape(elsewhere):
    clothes = Recipe(data=FashionMnist(), model=Linear())
    number = elsewhere.store.create(Stored(0, "clothes", clothes))
    elsewhere.store.database.write(lambda db: db.execute("UPDATE runs SET size = 1"))
    assert opened("draw").multiselect[0].value == [number]


def test_thousands_of_runs_are_offered_without_opening_them(elsewhere, monkeypatch):
    trained(elsewhere)
    add = "INSERT INTO runs SELECT {} FROM runs WHERE number = 1"
    names = [
        row["name"]
        for row in elsewhere.store.database.read(lambda db: db.execute("PRAGMA table_info(runs)").fetchall())
    ]
    copy = add.format(", ".join("NULL" if name == "number" else f'"{name}"' for name in names))
    elsewhere.store.database.write(lambda db: [db.execute(copy) for _ in range(3000)])
    read = []
    monkeypatch.setattr(
        Store,
        "open",
        lambda store, number, before=None, real=Store.open: read.append(number) or real(store, number, before),
    )
    at = opened("draw")
    assert len(at.multiselect[0].options) == 3001
    assert set(read) == {1}  # the best: of its copies nothing is measured


def test_a_deleted_run_is_not_offered(elsewhere):
    job = trained(elsewhere)
    elsewhere.store.delete(job.number)
    assert "No network can read your drawing yet" in opened("draw").subheader[0].value


def test_names_are_shown_as_they_are(elsewhere):
    job = trained(elsewhere, "*a* <b>x</b> :red[y] $z$")
    at = drawn()
    assert at.multiselect[0].options == [called(job)]
    assert r"\*a\* \<b\>x\</b\> \:red\[y\] \$z\$" in seen(at)
    assert "<b>x</b>" not in seen(at).replace(r"\<b\>x\</b\>", "")


def test_without_a_store_the_page_works_as_ever(monkeypatch, tmp_path):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "a file"))
    at = opened("draw")
    assert process.store() is None
    assert "No network can read your drawing yet" in at.subheader[0].value
    press(at, "Train digits")
    (job,) = process.jobs()
    wait_until(lambda: job.ready, LONG)
    at = drawn()
    assert "last, epoch" in seen(at)


def test_a_stored_run_answers_with_its_best_weights_when_asked_to(elsewhere):
    job = overfitted(elsewhere)
    best = job.history.best.epoch
    at = drawn()
    assert "last, epoch 4 · " in seen(at)
    assert shares(at) == said(elsewhere.store, job.number, 4)
    weigh(at, "best")
    assert f"best, epoch {best} · {job.history.best.val_accuracy:.1%} on validation" in seen(at)
    assert shares(at) == said(elsewhere.store, job.number, best) != said(elsewhere.store, job.number, 4)


def test_a_job_answers_with_its_best_weights_when_asked_to():
    job = overfitted(process.conductor())
    assert job.best is None  # its best epoch was before it went on, and is in the store alone
    at = weigh(drawn(), "best")
    assert shares(at) == said(process.store(), job.number, job.history.best.epoch)
    again = trained(process.conductor(), "again")
    assert again.best.epochs == 3
    choose(well(at.run()), again.number)
    assert "best, epoch 3" in seen(at)
    assert shares(at) == said(process.store(), again.number, 3)


def test_before_the_first_epoch_the_last_weights_answer_and_say_so():
    job = process.conductor().submit("digits", QUICK, paused=True)
    wait_until(lambda: job.ready, LONG)
    job.step()
    wait_until(lambda: job.history.steps == 1, LONG)
    at = weigh(drawn(), "best")
    assert "last, epoch 1 of 3" in seen(at)
    assert answers.NO_BEST in seen(at)


def test_a_branch_has_the_best_weights_of_what_it_shares_with_its_parent(elsewhere):
    parent = trained(elsewhere)
    best = parent.history.best.epoch
    assert best == 3
    worse = Recipe(model=Linear(), optimizer=SGD(lr=10), batch_size=800, epochs=5)
    middle = kept(elsewhere.branch(parent.number, best, "middle", worse))
    branch = kept(elsewhere.branch(middle.number, 4, "branch", worse))
    assert branch.history.best.epoch == 3
    at = choose(weigh(drawn(), "best"), branch.number)
    assert "best, epoch 3" in seen(at)
    assert shares(at) == said(elsewhere.store, parent.number, 3)


def test_the_choice_of_weights_survives_a_visit_to_another_page(elsewhere):
    trained(elsewhere)
    at = weigh(opened("draw"), "best")
    go(go(at, "reference"), "draw")
    assert at.segmented_control[0].value == "best"


def test_damaged_best_weights_are_one_sentence_and_the_other_run_answers(elsewhere, root):
    job, other = overfitted(elsewhere), trained(elsewhere, "other")
    best = job.history.best.epoch
    damage(root, job.number, best)
    at = weigh(choose(drawn(), job.number, other.number), "best")
    assert f"The checkpoint epoch-{best}.pt of run {job.number} cannot be used" in seen(at).replace("\\", "")
    assert shares(at) == said(elsewhere.store, other.number, 3)


def test_damaged_last_weights_are_told_and_those_before_answer(elsewhere, root):
    job = trained(elsewhere)
    damage(root, job.number, 3)
    at = drawn()
    assert f"epoch-3.pt of run {job.number} cannot be used" in seen(at).replace("\\", "")
    assert "last, epoch 2" in seen(at)
    assert shares(at) == said(elsewhere.store, job.number, 2)


def test_a_run_without_any_weights_left_is_one_sentence(elsewhere, root):
    job = trained(elsewhere)
    for file in (root / str(job.number)).glob("*.pt"):
        file.unlink()
    assert f"Run {job.number} has no checkpoint." in seen(drawn()).replace("\\", "")


def test_a_run_of_a_newer_format_is_told_and_the_other_run_answers(elsewhere):
    newer, other = trained(elsewhere, "newer"), trained(elsewhere, "other")
    elsewhere.store.database.write(
        lambda db: db.execute("UPDATE runs SET format = 99 WHERE number = ?", [newer.number])
    )
    at = choose(drawn(), newer.number, other.number)
    assert "update dlcore" in at.warning[0].value
    assert shares(at) == said(elsewhere.store, other.number, 3)


def test_a_run_that_another_process_trains_is_followed(elsewhere):
    job = elsewhere.submit("there", QUICK.model_copy(update={"epochs": 100_000}), pace=50)
    wait_until(lambda: job.saved_epochs > 0, LONG)
    at = drawn()
    assert f"run {job.number} · training" in seen(at)

    def epoch() -> int:
        return int(re.search(r"last, epoch (\d+) of 100000", seen(well(at.run())))[1])

    first = epoch()
    wait_until(lambda: epoch() > first, LONG)
    job.stop()
    wait_until(lambda: f"run {job.number} · stopped" in seen(well(at.run())), LONG)


def test_a_stroke_asks_the_disk_once_a_second_at_most(elsewhere, monkeypatch):
    job = overfitted(elsewhere)
    process.store()
    read = []
    for name in ("open", "checkpoints", "rows"):
        real = getattr(Store, name)
        monkeypatch.setattr(Store, name, lambda *given, real=real, name=name: read.append(name) or real(*given))
    began = time.monotonic()
    for _ in range(50):
        answers.ask(job.number, question(), best=True).result()
    loads = 2  # the network is read at the first stroke
    assert len(read) <= loads + 2 * (2 + time.monotonic() - began)


def test_while_the_pen_moves_only_its_movements_ask_what_trains(monkeypatch):
    monkeypatch.setattr(answers, "PEN_RESTS", LONG)
    job = process.conductor().submit("digits", QUICK, paused=True)
    wait_until(lambda: job.ready)
    at = drawn()
    asked = listen(monkeypatch)
    before = seen(at)
    assert seen(well(at.run())) == before  # as a tick does
    assert asked == []
    at.session_state["kept/strokes"] = [{"points": [[0.5, 0.2], [0.5, 0.8]], "width": 0.08}]
    go(at, "reference")
    assert seen(go(at, "draw")) != before
    assert asked == [job]
    monkeypatch.setattr(answers, "PEN_RESTS", 0.0)
    well(at.run())
    assert asked == [job, job]  # the pen rests: the network may have learned


def test_a_run_that_ended_is_asked_once_more_though_the_pen_moves(monkeypatch):
    monkeypatch.setattr(answers, "PEN_RESTS", LONG)
    job = process.conductor().submit("digits", QUICK, paused=True)
    wait_until(lambda: job.ready)
    at = drawn()
    assert "epoch 0" in seen(at)
    job.resume()
    kept(job)
    assert "last, epoch 3" in seen(well(at.run()))


def test_a_busy_network_keeps_its_last_answer_with_a_sentence_and_no_page_waiting(monkeypatch):
    first, second = (process.conductor().submit(name, QUICK, paused=True) for name in ("first", "second"))
    wait_until(lambda: first.ready and second.ready, LONG)
    at = choose(drawn(), first.number, second.number)
    before = shares(at)
    monkeypatch.setattr(asking, "PATIENCE", 0.01)
    at.session_state["kept/strokes"] = [{"points": [[0.5, 0.2], [0.5, 0.8]], "width": 0.08}]
    go(at, "reference")
    with busy(first):
        asked = listen(monkeypatch)
        go(at, "draw")
        for _ in range(3):
            assert seen(well(at.run())).count(asking.BUSY) == 2
            assert shares(at) == before
        assert asked == [first, second]
    monkeypatch.setattr(asking, "PATIENCE", LONG)
    well(at.run())
    assert asking.BUSY not in seen(at)
    assert shares(at) != before


def test_a_finished_run_that_waits_for_another_ones_step_is_looked_at_again(monkeypatch):
    done = trained(process.conductor(), "done")
    training = process.conductor().submit("training", QUICK, paused=True)
    wait_until(lambda: training.ready, LONG)
    monkeypatch.setattr(asking, "PATIENCE", 0.01)
    at = opened()
    at.session_state["kept/strokes"] = STROKES
    with busy(training):
        go(at, "draw")
        choose(at, done.number)
        assert asking.BUSY in seen(at)
        assert at.session_state["kept/waiting"]  # so that the page ticks
    wait_until(lambda: asking.BUSY not in seen(well(at.run())), LONG)
    assert not at.session_state["kept/waiting"]


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
