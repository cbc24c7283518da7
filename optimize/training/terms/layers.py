"""Which layers' feature maps to compare, by name or picked.

``"stage:-1"`` is the last map at the network's lowest resolution, ``"stage:-2"`` the last
at the one before it, ``"stage:0"`` the last at the first: a network is run once on the
example, and where the height or width of its maps changes, a stage ends. Maps of
one pixel (pooled, or inside squeeze-and-excitation) are passed over.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from optimize.choice import nearest
from optimize.errors import RecipeError

STAGE = re.compile(r"stage:(-?\d+)")

Shapes = Mapping[str, torch.Size]


@torch.no_grad()
def output_shapes(module: nn.Module, run: Callable[[], object]) -> dict[str, torch.Size]:
    """Run a network once and note what comes out of its modules, in the order in which they finish.

    Args:
        module: put in evaluation mode for the run, and back, module by module.
        run: runs it.
    Returns:
        module name → shape of its output, where that is one tensor; the last one where it ran several times.
    """
    shapes: dict[str, torch.Size] = {}

    def note(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                shapes.pop(name, None)
                shapes[name] = output.shape

        return hook

    modes = {part: part.training for part in module.modules()}
    with ExitStack() as stack:
        for name, part in module.named_modules():
            if name:
                stack.callback(part.register_forward_hook(note(name)).remove)
        try:
            module.eval()
            run()
        finally:
            for part, mode in modes.items():
                part.training = mode
    return shapes


def stage_ends(shapes: Shapes) -> list[str]:
    """The module that finishes last at each resolution, from input to output."""
    maps = {name: shape for name, shape in shapes.items() if len(shape) == 4 and shape[2] * shape[3] > 1}
    ends: dict[tuple[int, ...], str] = {}
    for name, shape in maps.items():
        size = tuple(shape[2:])
        ends.pop(size, None)
        ends[size] = name
    return list(ends.values())


def pick_layer(wanted: str, shapes: Shapes, said: str) -> str:
    """The module that a recipe means.

    Args:
        wanted: a module's name, or "stage:N".
        said: "student" or "teacher", for messages.
    Raises:
        RecipeError: there is no such module or stage, or it gives neither a map nor a vector.
    """
    if match := STAGE.fullmatch(wanted):
        ends = stage_ends(shapes)
        number = int(match[1])
        if not -len(ends) <= number < len(ends):
            raise RecipeError(
                f"the {said} has {len(ends)} stages ({', '.join(ends)}), so that there is no {wanted!r}; "
                "name a layer instead"
            )
        return ends[number]
    if wanted not in shapes:
        raise RecipeError(f"the {said} has no layer {wanted!r}{nearest(wanted, shapes)}")
    if len(shapes[wanted]) not in (2, 4):
        raise RecipeError(f"the {said}'s layer {wanted!r} gives {tuple(shapes[wanted])}, neither maps nor vectors")
    return wanted


def like_maps(features: Tensor) -> Tensor:
    """Maps (N, C, H, W) as they are, vectors (N, C) as maps of one pixel; float32 at least."""
    wide = features.float() if features.element_size() < 4 else features
    return wide if wide.ndim == 4 else wide[:, :, None, None]
