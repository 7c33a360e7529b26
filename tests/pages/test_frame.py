"""The frame: a page is drawn anew once the engine is here, and loses no click by it."""

from types import SimpleNamespace

import pytest

from pages.parts import frame


@pytest.mark.parametrize(("asked", "drawn"), [(None, 1), (["engine"], 1), (["engine", "buttons"], 0)])
def test_what_is_asked_for_together_with_the_engine_goes_first(monkeypatch, asked, drawn):
    here, reruns = iter([False, True]), []
    monkeypatch.setattr(frame, "engine_is_here", lambda: next(here))
    monkeypatch.setattr(frame, "get_script_run_ctx", lambda: SimpleNamespace(fragment_ids_this_run=asked))
    monkeypatch.setattr(frame.st, "fragment", lambda function, run_every: function)
    monkeypatch.setattr(frame.st, "rerun", lambda: reruns.append(asked))
    frame.await_engine()
    assert len(reruns) == drawn
