"""The first way to run a bundle on a device that works.

One that can't be opened, or gives other answers than the bundle's check, is passed over with a word in the log. The
last is left to that check, as every engine is.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model_zoo.bundle import Bundle
from server.backends.batches import sizes_up_to
from server.backends.bound.backend import BoundBackend
from server.backends.bound.memory import Device, SharedMemory, layout_of
from server.backends.bound.own_thread import OwnThread
from server.backends.bound.runner import BoundRunner
from server.backends.bound.session import Runtime, short
from server.backends.bound.ways import TENSORRT, Way, asked_for
from server.backends.errors import BackendError, BackendLoadError, BackendUnavailableError
from server.backends.extras import Decode
from server.backends.onnxruntime_providers import Provider
from server.backends.ragged import supports
from server.backends.selection import prove

log = logging.getLogger("quickeye.backends")


@dataclass(frozen=True, slots=True)
class Opening:
    """What every try has in common.

    ``limit`` is the largest batch; ``preprocess`` who resizes, ``decode`` who decodes. ``device`` gives a new share of
    it for each try: a recording that failed may leave its stream unusable.
    """

    runtime: Runtime
    bundle: Bundle
    limit: int
    providers: Sequence[Provider]
    device: Callable[[], Device]
    preprocess: str
    decode: Decode

    def first_of(self, line: Sequence[Way]) -> BoundBackend:
        """The first way of them that works.

        Raises:
            BackendUnavailableError: onnxruntime can't start the provider.
            BackendLoadError: it takes the graph in no way.
        """
        reasons: list[str] = []
        for way in line:
            last = way is line[-1]
            try:
                return self._opened(way, judged=not last)
            except BackendUnavailableError:
                raise
            except self._faults as error:
                if len(line) == 1 and isinstance(error, BackendError):
                    raise
                reasons.append(f"{way.label}: {short(error)}")
                if not last:
                    log.warning("onnxruntime: %s failed, the next way is taken: %s", way.label, short(error))
        raise BackendLoadError(f"onnxruntime can't run the graph: {'; '.join(reasons)}")

    @property
    def _faults(self) -> tuple[type[Exception], ...]:
        return (BackendError, *self.runtime.faults)

    def _opened(self, way: Way, *, judged: bool) -> BoundBackend:
        """One way; ``judged`` holds it against the bundle's check here."""
        thread = OwnThread(own=way.recorded)
        try:
            runner = self._runner(way, thread)
            if isinstance(runner.memory, SharedMemory):
                self._let_resize(runner.memory)
                runner.memory.let_decode(self.bundle.spec.input, self.decode)
            backend = BoundBackend(
                runner, thread, self.runtime.faults, self.bundle, self.limit, way.label,
                shares_decoding=self.decode == "auto",
            )  # fmt: skip
            if judged and not (verdict := prove(backend, self.bundle, self.limit)).passed:
                raise BackendLoadError(f"it gives other answers than the bundle's: {verdict.detail}")
        except BaseException:
            thread.close()
            raise
        return backend

    def _runner(self, way: Way, thread: OwnThread) -> BoundRunner:
        device = self.device()
        session = self.runtime.open(asked_for(self.providers, way, device.stream))
        graph_input = session.get_inputs()[0]
        rows = graph_input.shape[0]
        sizes = [rows] if isinstance(rows, int) else sizes_up_to(self.limit)
        if way.recorded and self.providers[0].name == TENSORRT and len(sizes) > 1:
            raise BackendLoadError("TensorRT's provider keeps one recording for all sizes")
        layout = layout_of(self.bundle, graph_input.name)
        return thread.run(lambda: BoundRunner(self.runtime, session, device, layout, sizes, recorded=way.recorded))

    def _let_resize(self, memory: SharedMemory) -> None:
        """Resize on the device, if that is to be and gives the right pixels; otherwise the CPU does it."""
        spec = self.bundle.spec.input
        if self.preprocess == "cpu" or not supports(spec):
            return
        try:
            memory.let_resize(spec, exact=self.preprocess == "exact")
        except Exception as error:  # noqa: BLE001 - compilers, drivers and libraries fail in any way
            log.warning("onnxruntime: pictures are resized by the CPU: %s", short(error))
