"""Whatever is kept of a run is read again as it was."""

import contextlib
import json
import tempfile
from dataclasses import fields
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dlcore.history import History
from dlcore.recipes import RECIPES
from dlcore.runs import manifest
from dlcore.runs.manifest import ManifestError
from dlcore.runs.records import ACTIVE, Record, Stored
from dlcore.runs.store import Store
from tests.runs.storing import content, entered
from tests.strategies import junk, records

FIT = st.sampled_from([named.recipe for named in RECIPES.values()])  # recipes that run


@contextlib.contextmanager
def in_a_folder():
    """Not pytest's: each example has its own."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def known(run: Stored) -> dict:
    """What is known of a run, in a form in which what is not a number equals itself."""
    plain = {
        field.name: getattr(run, field.name) for field in fields(Record) if field.name not in ("number", "history")
    }
    return plain | {
        "history": content(run.history),
        "recipe": run.recipe,
        "elapsed": run.elapsed,
        "stepping": run.stepping,
    }


@given(records(), st.none() | st.integers(1, 1000))
def test_any_run_is_read_as_it_was_saved(run, race):
    run.race = race
    with in_a_folder() as folder:
        with contextlib.closing(Store(folder)) as runs:
            number = entered(runs, run)
            runs.describe(number, note=run.note, tags=run.tags)
        with contextlib.closing(Store(folder)) as runs:
            found = runs.open(number)
            assert known(found) == known(run)
            assert (found.note, found.tags) == (run.note, run.tags)
            assert found.status == ("interrupted" if run.status in ACTIVE else run.status)
            [row] = runs.rows()
            assert (row["name"], row["status"], row["race"]) == (run.name, found.status, race)
            assert (row["step"], row["epoch"]) == (run.history.steps, len(run.history.epochs))


@given(records(), st.lists(st.integers(0, 40), max_size=5).map(sorted), st.data())
def test_a_history_that_is_saved_and_read_in_pieces_is_the_whole_one(run, ends, data):
    whole = run.history
    with in_a_folder() as folder, contextlib.closing(Store(folder)) as runs:
        run.history, before = History(), None
        number = entered(runs, run)
        for end in [*ends, whole.steps]:
            run.history = whole.until(end) if end < whole.steps else whole
            runs.save(run)
            if data.draw(st.booleans(), label="read on"):
                before = runs.open(number, before)
        assert content(runs.open(number, before).history) == content(whole)
        assert content(runs.open(number).history) == content(whole)


def told(run: Stored) -> tuple:
    return run.name, run.note, run.tags, run.created, run.branch, run.first_recipe, run.history.changes


@given(records(FIT))
def test_a_folder_tells_what_any_run_is(run):
    with in_a_folder() as folder:
        manifest.write(run, folder, run.name, run.note, run.tags)
        assert told(manifest.read(folder)) == told(run)


@given(records(FIT), st.sampled_from([*manifest.About.model_fields, "other"]), junk())
def test_a_folder_that_tells_anything_tells_a_run_or_is_refused(run, field, value):
    with in_a_folder() as folder:
        file = folder / manifest.NAME
        manifest.write(run, folder, run.name, run.note, run.tags)
        file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
        try:
            found = manifest.read(folder)
        except ManifestError:
            pass
        else:
            file.unlink()
            manifest.write(found, folder, found.name, found.note, found.tags)
            assert told(manifest.read(folder)) == told(found)
