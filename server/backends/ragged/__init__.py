"""Ragged preprocessing: pictures of any sizes, resized on the device in one launch.

The idea. Decoded pictures travel to the device as they are, end to end in one
flat buffer, each with one row of numbers that says where it begins and where
it lands in the model's input (``table.py``, ``pack.py``). One kernel then
resizes, crops, pads, turns and normalises all of them (``kernel.py``; ``program.py`` is what it runs). Its
grid depends on the batch's bucket and the input's size alone; whatever differs
between pictures it reads from the table. So it can be captured in a CUDA graph
and replayed on whatever pictures come next. ``twin.py`` does the same in plain
torch, where Triton is missing.

Turning costs nothing: a row holds the byte of the upright picture's first
pixel and one signed stride per axis, so EXIF's eight orientations, which are
swaps and mirrors of axes, are eight signs and orders of two numbers.

The rule is Pillow's (``src/libImaging/Resample.c``, the facts of it): the
support of a filter is its reach times the shrink factor, if that is above 1;
centres lie at half pixels; windows end at the picture's edges; the weights of
an output pixel sum to 1, in steps of 2⁻²²; bicubic has a = -0.5. Pillow makes
two passes, and rounds and clips to 8 bits between them. Since 13 it makes the
vertical pass first where the height shrinks, and by more than twice as many
pixels as the width; before, the horizontal one always came first. (The
condition was found by comparing pictures; the tests hold it.)

Two modes, chosen when a picture is packed:

- exact: as Pillow 13, in the same steps: the levels of
  ``model_zoo.preprocess.preprocess``, all of them. Weights take float64, which
  GPUs made for drawing compute slowly.
- fast: the pass along the stored rows first, so that neighbouring threads read
  neighbouring bytes however the picture is turned; float32; no rounding between
  the passes, nor at the end where the output is float. Closer to the ideal
  resize than Pillow, and further from Pillow: on photos at 224 px one level in
  13 % of the values, 5 or more in a few (Pillow clips what overshoots twice).

What it costs: each tile of the output sums the source rows under it, and
neighbouring tiles overlap by the filter's reach; with tiles of 16 rows, a
quarter of the first pass is done twice for bicubic. What it does not do:
``nearest`` and filters without antialiasing (``supports``), and decoding.
Where a picture is enormous once resized (``WHOLE_RESIZE_PX``), the reference
itself takes a shorter, rougher way, and the two may differ by more.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from model_zoo.spec import InputSpec

if TYPE_CHECKING:
    from server.backends.ragged.arguments import RaggedResize


def supports(spec: InputSpec) -> bool:
    """Whether inputs of this kind can be prepared here; the others stay with ``model_zoo.preprocess``."""
    has_fixed_size = spec.resize.mode != "shorter_side" or spec.crop == "centre"
    return has_fixed_size and spec.resize.antialias and spec.resize.filter != "nearest"


def resizer(device: str) -> "RaggedResize":
    """The way to resize on a device: the kernel on ``cuda`` where Triton is installed, else the twin.

    Args:
        device: torch's name of it, as ``cpu``, ``cuda`` or ``cuda:1``.
    Raises:
        ImportError: torch is not installed.
    """
    has_kernel = device.split(":")[0] == "cuda" and find_spec("triton") is not None
    module = import_module(f"{__name__}.{'kernel' if has_kernel else 'twin'}")
    resize: RaggedResize = module.resize
    return resize
