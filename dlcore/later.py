"""Later: PyTorch, imported when something of it is used for the first time.

Python takes some four seconds to import it, and what there is to choose can be shown before. What stands below the
engine says `from dlcore.later import nn, torch` and no more; annotations there are not evaluated (`from __future__`).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import nn
else:

    class _Later:
        """A module that is not imported yet."""

        def __init__(self, name: str):
            self._name, self._module = name, None

        def __getattr__(self, attribute: str) -> Any:
            if self._module is None:
                self._module = importlib.import_module(self._name)
            return getattr(self._module, attribute)

    torch, nn, F = map(_Later, ("torch", "torch.nn", "torch.nn.functional"))

__all__ = ["F", "nn", "torch"]
