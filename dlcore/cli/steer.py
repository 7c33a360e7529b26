"""The commands for a run that trains already, in a dashboard or by another command."""

import argparse
from collections.abc import Callable

from dlcore.cli.arguments import changes_of, run_number
from dlcore.runs.remote import Remote
from dlcore.runs.store import Store

HEARD_LATER = "has not answered yet; it hears of this after the step in hand"


def pause(options: argparse.Namespace) -> int:
    return _tell(options.id, Remote.pause, "is paused")


def stop(options: argparse.Namespace) -> int:
    return _tell(options.id, Remote.stop, "is stopped")


def steer(options: argparse.Namespace) -> int:
    changes = changes_of(options.changes)
    return _tell(options.id, lambda run: run.steer(changes), f"goes on with {', '.join(options.changes)}")


def go_on_elsewhere(store: Store, number: int, changes: dict) -> bool:
    """Let a run go on that is paused in another process, with changes made there; False when it is not."""
    run = store.open(number)
    if run.status != "paused":
        return False
    remote = Remote(store, run)
    if changes:
        remote.steer(changes)
    print(f"run {number} {'goes on' if remote.resume() else HEARD_LATER}")
    return True


def _tell(id: str, act: Callable[[Remote], bool], done: str) -> int:
    store, number = Store(), run_number(id)
    print(f"run {number} {done if act(Remote(store, store.open(number))) else HEARD_LATER}")
    return 0
