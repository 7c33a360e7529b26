"""Looking changes nothing: only the thread that trains touches PyTorch's default generators, whoever looks at what."""

import contextlib
import threading
from collections.abc import Iterator

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dlcore.catalogue.architectures import Architecture, layers, size
from dlcore.catalogue.datasets import Mnist5k
from dlcore.catalogue.optimizers import SGD
from dlcore.catalogue.spec import Picture
from dlcore.engine.capture import network
from dlcore.recipe import Recipe
from dlcore.settings import choices
from pages.parts.state import process
from tests.pages.helpers import PAGES, enabled, find, go, press, small, well
from tests.pages.helpers import opened as open_page
from tests.running import DROPPING, LONG, MOONS, alone, changed, fingerprint, finish, opened
from tests.waiting import wait_until

TRAINS = "conductor"  # the thread
STROKES = [{"points": [[0.25, 0.2], [0.72, 0.2], [0.6, 0.5], [0.45, 0.85]], "width": 0.08}]
DIGITS = Recipe(data=Mnist5k(), optimizer=SGD(), epochs=1, batch_size="all")


class Drawn(AssertionError):  # noqa: N818 - what was done, not what went wrong
    """A thread drew random numbers that are another's."""


class _Watch(TorchDispatchMode):
    """Sees every operation of a thread, and refuses those that draw from a default generator."""

    def __init__(self, found: list[str]):
        super().__init__()
        self._found = found

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = [*args, *(kwargs or {}).values()]
        if torch.Tag.nondeterministic_seeded in function.tags and not self._harmless(function, given):
            self._found.append(f"{function} on {threading.current_thread().name}")
            raise Drawn(self._found[-1])
        return function(*args, **(kwargs or {}))

    @staticmethod
    def _harmless(function, given: list) -> bool:
        """With a generator of its own, on the meta device, where there are no numbers, or dropout that is off."""
        meta = torch.device("meta") in given or any(isinstance(one, torch.Tensor) and one.is_meta for one in given)
        off = function in (torch.ops.aten.dropout.default, torch.ops.aten.feature_dropout.default) and given[2] is False
        return meta or off or any(isinstance(one, torch.Generator) for one in given)


class _Generator:
    """Stands in for PyTorch's default generator, for one thread alone."""

    def __init__(self, generator: torch.Generator, found: list[str]):
        self._generator, self._found = generator, found

    def __getattr__(self, name: str):
        if threading.current_thread().name != TRAINS:
            self._found.append(f"default generator: {name} on {threading.current_thread().name}")
            raise Drawn(self._found[-1])
        return getattr(self._generator, name)


@contextlib.contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever draws from a default generator meanwhile, but the thread that trains, fails, and so does the test."""
    found: list[str] = []

    def watch(run):
        def watching(thread: threading.Thread) -> None:
            with contextlib.nullcontext() if thread.name == TRAINS else _Watch(found):
                run(thread)

        return watching

    with monkeypatch.context() as patch, _Watch(found):
        patch.setattr(torch.random, "default_generator", _Generator(torch.default_generator, found))
        for kind in (threading.Thread, threading.Timer):
            patch.setattr(kind, "run", watch(kind.run))
        yield
    assert not found


DRAWS = {
    "numbers": lambda: torch.rand(3),
    "in place": lambda: torch.empty(3).uniform_(),
    "an order": lambda: torch.randperm(5),
    "first weights": lambda: torch.nn.Linear(2, 2),
    "dropout": lambda: torch.nn.Dropout()(torch.ones(3)),
    "a seed": lambda: torch.manual_seed(0),
    "a state": lambda: torch.set_rng_state(torch.zeros(5056, dtype=torch.uint8)),
}


@pytest.mark.parametrize("where", ["here", "in a thread", "in a timer"])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_watch_sees_who_draws(monkeypatch, draw, where):
    told = []

    def tried() -> None:
        with contextlib.suppress(Drawn):
            draw()
            told.append("nothing was seen")

    def everything() -> None:
        with watched(monkeypatch):
            thread = {"in a thread": threading.Thread(target=tried), "in a timer": threading.Timer(0, tried)}.get(where)
            if thread:
                thread.start()
                thread.join()
            else:
                tried()

    with pytest.raises(AssertionError):
        everything()
    assert told == []


def test_the_watch_lets_be_who_has_a_generator_or_makes_no_numbers(monkeypatch):
    with watched(monkeypatch):
        torch.rand(3, generator=torch.Generator().manual_seed(1))
        torch.randperm(3, generator=torch.Generator().manual_seed(1))
        with torch.device("meta"):
            torch.nn.Linear(2, 2)


@pytest.mark.parametrize("kind", choices(Architecture))
def test_whoever_looks_at_a_network_draws_nothing(monkeypatch, kind):
    architecture = choices(Architecture)[kind]()
    with watched(monkeypatch):
        size(architecture, Picture(1, 28, 28), (10,))
        layers(architecture, Picture(1, 28, 28), (10,))


@pytest.mark.parametrize("page", PAGES)
def test_no_page_touches_the_generators(page, root, monkeypatch):
    with opened(root) as elsewhere:  # another process, for all that the dashboard can see
        earlier = elsewhere.submit("digits", DIGITS)
        finish(earlier)
        assert earlier.wait_saved(LONG)
    with watched(monkeypatch):
        at = open_page()
        under_way = [process.conductor().submit("digits", changed(DIGITS, epochs=100000)) for _ in range(2)]
        wait_until(lambda: all(job.history.epochs for job in under_way))
        at.session_state["kept/strokes"] = STROKES
        at.session_state["kept/draw/runs"] = [earlier.number, under_way[0].number]
        at.session_state["kept/runs/selected"] = [str(earlier.number)]
        go(at, page)
        well(at.run())
        for job in under_way:
            job.stop()
            finish(job)
        well(at.run())


def test_no_click_touches_the_generators(root, monkeypatch):
    with watched(monkeypatch):
        at = small(open_page(), epochs=4)
        press(at, "Step")
        wait_until(lambda: process.jobs() and process.jobs()[0].history.steps)
        press(at, "Resume")
        finish(process.jobs()[0])
        assert process.jobs()[0].wait_saved(LONG)
        well(at.run())
        go(at, "runs")
        press(at, "Branch")
        press(at, "Start")
        at.query_params = {}  # as Streamlit does; a race of pictures, which Draw can ask
        go(at, "compare")
        press(at, "Start")
        wait_until(lambda: any(job.history.epochs for job in process.latest_race()))
        wait_until(lambda: "Stop" in enabled(well(at.run())))  # between two tries nothing is under way
        press(at, "Stop")
        go(at, "draw")
        assert not find(at.multiselect, "Runs").disabled


@pytest.mark.parametrize("recipe", [DROPPING, changed(DROPPING, epochs=40)], ids=["short", "long"])
def test_a_runs_numbers_are_the_same_while_others_build_networks_of_stored_runs(tmp_path, recipe):
    expected = alone(recipe)
    with opened(tmp_path / "runs") as conductor:
        earlier = conductor.submit("earlier", MOONS)
        finish(earlier)
        assert earlier.wait_saved(LONG)
        checkpoint = conductor.store.checkpoint(earlier.number, 1)
        over, looks = threading.Event(), []

        def look() -> None:
            while not over.is_set():
                looks.append(network(MOONS, checkpoint))

        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(looks) > 2)
        job = conductor.submit("watched", recipe)
        finish(job)
        over.set()
        for thread in threads:
            thread.join()
        assert fingerprint(job) == expected
