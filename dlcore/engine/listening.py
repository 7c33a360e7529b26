"""Listening: what other processes ask of the runs that train here reaches them, and is answered once it is heard."""

import contextlib
import threading
from collections.abc import Callable, Sequence

from dlcore.engine.job import Job
from dlcore.runs.commands import Request
from dlcore.runs.store import Store, StoreError
from dlcore.settings import SettingsError

EVERY = 0.25  # seconds between two looks


class Listener:
    """A thread that looks for commands (`runs.commands`), until it is closed."""

    def __init__(self, store: Store, jobs: Callable[[], Sequence[Job]]):
        self._store, self._jobs = store, jobs
        self._heard: list[tuple[Job, int]] = []  # commands on their way to the thread that trains
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="listening", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closing.wait(EVERY):
            with contextlib.suppress(StoreError):  # as when another program holds it: the next look finds the rest
                self._look()

    def _look(self) -> None:
        for job, id in self._heard[:]:
            if not job.inbox:  # the thread that trains has taken it
                self._store.answer(id)
                self._heard.remove((job, id))
        taken = {id for _, id in self._heard}
        for job in [job for job in self._jobs() if job.active]:
            for request in self._store.commands(job.number):
                if request.id in taken:
                    continue
                if request.command == "stop":
                    self._store.answer(request.id)  # first: nobody answers for a run that is over
                if refusal := obey(job, request):
                    self._store.answer(request.id, refusal)
                elif request.command != "stop":
                    self._heard.append((job, request.id))


def obey(job: Job, request: Request) -> str:
    """Have a job do what is asked; a sentence on why it cannot, if so."""
    try:
        match request.command:
            case "pause":
                job.pause()
            case "resume":
                job.resume()
            case "step":
                job.step()
            case "stop":
                job.stop()
            case "pace":
                job.set_pace(request.value)
            case "steer":
                job.steer(request.value)
    except SettingsError as error:
        return " ".join(map(str, error.problems))
    return ""
