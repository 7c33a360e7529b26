"""Drawing: what tests of the Draw page share: runs that read drawings, and a page on whose pad there is one."""

from streamlit.testing.v1 import AppTest

from dlcore.catalogue.architectures import Linear
from dlcore.catalogue.optimizers import SGD
from dlcore.engine.conductor import Conductor
from dlcore.engine.job import Job
from dlcore.recipe import Recipe
from tests.pages.helpers import LONG, go, opened, well

STROKES = [{"points": [[0.25, 0.2], [0.72, 0.2], [0.6, 0.5], [0.45, 0.85]], "width": 0.08}]
QUICK = Recipe(model=Linear(), optimizer=SGD(lr=0.05), batch_size=800, epochs=3)  # 5 steps an epoch


def trained(conductor: Conductor, name: str = "digits", recipe: Recipe = QUICK) -> Job:
    return kept(conductor.submit(name, recipe))


def kept(job: Job) -> Job:
    assert job.wait(LONG)
    assert job.wait_saved(LONG)
    return job


def drawn() -> AppTest:
    """The page with something drawn on the pad."""
    at = opened()
    at.session_state["kept/strokes"] = STROKES
    return go(at, "draw")


def choose(at: AppTest, *numbers: int) -> AppTest:
    return well(at.multiselect[0].set_value(list(numbers)).run())
