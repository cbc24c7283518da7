"""Rewriting the graph as a step, where that is measured to be faster on the engine that serves.

What is tried, and what is kept, is in ``passes/rewrites``. Times are journaled by the two graphs that were
timed, before they decide anything: a run that was killed goes on to the same bytes. What became of each rewrite is
in the step's folder, and the report tells it.
"""

import hashlib
import tempfile
from dataclasses import asdict
from pathlib import Path

from model_zoo.bundle import Bundle, BundleDraft
from model_zoo.graph_class_activation import outputs_of
from model_zoo.manifest import Lineage
from model_zoo.spec import Precision
from model_zoo.store import Store
from optimize.candidates.bench import Bench
from optimize.candidates.chains import NOTES
from optimize.candidates.journal import Facts, Journal
from optimize.candidates.recipe import Measuring
from optimize.candidates.reference_check import reference_check
from optimize.candidates.speed import measure_speed
from optimize.choice import Choice
from optimize.errors import PassError
from optimize.judging.judged_model import BundleModel
from optimize.passes.rewrites.faster import Clock, Timed, keep_faster
from optimize.training.durable import write_whole
from server.backends.errors import BackendLoadError, CheckFailedError


class FasterKernels(Choice):
    """Nothing to choose."""

    def make(self, bundle: Bundle, bench: Bench, folder: Path) -> Bundle:
        """See ``StepChoice``."""
        clock = journaled(BundleClock(bundle, bench.recipe.measure), bench.folder)
        model, said = keep_faster(bundle.read_model(), bundle.check().pictures, clock)
        for sentence in said:
            bench.say(f"faster_kernels: {sentence}")
        write_whole(folder / NOTES, "\n".join(said).encode())
        return rewritten(bundle, model, folder / "store")


class BundleClock:
    """A ``Clock`` of graphs in the place of ``bundle``'s."""

    def __init__(self, bundle: Bundle, options: Measuring) -> None:
        self._bundle, self._options = bundle, options

    def __call__(self, changed: bytes, model: bytes) -> Timed:
        """Measure both in turns, on one engine.

        Raises:
            PassError: the engine does not take the changed graph, or answers otherwise than that says.
            BackendError: it is not there, or failed; another time it may not.
        """
        options = self._options
        with tempfile.TemporaryDirectory() as folder:
            bundles = [rewritten(self._bundle, one, Path(folder)) for one in (model, changed)]
            before = BundleModel(bundles[0], options.backend, threads=options.threads)
            try:
                after = BundleModel(bundles[1], before.backend_name, threads=options.threads)
            except (BackendLoadError, CheckFailedError) as error:
                before.close()
                raise PassError(str(error)) from error
            try:
                speed = measure_speed(after, before, options)
            finally:
                before.close()
                after.close()
        return Timed(
            faster=speed.faster,
            spread=speed.spread,
            throughput=speed.throughput,
            throughput_spread=speed.throughput_spread,
        )


def journaled(clock: Clock, folder: Path) -> Clock:
    """``clock``, asked once for each two graphs in the run in ``folder``; a refusal is an answer too."""
    journal = Journal(folder)

    def timed(changed: bytes, model: bytes) -> Timed:
        def take() -> Facts:
            try:
                return asdict(clock(changed, model))
            except PassError as error:
                return {"refused": str(error)}

        key = hashlib.sha256(hashlib.sha256(changed).digest() + hashlib.sha256(model).digest()).hexdigest()[:16]
        facts = journal.once(f"rewrite {key}", take)
        if "refused" in facts:
            raise PassError(facts["refused"])
        return Timed(**facts)

    return timed


def rewritten(bundle: Bundle, model: bytes, store: Path, *, precision: Precision | None = None) -> Bundle:
    """A bundle of another graph, written into a store; its float weights are left behind.

    Args:
        precision: of the graph; the bundle's by default.
    Raises:
        PassError: ONNX Runtime does not take the graph.
        BundleError: the store refused.
    """
    spec = bundle.spec
    precision = precision or spec.precision
    draft = BundleDraft(
        name=spec.name,
        input=spec.input,
        labels=bundle.labels,
        model=model,
        outputs=outputs_of(model, spec.outputs[0]),
        check=reference_check(model, bundle.check().pictures, precision),
        card=f"# {spec.name}\n\nMade by the step faster_kernels.\n",
        licence=spec.licence,
        source=spec.source,
        precision=precision,
        runs_on=spec.runs_on,
        twin=bundle.read_twin(),  # for TensorRT, to which these rewrites are nothing
        lineage=Lineage(tools=bundle.manifest.lineage.tools),
    )
    return Store(store).write(draft)
