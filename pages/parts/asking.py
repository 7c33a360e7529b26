"""Asking: what a page wants of networks, without waiting long for it.

A network may be busy for seconds, with a long step of its own or of another run. Then a page keeps what it heard last,
says so in a sentence, and looks again. Nobody is asked twice at a time.
"""

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import CancelledError, Future, wait
from typing import Any, NamedTuple

from dlcore.inside.errors import LookError
from dlcore.runs.store import StoreError
from pages.parts.state.tab import keep, remember

PATIENCE = 0.25  # seconds that a look waits for answers
BUSY = "Busy with a long step; the answer comes later."
READING = "The network will be here in a moment."
CLOSING = "No answer any more: dlcore is closing."


class Question(NamedTuple):
    """What is asked of a network."""

    about: Hashable  # what the answer hangs on
    put: Callable[[], Future]  # as by `Job.ask`
    waiting: str = BUSY  # what is said of an answer that is not there yet


class Heard(NamedTuple):
    """What is known of a question."""

    answer: Any = None  # the last one
    about: Hashable = None  # what it is an answer to
    sentence: str = ""  # why there is none to the question as it is now, if so
    coming: tuple[Hashable, Future, str] | None = None  # what an answer on its way will be about; what is said of it


def hear(place: str, questions: Mapping[Hashable, Question], again: bool = False) -> dict[Hashable, Heard]:
    """The answers to the questions of one place on a page, by the keys that these are given there.

    They go out together, so that they are waited for but once; none that was answered already, unless `again`.
    """
    before = remember(f"heard/{place}", {})
    keep(f"heard/{place}", {})  # a question that fails in a way of its own is raised here, and forgotten
    heard = {key: _put(_read(before.get(key, Heard())), question, again) for key, question in questions.items()}
    wait([one.coming[1] for one in heard.values() if one.coming], PATIENCE)
    heard = {key: _read(one) for key, one in heard.items()}
    keep(f"heard/{place}", heard)
    return heard


def _put(one: Heard, question: Question, again: bool) -> Heard:
    if one.coming or (one.about == question.about and not again):
        return one
    try:
        return one._replace(coming=(question.about, question.put(), question.waiting))
    except RuntimeError as error:  # it has no network, not yet or not any more
        return one._replace(about=None, sentence=str(error))


def _read(one: Heard) -> Heard:
    if not one.coming:
        return one
    about, future, waiting = one.coming
    try:
        return Heard(future.result(timeout=0), about)
    except TimeoutError:
        return one._replace(sentence=waiting)
    except CancelledError:
        return one._replace(sentence=CLOSING, coming=None)
    except (StoreError, LookError) as error:
        return Heard(None, about, str(error))
    except RuntimeError as error:  # as PyTorch's own are: out of memory, a device that is gone
        return Heard(None, about, f"The network cannot answer: {(str(error).splitlines() or ['no reason given'])[0]}")
