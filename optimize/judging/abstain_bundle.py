"""A bundle with a threshold for "unknown" is the next version of it: the same files, another manifest and card."""

from model_zoo.bundle import Bundle, BundleDraft
from model_zoo.manifest import Abstain, Lineage, Pass
from model_zoo.store import Store
from optimize.judging.unknown_section import with_section


def with_threshold(bundle: Bundle, abstain: Abstain, says: str) -> Bundle:
    """Write the bundle's next version, with ``abstain``, into the store where it lies.

    Args:
        says: the same in words, for the card.
    Raises:
        BundleError: the store is read-only, or the disk refused.
    """
    spec, weights = bundle.spec, bundle.weights_path
    return Store(bundle.folder.parents[1]).write(
        BundleDraft(
            name=spec.name,
            task=spec.task,
            input=spec.input,
            labels=bundle.labels,
            model=bundle.read_model(),
            check=bundle.check(),
            card=with_section(bundle.read("CARD.md").decode(), says),
            licence=spec.licence,
            source=spec.source,
            outputs=spec.outputs,
            precision=spec.precision,
            runs_on=spec.runs_on,
            architecture=spec.architecture,
            weights=None if weights is None else bundle.read(weights.name),
            twin=bundle.read_twin(),
            lineage=Lineage(
                parent=f"{spec.name}/{spec.version}",
                passes=(Pass(name="abstain", parameters=abstain.model_dump(mode="json")),),
                tools=bundle.manifest.lineage.tools,
            ),
            accuracy=bundle.manifest.accuracy,
            latency=bundle.manifest.latency,
            abstain=abstain,
        )
    )
