"""What the files of two bundles say, for ``quickeye models diff``; no picture is answered.

Facts are those that a candidate's line has in the report of ``quickeye optimize``. Differences are every field of
the manifests, file by size and label by line.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from model_zoo.bundle import Bundle
from model_zoo.tables import counted
from optimize.errors import PassError
from optimize.judging.fused import fused_share, work_of

# Differ between any two bundles, and say nothing.
_PLAIN = {"name", "version", "files"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFacts:
    """Of one bundle.

    Attributes:
        architecture: the zoo's entry, None of a stranger's graph.
        made_by: the passes of its lineage.
        bytes: of ``model.onnx``.
        macs: multiply-adds of a picture; None where shapes can't be inferred.
        in_integers: share of them that ONNX Runtime computes in integers; None where it can't be asked, or is not
            installed.
        accuracy, latency: as recorded.
        unknown_below: score of the best class; None: nothing is unknown.
    """

    model: str
    parent: str | None
    made_by: str
    architecture: str | None
    precision: str
    input: str
    classes: int
    bytes: int
    bundle_bytes: int
    macs: int | None
    in_integers: float | None
    accuracy: tuple[str, ...]
    latency: tuple[str, ...]
    unknown_below: float | None

    def to_json(self) -> dict[str, Any]:
        """What ``json.dumps`` takes."""
        return asdict(self)


def facts_of(bundle: Bundle) -> BundleFacts:
    """Read them off the manifest and the graph.

    Raises:
        BundleError: the files changed since the bundle was read.
    """
    spec, manifest, model = bundle.spec, bundle.manifest, bundle.read_model()
    work = work_of(model)
    return BundleFacts(
        model=f"{spec.name}/{spec.version}",
        parent=spec.parent,
        made_by=" → ".join(step.name for step in manifest.lineage.passes),
        architecture=spec.architecture.name if spec.architecture else None,
        precision=spec.precision,
        input=f"{spec.input.height}×{spec.input.width} {spec.input.colour}",
        classes=len(bundle.labels),
        bytes=len(model),
        bundle_bytes=bundle.size_bytes,
        macs=sum(work.values()) or None,
        in_integers=_in_integers(model),
        accuracy=tuple(f"{a.metric} {a.value:.4f} on {a.dataset} {a.split} ({a.n:,})" for a in manifest.accuracy),
        latency=tuple(
            f"{s.p50_ms:.3g} ms, {s.images_per_s:.4g} images/s, batch {s.batch}, {s.backend}, "
            f"{counted(s.threads, 'thread')}, {s.device}"
            for s in manifest.latency
        ),
        unknown_below=manifest.abstain.threshold if manifest.abstain else None,
    )


def _in_integers(model: bytes) -> float | None:
    try:
        return fused_share(model).share
    except PassError:  # no layers, or a graph for another engine
        return None
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        return None


def differences(first: Bundle, second: Bundle) -> dict[str, tuple[Any, Any]]:
    """Dotted field → what the two say, where that differs."""
    one, other = dict(_flat(_content(first))), dict(_flat(_content(second)))
    return {field: (one.get(field), other.get(field)) for field in one | other if one.get(field) != other.get(field)}


def _content(bundle: Bundle) -> dict[str, Any]:
    """The manifest without what differs anyway, lists keyed by what their entries are about."""
    content = bundle.manifest.model_dump(mode="json", by_alias=True, exclude=_PLAIN)
    content["files"] = {file.path: {"bytes": file.bytes, "sha256": file.sha256[:12]} for file in bundle.manifest.files}
    content["labels"] = {str(index): label for index, label in enumerate(bundle.labels)}
    content["accuracy"] = {
        f"{a.dataset}/{a.split}/{a.metric}": {"value": a.value, "n": a.n} for a in bundle.manifest.accuracy
    }
    content["latency"] = {
        f"{s.device}/{s.backend}/{s.threads}/{s.batch}": {"p50_ms": s.p50_ms, "images_per_s": s.images_per_s}
        for s in bundle.manifest.latency
    }
    return content


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Leaves of nested objects by dotted path; lists are leaves."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif value != {}:
        yield path, value
