"""The views into a run: what each is called, its function, and the key of its container. A new one is a line here."""

from collections.abc import Callable
from typing import NamedTuple

from pages.parts.views import landscape, layers, mistakes, projection, saliency, surgery
from pages.parts.views.subject import Subject


class View(NamedTuple):
    """A picture of a network."""

    name: str
    show: Callable[[Subject, str], bool]  # draws it; whether an answer is still on its way
    key: str


VIEWS = (
    View("Layers", layers.show, "layers-health"),
    View("Mistakes", mistakes.show, "mistakes"),
    View("Saliency", saliency.show, "saliency"),
    View("Map", projection.show, "projection"),
    View("Landscape", landscape.show, "landscape"),
    View("Surgery", surgery.show, "surgery"),
)
