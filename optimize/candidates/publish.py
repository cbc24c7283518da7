"""The front's bundles, in the run's store, each under a name of its own with its lineage, figures and card."""

import shutil
from functools import partial
from pathlib import Path

from model_zoo.bundle import Bundle, BundleDraft
from model_zoo.manifest import Accuracy, Latency, Lineage, Pass
from model_zoo.store import Store
from model_zoo.tables import counted
from optimize.candidates.recipe import OptimizeRecipe
from optimize.candidates.result import Candidate, Paired
from optimize.candidates.steps import STEPS
from optimize.judging.unknown_section import with_section
from optimize.store_swap import swap_store
from optimize.training.run_folder import RunFolder


def publish(
    folder: Path, recipe: OptimizeRecipe, parent: Bundle, front: list[tuple[Candidate, Bundle]], fingerprint: str
) -> dict[str, str]:
    """Write the store anew, whole or not at all.

    Args:
        folder: of the run.
        front: candidates and what their steps made.
        fingerprint: of the data.
    Returns:
        Candidate → its bundle's folder.
    Raises:
        BundleError: the disk refused.
    """
    making = folder / ".store-making"
    shutil.rmtree(making, ignore_errors=True)
    try:
        for candidate, bundle in front:
            Store(making).write(_draft(recipe, parent, candidate, bundle, fingerprint))
        if front:
            swap_store(making, RunFolder(folder).store)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return {one.name: str(RunFolder(folder).store / bundle_name(recipe, one) / "1") for one, _ in front}


def bundle_name(recipe: OptimizeRecipe, candidate: Candidate) -> str:
    """NAME-CANDIDATE."""
    return f"{recipe.name}-{candidate.name}"[:64]


def _draft(
    recipe: OptimizeRecipe, parent: Bundle, candidate: Candidate, bundle: Bundle, fingerprint: str
) -> BundleDraft:
    weights = bundle.weights_path
    return BundleDraft(
        name=bundle_name(recipe, candidate),
        version=1,
        input=bundle.spec.input,
        labels=bundle.labels,
        model=bundle.read_model(),
        check=bundle.check(),
        card=_card(recipe, parent, candidate),
        licence=parent.spec.licence,
        source=parent.spec.source,
        outputs=bundle.spec.outputs,
        precision=bundle.spec.precision,
        runs_on=bundle.spec.runs_on,
        architecture=bundle.spec.architecture,
        weights=None if weights is None else bundle.read(weights.name),
        lineage=_lineage(recipe, parent, candidate, bundle, fingerprint),
        accuracy=_accuracy(recipe, candidate),
        latency=_latency(candidate),
        abstain=None if candidate.threshold is None else candidate.threshold.in_manifest(recipe.name),
    )


def _lineage(recipe: OptimizeRecipe, parent: Bundle, candidate: Candidate, bundle: Bundle, fingerprint: str) -> Lineage:
    passes = [
        Pass(name=str(step["name"]), parameters={key: value for key, value in step.items() if key != "name"})
        for step in candidate.steps
    ]
    data = Pass(name="data", parameters={"sha256": fingerprint, "calibration": recipe.calibration})
    return Lineage(
        parent=f"{parent.spec.name}/{parent.spec.version}",
        passes=(data, *passes),
        seed=recipe.seed,
        recipe=recipe.name,
        tools=bundle.manifest.lineage.tools or parent.manifest.lineage.tools,
    )


def _accuracy(recipe: OptimizeRecipe, candidate: Candidate) -> tuple[Accuracy, ...]:
    splits = [("validation", candidate.val), ("test", candidate.verdict.paired if candidate.verdict else None)]
    metric = "top1" if recipe.labelled else "agreement"
    return tuple(
        Accuracy(dataset=recipe.name, split=split, n=one.n, metric=metric, value=one.top1, ci95=one.top1_ci95,
                 reference=f"the parent: {one.parent_top1:.4f} on the same pictures")
        for split, one in splits if one is not None
    )  # fmt: skip


def _latency(candidate: Candidate) -> tuple[Latency, ...]:
    speed = candidate.speed
    if speed is None:
        return ()
    one = partial(Latency, device=speed.device, backend=speed.backend, threads=speed.threads)
    return (
        one(batch=1, p50_ms=speed.p50_ms, images_per_s=1e3 / speed.p50_ms),
        one(batch=speed.batch, p50_ms=1e3 * speed.batch / speed.images_per_s,
                images_per_s=speed.images_per_s),
    )  # fmt: skip


def _card(recipe: OptimizeRecipe, parent: Bundle, candidate: Candidate) -> str:
    speed = candidate.speed
    rows = [
        f"# {bundle_name(recipe, candidate)}",
        "",
        f"Made by `quickeye optimize` from {parent.spec.name}/{parent.spec.version}: "
        f"{', then '.join(step_words(step) for step in candidate.steps)}.",
        "",
        f"- Input: {candidate.height} × {candidate.width} px; `model.onnx` {candidate.bytes / 1e6:.2f} MB, "
        f"{candidate.macs / 1e6:.1f} million multiply-adds a picture.",
    ]
    if speed is not None:
        rows.append(
            f"- Speed on {speed.device}, {speed.backend}, {counted(speed.threads, 'thread')}: {speed.p50_ms:.2f} ms a "
            f"picture, {speed.faster:.2f} times the parent's speed (± {speed.spread:.2f}); "
            f"{speed.images_per_s:.0f} images/s in batches of {speed.batch}."
        )
    if candidate.val is not None:
        rows.append(f"- On the pictures that chose it: {paired_words(candidate.val, labelled=recipe.labelled)}.")
    if candidate.verdict is not None:
        rows.append(f"- Guard: {candidate.verdict.says}")
    rows += ["", f"Licence: {parent.spec.licence}. Source: {parent.spec.source}.", ""]
    card = "\n".join(rows)
    return card if candidate.threshold is None else with_section(card, candidate.threshold.says)


def step_words(step: dict[str, object]) -> str:
    """``prune (macs 0.5)``: what is as usual is left out."""
    usual = STEPS.find(str(step["name"])).model_fields
    settings = [
        f"{key} {value}"
        for key, value in step.items()
        if key in usual
        and value is not None
        and (usual[key].is_required() or value != usual[key].get_default(call_default_factory=True))
    ]
    return f"{step['name']} ({', '.join(settings)})" if settings else str(step["name"])


def paired_words(one: Paired, *, labelled: bool) -> str:
    """Its accuracy beside the parent's, in words."""
    if not labelled:
        return f"{100 * one.same_answer:.1f} % of {one.n:,} answers are the parent's"
    return (
        f"{100 * one.top1:.2f} % of {one.n:,} right, the parent {100 * one.parent_top1:.2f} %; "
        f"{100 * one.same_answer:.1f} % of the answers are the parent's"
    )
