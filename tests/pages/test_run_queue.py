"""The queue on the Runs page."""

import os

import pytest
import streamlit as st

from dlcore.runs.film import MOST
from pages.parts.state import process
from tests.pages.helpers import find, go, opened, press
from tests.pages.kept_runs import entered, fill, shown
from tests.running import ENDLESS
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def test_the_queue_can_be_ordered_and_left(root):
    at = opened()
    process.conductor().set_at_once(1)
    running, *waiting = [process.conductor().submit(f"run {letter}", ENDLESS) for letter in "abcd"]
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
    return [job.number for jobs in process.conductor().queue for job in jobs if job.active]


def test_how_many_train_at_once_is_kept_for_the_next_start(root):
    entered(root)
    at = shown()
    assert find(at.number_input, "At once").value == process.AT_ONCE
    fill(at, at.number_input, "At once", 5)
    assert process.conductor().at_once == 5
    process.conductor().close()
    st.cache_resource.clear()
    assert process.conductor().at_once == 5


def test_how_many_cores_a_step_uses_is_kept_for_the_next_start(root, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    entered(root)
    at = shown()
    fill(at, at.number_input, "Cores a step", 3)
    assert process.conductor().threads == 3
    for cores, threads in ((4, 3), (2, 2)):  # the second is another machine
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        process.conductor().close()
        st.cache_resource.clear()
        assert process.conductor().threads == threads


def test_how_many_frames_a_film_has_is_kept_for_the_next_start(root):
    entered(root)
    at = shown()
    assert find(at.number_input, "Frames of the film").value == MOST
    fill(at, at.number_input, "Frames of the film", 7)
    assert process.conductor().frames == 7
    process.conductor().close()
    st.cache_resource.clear()
    assert process.conductor().frames == 7
