"""``quickeye models list | show``: from manifests alone, no model is run."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

from model_zoo.bundle import Bundle
from model_zoo.errors import BundleError
from model_zoo.store import Store, parse_reference
from model_zoo.tables import file_size, table

# What an accuracy entry may call the share of pictures whose first answer is right.
_TOP_1 = ("top1", "top_1", "top-1")


def add_list_flags(parser: argparse.ArgumentParser) -> None:
    """``list`` takes no more flags."""


def run_list(flags: argparse.Namespace, store: Store) -> int:
    """One line per version; a bundle that can't be read is a line too."""
    found = [_line(store, name, version) for name in store.names() for version in store.versions(name)]
    if flags.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif not found:
        print(f"no models in {store.root}; `quickeye models build` or `import` make some")
    else:
        heading = ["NAME", "VERSION", "PRECISION", "TOP-1", "SIZE", "STATE"]
        print(table([heading, *(_cells(line) for line in found)]))
    return 0


def _line(store: Store, name: str, version: int) -> dict[str, Any]:
    line: dict[str, Any] = {"name": name, "version": version}
    try:
        bundle = store.open(name, version, verify=False)
    except BundleError as error:
        return {**line, "precision": None, "top1": None, "bytes": None, "state": "refused", "reason": str(error)}
    top_1 = next((entry.value for entry in bundle.manifest.accuracy if entry.metric in _TOP_1), None)
    size = bundle.size_bytes
    return {**line, "precision": bundle.spec.precision, "top1": top_1, "bytes": size, "state": "ok", "reason": None}


def _cells(line: dict[str, Any]) -> list[str]:
    top_1 = "-" if line["top1"] is None else f"{line['top1']:.1%}"
    size = "-" if line["bytes"] is None else file_size(line["bytes"])
    state = line["state"] if line["reason"] is None else f"{line['state']}: {line['reason']}"
    return [line["name"], str(line["version"]), line["precision"] or "-", top_1, size, state]


def add_show_flags(parser: argparse.ArgumentParser) -> None:
    """``show MODEL``."""
    parser.add_argument("model", help="NAME (the newest version) or NAME/VERSION")


def run_show(flags: argparse.Namespace, store: Store) -> int:
    """The manifest, as lines or as JSON."""
    bundle = store.open(*parse_reference(flags.model))
    content = bundle.manifest.model_dump(mode="json", by_alias=True)
    if flags.json:
        more = {"folder": str(bundle.folder), "fingerprint": bundle.fingerprint, "labels": list(bundle.labels)}
        print(json.dumps({**content, **more}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_description(bundle)))
    return 0


def _description(bundle: Bundle) -> Iterator[str]:
    spec, manifest = bundle.spec, bundle.manifest
    size = f"{spec.input.height}×{spec.input.width} {spec.input.colour}"
    resize = f"{spec.input.resize.mode} {spec.input.resize.size} {spec.input.resize.filter}, crop {spec.input.crop}"
    steps = " → ".join(step.name for step in manifest.lineage.passes) or "-"
    yield table(
        [
            ["model", f"{spec.name}/{spec.version}"],
            ["task", f"{spec.task}, {len(bundle.labels)} labels"],
            ["input", f"{size}, {resize}"],
            ["normalised", f"in the graph: mean {list(spec.input.graph_mean)}, std {list(spec.input.graph_std)}"],
            ["batch", "any" if spec.input.max_batch is None else f"up to {spec.input.max_batch}"],
            ["outputs", ", ".join(f"{o.name} ({o.kind}, {o.activation})" for o in spec.outputs)],
            ["precision", spec.precision],
            ["runs on", ", ".join(spec.runs_on)],
            ["unknown", "-" if manifest.abstain is None else f"below a score of {manifest.abstain.threshold:.4f}"],
            ["parent", spec.parent or "-"],
            ["made by", steps],
            ["licence", spec.licence],
            ["source", spec.source],
            ["size", file_size(bundle.size_bytes)],
            ["fingerprint", bundle.fingerprint],
            ["folder", str(bundle.folder)],
        ]
    )
    for entry in manifest.accuracy:
        interval = f" [{entry.ci95[0]:.4g}, {entry.ci95[1]:.4g}]" if entry.ci95 else ""
        yield f"accuracy: {entry.metric} {entry.value:.4g}{interval} on {entry.dataset} {entry.split} (n={entry.n})"
    for speed in manifest.latency:
        where = f"{speed.device}, {speed.backend}, {speed.threads} threads, batch {speed.batch}"
        yield f"latency: p50 {speed.p50_ms:.4g} ms, {speed.images_per_s:.4g} images/s ({where})"
