"""A drawing becomes what the network was trained on: strokes -> picture -> 28 x 28 digit.

A network reads a drawing well only if it was prepared as MNIST was: white on black, cropped to the ink,
longest side scaled to 20 pixels with anti-aliasing, placed in 28 x 28 with its centre of mass in the middle
(http://yann.lecun.com/exdb/mnist/). The middle is the centre of pixel (14, 14), counted from 0: every digit
of MNIST has its centre of mass within half a pixel of it.

Mean and standard deviation are not applied here: they belong to the data set.
"""

from collections.abc import Sequence
from math import ceil
from typing import Annotated

import numpy as np
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_STROKES = 500
MOST_POINTS = 20_000  # in one drawing; a person's digit has a few hundred

SIDE = 28
LONGEST = 20
MIDDLE = 14  # index of the pixel on whose centre the mass is put
FAINTEST_INK = 0.1  # what is darker is paper
OVERSAMPLING = 2

Fraction = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]


class Stroke(BaseModel):
    """One line of the pen, from down to up. A single point is a dot.

    points: (x, y) as fractions of the pad's side, origin top left.
    width: of the pen, as a fraction of the pad's side.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    points: Annotated[tuple[tuple[Fraction, Fraction], ...], Field(min_length=1, max_length=MOST_POINTS)]
    width: Annotated[float, Field(strict=True, ge=0.005, le=0.25, allow_inf_nan=False)]


def parse(strokes: object) -> list[Stroke]:
    """Strokes as a browser sends them, `[{"points": [[x, y], ...], "width": w}, ...]`, checked.

    Raises ValueError, one sentence, for anything else: the sender is not trusted.
    """
    if not isinstance(strokes, list):
        raise ValueError(f"The drawing cannot be read: no list of strokes but {type(strokes).__name__}.")
    if len(strokes) > MOST_STROKES:
        raise ValueError(f"The drawing cannot be read: more than {MOST_STROKES:,} strokes.")
    drawing: list[Stroke] = []
    points = 0
    # One by one, so that a huge drawing is refused before it is read.
    for number, stroke in enumerate(strokes):
        try:
            drawing.append(Stroke.model_validate(stroke))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = " of ".join(str(part) for part in (*reversed(first["loc"]), f"stroke {number}"))
            raise ValueError(f"The drawing cannot be read: {place}: {first['msg']}.") from None
        points += len(drawing[-1].points)
        if points > MOST_POINTS:
            raise ValueError(f"The drawing cannot be read: more than {MOST_POINTS:,} points.")
    return drawing


def rasterise(strokes: Sequence[Stroke], size: int = 280) -> np.ndarray:
    """The drawing as the pad shows it: (size, size) float32 in 0..1, anti-aliased white ink on black."""
    large = size * OVERSAMPLING
    image = Image.new("L", (large, large))
    draw = ImageDraw.Draw(image)
    for stroke in strokes:
        line = _curve(np.array(stroke.points) * large) - 0.5  # Pillow counts from the first pixel's centre
        radius = stroke.width * large / 2 - 0.5  # and fills the pixel at the end of a range too
        draw.line(line.ravel().tolist(), fill=255, width=round(2 * radius))
        for x, y in line.tolist():  # discs make caps and joints round
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(image.reduce(OVERSAMPLING), dtype=np.float32) / 255


def prepare(picture: np.ndarray) -> np.ndarray | None:
    """MNIST's own preparation of a (height, width) picture in 0..1, white on black, of any size.

    Returns (28, 28) float32 in 0..1, not normalised; None for a picture without ink. The ink is never cut: a
    shape so lopsided that centring its mass would push it over the edge stops at the edge.
    """
    ink = picture > FAINTEST_INK
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not rows.size:
        return None
    cropped = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = LONGEST / max(cropped.shape)
    height, width = (max(1, round(side * scale)) for side in cropped.shape)
    # A box filter is the area average, which is how MNIST's black-and-white originals got their greys.
    filter_ = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    small = np.asarray(Image.fromarray(cropped.astype(np.float32)).resize((width, height), filter_))

    mass = small.sum()
    top = _first(small.sum(axis=1) @ np.arange(height) / mass, height)
    left = _first(small.sum(axis=0) @ np.arange(width) / mass, width)
    digit = np.zeros((SIDE, SIDE), dtype=np.float32)
    digit[top : top + height, left : left + width] = small
    return digit.clip(0, 1)


def drawing_to_digit(strokes: object) -> np.ndarray | None:
    """What the network is shown of a drawing: (28, 28) float32 in 0..1, or None for an empty pad.

    Raises ValueError as `parse` does.
    """
    return prepare(rasterise(parse(strokes)))


def _first(centre: float, length: int) -> int:
    """The first of `length` pixels so placed that `centre`, counted from the first, comes to the middle."""
    return min(max(round(MIDDLE - centre), 0), SIDE - length)


def _curve(points: np.ndarray) -> np.ndarray:
    """The pad's smooth line along `points` (n, 2): quadratics from midpoint to midpoint, as points (m, 2)."""
    if len(points) < 3:
        return points
    controls = points[1:-1]
    ends = (points[1:-1] + points[2:]) / 2
    starts = np.concatenate([points[:1], ends[:-1]])
    # Short steps only where the pen was fast: at most 8, so that a hostile drawing stays affordable too.
    longest = np.linalg.norm(np.diff(points, axis=0), axis=1).max()
    steps = min(8, max(1, ceil(longest / 8)))
    t = (np.arange(steps) / steps)[:, None]
    curve = (1 - t) ** 2 * starts[:, None] + 2 * t * (1 - t) * controls[:, None] + t**2 * ends[:, None]
    return np.concatenate([curve.reshape(-1, 2), ends[-1:], points[-1:]])
