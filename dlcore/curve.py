"""Curve: numbers that come one after another, and can be drawn in the same time however many there are.

Beside the numbers stand the sum, the lowest and the highest of each of some hundred stretches of equal length; when
there are too many of those, every two become one. One thread extends a curve, any number look at it.
"""

import copy
import threading

import numpy as np

STRETCHES = 1024  # at most, an even number; half as many after two by two have become one
SIGNS = (1, -1)  # the highest number is the lowest one of the opposites


class Curve:
    """Numbers in their order, of which few stand for all when they are drawn."""

    def __init__(self, values: np.ndarray = (), dtype: type = np.float32):
        self._values = np.empty(256, dtype)  # doubled when it is full
        self._count = 0
        self._length = 1  # of a stretch
        self._sums = np.empty(STRETCHES, np.float64)
        self._lows, self._highs = (np.empty(STRETCHES, np.int64) for _ in range(2))  # where they are
        self._whole = 0  # stretches that are complete
        self._lock = threading.Lock()
        self.extend(np.asarray(values, dtype))

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> np.ndarray:
        """All of them, not to be changed; those that come later are not among them."""
        with self._lock:
            values = self._values[: self._count]
        values.flags.writeable = False
        return values

    def frozen(self) -> "Curve":
        """As it is now; what comes later is not in it. Not to be extended: it shares the numbers."""
        with self._lock:
            found = copy.copy(self)
            found._sums, found._lows, found._highs = (each.copy() for each in (self._sums, self._lows, self._highs))
        found._lock = threading.Lock()
        return found

    def extend(self, values: np.ndarray) -> None:
        with self._lock:
            count = self._count + len(values)
            if count > len(self._values):
                larger = np.empty(max(count, 2 * len(self._values)), self._values.dtype)
                larger[: self._count] = self._values[: self._count]
                self._values = larger
            self._values[self._count : count] = values
            self._count = count
            while self._count - self._whole * self._length >= self._length:
                if self._whole == STRETCHES:
                    self._halve()
                self._add_stretches()

    def lowest(self, start: int = 0) -> int:
        """The place of the lowest finite value from a place on, the first of equals; without any, that place."""
        with self._lock:
            done, first = self._whole * self._length, -(-start // self._length)
            before = np.arange(start, min(first * self._length, done))  # of the stretch within which it starts
            places = np.concatenate([before, self._lows[first : self._whole], np.arange(max(done, start), self._count)])
            return int(places[_lowest(self._values[places])]) if len(places) else start

    def means(self, points: int) -> tuple[np.ndarray, np.ndarray]:
        """The curve as at most `points` means of equal stretches, of which the last may be shorter: (how many values
        there are up to the end of each, mean of each). The ends stay where they are until the stretches must be longer.
        """
        with self._lock:
            count, done = self._count, self._whole * self._length
            sums = self._sums[: self._whole].copy()
            if done < count:
                sums = np.append(sums, _sums(self._values[done:count]))
            length = self._length
        if not count:
            return np.array([], np.int64), sums
        each = -(-count // (length * points))
        starts = np.arange(0, len(sums), each)
        ends = np.append(starts[1:] * length, count)
        with np.errstate(invalid="ignore"):  # a stretch with both infinities has no mean, which is no reason to warn
            return ends, np.add.reduceat(sums, starts) / np.diff(ends, prepend=0)

    def thin(self, points: int) -> tuple[np.ndarray, np.ndarray]:
        """At most `points` (but 4) values after their places, which count from 0: the lowest and the highest of every
        stretch among them, and both ends.
        """
        with self._lock:
            values, done = self._values[: self._count], self._whole * self._length
            if len(values) <= points:
                return np.arange(len(values)), values.copy()
            extremes = [self._lows[: self._whole], self._highs[: self._whole]]
            if len(tail := values[done:]):
                extremes = [
                    np.append(places, done + _lowest(sign * tail)) for places, sign in zip(extremes, SIGNS, strict=True)
                ]
            each = -(-len(extremes[0]) // max(1, (points - 2) // 2))
            chosen = [np.array([0, len(values) - 1])]
            for places, sign in zip(extremes, SIGNS, strict=True):
                groups = np.append(places, np.repeat(places[-1:], -len(places) % each)).reshape(-1, each)
                chosen.append(groups[np.arange(len(groups)), _lowest(sign * values[groups])])
            kept = np.unique(np.concatenate(chosen))
            return kept, values[kept]

    def _add_stretches(self) -> None:
        """Sum up what has become whole, as long as there is room."""
        start = self._whole * self._length
        many = min((self._count - start) // self._length, STRETCHES - self._whole)
        new = self._values[start : start + many * self._length].reshape(many, self._length)
        starts, place = start + np.arange(many) * self._length, slice(self._whole, self._whole + many)
        self._sums[place] = _sums(new)
        self._lows[place], self._highs[place] = (starts + _lowest(sign * new) for sign in SIGNS)
        self._whole += many

    def _halve(self) -> None:
        """Make one stretch of every two."""
        half = STRETCHES // 2
        self._sums[:half] = _sums(self._sums.reshape(half, 2))
        for places, sign in zip((self._lows, self._highs), SIGNS, strict=True):
            pairs = places.reshape(half, 2).copy()
            places[:half] = pairs[np.arange(half), _lowest(sign * self._values[pairs])]
        self._whole, self._length = half, self._length * 2


def _sums(values: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    with np.errstate(invalid="ignore"):  # of both infinities
        return values.sum(-1, dtype=np.float64)


def _lowest(values: np.ndarray) -> np.ndarray:
    """Where along the last axis the lowest number is; what is infinite or none is never it, if there is another."""
    return np.where(np.isfinite(values), values, np.inf).argmin(-1)
