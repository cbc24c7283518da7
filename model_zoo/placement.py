"""Where a picture lands in the model's input, one axis at a time.

Resizing, cropping and padding are one thing: a window of ``length`` pixels
laid over the picture scaled to ``scaled`` pixels, beginning at ``start``
(negative: padding comes first). So the window's pixels can be computed alone,
whatever the picture's shape, and turning a picture by EXIF is a swap of the
axes and a mirror of their windows.

Sources: torchvision's ``resize`` and ``center_crop`` for the rounding of
``shorter_side``; Ultralytics' ``LetterBox`` for ``letterbox``.
"""

from dataclasses import dataclass

from model_zoo.spec import InputSpec

LETTERBOX_GREY = 114


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: ``source`` px become ``scaled`` px, of which a window is kept."""

    source: int
    scaled: int
    start: int
    length: int

    @property
    def low(self) -> int:
        """First pixel of the scaled picture inside the window."""
        return max(self.start, 0)

    @property
    def high(self) -> int:
        """One past the last pixel of the scaled picture inside the window."""
        return min(self.start + self.length, self.scaled)

    @property
    def padding(self) -> int:
        """Pixels of padding before the picture."""
        return self.low - self.start

    @property
    def box(self) -> tuple[float, float]:
        """The part of the source, in its pixels, that the window shows."""
        return self.low * self.source / self.scaled, self.high * self.source / self.scaled

    def mirrored(self) -> "Axis":
        """The same window when the axis runs the other way."""
        return Axis(self.source, self.scaled, self.scaled - self.start - self.length, self.length)


@dataclass(frozen=True, slots=True)
class Placement:
    """Both axes, and the value around the picture where it does not fill the input."""

    x: Axis
    y: Axis
    fill: int

    @property
    def fills_input(self) -> bool:
        """Whether no padding is needed."""
        return self.x.high - self.x.low == self.x.length and self.y.high - self.y.low == self.y.length

    def before_turning(self, orientation: int) -> "Placement":
        """The same placement on the picture as it is stored, before EXIF turns it."""
        x = self.x.mirrored() if orientation in (2, 3, 6, 7) else self.x
        y = self.y.mirrored() if orientation in (3, 4, 7, 8) else self.y
        return Placement(y, x, self.fill) if orientation >= 5 else Placement(x, y, self.fill)


def place(width: int, height: int, spec: InputSpec) -> Placement:
    """Lay an upright picture of width × height px into the input of ``spec``.

    Raises:
        ValueError: ``shorter_side`` without a crop, which gives no fixed size.
    """
    mode = spec.resize.mode
    if mode == "stretch":
        return Placement(Axis(width, spec.width, 0, spec.width), Axis(height, spec.height, 0, spec.height), 0)
    if mode == "letterbox":
        ratio = min(spec.width / width, spec.height / height)
        return Placement(
            _letterbox_axis(width, ratio, spec.width), _letterbox_axis(height, ratio, spec.height), LETTERBOX_GREY
        )
    if spec.crop == "none":
        raise ValueError("an input resized by its shorter side needs crop 'centre': its other side has no fixed size")
    size, shorter = spec.resize.size, min(width, height)
    return Placement(
        _centred_axis(width, size * width // shorter, spec.width),
        _centred_axis(height, size * height // shorter, spec.height),
        0,
    )


def _centred_axis(source: int, scaled: int, length: int) -> Axis:
    if scaled < length:
        return Axis(source, scaled, -((length - scaled) // 2), length)
    return Axis(source, scaled, round((scaled - length) / 2), length)


def _letterbox_axis(source: int, ratio: float, length: int) -> Axis:
    scaled = min(max(round(source * ratio), 1), length)
    return Axis(source, scaled, -round((length - scaled) / 2 - 0.1), length)
