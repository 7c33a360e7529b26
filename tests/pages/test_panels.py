"""What a page shows of runs and when it looks again, and text from outside."""

import re

import pytest

from dlcore.history import History
from dlcore.runs.records import Stored
from pages.parts import panels
from pages.parts.panels import TICKS, state_of
from tests.running import ENDLESS, MOONS, settle
from tests.waiting import wait_until


def aged(seconds, status="training", number=1):
    return Stored(number, "moons", MOONS, History(), status=status, elapsed=seconds)


def test_nothing_ticks_while_nothing_is_under_way():
    assert state_of([]).tick == 0
    assert state_of([aged(5, "finished"), aged(5, "stopped")]).tick == 0


@pytest.mark.parametrize(("seconds", "tick"), [(0, 0.4), (19.9, 0.4), (20, 1.0), (59, 1.0), (60, 2.0), (1e6, 2.0)])
def test_a_page_looks_less_often_at_what_has_trained_for_long(seconds, tick):
    assert state_of([aged(seconds)]).tick == tick
    assert list(TICKS.values()) == sorted(TICKS.values())


def test_the_youngest_run_under_way_sets_the_tick():
    assert state_of([aged(500), aged(1, number=2), aged(0, "finished", 3)]).tick == TICKS[0]


def test_a_state_changes_with_what_buttons_and_controls_show(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps)
    seen = [state_of([job])]
    assert state_of([job]) == seen[0]  # steps alone change nothing
    for act in (lambda: job.set_pace(50), lambda: job.steer({"optimizer.lr": 0.5}), job.pause, job.stop):
        act()
        wait_until(lambda: state_of([job]) != seen[-1])
        settle(job)
        seen.append(state_of([job]))
    assert seen[-1].tick == 0
    assert state_of([job, aged(1, number=9)]) != seen[-1]


@pytest.mark.parametrize("text", [":material/home:", "https://a.org", "me@a.org", "www.a.org", "&lt;", "a: b", r"\*a*"])
def test_text_from_outside_is_escaped_and_broken_up_where_that_is_not_enough(text):
    shown = panels.escape(text)
    assert not re.search(r"(?<!\\)[&*:]", shown)
    plain = re.sub(r"\\(.)", r"\1", shown)
    assert not re.search(r"://|:[\w/+-]+:|@\S|www\.", plain.replace("\u2060", " "))
    assert plain.replace("\u2060", "") == text
