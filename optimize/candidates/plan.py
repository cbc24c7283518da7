"""What is tried where no recipe says: a plan for this parent, the cheap and the likely first."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from model_zoo.bundle import Bundle
from optimize.candidates.steps import Content
from optimize.errors import RecipeError
from optimize.passes.layer_weights import read_model
from optimize.search.options import Span
from server.backends.cpu_features import cpu_features

if TYPE_CHECKING:
    from optimize.candidates.recipe import CandidateEntry

# Of a recovery, where nobody says.
EPOCHS = 3
# Candidates of the search after the plan, which time ends as a rule.
MANY = 100
SHARES = (0.75, 0.5, 0.35)
# Layers that may lose two thirds need so many blocks of channels; with fewer, blocks are of ``NARROW``.
BLOCKS = 4
NARROW = 8
# Of the parent's input side.
SIDES = (6 / 7, 5 / 7)
# Smaller pictures than this are not made smaller still.
SMALLEST_SIDE = 96
_SIDE_STEP = 32

INT8: Content = {"name": "quantize_int8"}
# Ways to choose the ranges of activations that are worth trying, the likeliest first.
RANGES = ("percentile", "least_squares", "min_max")
# What an importer leaves around a graph, quantising does not know.
FOLD: Content = {"name": "fold"}
# CPUs have no kernels for float16, and most passes look for float32.
FLOAT32: Content = {"name": "float32"}


def plan(parent: Bundle, epochs: int) -> list[Content]:
    """Tables of ``[[candidate]]``.

    Args:
        epochs: of every recovery.
    Raises:
        RecipeError: an INT8 parent.
    """
    if parent.spec.precision == "int8":
        raise RecipeError(
            f"{parent.spec.name}/{parent.spec.version} is quantised already: nothing here makes it faster. Give the "
            "float model that it came from, such as a run's folder or zoo:NAME"
        )
    is_stranger = parent.weights_path is None or parent.spec.architecture is None
    if parent.spec.precision == "fp16":
        start, first = [FLOAT32], {"name": "float32", "steps": [FLOAT32, FOLD]}
    else:
        start, first = [], {"name": "half", "steps": [{"name": "float16"}]}
    found = [
        {"name": "int8", "steps": [*start, FOLD, INT8] if is_stranger else [*start, INT8]},
        first,
        {"name": "clustered", "steps": [*start, {"name": "cluster_weights"}]},
    ]
    if is_stranger:
        return found
    recover = {"name": "finetune", "epochs": epochs}
    block = _block(parent)
    for share in SHARES:
        steps = [{"name": "prune", "macs": share, "round_to": block}, recover]
        found += _with_int8(f"macs{round(100 * share)}", steps)
    for side in _sides(parent):
        found += _with_int8(f"px{side}", [{"name": "resize", "height": side}, recover])
    return found


def search_space(parent: Bundle, candidates: Sequence["CandidateEntry"]) -> dict[str, Span]:
    """What a search may try: the plan's steps, with more of their settings.

    Args:
        candidates: the recipe's; the longest of their recoveries is tried, and twice as long.
    """
    methods = Span(choices=[*RANGES])
    if parent.weights_path is None or parent.spec.architecture is None:
        # Codebooks come last of all, and after INT8 there is nothing left for them.
        wide = {"float32": Span(choices=[True])} if parent.spec.precision == "fp16" else {}
        return {
            **wide,
            "fold": Span(choices=[True]),
            "quantize_int8": Span(choices=[True, False]),
            "quantize_int8.range_method": methods.model_copy(update={"when": {"quantize_int8": True}}),
            "cluster_weights": Span(choices=[True], when={"quantize_int8": False}),
            "cluster_weights.entries": Span(choices=[64, 256], when={"cluster_weights": True}),
        }
    epochs = recovery_epochs(candidates)
    space = {
        "prune": Span(choices=[True, False]),
        "prune.macs": Span(low=0.2, high=0.9, step=0.05, when={"prune": True}),
        "prune.criterion": Span(choices=["l2", "taylor", "fpgm"], when={"prune": True}),
        "prune.round_to": Span(choices=[8, 16], when={"prune": True}),
        "prune.scope": Span(choices=["global", "latency"], when={"prune": True}),
        "finetune.epochs": Span(choices=[epochs, 2 * epochs]),
        "quantize_int8": Span(choices=[True, False]),
        "quantize_int8.range_method": methods.model_copy(update={"when": {"quantize_int8": True}}),
    }
    if not (sides := _sides(parent)):
        return space
    resized = {"resize": Span(choices=[True, False]), "resize.height": Span(choices=[*sides], when={"resize": True})}
    return {**resized, **space}


def recovery_epochs(candidates: Sequence["CandidateEntry"]) -> int:
    """The longest of the recoveries by training; the usual length where there are none."""
    lengths = [step.choice.epochs for one in candidates for step in one.steps if step.name == "finetune"]
    return max(lengths, default=EPOCHS)


def _block(parent: Bundle) -> int:
    """Channels that this CPU's kernels take at once; of a narrow network 8, since wider steps could not cut it."""
    wide = cpu_features().floats_at_once
    if wide <= NARROW:
        return wide
    weights = (one for one in read_model(parent.read_model()).graph.initializer if len(one.dims) == 4)
    channels = [int(one.dims[0]) for one in weights if one.dims[0] > 1]
    return wide if channels and median(channels) >= BLOCKS * wide else NARROW


def _with_int8(name: str, steps: list[Content]) -> list[Content]:
    return [{"name": name, "steps": steps}, {"name": f"{name}-int8", "steps": [*steps, INT8]}]


def _sides(parent: Bundle) -> list[int]:
    """Smaller square inputs, px."""
    spec = parent.spec.input
    if spec.height != spec.width:
        return []
    sides = dict.fromkeys(round(spec.height * share / _SIDE_STEP) * _SIDE_STEP for share in SIDES)
    return [side for side in sides if SMALLEST_SIDE <= side < spec.height]
