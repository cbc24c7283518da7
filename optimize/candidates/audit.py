"""What the runtime really computes of a candidate: its work, how much of it in integers, and how many zeros.

A quantised graph whose layers the runtime runs in float all the same would be slow and look
right; such a candidate is refused, unless the recipe itself leaves layers in float.
"""

from optimize.candidates.chains import Steps
from optimize.candidates.journal import Facts
from optimize.errors import PassError
from optimize.judging.fused import fused_share, work_of
from optimize.judging.zeros import zeros_of

QUANTISES = "quantize_int8"
_NAMED = 5


def audit(model: bytes, steps: Steps) -> Facts:
    """``macs`` of a picture, the share of them that is ``in_integers``, and the share of weights that are ``zeros``.

    Raises:
        PassError: a layer of a quantised graph is left in float, and no recipe asked for that; or ONNX Runtime does
            not take the graph.
    """
    work = work_of(model)
    if not work:
        return {"macs": 0, "in_integers": 0.0, "zeros": 0.0}
    found = fused_share(model)
    last = next((step.choice for step in reversed(steps) if step.name == QUANTISES), None)
    if last is not None:
        wanted = set(last.float_layers)
        left = [name for name in found.float_layers if name not in wanted]
        # A layer may be named by what comes out of it, which the runtime's graph does not tell.
        is_allowed = sum(work.get(name, 0) for name in left) <= last.float_share * sum(work.values())
        if len(left) > len(wanted - set(found.float_layers)) and not (last.float_share and is_allowed):
            named = ", ".join(left[:_NAMED]) + " …" * (len(left) > _NAMED)
            raise PassError(f"ONNX Runtime leaves {len(left)} layers of the INT8 graph in float: {named}")
    return {"macs": sum(work.values()), "in_integers": found.share, "zeros": zeros_of(model).share}
