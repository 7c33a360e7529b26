"""Conducting: what the tests of the engine share beyond running: recipes, and a thread that goes on."""

from dlcore.catalogue.losses import MeanSquaredError
from dlcore.catalogue.optimizers import SGD
from dlcore.recipes import RECIPES
from tests.running import DROPPING, MOONS, changed, finish

DROPOUT = changed(DROPPING, epochs=30)

DIVERGING = changed(RECIPES["simplenet"].recipe, loss=MeanSquaredError(), optimizer=SGD(lr=10.0))

# Settings that no optimizer has by default.
OTHER = {"optimizer.lr": 0.03, "optimizer.momentum": 0.6, "optimizer.beta1": 0.6, "optimizer.weight_decay": 0.2}


def goes_on(conductor):
    """The thread is there, and trains what comes next."""
    after = conductor.submit("after", MOONS)
    finish(after)
    return after.status == "finished"
