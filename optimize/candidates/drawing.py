"""The front, drawn: points that tell what they are when pointed at, and lead to their line when clicked.

Plain SVG in the page's colours, which a browser without scripts draws and follows too; ``front.js`` tells the figures
below it and moves by arrow keys. The parent is the hollow point.
"""

from collections.abc import Callable, Sequence
from html import escape
from math import floor, log10

from optimize.candidates.judged import drop_words
from optimize.candidates.label_places import Place, label_places
from optimize.candidates.recipe import PARENT
from optimize.candidates.result import Candidate

WIDTH, HEIGHT = 560, 330
LEFT, RIGHT, TOP, BOTTOM = 70, 22, 18, 56

Figure = Callable[[Candidate], float]


def front_svg(name: str, made: Sequence[Candidate], figure: Figure, words: str, budget_share: float) -> str:
    """Accuracy over ``figure``.

    Args:
        made: measured candidates, the parent among them.
        words: what the horizontal axis shows.
        budget_share: the least accuracy within the budget; a dashed line.
    """
    xs, ys = [figure(one) for one in made], [100 * one.right for one in made]
    across = _Scale.over([*xs, 0.0], LEFT, WIDTH - RIGHT)
    up = _Scale.over([*ys, 100 * budget_share], HEIGHT - BOTTOM, TOP)
    parts = [f'<svg class="plot front" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{escape(name)}">']
    parts += [_tick(x, across.at(x), HEIGHT - BOTTOM + 20, "middle") for x in across.ticks()]
    parts += [
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up.at(y):.1f}" y2="{up.at(y):.1f}"/>'
        + _tick(y, LEFT - 8, up.at(y) + 4, "end")
        for y in up.ticks()
    ]
    floor_y = up.at(100 * budget_share)
    parts.append(f'<line class="budget" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor_y:.1f}" y2="{floor_y:.1f}"/>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(words)}</text>')
    parts.append(
        f'<text x="14" y="{TOP + 130}" transform="rotate(-90 14 {TOP + 130})" text-anchor="middle">right, %</text>'
    )
    points = [(across.at(x), up.at(y)) for x, y in zip(xs, ys, strict=True)]
    named = [one.name if one.is_on_front or one.name == PARENT else None for one in made]
    # What is as fast and as accurate as the parent has room above it.
    low = next((place for place, one in enumerate(made) if one.name == PARENT), -1)
    places = label_places(named, points, (LEFT, WIDTH - 2), low=low)
    parts += [_point(one, point, place) for one, point, place in zip(made, points, places, strict=True)]
    return "".join([*parts, "</svg>"])


def _point(one: Candidate, point: tuple[float, float], place: Place | None) -> str:
    x, y = point
    kind = "parent" if one.name == PARENT else "kept" if one.is_on_front else "beaten"
    said = f"{one.name}: {one.faster:.2f} times as fast, {one.bytes / 1e6:.2f} MB, {100 * one.right:.2f} % right"
    if one.val is not None and kind != "parent":
        said += f", {drop_words(one.val.drop)} ({one.val.ci95[0]:.2f} to {one.val.ci95[1]:.2f})"
    if one.verdict is not None:
        said += f"; {'within' if one.verdict.passes else 'not within'} the budget on the guard's pictures"
    label = ""
    if place:
        label = f'<text x="{place.x:.1f}" y="{place.y:.1f}" text-anchor="{place.anchor}">{escape(one.name)}</text>'
    return (
        f'<a href="#candidate-{escape(one.name)}" data-name="{escape(one.name)}" data-x="{x:.1f}" '
        f'data-says="{escape(said)}" aria-label="{escape(said)}"><title>{escape(said)}</title>'
        f'<circle class="near" cx="{x:.1f}" cy="{y:.1f}" r="15"/>'
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>{label}</a>'
    )


def _tick(value: float, x: float, y: float, anchor: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{value:g}</text>'


class _Scale:
    """From figures to px, with some air at both ends."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "_Scale":
        low, high = min(values), max(values)
        air = 0.06 * ((high - low) or 1.0)
        return cls(low - (air if low else 0.0), high + air, start, end)

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Four to eight round figures."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** floor(log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.8)
        first = -floor(-self.low / step)
        return [round(place * step, 10) for place in range(first, floor(self.high / step) + 1)]
