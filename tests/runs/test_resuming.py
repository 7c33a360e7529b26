from dlcore.runs import resuming
from dlcore.runs.resuming import threads_again


def test_a_run_goes_on_with_as_many_cores_as_before_where_there_are_so_many(monkeypatch):
    monkeypatch.setattr(resuming.os, "cpu_count", lambda: 8)
    assert threads_again(4, 2) == (4, [])
    assert threads_again(8, 2) == (8, [])
    assert threads_again(0, 2) == (2, [])  # an old run, of which it is not known
    number, (sentence,) = threads_again(16, 2)
    assert number == 2
    assert sentence.startswith("It was trained with 16 cores a step, which this machine has not; with 2 its last bits")


def test_a_machine_that_does_not_know_its_cores_has_one(monkeypatch):
    monkeypatch.setattr(resuming.os, "cpu_count", lambda: None)
    assert threads_again(1, 1) == (1, [])
    assert threads_again(2, 1)[0] == 1
