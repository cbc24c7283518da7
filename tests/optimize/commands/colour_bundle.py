"""A bundle that tells red, green and blue apart, exactly, and folders of pictures for it."""

from pathlib import Path

import numpy as np
from PIL import Image

from model_zoo.bundle import Bundle, BundleDraft
from model_zoo.check import make_check
from model_zoo.spec import InputSpec, Resize
from model_zoo.store import Store
from optimize.judging.arithmetic import open_model
from tests.optimize.small_nets import make_model, pictures

COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}
SPEC = InputSpec(16, 16, 3, "rgb", Resize("stretch", 16), "none", (127.0,) * 3, (128.0,) * 3)


def colour_bundle(store: Path, name: str = "colours", labels: tuple[str, ...] = tuple(COLOURS)) -> Bundle:
    """Logits are the mean red, green and blue, −1 to 1, times four; ``labels`` may misname or reorder them."""
    from onnx import helper

    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
    ]
    place = [list(COLOURS).index(label) if label in COLOURS else row for row, label in enumerate(labels)]
    weights = 4 * np.eye(3, dtype=np.float32)[place]
    model = make_model(nodes, {"head.weight": weights, "head.bias": np.zeros(len(labels), np.float32)}, "flat")
    run = open_model(model, "reference")
    check = make_check(pictures(4), lambda batch: [run(batch)], names=["logits"])
    draft = BundleDraft(
        name=name,
        input=SPEC,
        labels=labels,
        model=model,
        check=check,
        card="# Colours\n",
        licence="none",
        source="a test",
    )
    return Store(store).write(draft)


def folder_of(root: Path, **pictures_of: list[str]) -> Path:
    """Class folders: ``folder_of(root, red=["red", "blue"])`` puts a red and a blue picture into ``red``."""
    for name, shown in pictures_of.items():
        (root / name).mkdir(parents=True)
        for place, colour in enumerate(shown):
            # Each a little different, so that none is another's copy.
            pixel = tuple(max(0, value - place) for value in COLOURS[colour])
            Image.new("RGB", (20, 24), pixel).save(root / name / f"{place}.png")
    return root
