"""A model without a server: the same instances and the same path from bytes to answer, no queue and no wire."""

import math
from queue import SimpleQueue

from model_zoo.header import PictureLimits, read_header
from server.admission import BatchLimits
from server.batcher import Batcher
from server.instance import Instance
from server.job import Answer, Job, JobOptions
from server.served_model import LoadedModel


class InProcess:
    """Answers pictures on the caller's threads, one at a time per instance; use as a context manager."""

    def __init__(self, loaded: LoadedModel, limits: PictureLimits | None = None) -> None:
        self.limits = limits or PictureLimits()
        self._instances = _instances(loaded)
        self._free: SimpleQueue[Instance] = SimpleQueue()
        for instance in self._instances:
            self._free.put(instance)

    @property
    def instances(self) -> int:
        """How many callers are served side by side; more of them wait."""
        return len(self._instances)

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(self, data: bytes, options: JobOptions) -> Answer:
        """Classify one encoded picture; blocks, from any thread.

        Raises:
            PictureError: the picture is refused.
            InternalError: the backend failed; its log line has the reason.
        """
        job = Job(data, read_header(data, self.limits), deadline_s=math.inf, options=options)
        instance = self._free.get()
        try:
            instance.serve([job])
        finally:
            self._free.put(instance)
        if isinstance(job.result, Answer):
            return job.result
        raise job.result or RuntimeError("an instance gave neither an answer nor an error")

    def close(self) -> None:
        """Give the engines' memory back; nobody may be inside ``answer``."""
        for instance in self._instances:
            instance.backend.close()


def _instances(loaded: LoadedModel) -> list[Instance]:
    """Instances that are never started: their threads and their queue stay unused."""
    batcher = Batcher(BatchLimits(max_batch_size=1), lambda refused: None)
    return [
        Instance(number, backend, loaded.bundle, batcher, lambda jobs: None)
        for number, backend in enumerate(loaded.backends)
    ]
