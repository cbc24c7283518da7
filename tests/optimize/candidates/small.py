"""A small parent and small pictures: a whole run takes seconds."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from model_zoo.architectures import build, input_spec
from model_zoo.bundle import Bundle
from model_zoo.export import Provenance, export_bundle
from model_zoo.spec import ArchitectureRef
from model_zoo.store import Store
from optimize.candidates.recipe import OptimizeRecipe, parse_optimize_recipe
from optimize.candidates.result import Paired
from optimize.candidates.speed import Speed
from tests.optimize.training.small_runs import SIDE, write_stripes

CLASSES = ("class0", "class1")
INT8 = {"name": "quantize_int8"}


def write_parent(store: Path) -> Bundle:
    """``stripes/1``: grey28_small for two classes, its weights as they come."""
    torch.manual_seed(0)
    spec = input_spec("grey28_small").at_size(SIDE, SIDE)
    return export_bundle(
        build("grey28_small", len(CLASSES)).eval(),
        name="stripes",
        store=Store(store),
        spec=spec,
        labels=CLASSES,
        provenance=Provenance(licence="MIT", source="a test", note="none"),
        architecture=ArchitectureRef("grey28_small", {"num_classes": len(CLASSES)}),
    )


@cache
def _exported_once() -> Path:
    """A store with the parent; exporting it takes seconds, copying it none."""
    store = Path(tempfile.mkdtemp(prefix="quickeye-parent-"))
    atexit.register(shutil.rmtree, store, ignore_errors=True)
    write_parent(store)
    return store


def content(tmp_path: Path, *candidates: dict[str, Any], **tables: Any) -> dict[str, Any]:  # noqa: ANN401
    """A recipe's tables over ``tmp_path/pictures`` and ``tmp_path/store``, which are made where they are missing."""
    pictures, store = tmp_path / "pictures", tmp_path / "store"
    if not pictures.exists():
        write_stripes(pictures, each=20)
        shutil.copytree(_exported_once(), store)
    return {
        "name": "stripes",
        "model": str(store / "stripes" / "1"),
        "calibration": 6,
        "data": {"train": str(pictures), "val_share": 0.5, "look_alikes": False, "workers": 1},
        "measure": {"seconds": 0.02, "backend": "onnxruntime", "threads": 1},
        "finetune": {"train": {"batch_size": 6, "threads": 1, "precision": "fp32"}},
        "candidate": list(candidates) or [{"name": "int8", "steps": [INT8]}],
        **tables,
    }


def recipe(tmp_path: Path, *candidates: dict[str, Any], **tables: Any) -> OptimizeRecipe:  # noqa: ANN401
    """``content``, validated."""
    return parse_optimize_recipe(content(tmp_path, *candidates, **tables))


def lost(points: float, right: float = 0.9) -> Paired:
    """Of two hundred pictures, so surely that the interval says little more."""
    return Paired(
        n=200,
        top1=right,
        parent_top1=right + points / 100,
        drop=points,
        ci95=(points - 1, points + 1),
        same_answer=0.9,
        resolves=1.0,
        disagreeing=0.1,
        top1_ci95=(right - 0.01, right + 0.01),
        bootstrap95=None,
        p_mid=0.01,
    )


@cache
def speed(faster: float = 1.0, spread: float = 0.01) -> Speed:
    """Figures of no machine."""
    return Speed(
        device="a test",
        backend="onnxruntime",
        precision="fp32",
        threads=1,
        batch=8,
        p50_ms=1 / faster,
        parent_ms=1.0,
        images_per_s=1000 * faster,
        faster=faster,
        spread=spread,
        throughput=faster,
        throughput_spread=spread,
    )
