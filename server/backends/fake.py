"""A backend that runs nothing: its answer is how bright the picture is.

For tests and for measuring the server alone. The first class of N grows
with brightness, so that an answer given to the wrong row shows; the shapes of
the outputs are those of the bundle's own check. A class-activation map is the
picture's brightness, cell by cell. Faults come on request:

``fake.delay_ms``            each run takes this long
``fake.delay_per_image_ms``  and this much more per picture
``fake.fail_every``          every n-th run fails (1: all)
``fake.missing_rows``        every output lacks this many rows
``fake.missing_outputs``     this many outputs are not given
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.spec import CLASS_ACTIVATION
from server.backends import Backend, BackendOptions, output_names
from server.backends.batches import batch_limit, refuse_odd_batch
from server.backends.errors import BackendError
from server.backends.extras import as_number, own_extras

_SAMPLES_PER_SIDE = 16


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong, and when; see the module."""

    delay_ms: float = 0.0
    delay_per_image_ms: float = 0.0
    fail_every: int = 0
    missing_rows: int = 0
    missing_outputs: int = 0


class FakeBackend:
    """Brightness for an answer."""

    name = "fake"
    device = "cpu"
    precision = "none"

    def __init__(self, bundle: Bundle, options: BackendOptions, faults: Faults) -> None:
        self._input = bundle.spec.input
        self._limit = batch_limit(bundle.spec.input, options.max_batch_size)
        self._rungs = {name: _rungs(values.shape[1:]) for name, values in bundle.check().outputs.items()}
        self._names = {explain: output_names(bundle.spec, explain=explain) for explain in (False, True)}
        self._faults = faults
        self._runs = 0
        self._closed = False
        size = max(self._input.height, self._input.width)
        self._step = max(1, size // _SAMPLES_PER_SIDE)

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        """See ``Backend.run``; value c of C is −|c − brightness · (C − 1)|, brightness from a grid of pixels in 0…1."""
        if self._closed:
            raise BackendError("this instance is closed")
        refuse_odd_batch(batch, self._input, self._limit)
        self._runs += 1
        faults = self._faults
        if seconds := (faults.delay_ms + faults.delay_per_image_ms * len(batch)) / 1e3:
            time.sleep(seconds)
        if faults.fail_every and self._runs % faults.fail_every == 0:
            raise BackendError(f"run {self._runs} fails, as fake.fail_every={faults.fail_every} asks")
        bright = brightness(batch, self._step)[: max(0, len(batch) - faults.missing_rows)]
        outputs = tuple([self._output(name, batch, bright) for name in self._names[explain]])
        return outputs[: max(0, len(outputs) - faults.missing_outputs)]

    def _output(self, name: str, batch: NDArray[np.uint8], bright: NDArray[np.float32]) -> NDArray[np.float32]:
        if name == CLASS_ACTIVATION:
            return brightness_of_cells(batch[: len(bright)], self._rungs[name].shape)
        return _ladder(bright, self._rungs[name])

    def close(self) -> None:
        """Nothing to give back."""
        self._closed = True


def brightness(batch: NDArray[np.uint8], step: int = 1) -> NDArray[np.float32]:
    """The mean of every ``step``-th pixel in both directions, 0 (black) to 1 (white); (N,)."""
    samples = batch[:, ::step, ::step]
    sums: NDArray[np.float32] = np.add.reduce(samples, axis=(1, 2, 3), dtype=np.float32)
    return sums / np.float32(255 * samples[0].size)


def brightness_of_cells(batch: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The mean of each cell of a grid laid over the pictures, 0 to 1; (N, height, width) of the grid."""
    rows, columns = (np.array_split(range(side), cells) for side, cells in zip(batch.shape[1:3], shape, strict=True))
    cells = [[batch[:, row[0] : row[-1] + 1, one[0] : one[-1] + 1].mean((1, 2, 3)) for one in columns] for row in rows]
    return (np.array(cells, np.float32) / np.float32(255)).transpose(2, 0, 1)


def _rungs(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """0, 1, 2 … in the shape of one picture's output."""
    return np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)


def _ladder(bright: NDArray[np.float32], rungs: NDArray[np.float32]) -> NDArray[np.float32]:
    aims = bright * np.float32(rungs.size - 1)
    return -np.abs(rungs - aims.reshape(-1, *[1] * rungs.ndim))


def load(bundle: Bundle, options: BackendOptions) -> Backend:
    """A fake instance for any bundle.

    Raises:
        BackendLoadError: a setting it does not have.
    """
    extras = own_extras(options, "fake", Faults.__dataclass_fields__)
    numbers = {key: as_number(f"fake.{key}", value) for key, value in extras.items()}
    faults = Faults(
        delay_ms=numbers.get("delay_ms", 0.0),
        delay_per_image_ms=numbers.get("delay_per_image_ms", 0.0),
        fail_every=int(numbers.get("fail_every", 0)),
        missing_rows=int(numbers.get("missing_rows", 0)),
        missing_outputs=int(numbers.get("missing_outputs", 0)),
    )
    return FakeBackend(bundle, options, faults)
