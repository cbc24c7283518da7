"""Layers that share their weights: a net that sees a picture twice, as it is and mirrored.

They are rounded once, for all uses: each use's inputs count, so that no one picture's side is
favoured. A bias is each use's own, since their inputs' scales differ. The file has the codes once for each use:
ONNX Runtime fails to open one where two layers take the same, when it is told to sum exactly.
To round for all uses at once, all their inputs must be there: the walk goes through both passes side by
side, instead of one after the other. Where it can't, since one use follows from another,
each is rounded by itself.
"""

from collections.abc import Sequence

from optimize.passes.float64_operators import WEIGHTED
from optimize.passes.float_graph import Step


def side_by_side(steps: Sequence[Step], first: str) -> list[tuple[Step, ...]]:
    """All steps in an order in which they can be computed; those that share weights together.

    Args:
        steps: in an order in which they can be computed; it is kept where nothing is shared.
        first: the tensor that is there before them.
    """
    sharing: dict[tuple[object, ...], list[Step]] = {}
    for step in steps:
        sharing.setdefault(_shared(step), []).append(step)
    waiting, known, order = list(steps), {first, *_never_made(steps)}, []
    while waiting:
        together = next((one for step in waiting if _ready(one := sharing[_shared(step)], known)), None)
        if together is None:
            alone = next(step for step in waiting if known.issuperset(step.sources))
            sharing[_shared(alone)].remove(alone)
            together = [alone]
        order.append(tuple(together))
        known.update(step.output for step in together)
        done = {step.output for step in together}
        waiting = [step for step in waiting if step.output not in done]
    return order


def _shared(step: Step) -> tuple[object, ...]:
    """Equal for steps that use the same weights in the same way."""
    if step.op not in WEIGHTED:
        return (step.output,)
    return step.op, step.inputs[1], step.attributes.get("group", 1)


def _ready(steps: Sequence[Step], known: set[str]) -> bool:
    return all(known.issuperset(step.sources) for step in steps)


def _never_made(steps: Sequence[Step]) -> set[str]:
    """Names that no step makes: the walk refuses them, in words."""
    made = {step.output for step in steps}
    return {name for step in steps for name in step.sources if name not in made}
