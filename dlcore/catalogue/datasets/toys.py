"""Toys: points drawn by a rule, that a person can see whole."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dlcore.catalogue.datasets.base import Data, Sampled, stratified
from dlcore.catalogue.spec import Classes, Features, Numbers
from dlcore.catalogue.splits import Split, of_features
from dlcore.later import torch
from dlcore.settings import Slider

SAMPLES = Annotated[int, Slider(100, 5000, log=True)]
LEAST = 2  # samples of a class that a split into parts with its share in each needs


def samples(default: int) -> int:
    return Field(default, ge=20, le=100000, title="Samples", description="How many points are drawn.")


class _Drawn(Sampled):
    """Points drawn by a rule, with noise; a fifth of them validates, another tests."""

    samples: SAMPLES = samples(1000)
    noise: Annotated[float, Slider(0, 0.5)] = Field(
        0.1, ge=0, le=5, title="Noise", description="Deviation of the random push that every point gets."
    )

    @property
    def held(self) -> int:
        """Samples in the validation part, and in the test part."""
        return self.samples // 5

    @property
    def train_size(self):
        return self.samples - 2 * self.held


class _Toy(_Drawn):
    """Two features and two classes: a set that a person can see whole."""

    inputs = Features(("x", "y"))
    targets = Classes(("orange", "blue"))  # as they are drawn

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (samples, features) and targets, with noise."""
        raise NotImplementedError

    def load(self, report):
        inputs, targets = (torch.from_numpy(values) for values in self.points())
        parts = stratified(targets, self.split_seed, (self.held, self.held))
        return of_features(*(Split(inputs[part].float(), targets[part].long()) for part in parts))


class Moons(_Toy):
    """Two half moons that reach into each other: no straight line parts them."""

    title = "Two moons"
    kind: Literal["moons"] = "moons"

    def points(self):
        from sklearn.datasets import make_moons

        return make_moons(self.samples, noise=self.noise, random_state=self.split_seed)


class Circles(_Toy):
    """A ring around a disc."""

    title = "Circles"
    kind: Literal["circles"] = "circles"

    def points(self):
        from sklearn.datasets import make_circles

        return make_circles(self.samples, noise=self.noise, factor=0.5, random_state=self.split_seed)


class Xor(_Toy):
    """Opposite quarters belong together: the classic that a single layer cannot learn."""

    title = "XOR"
    kind: Literal["xor"] = "xor"

    def points(self):
        random = np.random.default_rng(self.split_seed)
        places = random.uniform(-1, 1, (self.samples, 2))
        targets = (places[:, 0] > 0) != (places[:, 1] > 0)
        for kind in (
            False,
            True,
        ):  # few points may all fall into one class: then some move to the quarter beside theirs
            moved = np.flatnonzero(targets != kind)[: max(0, LEAST - np.sum(targets == kind))]
            places[moved, 0] *= -1
            targets[moved] = kind
        return places + random.normal(0, self.noise, places.shape), targets.astype(np.int64)


class Spirals(_Toy):
    """Two spirals wound around each other: hard for small networks."""

    title = "Spirals"
    kind: Literal["spirals"] = "spirals"

    def points(self):
        random = np.random.default_rng(self.split_seed)
        targets = np.arange(self.samples) % 2
        along = np.sqrt(random.uniform(0.02, 1, self.samples))  # the root spreads points evenly over the area
        angle = along * 3 * np.pi + targets * np.pi
        places = 2 * along[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        return places + random.normal(0, self.noise, places.shape), targets


class Sine(_Drawn):
    """One wave of a sine, to be drawn through noisy points."""

    title = "Sine"
    inputs = Features(("x",))
    targets = Numbers()
    kind: Literal["sine"] = "sine"
    samples: SAMPLES = samples(500)

    def load(self, report):
        random = np.random.default_rng(self.split_seed)
        inputs = random.uniform(-np.pi, np.pi, (self.samples, 1))
        targets = np.sin(inputs) + random.normal(0, self.noise, inputs.shape)
        inputs, targets = torch.from_numpy(inputs).float(), torch.from_numpy(targets).float()
        cuts = ((2 * self.held, None), (0, self.held), (self.held, 2 * self.held))
        return of_features(*(Split(inputs[a:b], targets[a:b]) for a, b in cuts))


class _FourPoints(Data):
    """x = 1, 2, 3, 4. Four points cannot be split, so validation and test are other x by the same rule."""

    inputs = Features(("x",))

    def rule(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    @property
    def train_size(self):
        return 4

    def load(self, report):
        places = ([1.0, 2.0, 3.0, 4.0], [0.0, 5.0], [-1.0, 6.0])
        columns = [torch.tensor(x).unsqueeze(1) for x in places]
        return of_features(*(Split(x, self.rule(x)) for x in columns))


class Line(_FourPoints):
    """Four points on y = 2x: the smallest thing that can be learned."""

    title = "Line"
    targets = Numbers()
    kind: Literal["line"] = "line"

    def rule(self, x):
        return 2 * x


class PassFail(_FourPoints):
    """Hours of study, 1 to 4, and whether the exam was passed: no, no, yes, yes."""

    title = "Pass or fail"
    targets = Classes(("fail", "pass"))
    kind: Literal["pass-fail"] = "pass-fail"

    def rule(self, x):
        return (x.squeeze(1) > 2.5).long()
