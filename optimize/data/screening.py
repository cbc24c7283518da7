"""The first pass over the pictures: each is hashed and decoded once, before anything is split or counted.

A truncated file shows only when it is decoded, and a set that loses pictures in
the middle of training is no longer the set that was split, counted and reported.
So all are decoded first, but cheaply: libjpeg reads every coefficient (and finds
every damage) even when it makes an eighth of the size, which takes a third of the
time of a whole decode. What comes out also serves to look for copies.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_zoo.decode import decode_stored, jpeg_scale, pending_orientation, to_array, turn_upright
from model_zoo.errors import PictureError
from model_zoo.header import read_header
from model_zoo.magic import identify
from optimize.data.array_pictures import ArrayPictures
from optimize.data.dataset import Dataset, Labels
from optimize.data.first_per_class import first_per_class
from optimize.data.fitting import thread_count
from optimize.data.joined_pictures import join
from optimize.data.look_alikes import SIDE, Thumbnails, thumbnails_of
from optimize.data.picture_files import LIMITS, FilePictures
from optimize.data.report import Unreadable
from optimize.errors import DataError

_PICTURE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".avif")
)
_MIN_SIDE = 4 * SIDE
_COLOURLESS = 6  # levels between channels that a grey JPEG's rounding explains
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Screening:
    """What the first pass found.

    Attributes:
        dataset: the readable pictures, in order; the source knows their digests.
        digests: (N,), sha256 of each.
        thumbnails: (N, SIDE, SIDE).
        colourless: (N,), which have no colour.
        unreadable: what was left out.
        ignored: files that are no pictures by name and content.
    """

    dataset: Dataset
    digests: tuple[bytes, ...]
    thumbnails: Thumbnails
    colourless: NDArray[np.bool_]
    unreadable: tuple[Unreadable, ...] = ()
    ignored: tuple[str, ...] = ()

    def subset(self, indices: NDArray[np.int64], name: str) -> "Screening":
        """Some of the pictures; what was left out is not told again."""
        return Screening(
            self.dataset.subset(indices, name),
            tuple(self.digests[index] for index in indices.tolist()),
            self.thumbnails[indices],
            self.colourless[indices],
        )


def joined(screenings: Sequence[Screening], name: str) -> Screening:
    """Several as one, in order."""
    return Screening(
        join([one.dataset for one in screenings], name),
        tuple(digest for one in screenings for digest in one.digests),
        np.concatenate([one.thumbnails for one in screenings]),
        np.concatenate([one.colourless for one in screenings]),
        tuple(broken for one in screenings for broken in one.unreadable),
        tuple(name for one in screenings for name in one.ignored),
    )


class _Seen(NamedTuple):
    digest: bytes
    thumbnail: Thumbnails | None
    is_colourless: bool = False
    outcome: Literal["readable", "unreadable", "ignored"] = "readable"
    reason: str = ""


def screen(
    dataset: Dataset,
    *,
    limit: int = 0,
    workers: int = 0,
    unreadable: Literal["skip", "stop"] = "skip",
    progress: Callable[[int, int], None] | None = None,
) -> Screening:
    """Read, hash and decode every picture once, or as many as a limit takes.

    Args:
        dataset: over ``FilePictures`` or ``ArrayPictures``.
        limit: the first so many readable pictures of each label of the first task; what is behind them is not looked
            at. 0: all.
        workers: threads; 0: as many as cores.
        unreadable: what to do about pictures that can't be decoded.
        progress: called with how many are done, and of how many.
    Raises:
        DataError: the policy is to stop and there are some, or none is left.
    """
    source = dataset.source
    if isinstance(source, ArrayPictures):
        some = dataset.subset(first_per_class(dataset.first_labels, limit)) if limit else dataset
        return _screen_array(some, source)
    if not isinstance(source, FilePictures):
        raise TypeError(f"{type(source).__name__} is screened part by part")
    seen: dict[int, _Seen] = {}
    places = first_per_class(dataset.first_labels, limit) if limit else np.arange(len(dataset))
    with ThreadPoolExecutor(thread_count(workers)) as pool:
        while len(places):
            chunks = [places[start : start + _CHUNK].tolist() for start in range(0, len(places), _CHUNK)]
            planned = len(seen) + len(places)
            looks = pool.map(lambda chunk: [_look(source, int(dataset.positions[place])) for place in chunk], chunks)
            for chunk, some_seen in zip(chunks, looks, strict=True):
                seen.update(zip(chunk, some_seen, strict=True))
                if progress is not None:
                    progress(len(seen), planned)
            places = _instead(dataset.first_labels, seen, limit)
    looked_at = sorted(seen)
    return _sorted_out(dataset.subset(looked_at), source, [seen[place] for place in looked_at], unreadable)


def _instead(labels: Labels, seen: dict[int, _Seen], limit: int) -> NDArray[np.int64]:
    """Places to look at next, as some of those that were looked at are no pictures."""
    readable = [place for place, one in seen.items() if one.outcome == "readable"]
    left = np.setdiff1d(np.arange(len(labels)), list(seen))
    return left[first_per_class(labels[left], limit, labels[readable])]


def _screen_array(dataset: Dataset, source: ArrayPictures) -> Screening:
    digests = tuple(source.digest(position) for position in dataset.positions.tolist())
    colourless = np.full(len(dataset), source.pixels.shape[3] == 1)
    return Screening(dataset, digests, thumbnails_of(source.pixels[dataset.positions]), colourless)


def _sorted_out(dataset: Dataset, source: FilePictures, seen: list[_Seen], policy: str) -> Screening:
    names = [dataset.identifier(index) for index in range(len(dataset))]
    broken = tuple(
        Unreadable(name, one.reason) for name, one in zip(names, seen, strict=True) if one.outcome == "unreadable"
    )
    if broken and policy == "stop":
        told = "; ".join(f"{one.picture}: {one.reason}" for one in broken[:10])
        raise DataError(f"{dataset.name}: {len(broken)} of {len(seen)} pictures can't be read: {told}")
    kept = np.array([index for index, one in enumerate(seen) if one.outcome == "readable"], np.int64)
    if not len(kept):
        first = f": {broken[0].picture}: {broken[0].reason}" if broken else ""
        raise DataError(f"{dataset.name}: none of its {len(seen)} files is a picture that can be read{first}")
    chosen = [seen[index] for index in kept]
    positions = dataset.positions[kept].tolist()
    readable = FilePictures(
        tuple(source.paths[position] for position in positions),
        tuple(source.identifiers[position] for position in positions),
        tuple(one.digest for one in chosen),
    )
    subset = replace(dataset.subset(kept), source=readable, positions=np.arange(len(kept), dtype=np.int64))
    thumbnails = np.stack([one.thumbnail for one in chosen if one.thumbnail is not None])
    ignored = tuple(name for name, one in zip(names, seen, strict=True) if one.outcome == "ignored")
    colourless = np.array([one.is_colourless for one in chosen])
    return Screening(subset, readable.digests, thumbnails, colourless, broken, ignored)


def _look(source: FilePictures, position: int) -> _Seen:
    try:
        data = source.paths[position].read_bytes()
    except OSError as error:
        return _Seen(b"", None, outcome="unreadable", reason=f"it can't be opened: {error.strerror or error}")
    if identify(data) is None and source.paths[position].suffix.lower() not in _PICTURE_SUFFIXES:
        return _Seen(b"", None, outcome="ignored")
    try:
        small, is_colourless = decode_small(data)
    except PictureError as error:
        return _Seen(b"", None, outcome="unreadable", reason=str(error))
    return _Seen(hashlib.sha256(data).digest(), small, is_colourless)


def decode_small(data: bytes) -> tuple[Thumbnails, bool]:
    """The upright thumbnail, and whether the picture has no colour."""
    header = read_header(data, LIMITS)
    stored = decode_stored(data, header, "rgb", _MIN_SIDE)
    if isinstance(stored, Image.Image):
        box, image = None, stored
    else:
        eighths = jpeg_scale(stored, header) or 8
        box, image = (0.0, 0.0, header.width * eighths / 8, header.height * eighths / 8), Image.fromarray(stored)
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box)
    colours = to_array(small).astype(np.int16)
    is_colourless = int((colours.max(axis=2) - colours.min(axis=2)).max()) <= _COLOURLESS
    grey = to_array(small.convert("L"))
    return turn_upright(grey, pending_orientation(header))[:, :, 0], is_colourless
