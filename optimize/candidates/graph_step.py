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
from optimize.passes.float16 import Float16
from optimize.passes.pictures import Pictures

# Of what reads pictures, rewrites graphs and says what they mean.
TOOLS = ("numpy", "onnx", "pillow")


def apply_pass(name: str, config: PassConfig, bundle: Bundle, bench: Bench, folder: Path) -> Bundle:
    """Run the pass and write the bundle into a store of its own in ``folder``.

    Raises:
        PassError: the graph can't be taken by this pass.
        BundleError: the store refused.
    """
    model, twin = _transformed(name, config, bundle.read_model(), bench.calibration(bundle.spec.input))
    precision = _precision(name, config, bundle.spec.precision)
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
        twin=twin,
        lineage=Lineage(tools={**bundle.manifest.lineage.tools, **{tool: _version(tool) for tool in TOOLS}}),
    )
    return Store(folder / "store").write(draft)


def _precision(name: str, config: PassConfig, before: Precision) -> Precision:
    """What a bundle's numbers are after a pass."""
    if before == "int8" or name == "quantize_int8":
        return "int8"
    if isinstance(config, Float16) and config.form == "compute":
        return "fp16"
    return "fp32" if name == "float32" else before


def _transformed(name: str, config: PassConfig, model: bytes, pictures: Pictures) -> tuple[bytes, bytes | None]:
    """The new graph, and its symmetric twin where the recipe asks for one."""
    if name == "quantize_int8":
        from optimize.passes.quantize_int8 import QuantizeInt8, quantize_with_twin

        if isinstance(config, QuantizeInt8) and config.symmetric_twin:
            return quantize_with_twin(model, pictures, config)
    return load_pass(name).transform(model, pictures, config), None


def _version(tool: str) -> str:
    return version(tool).partition("+")[0]
