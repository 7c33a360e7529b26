"""The Runs page as Streamlit runs it: what is listed and found, what can be done with a run, and what is refused."""

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dlcore.catalogue.optimizers import SGD
from dlcore.engine.conductor import Conductor
from dlcore.engine.job import Job
from dlcore.history import Epoch, History
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.runs.records import Branch, Stored
from dlcore.runs.store import Store
from pages.parts import panels, runs_table, session
from pages.parts.run_detail import csv
from tests.pages.test_pages import enabled, find, go, opened, press, seen, told, well
from tests.running import ENDLESS, LONG, MOONS, changed, finish
from tests.waiting import wait_until

HOSTILE = '<b>a</b> **b** `c` $d$ :red[e] [f](g) a/b\\c "q" 🙂'


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


def kept(job: Job) -> Job:
    finish(job)
    assert job.wait_saved(LONG)
    return job


def trained(conductor: Conductor, name: str = "moons", recipe: Recipe = MOONS) -> Job:
    return kept(conductor.submit(name, recipe))


def entered(root: Path, name: str = "moons", recipe: Recipe = MOONS, epochs: int = 2, **known) -> int:
    """A run that is in the store without having been trained."""
    rows = [Epoch(number, number * 4, 0.5, 0.7, 1 / number, 0.75, 0.01, number, 9.0) for number in range(1, epochs + 1)]
    about = {name: known.pop(name) for name in ("tags", "note") if name in known}
    history = History([0.5] * epochs * 4, rows)
    record = Stored(0, name, recipe, history, steps_per_epoch=4, **({"status": "finished"} | known))
    store = Store(root)
    record.number = store.create(record)
    store.hold(record.number)
    store.save(record)
    if about:
        store.describe(record.number, **about)
    store.close()
    return record.number


def shown(*selected: int) -> AppTest:
    """The page with these runs selected, or with none."""
    at = opened()
    at.session_state["kept/runs/selected"] = [str(number) for number in selected]
    return go(at, "runs")


def listed(at: AppTest) -> pd.DataFrame:
    (table,) = [table.value for table in at.dataframe if "val_loss" in table.value]
    return table


def ids(at: AppTest) -> list[int]:
    return list(listed(at)["number"])


def title(at: AppTest) -> str:
    """The name and the number of the run that is shown."""
    return next(found.proto.body for found in at.get("html") if "<h3" in found.proto.body)


def fill(at: AppTest, widgets, label: str, value) -> AppTest:
    return well(find(widgets, label).set_value(value).run())


# --- The table


def test_without_runs_the_page_says_what_to_do():
    at = shown()
    assert "No run is kept yet" in at.subheader[0].value
    assert [link.proto.label for link in at.get("page_link")] == ["Train a first one"]
    assert not told(at)
    assert not at.text_input
    assert not at.multiselect
    assert not at.dataframe
    assert not at.expander


def test_when_the_only_run_is_deleted_it_can_be_brought_back_by_either_way(elsewhere):
    number = trained(elsewhere).number
    for label in ("Undo", f"Bring back run {number}"):
        at = shown(number)
        elsewhere.store.delete(number)
        at.session_state["kept/runs/deleted"] = (number, "moons")
        at.session_state["kept/runs/selected"] = []
        well(at.run())
        assert "No run is kept yet" in at.subheader[0].value
        assert not at.dataframe
        press(at, label)
        assert ids(at) == [number]
        assert "moons" in title(at)


def test_runs_are_listed_newest_first_with_what_they_measured(root):
    entered(root, "early", tags=["sweep"], note="first line\nsecond")
    recipe = changed(RECIPES["linear-regression"].recipe, epochs=7)
    entered(root, "late", recipe, status="stopped", elapsed=75.4, branch=Branch(1, 1, 4))
    entered(root, "new", changed(MOONS, epochs=12), epochs=0, status="interrupted")
    table = listed(shown()).set_index("number")
    assert list(table.index) == [3, 2, 1]
    assert list(table["name"]) == ["new", "late", "early"]
    assert list(table["status"]) == ["interrupted", "stopped", "finished"]
    assert list(table["epoch"]) == ["0 of 12", "2 of 7", "2 of 3"]
    assert table["val_accuracy"][1] == table["best_val_accuracy"][1] == 75.0
    assert (table["val_loss"][1], table["best_epoch"][1]) == (0.5, 2)
    assert table.loc[3, ["val_accuracy", "val_loss", "best_epoch"]].isna().all()
    assert list(table["data"]) == ["moons", "line", "moons"]
    assert (table["optimizer"][2], table["lr"][2], table["parent"][2]) == ("sgd", recipe.optimizer.lr, 1)
    assert table["trained"][2] == pd.Timedelta(seconds=75)
    assert (list(table["tags"][1]), table["note"][1]) == (["sweep"], "first line")


def test_the_line_above_tells_how_many_there_are_and_how_much_room_they_take(elsewhere):
    trained(elsewhere)
    trained(elsewhere)
    at = shown()
    room = sum(row["size"] for row in elsewhere.store.rows())
    assert f"2 runs · {room / 1000:.1f} kB on disk" in seen(at)


def test_when_a_run_was_begun_is_in_view_on_a_screen_of_1280():
    before = itertools.takewhile(lambda name: name != "tags", runs_table.COLUMNS)
    boxes, room = 33, 1130  # pixels
    assert boxes + sum(runs_table.COLUMNS[name]["width"] for name in before) <= room


def test_an_epoch_column_sorts_by_number(root):
    entered(root, epochs=10, recipe=changed(MOONS, epochs=20))
    entered(root, epochs=9, recipe=changed(MOONS, epochs=20))
    column = list(listed(shown())["epoch"])
    assert [text.strip("\u2007") for text in column] == ["9 of 20", "10 of 20"]
    assert len({len(text) for text in column}) == 1


@pytest.fixture
def zoo(root: Path) -> None:
    """1 Ada, 2 Bob, 3 Cyd: each found by something of its own."""
    entered(root, "Ada", tags=["sweep", "good"], note="A long\nstory")
    entered(root, "Bob", RECIPES["linear-regression"].recipe, status="failed", tags=["sweep"])
    entered(root, "Cyd", changed(MOONS, optimizer=SGD()), status="interrupted")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", [3, 2, 1]),
        ("ada", [1]),
        ("STORY", [1]),
        ("sweep", [2, 1]),
        ("sweep line", [2]),
        ("moons", [3, 1]),
        ("sgd", [3, 2]),
        ("mlp sgd", [3]),
        ("3", [3]),
        ("(", []),
        ("nothing at all", []),
    ],
)
def test_every_word_of_the_search_must_be_somewhere(zoo, words, found):
    at = shown()
    fill(at, at.text_input, "Search", words)
    assert ids(at) == found
    assert ("of 3 runs" in seen(at)) == (len(found) < 3)


@pytest.mark.parametrize(
    ("statuses", "tags", "found"),
    [
        (["failed"], [], [2]),
        (["failed", "interrupted"], [], [3, 2]),
        ([], ["sweep"], [2, 1]),
        ([], ["sweep", "good"], [1]),
        (["finished"], ["sweep"], [1]),
        (["training"], [], []),
    ],
)
def test_filters_by_status_and_tags(zoo, statuses, tags, found):
    at = shown()
    fill(at, at.multiselect, "Status", statuses)
    at = fill(at, [box for box in at.multiselect if box.key == "runs/tags"], "Tags", tags)
    assert ids(at) == found


def test_a_search_survives_a_visit_to_another_page_and_hides_no_selected_run(zoo):
    at = shown(2)
    fill(at, at.text_input, "Search", "ada")
    assert ids(at) == [1]
    assert "Bob" in title(at)
    go(go(at, "reference"), "runs")
    assert find(at.text_input, "Search").value == "ada"
    assert ids(at) == [1]


# --- What is selected


def test_with_none_selected_the_newest_is_shown_and_the_address_is_plain(zoo):
    at = shown()
    assert "Cyd" in title(at)
    assert "run" not in at.query_params
    assert at.session_state["runs/list"]["selection"]["rows"] == []


def test_the_table_and_the_address_follow_what_is_selected(zoo, root):
    at = shown(1)
    assert "Ada" in title(at)
    assert at.query_params["run"] in ("1", ["1"])
    assert at.session_state["runs/list"]["selection"]["rows"] == [2]
    entered(root, "Dan")
    well(at.run())
    assert "Ada" in title(at)
    assert at.session_state["runs/list"]["selection"]["rows"] == [3]  # it moved down by one


def arriving(*texts: str) -> AppTest:
    """The page as a link opens it: AppTest's own way to a page loses the address."""
    at = AppTest.from_file(Path(__file__).parents[2] / "pages" / "runs.py", default_timeout=LONG)
    at.session_state["kept/framed"] = True
    at.query_params["run"] = list(texts)
    return at.run()


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["99"], "There is no run 99."),
        (["abc"], "There is no run abc."),
        (["0x1"], "There is no run 0x1."),
        (["-1"], "There is no run -1."),
        (["9" * 400], f"There is no run {'9' * 40}."),
        (["<b>1</b>"], "There is no run <b>1</b>."),
        ([""], "There is no run ."),
    ],
)
def test_an_address_that_names_no_run_is_told_in_one_sentence(zoo, texts, words):
    at = well(arriving(*texts))
    (warning,) = at.warning
    assert warning.value.replace("\\", "") == words
    assert ids(at) == [3, 2, 1]
    assert not [found for found in at.get("html") if "<h3" in found.proto.body]


def test_an_address_may_name_one_run_or_several(zoo):
    assert "Ada" in title(well(arriving("1")))
    at = well(arriving("1", "3", "99"))
    assert "**2 runs** over the" in seen(at)
    assert "There is no run 99" in told(at)
    assert set(at.session_state["runs/list"]["selection"]["rows"]) == {0, 2}


def test_at_most_eight_runs_are_selected(root):
    for _ in range(10):
        entered(root)
    at = well(arriving(*map(str, range(1, 11))))
    assert "**8 runs** over the" in seen(at)
    assert len(at.session_state["runs/list"]["selection"]["rows"]) == 8


def test_a_deleted_run_in_the_address_says_where_it_is(zoo, elsewhere):
    elsewhere.store.delete(2)
    at = well(arriving("2"))
    assert "Run 2 is deleted" in told(at)
    press(at, "Bring back run 2")
    assert "Bob" in title(at)
    assert ids(at) == [3, 2, 1]


# --- Names, tags and notes


@pytest.mark.parametrize("name", ["a/b\\c", "\"quoted\" 'name'", "🙂 日本語", HOSTILE, "x" * 100, "../../etc/passwd"])
def test_a_run_can_be_called_anything_that_is_a_line(root, elsewhere, name):
    number = entered(root)
    at = shown()
    fill(at, at.text_input, "Name", name)
    assert not told(at)
    assert elsewhere.store.open(number).name == name
    assert list(listed(at)["name"]) == [name]
    assert "<b>" not in title(at)
    fill(at, at.text_input, "Search", name[:20])
    assert ids(at) == [number]


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "x" * 10_000, "two\nlines", "a\x00b"])
def test_what_is_no_name_is_refused_in_one_sentence_and_changes_nothing(root, elsewhere, name):
    number = entered(root, "before")
    at = shown()
    fill(at, at.text_input, "Name", name)
    assert told(at).replace("\\", "").startswith("A run's name is one line of 1 to 100 letters")
    assert elsewhere.store.open(number).name == "before"
    fill(at, at.text_input, "Name", "after")
    assert not told(at)
    assert elsewhere.store.open(number).name == "after"


def test_a_run_of_this_process_is_renamed_everywhere(root):
    at = press(fast(opened()), "Start")
    (job,) = session.jobs()
    at = go(at, "runs")
    fill(at, at.text_input, "Name", "mine")
    assert (job.name, session.store().open(job.number).name) == ("mine", "mine")
    job.stop()
    kept(job)
    assert session.store().open(job.number).name == "mine"


def fast(at: AppTest) -> AppTest:
    well(find(at.selectbox, "Recipe").select("two-moons").run())
    return well(find(at.number_input, "Epochs").set_value(100_000).run())


def test_tags_and_notes_are_kept_and_wrong_ones_refused(root, elsewhere):
    number, other = entered(root, "one"), entered(root, "two", tags=["known"])
    at = shown(number)
    box = next(box for box in at.multiselect if box.key == f"run/{number}/tags")
    assert box.options == ["known"]
    well(box.set_value(["known"]).run())
    fill(at, at.text_area, "Note", "# one\n**two**")
    run = elsewhere.store.open(number)
    assert (run.tags, run.note) == (("known",), "# one\n**two**")
    fill(at, at.text_area, "Note", "x" * 10_001)
    assert "A note has at most 10,000" in told(at)
    assert elsewhere.store.open(number).note == "# one\n**two**"
    assert elsewhere.store.open(other).note == ""


# --- One run


def test_texts_from_outside_are_shown_as_they_are(root, elsewhere):
    parent = entered(root, HOSTILE, note=HOSTILE, tags=["<i>t</i>"])
    entered(root, HOSTILE, branch=Branch(parent, 1, 4))
    at = shown(parent)
    assert "<b>" not in seen(at)
    assert [button.label for button in at.button if (button.key or "").startswith("family/")] == [
        r"\<b\>a\</b\> \*\*b\*\* \`c\` \$d\$ \:red… \(run 2\)"
    ]
    elsewhere.store.delete(parent)
    at = shown(2)
    assert "<b>" not in seen(at).replace("\\<b", "")
    entered(root, HOSTILE, changed(MOONS, seed=9))
    at = shown(2, 3)
    assert "<b>" not in seen(at).replace("\\<b", "")


def test_a_run_shows_its_settings_its_changes_and_where_it_ran(elsewhere):
    job = elsewhere.submit("moons", ENDLESS, paused=True)
    wait_until(lambda: job.ready)
    job.step()
    wait_until(lambda: job.history.steps == 1)
    job.steer({"optimizer.lr": 0.02})
    wait_until(lambda: job.history.changes)
    job.stop()
    kept(job)
    text = seen(shown())
    assert 'title="optimizer.lr">Learning rate</dt><dd>0.02' in text
    assert "<td>1</td><td>learning rate 0.02</td>" in text
    for words in ("torch", "python", "kB on disk", "begun"):
        assert words in text
    assert "stopped" in text


def test_a_failed_run_says_why(elsewhere):
    recipe = RECIPES["linear-regression"].recipe
    wild = changed(recipe, optimizer=recipe.optimizer.model_copy(update={"lr": 1.0}))
    assert trained(elsewhere, recipe=wild).status == "failed"
    assert "smaller learning rate" in told(shown())


def test_parents_and_branches_lead_to_each_other(elsewhere):
    parent = trained(elsewhere, "root")
    child = kept(elsewhere.branch(parent.number, 2, "twig", changed(MOONS, epochs=4)))
    at = shown(child.number)
    assert "A branch of" in seen(at)
    assert "after epoch 2" in seen(at)
    press(at, r"root \(run 1\)")
    assert "root" in title(at)
    assert "Its own branches" in seen(at)
    press(at, r"twig \(run 2\)")
    assert "twig" in title(at)
    elsewhere.store.delete(parent.number)
    assert "A branch of run 1, which is deleted" in seen(well(at.run()))


def test_the_csv_has_every_epoch(elsewhere):
    run = trained(elsewhere)
    table = csv(run).splitlines()
    assert len(table) == 1 + MOONS.epochs
    assert table[0].startswith("epoch,step,train_loss")
    assert csv(Stored(9, "none", MOONS)).splitlines() == table[:1]
    assert "Download CSV" in enabled(shown())


# --- Going on


def interrupted(root: Path) -> int:
    """A run whose process ended after two of its three epochs and a step."""
    conductor = Conductor(threads=1, store=Store(root))
    job = conductor.submit("moons", MOONS, paused=True)
    wait_until(lambda: job.ready)
    for _ in range(9):
        job.step()
    wait_until(lambda: job.history.steps == 9 and job.saved_epochs == 2)
    conductor.close()
    conductor.store.close()
    return job.number


def test_an_interrupted_run_goes_on_and_train_shows_it(root):
    number = interrupted(root)
    at = press(shown(), "Resume")
    (job,) = session.jobs()
    assert (job.number, job.recipe) == (number, MOONS)
    assert find(at.button, "Start")  # this is the Train page
    assert "of 3 · step" in seen(at)
    finish(job)
    assert job.status == "finished"


def test_a_run_that_lacks_nothing_but_its_end_says_so_and_resume_ends_it(root):
    number = trained(session.conductor()).number
    session.conductor().close()
    store = session.store()
    store.database.write(lambda db: db.execute("UPDATE runs SET status = 'training'"))  # as a kill leaves it
    store.close()
    st.cache_resource.clear()
    assert any("was interrupted after its last epoch" in link.proto.label for link in opened().get("page_link"))
    at = shown(number)
    assert "all its epochs are done: Resume ends it" in seen(at)
    press(at, "Resume")
    (job,) = session.jobs()
    finish(job)
    assert (job.status, len(job.history.epochs)) == ("finished", MOONS.epochs)


def test_a_contestant_that_goes_on_alone_is_on_train_and_in_its_race(root):
    elsewhere = Conductor(threads=1, store=Store(root))
    racing = elsewhere.race([("a", MOONS), ("b", MOONS)], paused=True)
    wait_until(lambda: all(job.ready for job in racing))
    elsewhere.close()
    elsewhere.store.close()
    at = press(shown(racing[1].number), "Resume")
    (job,) = session.jobs()
    assert session.shown_run() is job
    assert "of 3 · step" in seen(at)
    finish(job)
    assert [run.number for run in session.latest_race()] == [contestant.number for contestant in racing]
    assert "b came first" in seen(go(at, "compare"))  # of all that are in it, and a has no epoch done


def test_a_finished_run_goes_on_with_more_epochs(elsewhere):
    trained(elsewhere)
    at = shown()
    field = find(at.number_input, "Epochs in all")
    assert (field.min, field.value) == (4, 6)
    fill(at, at.number_input, "Epochs in all", 5)
    press(at, "Resume")
    (job,) = session.jobs()
    finish(job)
    assert [row.epoch for row in job.history.epochs] == [1, 2, 3, 4, 5]
    assert [change.setting for change in job.history.changes] == ["epochs"]


def test_a_run_that_its_rule_ended_goes_on_without_it(elsewhere):
    rules = MOONS.stop.model_copy(update={"accuracy": 0.01})
    assert trained(elsewhere, recipe=changed(MOONS, stop=rules)).reason
    at = shown()
    assert find(at.number_input, "Epochs in all").value == 3
    assert "The rules that end it early are turned off" in find(at.button, "Resume").help
    press(at, "Resume")
    (job,) = session.jobs()
    finish(job)
    assert len(job.history.epochs) == 3
    assert [change.setting for change in job.history.changes] == ["stop.accuracy"]


def test_what_cannot_go_on_is_told(root):
    number = entered(root, status="interrupted")
    at = shown()
    holder = Store(root)  # another process is quicker
    holder.hold(number)
    press(at, "Resume")
    assert "is under way already" in told(at)
    holder.release(number)
    holder.close()


def test_a_run_under_way_offers_no_resume(elsewhere):
    elsewhere.submit("going", ENDLESS)
    at = shown()
    assert "Resume" not in enabled(at)
    assert not [field for field in at.number_input if field.label == "Epochs in all"]


def test_a_branch_begins_on_the_train_page_at_the_best_epoch_or_another(elsewhere):
    run = trained(elsewhere)
    best = run.history.best.epoch
    at = shown()
    box = find(at.selectbox, "After epoch")
    assert box.options == [f"{epoch}, the best" if epoch == best else str(epoch) for epoch in (1, 2, 3)]
    assert box.value == best
    well(box.set_value(2).run())
    press(at, "Branch")
    assert "Start makes a branch" in seen(at)
    assert find(at.number_input, "Epochs").value == 3
    press(go(at, "train"), "Start")
    (job,) = session.jobs()
    assert (job.branch.parent, job.branch.epoch) == (run.number, 2)


def test_a_run_without_weights_cannot_branch(root):
    entered(root)
    at = shown()
    assert "Branch" not in enabled(at)
    assert find(at.selectbox, "After epoch").disabled


# --- Deleting


def test_deleting_is_asked_twice_and_can_be_undone(elsewhere):
    trained(elsewhere, HOSTILE)
    trained(elsewhere, "other")
    at = press(shown(1), "Delete")
    assert "(run 1) goes" in seen(at).replace("\\", "")
    press(at, "Keep it")
    assert ids(at) == [2, 1]
    press(press(at, "Delete"), "Delete it")
    assert ids(at) == [2]
    assert f"Deleted {panels.escape(HOSTILE)} (run 1)." in seen(at)
    assert "other" in title(at)
    press(at, "Undo")
    assert ids(at) == [2, 1]
    assert "run 1<" in title(at)
    assert "Undo" not in enabled(at)


def test_a_deleted_run_of_this_process_leaves_it_and_comes_back_as_a_stored_one(elsewhere):
    at = opened()
    well(find(at.selectbox, "Recipe").select("two-moons").run())
    well(find(at.number_input, "Epochs").set_value(2).run())
    press(at, "Start")
    (job,) = session.jobs()
    kept(job)
    press(press(go(at, "runs"), "Delete"), "Delete it")
    assert session.jobs() == []
    assert "No run is kept yet" in at.subheader[0].value
    press(at, "Undo")
    assert session.jobs() == []
    assert isinstance(session.record(job.number), Stored)
    assert "two-moons" in title(at)
    press(press(at, "Delete"), "Delete it")
    press(at, f"Bring back run {job.number}")
    assert ids(at) == [job.number]


def test_a_run_under_way_is_not_deleted(elsewhere):
    elsewhere.submit("going", ENDLESS)
    at = press(shown(), "Delete")
    assert "is under way; stop it before it is deleted" in told(at)
    assert "Delete it" not in enabled(at)
    assert ids(at) == [1]


# --- Several


def test_two_runs_lie_over_each_other_with_what_differs(zoo):
    at = shown(1, 3)
    assert at.segmented_control[0].value == "step"
    text = seen(at)
    assert "<th>Ada · run 1</th><th>Cyd · run 3</th>" in text
    assert "<td>Optimizer</td><td>Adam</td><td>SGD</td>" in text
    assert "<td>Epochs</td>" not in text
    for x in ("epoch", "time"):
        well(at.segmented_control[0].set_value(x).run())
    assert "<th>Bob · run 2</th>" in seen(shown(1, 2, 3))


def test_runs_of_the_same_recipe_say_so(root):
    entered(root)
    entered(root)
    assert "Their recipes are the same" in seen(shown(1, 2))


# --- The queue


def test_the_queue_can_be_ordered_and_left(root):
    at = opened()
    session.conductor().set_at_once(1)
    running, *waiting = [session.conductor().submit(f"run {letter}", ENDLESS) for letter in "abcd"]
    go(at, "runs")
    assert "Queue: 3 waiting" in [expander.label for expander in at.expander]
    press(at, ":material/arrow_upward: Up run 4")
    assert order() == [2, 4, 3]
    press(at, ":material/arrow_downward: Down run 2")
    assert order() == [4, 2, 3]
    press(at, ":material/close: Take out run 4")
    wait_until(lambda: waiting[2].status == "stopped")
    assert order() == [2, 3]
    assert running.active


def order() -> list[int]:
    return [job.number for jobs in session.conductor().queue for job in jobs if job.active]


def test_how_many_train_at_once_is_kept_for_the_next_start(root):
    entered(root)
    at = shown()
    assert find(at.number_input, "At once").value == session.AT_ONCE
    fill(at, at.number_input, "At once", 5)
    assert session.conductor().at_once == 5
    session.conductor().close()
    st.cache_resource.clear()
    assert session.conductor().at_once == 5


# --- A store that cannot be used


def test_a_store_that_cannot_be_had_is_told_and_nothing_breaks(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "file" / "runs"))
    st.cache_resource.clear()
    at = opened()
    assert "Runs cannot be kept" in told(at)
    assert "no runs to show" in seen(go(at, "runs"))


def test_a_store_that_can_only_be_read_shows_its_runs(root, elsewhere, monkeypatch):
    entered(root, "old")
    monkeypatch.setattr(session.store().database, "writable", False)
    session.conductor.clear()
    monkeypatch.setattr(session.store().database, "problem", "Runs cannot be kept.")
    at = opened()
    assert "Runs cannot be kept." in told(at)
    assert "Dismiss" not in [button.label for button in at.button]
    at = shown()
    assert "old" in title(at)
    assert not enabled(at) & {"Resume", "Branch", "Delete"}
    assert find(at.text_input, "Name").disabled


def test_a_disk_that_fails_meanwhile_is_told(zoo, monkeypatch):
    at = shown()

    def fails(*arguments):
        raise sqlite3.OperationalError("disk I/O error")

    connection = session.store().database._reader
    monkeypatch.setattr(
        session.store().database, "_reader", type("Broken", (), {"execute": fails, "in_transaction": False})
    )
    well(at.run())
    assert "disk I/O error" in told(at)
    monkeypatch.setattr(session.store().database, "_reader", connection)
    assert ids(well(at.run())) == [3, 2, 1]


# --- Folders that the list of runs does not know


def test_a_folder_that_the_list_does_not_know_is_offered_and_entered(root):
    for name in (HOSTILE, "other"):
        trained(session.conductor(), name)
    session.conductor().close()
    session.store().close()
    for file in root.glob("dlcore.db*"):
        file.unlink()
    (root / "2" / "run.json").unlink()
    st.cache_resource.clear()
    at = shown()
    assert "No run is kept yet" in at.subheader[0].value
    offered = [one.value for one in at.caption if "not in the list of runs" in one.value]
    assert offered[0].startswith(f"Run 1 ({panels.escape(HOSTILE)}) has a folder")
    assert "it has no run.json" in offered[1]
    assert "Import run 2" not in [button.label for button in at.button]
    press(at, "Import run 1")
    assert ids(at) == [1]
    assert find(at.text_area, "Note").value.startswith("Imported from its folder.")
    assert "Import run 1" not in [button.label for button in at.button]
    assert enabled(at) & {"Resume", "Branch", "Delete"} == {"Resume", "Branch", "Delete"}
    assert "held no list of runs" in told(opened())


def test_what_happened_to_the_store_is_told_without_marks_of_code_until_it_is_dismissed(root):
    trained(session.conductor())
    session.conductor().close()
    session.store().close()
    for file in root.glob("dlcore.db*"):
        file.unlink()
    st.cache_resource.clear()
    at = opened()
    assert "The Runs page offers to enter them again" in told(at)
    assert "`" not in told(at)
    press(at, "Dismiss")
    assert not told(at)
    assert "Dismiss" not in [button.label for button in at.button]
    assert not told(opened())
    assert "Import run 1" in [button.label for button in shown().button]


def test_where_every_folder_is_known_nothing_is_offered(root):
    entered(root)
    assert not [one for one in shown().caption if "not in the list" in one.value]
