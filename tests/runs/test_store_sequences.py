"""Whatever is done to a store, and in whatever order, it lists what a list in memory would."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from dlcore.runs import store as storing
from dlcore.runs.groups import Kind
from dlcore.runs.records import ACTIVE, Status
from dlcore.runs.retention import GRACE
from dlcore.runs.store import Store, StoreError
from tests.runs.storing import entered, record
from tests.strategies import NAME, NOTE, TAGS

PARTS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=2)


@dataclass
class Run:
    """What the store should know of a run."""

    name: str
    status: str
    note: str = ""
    tags: tuple[str, ...] = ()
    group: int | None = None
    deleted: float | None = None
    noticed: float | None = None  # when it was found to be overdue


class Sequences(RuleBasedStateMachine):
    numbers = Bundle("numbers")
    groups = Bundle("groups")

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 1e9
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr(storing, "time", SimpleNamespace(time=lambda: self.now))
        self.runs: dict[int, Run] = {}
        self.kinds: dict[int, tuple[str, str, dict, int | None]] = {}  # of groups: kind, name, settings, parent
        self.highest = 0
        self.store = Store(Path(self.folder.name))

    def teardown(self):
        self.store.close()
        self.patches.undo()
        self.folder.cleanup()

    def new(self, number: int) -> int:
        assert number > self.highest  # no number is given twice
        self.highest = number
        return number

    def leave(self, group: int | None) -> None:
        """A group is gone whose last run has left it."""
        if group is not None and all(run.group != group for run in self.runs.values()):
            self.kinds.pop(group, None)
            self.kinds = {
                number: (*rest, None if parent == group else parent) for number, (*rest, parent) in self.kinds.items()
            }

    @rule(target=numbers, name=NAME, status=st.sampled_from(get_args(Status)))
    def enter(self, name, status):
        number = self.new(entered(self.store, record(name, status=status)))
        self.runs[number] = Run(name, "interrupted" if status in ACTIVE else status)
        return number

    @rule(target=groups, kind=st.sampled_from(get_args(Kind)), name=NAME, settings=PARTS, data=st.data())
    def begin_group(self, kind, name, settings, data):
        parent = data.draw(st.none() | st.sampled_from(sorted(self.kinds)) if self.kinds else st.none())
        number = self.new(self.store.create_group(kind, name, settings, parent))
        self.kinds[number] = (kind, name, settings, parent)
        return number

    @rule(group=groups, runs=st.lists(numbers, max_size=3, unique=True))
    def join(self, group, runs):
        if group not in self.kinds or not self.runs.keys() >= set(runs):
            with pytest.raises(StoreError, match="There is no"):
                self.store.join(group, runs)
            return
        self.store.join(group, runs)
        for number in runs:
            left, self.runs[number].group = self.runs[number].group, group
            self.leave(left)

    @rule(number=numbers, name=NAME, note=NOTE, tags=TAGS)
    def describe(self, number, name, note, tags):
        if number in self.runs:
            self.store.describe(number, name=name, note=note, tags=tags)
            self.runs[number].name, self.runs[number].note, self.runs[number].tags = name, note, tags

    @rule(number=numbers)
    def delete_or_bring_back(self, number):
        if number not in self.runs:
            with pytest.raises(StoreError, match="There is no run"):
                self.store.delete(number)
        elif self.runs[number].deleted is None:
            self.store.delete(number)
            self.runs[number].deleted = self.now
        else:
            with pytest.raises(StoreError, match="deleted already"):
                self.store.delete(number)
            self.store.bring_back(number)
            self.runs[number].deleted = None

    @rule(number=consumes(numbers))
    def remove(self, number):
        self.store.remove(number)
        if run := self.runs.pop(number, None):
            self.leave(run.group)

    @rule(days=st.sampled_from([0.4, 1.1]))
    def time_goes_by(self, days):
        self.now += days * GRACE

    @rule(opened=st.booleans())
    def purge(self, opened):
        """By itself, or as a store is opened."""
        if opened:
            self.store.close()
            self.store = Store(Path(self.folder.name))
        else:
            self.store.purge()
        for number, run in list(self.runs.items()):
            overdue = run.deleted is not None and run.deleted < self.now - GRACE
            run.noticed = (run.noticed or self.now) if overdue else None
            if overdue and run.noticed < self.now - GRACE:
                del self.runs[number]
                self.leave(run.group)

    @invariant()
    def lists_what_there_is(self):
        there = sorted(number for number, run in self.runs.items() if run.deleted is None)
        gone = self.runs.keys() - set(there)
        assert self.store.numbers() == there
        for deleted, numbers in ((False, there), (True, gone)):
            rows = self.store.rows(deleted)
            assert [row["number"] for row in rows] == sorted(numbers, reverse=True)
            for row in rows:
                run = self.runs[row["number"]]
                assert (row["name"], row["status"], row["note"]) == (run.name, run.status, run.note)
                assert tuple(row["tags"]) == run.tags
                assert row["race"] == (run.group if run.group and self.kinds[run.group][0] == "race" else None)
        found = {one.number: (one.kind, one.name, one.settings, one.parent) for one in self.store.groups()}
        assert found == self.kinds
        for group in self.kinds:
            assert self.store.members(group) == [number for number in there if self.runs[number].group == group]

    @invariant()
    def opens_what_there_is(self):
        for number, run in self.runs.items():
            found = self.store.open(number)
            known = (found.name, found.note, found.tags, found.status, found.deleted)
            assert known == (run.name, run.note, run.tags, run.status, run.deleted)


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=25, stateful_step_count=25)
