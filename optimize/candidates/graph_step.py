"""A pass of ``PASSES`` as a step: a bundle's graph in, a bundle of the new graph out.

What steps make is between them alone; ``publish.py`` gives a candidate its name, lineage and card.
"""

from importlib.metadata import version
from pathlib import Path

from model_zoo.bundle import Bundle, BundleDraft
from model_zoo.graph_class_activation import outputs_of
from model_zoo.manifest import Lineage
from model_zoo.spec import Precision
from model_zoo.store import Store
from optimize.candidates.bench import Bench
from optimize.candidates.reference_check import reference_check
from optimize.passes import PassConfig, load_pass

# Of what reads pictures, rewrites graphs and says what they mean.
TOOLS = ("numpy", "onnx", "pillow")
# What a bundle's numbers are, where a pass changes that.
_PRECISION: dict[str, Precision] = {"quantize_int8": "int8"}


def apply_pass(name: str, config: PassConfig, bundle: Bundle, bench: Bench, folder: Path) -> Bundle:
    """Run the pass and write the bundle into a store of its own in ``folder``.

    Raises:
        PassError: the graph can't be taken by this pass.
        BundleError: the store refused.
    """
    pictures = bench.calibration(bundle.spec.input)
    model = load_pass(name).transform(bundle.read_model(), pictures, config)
    precision = _PRECISION.get(name, bundle.spec.precision)
    draft = BundleDraft(
        name=bundle.spec.name,
        input=bundle.spec.input,
        labels=bundle.labels,
        model=model,
        outputs=outputs_of(model),
        check=reference_check(model, bundle.check().pictures, precision),
        card=f"# {bundle.spec.name}\n\nMade by the pass {name}.\n",
        licence=bundle.spec.licence,
        source=bundle.spec.source,
        precision=precision,
        lineage=Lineage(tools={**bundle.manifest.lineage.tools, **{tool: _version(tool) for tool in TOOLS}}),
    )
    return Store(folder / "store").write(draft)


def _version(tool: str) -> str:
    return version(tool).partition("+")[0]
