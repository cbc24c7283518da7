"""A model that can be asked about pictures, whatever runs it: a bundle on a serving engine, or a torch network."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.spec import InputSpec
from server.backends import BackendOptions, output_names
from server.backends.selection import open_backend
from server.backends.threads import available_cores

Pictures = NDArray[np.uint8]
Rows = NDArray[np.float32]

BATCH = 8
# Engine settings for what is compared layer by layer: an engine that may choose bfloat16 for one network and not for
# another would be measured, not the networks.
IN_FLOAT32 = {"openvino.precision": "f32"}


class JudgedModel(Protocol):
    """``labels`` are in the order of the logits; ``runs_on`` tells people what computes."""

    name: str
    spec: InputSpec
    labels: tuple[str, ...]
    runs_on: str
    size_bytes: int

    def logits(self, pictures: Pictures) -> Rows:
        """uint8 (N, height, width, channels) of ``spec``, N from 1 → (N, classes)."""
        ...

    def maps(self, pictures: Pictures) -> Rows | None:
        """Class-activation maps of each picture's best class, (N, h, w); None where the model has none."""
        ...

    def close(self) -> None:
        """Give memory back."""
        ...


class BundleModel:
    """A bundle on the engine that would serve it here, with all cores for one batch at a time."""

    def __init__(
        self,
        bundle: Bundle,
        backend: str | None = None,
        *,
        threads: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Open it.

        Args:
            backend: this engine or none; None: the first in line that passes the bundle's check.
            settings: of engines, such as ``IN_FLOAT32``.
        Raises:
            BackendError: no engine runs it; the message says why.
        """
        options = BackendOptions("cpu", threads or available_cores(), BATCH, extra=dict(settings or {}))
        opened = open_backend(bundle, options, backend)
        self.bundle = bundle
        self.name = f"{bundle.spec.name}/{bundle.spec.version}"
        self.spec, self.labels = bundle.spec.input, bundle.labels
        self.runs_on = f"{opened.label}, {opened.backend.precision}"
        self.backend_name, self.precision, self.threads = opened.backend.name, opened.backend.precision, options.threads
        self.size_bytes = next(file.bytes for file in bundle.manifest.files if file.path == "model.onnx")
        self._backend = opened.backend
        self._rows = min(BATCH, bundle.spec.input.max_batch or BATCH)
        self._map_place = _place_of_maps(bundle)

    def logits(self, pictures: Pictures) -> Rows:
        """See ``JudgedModel.logits``."""
        parts = [self._backend.run(batch)[0] for batch in self._batches(pictures)]
        return np.concatenate(parts)

    def maps(self, pictures: Pictures) -> Rows | None:
        """See ``JudgedModel.maps``."""
        if self._map_place is None:
            return None
        parts = [self._backend.run(batch, explain=True)[self._map_place] for batch in self._batches(pictures)]
        return np.concatenate(parts)

    def close(self) -> None:
        """Close the engine."""
        self._backend.close()

    def _batches(self, pictures: Pictures) -> list[Pictures]:
        return [
            np.ascontiguousarray(pictures[start : start + self._rows]) for start in range(0, len(pictures), self._rows)
        ]


def _place_of_maps(bundle: Bundle) -> int | None:
    if not bundle.spec.offers_class_activation:
        return None
    kinds = {output.name: output.kind for output in bundle.spec.outputs}
    names = output_names(bundle.spec, explain=True)
    return next(place for place, name in enumerate(names) if kinds[name] == "class_activation")
