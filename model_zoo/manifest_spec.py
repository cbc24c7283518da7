"""A manifest is what a bundle says on disk; a spec is what the rest of the project trusts. From one to the other."""

from collections.abc import Iterable

from pydantic import ValidationError

from model_zoo.errors import BundleError
from model_zoo.manifest import (
    Abstain,
    Accuracy,
    ArchitecturePart,
    BatchPart,
    FilePart,
    InputPart,
    Latency,
    Lineage,
    Manifest,
    OutputPart,
    ResizePart,
    explain,
)
from model_zoo.spec import ArchitectureRef, InputSpec, ModelSpec, OutputSpec, Resize


def spec_of(manifest: Manifest) -> ModelSpec:
    """The trusted, frozen form that the rest of the project uses."""
    architecture = manifest.architecture
    return ModelSpec(
        name=manifest.name,
        version=manifest.version,
        task=manifest.task,
        input=_input_spec(manifest.input),
        outputs=tuple(OutputSpec(output.name, output.kind, output.activation) for output in manifest.outputs),
        precision=manifest.precision,
        runs_on=manifest.runs_on,
        licence=manifest.licence,
        source=manifest.source,
        architecture=ArchitectureRef(architecture.name, dict(architecture.arguments)) if architecture else None,
        parent=manifest.lineage.parent,
    )


def _input_spec(part: InputPart) -> InputSpec:
    resize = Resize(part.resize.mode, part.resize.size, part.resize.filter, part.resize.antialias)
    return InputSpec(
        height=part.height,
        width=part.width,
        channels=part.channels,
        colour=part.colour,
        resize=resize,
        crop=part.crop,
        graph_mean=part.graph_mean,
        graph_std=part.graph_std,
        max_batch=part.batch.max,
    )


def manifest_of(
    spec: ModelSpec,
    files: Iterable[FilePart],
    *,
    lineage: Lineage | None = None,
    accuracy: Iterable[Accuracy] = (),
    latency: Iterable[Latency] = (),
    abstain: Abstain | None = None,
) -> Manifest:
    """The manifest of a spec; ``spec.parent`` wins over an absent ``lineage.parent``.

    Raises:
        BundleError: the spec breaks a rule that a reader would refuse.
    """
    lineage = lineage or Lineage()
    if spec.parent is not None and lineage.parent not in (None, spec.parent):
        raise BundleError(f"the spec names the parent {spec.parent}, the lineage {lineage.parent}")
    try:
        return Manifest(
            schema=1 if abstain is None else 2,
            name=spec.name,
            version=spec.version,
            task=spec.task,
            input=_input_part(spec.input),
            outputs=tuple(OutputPart(name=o.name, kind=o.kind, activation=o.activation) for o in spec.outputs),
            precision=spec.precision,
            runs_on=spec.runs_on,
            architecture=_architecture_part(spec.architecture),
            files=tuple(files),
            lineage=Lineage(**{**lineage.model_dump(), "parent": lineage.parent or spec.parent}),
            accuracy=tuple(accuracy),
            latency=tuple(latency),
            abstain=abstain,
            licence=spec.licence,
            source=spec.source,
        )
    except ValidationError as error:
        raise BundleError(f"this can't be a bundle: {explain(error)}") from error


def _input_part(spec: InputSpec) -> InputPart:
    resize = spec.resize
    return InputPart(
        height=spec.height,
        width=spec.width,
        channels=spec.channels,
        colour=spec.colour,
        resize=ResizePart(mode=resize.mode, size=resize.size, filter=resize.filter, antialias=resize.antialias),
        crop=spec.crop,
        graph_mean=tuple(float(value) for value in spec.graph_mean),
        graph_std=tuple(float(value) for value in spec.graph_std),
        batch=BatchPart(max=spec.max_batch),
    )


def _architecture_part(reference: ArchitectureRef | None) -> ArchitecturePart | None:
    if reference is None:
        return None
    return ArchitecturePart(name=reference.name, arguments=dict(reference.arguments))
