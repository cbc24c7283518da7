"""A recipe for who gives none: what does well on such pictures, from what the data look like.

Photos: the published EfficientNet-Lite0, fine-tuned. Small grey pictures (IDX files):
``grey28``, from nothing. Both are the shipped recipes' methods, without their tuning
to one data set.
"""

import re
from pathlib import Path
from typing import Any

from model_zoo.manifest import NAME_PATTERN

Content = dict[str, Any]

# Folders that say which part of a data set they are, and not which data set.
_PARTS = frozenset({"train", "training", "data", "dataset", "images", "photos", "train_images"})

PHOTOS: Content = {
    "model": {"architecture": "efficientnet_lite0", "weights": "pretrained", "dropout": 0.2},
    "transfer": {"name": "full", "layer_decay": 0.9},
    "augment": [
        {"name": "random_resized_crop", "scale": [0.35, 1.0]},
        {"name": "flip"},
        {"name": "colour_jitter", "brightness": 0.2, "contrast": 0.2, "saturation": 0.2},
    ],
    "loss": [{"name": "cross_entropy", "smoothing": 0.1}],
    "optimiser": {"name": "adamw", "lr": 0.001, "weight_decay": 0.05},
    "schedule": {"name": "cosine", "warmup": 0.1},
    "train": {"epochs": 12, "batch_size": 32, "ema": 0.99, "clip_norm": 1.0, "sizes": [[0.5, 128], [1.0, 160]]},
}

GREY: Content = {
    "model": {"architecture": "grey28"},
    "augment": [{"name": "crop", "padding": 2}, {"name": "flip"}],
    "loss": [{"name": "cross_entropy", "smoothing": 0.05}],
    "optimiser": {"name": "nesterov", "lr": 0.1, "weight_decay": 0.0005},
    "schedule": {"name": "one_cycle"},
    "train": {"epochs": 20, "batch_size": 128, "ema": 0.998},
}


def default_content(data: Path) -> Content:
    """The recipe's tables for these pictures, without ``data``."""
    return GREY if looks_like_idx(data) else PHOTOS


def looks_like_idx(data: Path) -> bool:
    """Whether the path is of IDX files: one of them, a folder of them, or what their names begin with."""
    if data.is_dir():
        return any(_IDX.search(path.name) for path in data.iterdir() if path.is_file())
    return bool(_IDX.search(data.name)) or any(_IDX.search(path.name) for path in data.parent.glob(f"{data.name}*"))


_IDX = re.compile(r"idx[1-9]-ubyte(\.gz)?$")


def bundle_name(data: Path) -> str:
    """What the bundle is called where nobody says: the data's folder, put in a model name's letters."""
    path = data.absolute()
    if path.is_file() or not path.exists():
        stem = path.name.partition(".")[0]
        names = [re.sub(r"[-_]?(train|images|idx\d).*$", "", stem), path.parent.name]
    else:
        names = [path.name, path.parent.name] if path.name.lower() not in _PARTS else [path.parent.name, path.name]
    slugs = (re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-._")[:64] for name in names)
    return next((slug for slug in slugs if re.fullmatch(NAME_PATTERN, slug) and slug not in _PARTS), "model")
