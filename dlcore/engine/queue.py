"""The queue: which runs begin, and in which order. Pure functions of what waits."""

from collections.abc import Collection, Hashable, Sequence
from typing import Protocol, TypeVar


class Waits(Protocol):
    """What is asked of those who wait, or are under way."""

    group: Hashable  # the same for those who begin together
    in_turn: bool  # begins when nothing else is under way


T = TypeVar("T", bound=Waits)


def admit(
    queue: Sequence[Sequence[T]], under_way: Collection[Hashable], at_once: int | None
) -> tuple[list[Sequence[T]], list[Sequence[T]]]:
    """Who begins now, and who goes on waiting; `under_way` are the groups that began. At most `at_once` groups are
    under way at a time, None for any number; who joins a group that has its place needs none.
    """
    places, begin, wait = set(under_way), [], []
    for waiting in queue:
        first = waiting[0]
        most = 1 if first.in_turn else at_once
        if first.group in places or most is None or len(places) < most:
            places.add(first.group)
            begin.append(waiting)
        else:
            wait.append(waiting)
    return begin, wait


def moved(queue: Sequence[Sequence[T]], one: T, places: int) -> list[Sequence[T]]:
    """The queue with one, and all that wait with it, moved towards the front (negative) or the back."""
    order = list(queue)
    place = next((place for place, waiting in enumerate(order) if one in waiting), None)
    if place is not None:
        waiting = order.pop(place)
        order.insert(max(0, place + places), waiting)
    return order
