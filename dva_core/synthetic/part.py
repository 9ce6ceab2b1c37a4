"""A part of the work: some pictures of a batch, or a window in all, so that little is computed where nothing shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

from torch import Tensor

from .canvas import Canvas
from .head import Rotation, Surface

_WHOLE_VECTORS = 8
"""Windows begin and end at multiples of this: the rest of a row would be computed by other instructions, which round
differently, and a picture must not depend on those beside it in the batch."""


@dataclass(frozen=True)
class Part:
    """What is painted on, and what is known of each picture and pixel of it.

    f: the factors; x, y [N,H,W]: camera coordinates in head units; R: the head's rotation; face: where the rays meet
    the skin, once that is known.
    """

    canvas: Canvas
    f: SimpleNamespace
    x: Tensor
    y: Tensor
    R: Rotation
    face: Surface | None = None

    @property
    def inside(self) -> Tensor:
        """How much of each pixel the face covers, [N,H,W]."""
        return self.canvas.cover(self.face.outside)

    def window(self, where: Tensor) -> Part:
        """The smallest rectangle with all pixels in which `where` [N,H,W] is true for any picture.

        It shares the canvas: what is painted on the window is painted on the whole.
        """
        wanted = where.any(0)
        rows, columns = _span(wanted.any(1)), _span(wanted.any(0))
        place = (..., rows, columns)
        canvas = Canvas(self.canvas.color[place], self.canvas.labels[place], self.canvas.pixel)
        return self._with_pixels(canvas, lambda field: field[place].contiguous())

    def face_window(self, reach: float | Tensor, top: float | Tensor, bottom: float | Tensor) -> Part:
        """The window with the skin whose v lies between `top` and `bottom` and whose |u| is below `reach`."""
        s, pixel = self.face, self.canvas.pixel
        near = (s.u.abs() < reach + pixel) & (s.v > top - pixel) & (s.v < bottom + pixel)
        return self.window(near & (s.outside < pixel))

    def only(self, flag: Tensor, paint: Callable[[Part], None]) -> None:
        """Lets `paint` paint the pictures whose `flag` [N,1,1] is not zero."""
        wanted = flag.flatten() != 0
        if wanted.all():
            paint(self)
        elif wanted.any():
            rows = wanted.nonzero()[:, 0]
            canvas = Canvas(self.canvas.color[rows], self.canvas.labels[rows], self.canvas.pixel[rows])
            f = SimpleNamespace(**{name: value[rows] for name, value in vars(self.f).items()})
            R = [[entry[rows] for entry in line] for line in self.R]
            paint(replace(self._with_pixels(canvas, lambda field: field[rows]), f=f, R=R))
            self.canvas.color[rows], self.canvas.labels[rows] = canvas.color, canvas.labels

    def _with_pixels(self, canvas: Canvas, cut: Callable[[Tensor], Tensor]) -> Part:
        face = None if self.face is None else self.face.each(cut)
        return replace(self, canvas=canvas, x=cut(self.x), y=cut(self.y), face=face)


def _span(wanted: Tensor) -> slice:
    """From the first to the last true entry, in whole vectors; nothing if there is none."""
    places = wanted.nonzero()
    if len(places) == 0:
        return slice(0, 0)
    first, last = int(places[0]), int(places[-1])
    return slice(first - first % _WHOLE_VECTORS, last + _WHOLE_VECTORS - last % _WHOLE_VECTORS)
