"""From what an engine returned to what each picture is told: count, activate, rank, explain."""

import logging
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.spec import CLASS_ACTIVATION, OutputSpec
from model_zoo.top_k import activate, top_k
from server.backends import Ranked
from server.errors import InternalError
from server.frame_history import Thumbnail
from server.job import Answer, Job, Prediction
from server.tracing.picture_trace import traces_of

log = logging.getLogger("quickeye.instance")

Outputs = Sequence[NDArray[np.float32]]


class Answers:
    """Makes one model's answers; ``explains``: whether the model has class-activation maps."""

    def __init__(self, bundle: Bundle) -> None:
        self._labels = bundle.labels
        self.classes = len(bundle.labels)
        self._input = bundle.spec.input
        self._specs = bundle.spec.outputs
        self._map = next((row for row, spec in enumerate(self._specs) if spec.kind == CLASS_ACTIVATION), None)
        self.explains = self._map is not None
        abstain = bundle.manifest.abstain
        self._known_from = -math.inf if abstain is None else abstain.threshold

    def tell(self, jobs: Sequence[Job], outputs: Ranked | Outputs, thumbnails: Mapping[int, Thumbnail]) -> None:
        """Set the result of every picture that was run.

        Args:
            outputs: of as many pictures, in their order; with maps, where somebody wants them.
            thumbnails: by row, of frames whose stream remembers them.
        Raises:
            InternalError: there is not one row for each.
        """
        if isinstance(outputs, Ranked):
            if len(outputs.indices) != len(jobs):
                raise InternalError(f"the backend ranked {len(outputs.indices)} pictures of {len(jobs)}")
            for row, job in enumerate(jobs):
                _give(job, self._ranked(job, outputs, row))
            return
        scores = self.scores(outputs, len(jobs))
        maps = self.maps(outputs)
        for row, job in enumerate(jobs):
            shown = maps[row] if maps is not None and job.options.explain else None
            told = scores[row]
            if job.history is not None and np.isfinite(told).all():  # a history would never get over one that is not
                frame = job.history.ran(thumbnails[row], told, len(jobs), shown)
                told, shown = frame.scores, frame.shown
            _give(job, self.answer(job, told, len(jobs), shown))

    def scores(self, outputs: Outputs, rows: int) -> NDArray[np.float32]:
        """What each of ``rows`` pictures scored: (rows, classes), after the activation.

        Raises:
            InternalError: see ``counted``.
        """
        counted(outputs, self._specs, rows)
        return activate(outputs[0], self._specs[0].activation)

    def maps(self, outputs: Outputs) -> NDArray[np.float32] | None:
        """Where each picture speaks for its best class, (rows, h, w), ≥ 0; None when the engine gave none."""
        if self._map is None or len(outputs) < len(self._specs):
            return None
        maps: NDArray[np.float32] = np.maximum(outputs[self._map], np.float32(0))
        return maps

    def answer(
        self,
        job: Job,
        scores: NDArray[np.float32],
        batch_size: int,
        shown: NDArray[np.float32] | None = None,
        reused: bool = False,
    ) -> Answer:
        """What one picture is told of its scores, (classes,); ``shown`` is the map of the best one."""
        indices, values = top_k(scores, job.options.top_k)
        return self._told(job, indices, values, batch_size, shown, reused)

    def _ranked(self, job: Job, ranked: Ranked, row: int) -> Answer:
        """Where the engine ranked at least as many classes as the picture's caller wants."""
        wanted = job.options.top_k
        return self._told(job, ranked.indices[row, :wanted], ranked.scores[row, :wanted], len(ranked.indices))

    def _told(
        self,
        job: Job,
        indices: NDArray[np.int64],
        values: NDArray[np.float32],
        batch_size: int,
        shown: NDArray[np.float32] | None = None,
        reused: bool = False,
    ) -> Answer:
        options = job.options
        labels = self._labels
        ranked = [
            Prediction(index, labels[index], score)
            for index, score in zip(indices.tolist(), values.tolist(), strict=True)
        ]
        width, height = (self._input.width, self._input.height) if job.header is None else job.header.upright_size
        least = options.threshold
        wanted = ranked if least == -math.inf else [one for one in ranked if one.score >= least]
        best = ranked[0]
        unknown = best.score < self._known_from
        return Answer(wanted, best, width, height, job.times, batch_size, reused, shown, unknown)


def _give(job: Job, answer: Answer) -> None:
    job.result = answer
    if not math.isfinite(answer.best.score):
        log.error("a model gave %s for a picture", answer.best.score, extra=traces_of([job]))
        job.result = InternalError("the model gave no finite score")


def counted(outputs: Outputs, specs: Sequence[OutputSpec], rows: int) -> None:
    """Refuse outputs that are not one row per picture: an answer must never go to the wrong one.

    Class-activation maps may be left out: they are there when they were asked for.

    Raises:
        InternalError: too few outputs or too many, or one with another number of rows.
    """
    given = specs if len(outputs) == len(specs) else [spec for spec in specs if spec.kind != CLASS_ACTIVATION]
    if len(outputs) != len(given):
        raise InternalError(f"the backend gave {len(outputs)} outputs instead of {len(given)}")
    for output, spec in zip(outputs, given, strict=True):
        if output.shape[0] != rows:
            raise InternalError(f"output {spec.name} has {output.shape[0]} rows for {rows} pictures")
