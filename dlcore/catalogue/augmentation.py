"""Augmentation: every picture of a batch is moved a little, each in its own random way, on the device it lives on."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from dlcore.catalogue.datasets import Data
from dlcore.catalogue.spec import Picture
from dlcore.later import F, torch
from dlcore.settings import Problem, Settings, Slider


class Augmentation(Settings):
    """Random changes to the training pictures, so that the network never sees the same one twice. Zero is off."""

    shift: Annotated[float, Slider(0, 0.3)] = Field(
        0.0, ge=0, le=0.5, title="Shift", description="Moves by up to this share of the picture's side."
    )
    rotate: Annotated[float, Slider(0, 45)] = Field(
        0.0, ge=0, le=180, title="Rotate", description="Turns by up to this many degrees, either way."
    )
    scale: Annotated[float, Slider(0, 0.5)] = Field(
        0.0, ge=0, le=0.9, title="Scale", description="Grows or shrinks by up to this share."
    )
    shear: Annotated[float, Slider(0, 45)] = Field(
        0.0, ge=0, le=60, title="Shear", description="Slants by up to this many degrees, either way."
    )

    @property
    def active(self) -> bool:
        return any((self.shift, self.rotate, self.scale, self.shear))

    def problems(self, data: Data) -> list[Problem]:
        if not self.active or isinstance(data.spec().inputs, Picture):
            return []
        text = f"augmentation moves pictures, but {data.kind} has none; set shift, rotate, scale and shear to 0."
        return [Problem("augmentation", text, {f"augmentation.{name}": 0.0 for name, much in self if much})]

    def apply(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (N, C, H, W), each turned, slanted, scaled and shifted by a draw of its own.

        Pixels from outside repeat the border; the draws come from the device's default generator.
        """
        if not self.active:
            return pictures
        draws = torch.rand(5, len(pictures), device=pictures.device) * 2 - 1
        angle = draws[0] * math.radians(self.rotate)
        slant = (draws[1] * math.radians(self.shear)).tan()
        size = 1 / (1 + draws[2] * self.scale)
        cos, sin = size * angle.cos(), size * angle.sin()
        # The matrix that takes an output place to its input place, both in -1..1 (hence shift * 2).
        turned = torch.stack([cos, cos * slant - sin, sin, sin * slant + cos], 1).view(-1, 2, 2)
        # Moved last, so that growing does not stretch the way; no matmul, which autocast would round.
        shifted = (turned * (draws[3:].T * self.shift * 2).unsqueeze(1)).sum(2, keepdim=True)
        places = F.affine_grid(torch.cat([turned, shifted], 2), list(pictures.shape), align_corners=False)
        return F.grid_sample(pictures, places, padding_mode="border", align_corners=False)
