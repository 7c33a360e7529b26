import os
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcore.runs.store import Store, StoreError
from tests.runs.storing import entered, history, record
from tests.waiting import wait_until


def watch(root, number, stop, results):
    """Another process that reads as fast as it can."""
    try:
        found = Store(Path(root))
        before, seen = None, 0
        while not stop.is_set():
            before = found.open(number, before)
            whole = before.history.losses
            assert len(whole) >= seen
            assert (whole == np.arange(len(whole), dtype=np.float32)).all()
            assert found.rows()[0]["name"] == "a"
            seen = len(whole)
        results.put(seen)
    except BaseException as error:
        results.put(repr(error))


def test_any_number_of_readers_while_one_writes(runs, forked):
    one = record("a", status="training")
    one.number = runs.create(one)
    runs.hold(one.number)
    stop, results = forked.Event(), forked.Queue()
    processes = [forked.Process(target=watch, args=(str(runs.root), one.number, stop, results)) for _ in range(2)]
    for process in processes:
        process.start()
    errors, quiet = [], threading.Event()

    def read():
        try:
            before = None
            while not quiet.is_set():
                before = runs.open(one.number, before)
                assert len(runs.rows()) == 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(150):
            for _ in range(20):
                one.history.add_step(torch.tensor(float(one.history.steps)))
            runs.save(one)
        wait_until(lambda: all(process.is_alive() or process.exitcode is not None for process in processes))
        for _ in range(50):
            one.history.add_step(torch.tensor(float(one.history.steps)))
            runs.save(one)
    finally:
        quiet.set()
        stop.set()
        for thread in threads:
            thread.join(30)
        found = [results.get(timeout=60) for _ in processes]
        for process in processes:
            process.join(30)
    assert errors == []
    assert all(isinstance(seen, int) for seen in found), found
    assert len(runs.open(one.number).history.losses) == 3050


def make(root, go, results):
    try:
        go.wait()
        found = Store(Path(root))
        results.put([found.create(record(str(os.getpid()))) for _ in range(5)])
    except BaseException as error:
        results.put(repr(error))


def test_several_processes_make_a_store_at_once(tmp_path, forked):
    go, results = forked.Event(), forked.Queue()
    processes = [forked.Process(target=make, args=(str(tmp_path / "runs"), go, results)) for _ in range(4)]
    for process in processes:
        process.start()
    go.set()
    found = [results.get(timeout=100) for _ in processes]
    for process in processes:
        process.join(30)
    assert all(isinstance(numbers, list) for numbers in found), found
    assert sorted(number for numbers in found for number in numbers) == list(range(1, 21))


def test_who_waits_too_long_for_another_process_is_told(runs, monkeypatch):
    number = entered(runs, record(history=history(1)))
    runs.database._connection.execute("PRAGMA busy_timeout = 50")
    blocker = sqlite3.connect(runs.root / "dlcore.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        assert runs.open(number).name == "moons"  # reading waits for nobody
        told = r"^Another program holds the list of runs in .*dlcore\.db \(database is locked\); this goes on as"
        with pytest.raises(StoreError, match=told):
            runs.describe(number, note="x")
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    runs.describe(number, note="y")
    assert runs.open(number).note == "y"


def test_who_reads_does_not_wait_for_one_who_waits_to_write(runs):
    number = entered(runs, record(history=history(1)))
    blocker = sqlite3.connect(runs.root / "dlcore.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    writer = threading.Thread(target=runs.describe, args=[number], kwargs={"note": "x"})
    writer.start()
    try:
        wait_until(lambda: not runs.database.lock.acquire(blocking=False) or runs.database.lock.release(), every=0.001)
        assert runs.rows()[0]["note"] == runs.open(number).note == ""
        assert runs.numbers() == [number]
        assert runs.setting("at_once", 2) == 2
        assert writer.is_alive()  # and waits still
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
        writer.join(30)
    assert runs.open(number).note == "x"
