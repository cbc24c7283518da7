"""The front's bundles, in the run's store, each under a name of its own with its lineage, figures and card.

The best one goes by the name, card and check of ``[publish]`` where the recipe has that.
"""

import hashlib
import shutil
from functools import partial

from model_zoo.bundle import Bundle, BundleDraft
from model_zoo.check import CheckSet
from model_zoo.manifest import Latency, Lineage, Pass
from model_zoo.store import Store
from optimize.candidates.bench import Bench
from optimize.candidates.card import filled, own_card, require_known_places
from optimize.candidates.figures import figures
from optimize.candidates.published_files import check_pictures, read_card
from optimize.candidates.recipe import OptimizeRecipe
from optimize.candidates.reference_check import reference_check
from optimize.candidates.result import Candidate
from optimize.store_swap import swap_store
from optimize.training.run_folder import RunFolder

Front = list[tuple[Candidate, Bundle]]


def publish(bench: Bench, front: Front, best: str | None) -> dict[str, str]:
    """Write the store anew, whole or not at all.

    Args:
        front: candidates and what their steps made.
        best: the fastest that the guard passes.
    Returns:
        Candidate → its bundle's folder.
    Raises:
        BundleError: the disk refused.
        DataError: pictures of ``publish.figures`` that can't be judged by.
        RecipeError, MissingPhotosError: a card or photos that can't be had.
    """
    making, store = bench.folder / ".store-making", RunFolder(bench.folder).store
    shutil.rmtree(making, ignore_errors=True)
    places = {}
    try:
        for candidate, bundle in front:
            made = Store(making).write(_draft(bench, candidate, bundle, is_best=candidate.name == best))
            places[candidate.name] = str(store / made.spec.name / str(made.spec.version))
        if front:
            swap_store(making, store)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return places


def bundle_name(recipe: OptimizeRecipe, candidate: Candidate, *, is_best: bool) -> str:
    """NAME-CANDIDATE, or what the recipe calls the best."""
    return recipe.publish.name if recipe.publish and is_best else f"{recipe.name}-{candidate.name}"[:64]


def check_of(bench: Bench, bundle: Bundle, *, is_best: bool) -> CheckSet:
    """What ``bundle`` is published with: the recipe's photos for the best, where it names some.

    Raises:
        RecipeError, MissingPhotosError: these can't be had.
    """
    said = bench.recipe.publish if is_best else None
    photos = check_pictures(said, bundle.spec.input) if said else None
    return bundle.check() if photos is None else reference_check(bundle.read_model(), photos, bundle.spec.precision)


def _draft(bench: Bench, candidate: Candidate, bundle: Bundle, *, is_best: bool) -> BundleDraft:
    parent, weights = bench.parent, bundle.weights_path
    said = bench.recipe.publish if is_best else None
    accuracy = figures(bench, candidate, bundle, said)
    name, version = bundle_name(bench.recipe, candidate, is_best=is_best), said.version if said else 1
    page = read_card(said) if said else None
    require_known_places(page or "")
    if page is None:
        card = own_card(name, bench.recipe, parent, candidate)
    else:
        shown = len(bench.calibration(bundle.spec.input))
        card = filled(page, candidate, accuracy, name=name, version=version, calibration=shown)
    return BundleDraft(
        name=name,
        version=version,
        input=bundle.spec.input,
        labels=bundle.labels,
        model=bundle.read_model(),
        check=check_of(bench, bundle, is_best=is_best),
        card=card,
        licence=parent.spec.licence,
        source=parent.spec.source,
        outputs=bundle.spec.outputs,
        precision=bundle.spec.precision,
        runs_on=bundle.spec.runs_on,
        architecture=bundle.spec.architecture,
        weights=None if weights is None else bundle.read(weights.name),
        twin=bundle.read_twin() if candidate.twin and candidate.twin.is_kept else None,
        lineage=_lineage(bench, candidate, bundle),
        accuracy=accuracy,
        latency=_latency(candidate),
        abstain=None if candidate.threshold is None else candidate.threshold.in_manifest(bench.recipe.name),
    )


def _lineage(bench: Bench, candidate: Candidate, bundle: Bundle) -> Lineage:
    recipe, parent = bench.recipe, bench.parent
    passes = [
        Pass(name=str(step["name"]), parameters={key: value for key, value in step.items() if key != "name"})
        for step in candidate.steps
    ]
    parent_pass = Pass(name="parent", parameters={"sha256": hashlib.sha256(parent.read_model()).hexdigest()})
    calibration = recipe.to_content()["calibration"]
    data = Pass(name="data", parameters={"sha256": bench.data.report.fingerprint, "calibration": calibration})
    return Lineage(
        parent=f"{parent.spec.name}/{parent.spec.version}",
        passes=(parent_pass, data, *passes),
        seed=recipe.seed,
        recipe=recipe.name,
        tools=bundle.manifest.lineage.tools or parent.manifest.lineage.tools,
    )


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
