"""Runs that are kept, and what tests read of them on the Runs page."""

from pathlib import Path

import pandas as pd
from streamlit.testing.v1 import AppTest

from dlcore.engine.conductor import Conductor
from dlcore.engine.job import Job
from dlcore.history import Epoch, History
from dlcore.recipe import Recipe
from dlcore.runs.records import Stored
from dlcore.runs.store import Store
from tests.pages.helpers import find, go, opened, well
from tests.running import LONG, MOONS, finish

HOSTILE = '<b>a</b> **b** `c` $d$ :red[e] [f](g) a/b\\c "q" 🙂'


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
