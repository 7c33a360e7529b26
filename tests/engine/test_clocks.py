from dlcore.engine import clocks
from dlcore.engine.clocks import Stopwatch


def test_a_stopwatch_counts_while_it_runs_and_stands_in_between(monkeypatch):
    now = 100.0
    monkeypatch.setattr(clocks.time, "monotonic", lambda: now)
    watch = Stopwatch(2.0)
    assert watch.read() == 2.0
    watch = watch.running(True)
    now = 101.5
    assert watch.read() == 3.5
    assert watch.running(True) is watch  # it runs already
    watch = watch.running(False)
    now = 200.0
    assert watch.read() == 3.5
    assert watch.running(False) is watch
    assert watch.plus(0.5).read() == 4.0
    watch = watch.running(True).plus(1.0)
    now = 201.0
    assert watch.read() == 5.5
