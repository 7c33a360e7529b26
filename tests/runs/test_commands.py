import contextlib
import time

import pytest

from dlcore.runs import commands
from dlcore.runs.commands import KEPT, UNHEARD, Request
from dlcore.runs.store import Store, StoreError
from dlcore.settings import SettingsError
from tests.runs.storing import backed_up, entered, record, remove_database, restore_database

STEERING = {"optimizer.lr": 0.5, "epochs": 7, "stop.not_a_number": False}


@pytest.fixture
def writer(runs, holder):
    """A run that another process trains, and its number."""
    number = entered(runs, record(status="training"))
    return holder(number), number


def test_what_is_asked_is_read_in_order_and_answered(runs, held):
    with contextlib.closing(Store(runs.root)) as other:
        asked = [
            ("pause", None),
            ("step", None),
            ("steer", STEERING),
            ("pace", 2.5),
            ("pace", None),
            ("resume", None),
            ("stop", None),
        ]
        ids = [other.ask_run(held.number, command, value) for command, value in asked]
        assert runs.commands(held.number) == [
            Request(id, command, value) for id, (command, value) in zip(ids, asked, strict=True)
        ]
        assert [other.answer_of(id) for id in ids] == [None] * len(ids)
        runs.answer(ids[1])
        runs.answer(ids[2], "The learning rate is too high.")
        assert [other.answer_of(id) for id in ids[:4]] == [None, "", "The learning rate is too high.", None]
        assert [request.id for request in runs.commands(held.number)] == [ids[0], *ids[3:]]


def test_an_answer_is_given_once(runs, held):
    id = runs.ask_run(held.number, "pause")
    runs.answer(id)
    runs.answer(id, "No.")
    assert runs.answer_of(id) == ""


def test_what_is_asked_of_one_run_is_nothing_to_another(runs, held):
    entered(runs, other := record(status="training"))
    runs.hold(other.number)
    id = runs.ask_run(other.number, "stop")
    assert runs.commands(held.number) == []
    assert [request.id for request in runs.commands(other.number)] == [id]


def test_a_run_of_another_process_can_be_asked(runs, writer):
    _, number = writer
    id = runs.ask_run(number, "pause")
    assert (runs.answer_of(id), runs.commands(number)) == (None, [Request(id, "pause", None)])


def test_a_run_that_nobody_trains_cannot_be_asked(runs, writer):
    process, number = writer
    process.kill()
    process.join()
    told = rf"Run {number} is not under way, so nobody is there to pause it; .*python -m dlcore resume {number}"
    with pytest.raises(StoreError, match=told):
        runs.ask_run(number, "pause")
    with pytest.raises(StoreError, match="There is no run 7"):
        runs.ask_run(7, "pause")


def test_who_asked_is_told_that_the_process_ended_and_the_next_one_does_not_hear_of_it(runs, writer):
    """Or a run that goes on a week later would stop at once."""
    process, number = writer
    id = runs.ask_run(number, "stop")
    process.kill()
    process.join()
    assert runs.answer_of(id) == UNHEARD
    runs.hold(number)
    assert runs.commands(number) == []
    assert runs.answer_of(id) == UNHEARD


def test_an_answer_just_before_the_end_is_heard(runs, held, monkeypatch):
    id, is_held = runs.ask_run(held.number, "stop"), runs._is_held

    def ended(number):
        runs.answer(id)
        runs.release(number)
        return is_held(number)

    monkeypatch.setattr(runs, "_is_held", ended)
    assert runs.answer_of(id) == ""


@pytest.mark.parametrize(
    ("command", "value", "told"),
    [
        ("puase", None, "There is no command 'puase'; did you mean pause?"),
        ("x'; DROP TABLE runs; --", None, "There is no command .*; there are pause, resume, step, stop, steer, pace"),
        ("pause", 1, "pause takes no value; it was given 1"),
        ("pace", "fast", "pace is 'fast'; it takes a number, or none for full speed"),
        ("pace", True, "pace is true"),
        ("pace", float("nan"), "pace is NaN"),
        ("pace", 10**400, "pace is 1000"),
        ("pace", 0, "pace is 0; it takes from"),
        ("steer", None, "steer takes values by setting; it was given null"),
        ("steer", {}, "steer takes values by setting; it was given {}"),
        ("steer", [1], "steer takes values by setting"),
        ("steer", {"optimizer.rl": 1}, "'optimizer.rl' cannot change once a run has begun; did you mean optimizer.lr?"),
        ("steer", {"seed": 1}, "'seed' cannot change once a run has begun"),
        ("steer", {5: 1}, "5 cannot change once a run has begun"),
        ("steer", {"optimizer.lr": [1]}, r"optimizer.lr is \[1\]; it takes a number, true or false"),
        ("steer", {"optimizer.lr": "0.1"}, "optimizer.lr is '0.1'"),
        ("steer", {"optimizer.lr": float("inf")}, "optimizer.lr is Infinity"),
    ],
)
def test_what_no_run_can_do_is_refused_by_who_asks_and_by_who_reads(runs, held, command, value, told):
    with pytest.raises(SettingsError, match=told):
        runs.ask_run(held.number, command, value)
    good = runs.ask_run(held.number, "pause")
    with pytest.MonkeyPatch.context() as patch:  # as another dlcore would, which knows more
        patch.setattr(commands, "checked", lambda command, value: commands.json.dumps(value))
        bad = runs.ask_run(held.number, command, value)
    assert [request.id for request in runs.commands(held.number)] == [good]
    assert runs.answer_of(bad)
    assert runs.answer_of(good) is None


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 5000])
def test_a_value_that_is_no_json_is_refused(runs, held, text):
    id = runs.database.write(lambda db: commands.ask(db, held.number, "pace", text))
    assert runs.commands(held.number) == []
    assert runs.answer_of(id) == "The command cannot be read."


def test_commands_and_answers_are_kept_for_a_day(runs, held, monkeypatch):
    old = runs.ask_run(held.number, "pause")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + KEPT - 60)
    runs.ask_run(held.number, "step")
    assert runs.answer_of(old) is None
    monkeypatch.setattr(time, "time", lambda: now + KEPT + 60)
    runs.ask_run(held.number, "stop")
    assert [request.command for request in runs.commands(held.number)] == ["step", "stop"]
    with pytest.raises(StoreError, match=f"There is no command {old}; commands are kept for a day"):
        runs.answer_of(old)


def test_a_long_answer_is_cut(runs, held):
    id = runs.ask_run(held.number, "pause")
    runs.answer(id, "x" * 100_000)
    assert runs.answer_of(id) == "x" * commands.LONGEST


def test_commands_go_with_their_run(runs, held):
    id = runs.ask_run(held.number, "pause")
    runs.remove(held.number)
    with pytest.raises(StoreError, match="There is no command"):
        runs.answer_of(id)


@pytest.mark.parametrize("backup", [True, False])
def test_what_was_asked_before_the_list_was_replaced_is_asked_no_more(runs, held, backup):
    if backup:
        folder = backed_up(runs, held, 1)
        with contextlib.closing(Store(folder)) as other:
            other.hold(held.number)
            other.ask_run(held.number, "stop")
        restore_database(runs, folder)
    else:
        runs.ask_run(held.number, "stop")
        remove_database(runs)
    runs.save(held)
    assert runs.commands(held.number) == []
    id = runs.ask_run(held.number, "pause")
    assert runs.commands(held.number) == [Request(id, "pause", None)]
