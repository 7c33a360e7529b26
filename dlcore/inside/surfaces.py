"""Surfaces: the classic functions of two variables, on which the optimizers of the catalogue show how they walk.

An optimizer is the very one that trains networks, given two numbers instead of a network's weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dlcore.catalogue.optimizers import Optimizer
from dlcore.later import nn, torch
from dlcore.settings import SettingsError

MOST_STEPS = 2000
FAR = 10  # widths of the picture from its middle, beyond which nobody goes on


class Surface(NamedTuple):
    """A function of two variables. `height` takes tensors or arrays of any shape."""

    title: str
    about: str
    formula: str  # LaTeX
    height: Callable
    domain: tuple[tuple[float, float], tuple[float, float]]  # that is shown: x from and to, y from and to
    minima: tuple[tuple[float, float], ...]
    start: tuple[float, float]  # where the walks begin unless a person says otherwise
    source: str  # a link

    def heights(self, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Both axes of its domain, and the heights (side, side) over them, rows along y."""
        x, y = (np.linspace(*ends, side) for ends in self.domain)
        return x, y, self.height(*np.meshgrid(x, y))


class Descent(NamedTuple):
    """A walk of an optimizer."""

    places: np.ndarray  # (steps + 1, 2): x and y, the start first
    heights: np.ndarray  # (steps + 1,)
    reason: str = ""  # a sentence on why it ended before its last step


SURFACES = {
    "rosenbrock": Surface(
        "Rosenbrock",
        "A bent valley: into it is easy, along its flat floor to the minimum is not.",
        r"f(x, y) = (1 - x)^2 + 100\,(y - x^2)^2",
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        ((-2.0, 2.0), (-1.0, 3.0)),
        ((1.0, 1.0),),
        (-1.5, 2.0),
        "https://doi.org/10.1093/comjnl/3.3.175",
    ),
    "himmelblau": Surface(
        "Himmelblau",
        "Four equal minima: which one is found hangs on the start and on the optimizer.",
        r"f(x, y) = (x^2 + y - 11)^2 + (x + y^2 - 7)^2",
        lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
        ((-6.0, 6.0), (-6.0, 6.0)),
        (
            (3.0, 2.0),
            (-2.805118086952745, 3.131312518250573),
            (-3.779310253377747, -3.283185991286170),
            (3.584428340330492, -1.848126526964404),
        ),
        (-0.5, -1.0),
        "https://en.wikipedia.org/wiki/Himmelblau%27s_function",
    ),
    "beale": Surface(
        "Beale",
        "Flat ground between steep corners: a rate that suits the one is wrong on the other.",
        r"f(x, y) = (1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2",
        lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
        ((-4.5, 4.5), (-4.5, 4.5)),
        ((3.0, 0.5),),
        (1.0, 1.5),
        "https://www.sfu.ca/~ssurjano/beale.html",
    ),
    "saddle": Surface(
        "Saddle",
        "Down to the left and right, up to the front and back; it has no lowest point, so that who leaves it falls on.",
        r"f(x, y) = y^2 - x^2",
        lambda x, y: y**2 - x**2,
        ((-2.0, 2.0), (-2.0, 2.0)),
        (),
        (0.01, 1.5),
        "https://arxiv.org/abs/1406.2572",
    ),
    "ravine": Surface(
        "Ravine",
        "Steep across, nearly flat along: plain steps swing from wall to wall, momentum evens that out.",
        r"f(x, y) = \frac{1}{2} x^2 + 25\, y^2",
        lambda x, y: x**2 / 2 + 25 * y**2,
        ((-10.0, 4.0), (-2.0, 2.0)),
        ((0.0, 0.0),),
        (-9.0, 1.0),
        "https://distill.pub/2017/momentum/",
    ),
}


def gradient(surface: Surface, x: float, y: float) -> tuple[float, float]:
    """How the height changes with x and with y, at a place."""
    place = torch.tensor([x, y], dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        (found,) = torch.autograd.grad(surface.height(*place), place)
    return tuple(found.tolist())


def descend(surface: Surface, optimizer: Optimizer, start: tuple[float, float], steps: int) -> Descent:
    """The walk of an optimizer from a start, in float64. Ends early when it is far away, or nowhere any more.

    Raises SettingsError for settings that do not go together.
    """
    if problems := optimizer.problems():
        raise SettingsError(problems)
    place = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    middle = torch.tensor([sum(ends) / 2 for ends in surface.domain])
    far = torch.tensor([FAR * (high - low) for low, high in surface.domain])
    taken = optimizer.build([place])
    places, reason = [place.detach().clone()], ""
    for step in range(1, min(steps, MOST_STEPS) + 1):
        taken.zero_grad()
        with torch.enable_grad():
            surface.height(*place).backward()
        taken.step()
        if not ((place.detach() - middle).abs() < far).all():  # nor is what is no number near
            reason = f"After step {step} it was more than {FAR} times the picture's width away, and was stopped."
            break
        places.append(place.detach().clone())
    walked = torch.stack(places).numpy()
    return Descent(walked, surface.height(*walked.T), reason)
