"""Where the device's time goes: marks in its queue at the ends of a batch's stages, added up when the batch is done."""

from collections.abc import Sequence
from typing import Literal, get_args

from server.backends.torch_engine.device import TorchDevice

Stage = Literal["copy_in", "preprocess", "run", "copy_out"]
STAGES: tuple[Stage, ...] = get_args(Stage)
WITHOUT_RESIZING: tuple[Stage, ...] = ("copy_in", "run", "copy_out")
_BEGIN = "begin"


class StageTimes:
    """Of one instance; ``seconds`` are the device's, by stage, of all batches so far."""

    def __init__(self, device: TorchDevice) -> None:
        self.seconds: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)
        self._device = device

    def begin(self) -> None:
        """A batch comes; on the device's current stream, as ``end``."""
        self._device.mark(_BEGIN)

    def end(self, stage: Stage) -> None:
        """What was queued since the last mark is ``stage``; may be recorded with the work before it."""
        self._device.mark(stage)

    def finish(self, stages: Sequence[Stage]) -> None:
        """Wait until the queue is empty, and add up what the batch went through, in order."""
        self._device.wait()
        before: str = _BEGIN
        for stage in stages:
            self.seconds[stage] += self._device.elapsed_s(before, stage)
            before = stage
