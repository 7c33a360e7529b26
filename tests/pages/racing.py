"""What tests do with a race on the Compare page, and what they read of it."""

import re

import streamlit as st
from streamlit.testing.v1 import AppTest

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import Moons
from dlcore.engine.conductor import Conductor
from dlcore.engine.job import Job
from dlcore.recipe import Recipe
from dlcore.studies import tries
from pages.parts.state import process
from tests.pages.helpers import (
    LONG,
    choose,
    find,
    press,
    small,
    well,
)
from tests.waiting import wait_until

QUICK = Recipe(data=Moons(samples=200), model=MLP(widths=(8,)), batch_size=32, epochs=3)  # 4 steps an epoch


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
    wait_until(raced, LONG)
    return well(at.run())


def raced() -> bool:
    """Whether the race is run."""
    tuning, jobs = tries.tuning(process.conductor()), process.latest_race()
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


def restart() -> None:
    """The dashboard ends, and begins again over the same runs."""
    process.conductor().close()
    st.cache_resource.clear()
