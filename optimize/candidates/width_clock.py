"""How long a network of some widths takes, as a share of the parent's time, on the engine that serves the parent.

In a run each answer is journaled before it is used, by the network's name and arguments, the input's size and the
widths: a run that was killed prunes on by the same figures, and candidates share them.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

from model_zoo.architectures import PRUNED
from model_zoo.bundle import Bundle, BundleDraft
from model_zoo.check import make_check, synthetic_pictures
from model_zoo.spec import ArchitectureRef
from model_zoo.store import Store
from optimize.candidates.journal import Journal
from optimize.candidates.narrow_graph import narrow_graph
from optimize.candidates.recipe import Measuring
from optimize.candidates.speed import times_as_fast
from optimize.errors import PassError
from optimize.judging.arithmetic import open_model, runtime_faults
from optimize.judging.judged_model import IN_FLOAT32, BundleModel
from optimize.pruning.cost import Widths
from optimize.pruning.latency import Clock

# Of what is measured of a candidate: many widths are timed.
PART = 1 / 3


class WidthClock:
    """A ``Clock`` of ``bundle``'s network at its input size; the parent's engine is opened when first needed."""

    def __init__(self, bundle: Bundle, parent: Bundle, options: Measuring) -> None:
        """
        Args:
            bundle: as exported, of the network's own widths.
        """
        self._bundle, self._parent, self._options = bundle, parent, options
        self._beside: BundleModel | None = None

    def __call__(self, widths: Widths) -> float:
        """Share of the parent's time of one picture.

        Raises:
            PassError: a graph so narrow can't be made.
            BackendError: the engine does not take it, or is not there; another time it may be.
        """
        options = self._options
        if self._beside is None:
            self._beside = self._open(self._parent, options.backend)
        with tempfile.TemporaryDirectory() as folder:
            try:
                bundle = self._narrow(widths, Path(folder))
                model = self._open(bundle, self._beside.backend_name)
                try:
                    return 1 / times_as_fast(model, self._beside, PART * options.seconds)
                finally:
                    model.close()
            except runtime_faults() as error:
                raise PassError(f"the time of narrower layers can't be measured, so say macs: {error}") from error

    def close(self) -> None:
        """Close the parent's engine."""
        if self._beside is not None:
            self._beside.close()
            self._beside = None

    def _open(self, bundle: Bundle, backend: str | None) -> BundleModel:
        return BundleModel(bundle, backend, threads=self._options.threads, settings=IN_FLOAT32)

    def _narrow(self, widths: Widths, folder: Path) -> Bundle:
        spec = self._bundle.spec
        model = narrow_graph(self._bundle.read_model(), widths)
        run = open_model(model, "reference")
        pictures = synthetic_pictures(spec.input.height, spec.input.width, spec.input.channels)
        draft = BundleDraft(
            name="narrow",
            input=spec.input,
            labels=self._bundle.labels,
            model=model,
            check=make_check(pictures, lambda batch: [run(np.asarray(batch))], names=["logits"]),
            card="# narrow\n\nFor its speed alone.\n",
            licence=spec.licence,
            source=spec.source,
        )
        return Store(folder).write(draft)


def journaled(clock: Clock, bundle: Bundle, folder: Path) -> Clock:
    """``clock``, asked once for each network, size and widths in the run in ``folder``."""
    journal, spec = Journal(folder), bundle.spec.input
    network = _unpruned(bundle.spec.architecture)

    def share(widths: Widths) -> float:
        said = json.dumps([*network, spec.height, spec.width, sorted(widths.items())], sort_keys=True)
        key = hashlib.sha256(said.encode()).hexdigest()[:16]
        return float(journal.once(f"time {key}", lambda: {"share": clock(widths)})["share"])

    return share


def _unpruned(said: ArchitectureRef | None) -> list[object]:
    """Name and arguments but for the widths, which the clock is asked by: a pruned network is one like another."""
    if said is None:
        return []
    arguments = {key: value for key, value in said.arguments.items() if key != "layers"}
    return [said.name.removeprefix(PRUNED), arguments]
