"""What the report shows of one candidate beside its parent, beyond the figures that every candidate has."""

from dataclasses import dataclass

import numpy as np

from model_zoo.bundle import Bundle
from model_zoo.errors import ModelZooError
from optimize.candidates.bench import Bench
from optimize.candidates.flips import Flips
from optimize.candidates.recipe import PARENT
from optimize.candidates.run import Run
from optimize.errors import PassError
from optimize.judging.beside import Beside, beside
from optimize.judging.fused import fused_share, work_of
from optimize.judging.layer_times import layer_times

# Pictures that torch and the graph are compared on.
PARITY_PICTURES = 16


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the graph; None: not known.

    Attributes:
        macs: multiply-adds of a picture.
        in_integers: whether ONNX Runtime computes it so.
        ms: of one picture, by the runtime's own profile, on one thread.
        decibels: what is left of its signal after quantising, all errors before it included.
    """

    name: str
    macs: int
    in_integers: bool | None
    ms: float | None
    decibels: float | None


@dataclass(frozen=True, slots=True)
class Parity:
    """The last float network on the way to the candidate, in torch and as its ONNX graph, on ``n`` shown pictures.

    Attributes:
        worst: the largest difference of two logits; ``largest``: the largest logit.
        same: pictures with the same answer.
    """

    n: int
    worst: float
    largest: float
    same: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """``beside``: on the guard's pictures; ``changed``: on those that choose; ``parity`` None: no float network."""

    beside: Beside
    changed: Flips
    layers: tuple[Layer, ...]
    parity: Parity | None


def gather_evidence(run: Run, bench: Bench, name: str) -> Evidence:
    """Of a candidate that was judged; what it takes is asked of the kept answers and of the graph.

    Raises:
        DataError: the pictures can't be compared.
    """
    answers = [run.made.answers(one, "guard") for one in (name, PARENT)]
    return Evidence(
        beside=beside(answers[0], answers[1], seed=bench.recipe.seed, names=(name, PARENT)),
        changed=run.made.changed(name),
        layers=_layers(run.made.bundle(name), dict(run.made.layers(name)), bench),
        parity=_parity(run.made.stages(name), bench),
    )


def _layers(bundle: Bundle, decibels: dict[str, float], bench: Bench) -> tuple[Layer, ...]:
    model = bundle.read_model()
    work = work_of(model)
    if not work:
        return tuple(Layer(name, 0, None, None, value) for name, value in decibels.items())
    try:
        in_float: set[str] | None = set(fused_share(model).float_layers)
        times = layer_times(model, bench.calibration(bundle.spec.input)[:8])
    except PassError:  # a graph for another engine: its work is known all the same
        in_float, times = None, {}
    return tuple(
        Layer(name, macs, None if in_float is None else name not in in_float, times.get(name), decibels.get(name))
        for name, macs in work.items()
    )


def _parity(stages: list[Bundle], bench: Bench) -> Parity | None:
    from model_zoo.export import INPUT_NAME, reference_logits
    from model_zoo.onnx_run import open_graph
    from model_zoo.weights import restore

    floats = [one for one in stages if one.weights_path is not None and one.spec.architecture is not None]
    if not floats:
        return None
    bundle = floats[-1]
    try:
        network = restore(bundle)
    except ModelZooError:  # of a library that is not installed: the graph does without
        return None
    pictures = bench.calibration(bundle.spec.input)[:PARITY_PICTURES]
    torch_says = reference_logits(network, bundle.spec.input, pictures).astype(np.float64)
    graph_says = np.asarray(open_graph(bundle.read_model(), INPUT_NAME)(pictures)["logits"], np.float64)
    return Parity(
        n=len(pictures),
        worst=float(np.abs(torch_says - graph_says).max()),
        largest=float(np.abs(torch_says).max()),
        same=int((torch_says.argmax(axis=1) == graph_says.argmax(axis=1)).sum()),
    )
