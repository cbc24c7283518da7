"""Execution engines: each runs a bundle's graph on some device.

One ``Protocol``, one table. A new engine is one file that offers
``load(bundle, options) -> Backend``, one line in ``BACKENDS``, and passes the
conformance suite in ``tests/server/backends``. No web framework is imported
here: ``optimize`` measures with the code that serves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from model_zoo.header import Header
from model_zoo.preprocess import Stored
from model_zoo.spec import CLASS_ACTIVATION, ModelSpec

Device = Literal["auto", "cpu", "cuda"]

# name -> "module:loader"; nothing is imported until it is chosen.
BACKENDS: dict[str, str] = {
    "onnxruntime": "server.backends.onnxruntime:load",
    "openvino": "server.backends.openvino:load",
    "torch": "server.backends.torch:load",
    "fake": "server.backends.fake:load",
}


def output_names(spec: ModelSpec, *, explain: bool) -> list[str]:
    """The outputs that ``Backend.run`` gives, in order."""
    return [output.name for output in spec.outputs if explain or output.kind != CLASS_ACTIVATION]


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """How one instance of a model is to run.

    ``threads`` is the number of threads inside one call of ``run``. ``max_batch_size`` 0 is the device's usual
    one; ``selection`` puts a number in its place.
    ``extra`` is engine-specific (provider lists, precision hints); its keys
    begin with the engine's name (``extras.py``).
    """

    device: Device = "auto"
    threads: int = 1
    max_batch_size: int = 8
    extra: dict[str, str] = field(default_factory=dict)


class Backend(Protocol):
    """One loaded instance of a model. Used by one thread at a time.

    ``precision`` is what it computes in: the bundle's, or ``bf16`` where the engine was asked for it.
    """

    name: str
    device: str
    precision: str

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        """Run one batch; blocks, and releases the GIL while the engine works.

        Args:
            batch: (N, height, width, channels), C-contiguous, 1 ≤ N ≤ ``max_batch_size``.
            explain: also give the class-activation maps, where the bundle has that output.
        Returns:
            One array per output of the bundle's spec, in its order; each has N rows. Outputs of
            kind class_activation are left out unless ``explain`` asks for them.
        Raises:
            BackendError: the engine failed; the instance may be used again.
        """

    def close(self) -> None:
        """Give the engine's memory back; ``run`` must not be called after."""


class Ranked(NamedTuple):
    """The best classes of N pictures, best first; equal scores keep the lower index first.

    Attributes:
        indices: int64, (N, k).
        scores: float32, (N, k), after the output's activation.
    """

    indices: NDArray[np.int64]
    scores: NDArray[np.float32]


class RankingBackend(Backend, Protocol):
    """A backend that also finds the best classes on its device; ``ranked_classes`` is how many."""

    ranked_classes: int

    def run_ranked(self, pictures: NDArray[np.uint8] | Sequence[Stored]) -> Ranked:
        """As ``run``, or ``PreparingBackend.run_stored``; only the best classes come back.

        Raises:
            BackendError: as ``run``.
        """


class PreparingBackend(Backend, Protocol):
    """A backend that also resizes pictures, on its device."""

    largest_picture_bytes: int

    def run_stored(self, pictures: Sequence[Stored], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        """As ``run``, of decoded pictures of any sizes, which need not be in one place.

        Args:
            pictures: 1 to ``max_batch_size``, each of ``largest_picture_bytes`` at most.
            explain: as ``run``.
        Raises:
            BackendError: as ``run``.
        """


class DecodingBackend(PreparingBackend, Protocol):
    """A backend that also decodes JPEGs, on its device.

    ``decoded_bytes`` is how much of their pixels it takes at once; ``shares_decoding``: the CPU may have a part of them
    where that is quicker.
    """

    decoded_bytes: int
    shares_decoding: bool

    def decode(self, pictures: Sequence[tuple[bytes | memoryview, Header]]) -> list[Stored | None]:
        """JPEGs for ``run_stored`` or ``run_ranked``, their pixels left on the device, not turned.

        Args:
            pictures: encoded, with what ``read_header`` said; of ``decoded_bytes`` together, once decoded.
        Returns:
            One for each; None where the device refuses it, and the CPU should have a look.
        Raises:
            BackendError: none could be decoded; the instance may be used again.
        """


def preparing(backend: Backend) -> PreparingBackend | None:
    """The backend itself, where it resizes pictures; ``largest_picture_bytes`` 0 is that it does not."""
    return cast(PreparingBackend, backend) if getattr(backend, "largest_picture_bytes", 0) else None


def ranking(backend: Backend) -> RankingBackend | None:
    """The backend itself, where it ranks; ``ranked_classes`` 0 is that it does not."""
    return cast(RankingBackend, backend) if getattr(backend, "ranked_classes", 0) else None


def decoding(backend: Backend) -> DecodingBackend | None:
    """The backend itself, where it decodes; ``decoded_bytes`` 0 is that it does not."""
    return cast(DecodingBackend, backend) if getattr(backend, "decoded_bytes", 0) else None
