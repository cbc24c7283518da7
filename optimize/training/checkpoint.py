"""Checkpoints: all that a run needs to go on as if it had never stopped.

An ordinary torch file (``torch.load(path, weights_only=True)`` opens it, and so does
``weights = "…/epoch-0007.pt"`` in a recipe), with one thing more: torch writes a zip,
and a zip may end in a comment, which here is the sha256 of everything before it. So a
checkpoint that the disk has changed is told from one that is whole before anything is
taken from it. No random state is in it: numbers are drawn by place (``seeding.py``).

Written beside its place, synced and renamed; the one before is deleted only after.
"""

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optimize.errors import CheckpointError, RunError
from optimize.training.checkpoint_names import checkpoint_path, checkpoints
from optimize.training.durable import reason, write_whole

KEPT = 2
_MARK = b"sha256:"
_COMMENT_BYTES = len(_MARK) + 64
_SHOWN = 4

State = dict[str, Any]


def save_checkpoint(folder: Path, epoch: int, state: Mapping[str, Any]) -> Path:
    """Write ``epoch-0007.pt`` and delete all but the last ``KEPT``.

    Args:
        epoch: how many are done.
        state: tensors, numbers, texts, lists and dicts of them.
    Raises:
        RunError: the disk refused; earlier checkpoints are untouched.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    path = checkpoint_path(folder, epoch)
    write_whole(path, _signed(buffer.getvalue()))
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(path: Path) -> State:
    """Read a checkpoint and prove that it is whole.

    Raises:
        CheckpointError: it is not; the message says what to delete to go on from the one before.
        RunError: the disk refused.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} can't be read: {reason(error)}") from error
    if not _is_whole(data):
        raise CheckpointError(f"{path} is damaged: its content is not what was written. {_advice(path)}")
    try:
        state: State = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of this version: {error}. {_advice(path)}") from error
    return state


def require_same_keys(what: str, have: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a checkpoint of another network.

    Raises:
        CheckpointError: keys that are missing, too many or of another shape; the message names them.
    """
    missing = [key for key in have if key not in given]
    unexpected = [key for key in given if key not in have]
    shapes = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(have[key].shape)}"
        for key in have
        if key in given and given[key].shape != have[key].shape
    ]
    kinds = (("it lacks", missing), ("it has, and the network has not,", unexpected), ("of another shape:", shapes))
    parts = [f"{kind} {_some(keys)}" for kind, keys in kinds if keys]
    if parts:
        raise CheckpointError(f"{path} is of another {what}: {'; '.join(parts)}")


def _signed(data: bytes) -> bytes:
    """Give torch's zip the comment; the two bytes before it hold a comment's length."""
    if data[-22:-18] != b"PK\x05\x06" or data[-2:] != b"\0\0":
        raise TypeError("torch.save no longer ends in a plain end-of-archive record")
    head = data[:-2] + _COMMENT_BYTES.to_bytes(2, "little")
    return head + _MARK + hashlib.sha256(head).hexdigest().encode()


def _is_whole(data: bytes) -> bool:
    head, comment = data[:-_COMMENT_BYTES], data[-_COMMENT_BYTES:]
    return comment == _MARK + hashlib.sha256(head).hexdigest().encode()


def _advice(path: Path) -> str:
    earlier = [one for one in checkpoints(path.parent) if one.name < path.name]
    if earlier:
        return f"Delete {path.name} and run the same command: it goes on from {earlier[-1].name}"
    return f"Delete {path.name} and run the same command: it begins anew"


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more
