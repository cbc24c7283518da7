"""Names of pictures that are read from several places: never one name for two pictures.

A picture is called by its path from the folder that was named, as ``photos/hat/1.jpg``. So
``/a/photos`` and ``/b/photos`` would call two pictures alike, and a list of copies or of
broken files would not say which is meant. Then, and only then, names begin with as much more
of the path as tells the places apart: ``a/photos/hat/1.jpg``, ``b/photos/hat/1.jpg``.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from optimize.data.array_pictures import ArrayPictures
from optimize.data.dataset import PictureSource
from optimize.data.listing import Listing
from optimize.data.picture_files import FilePictures


def told_apart(listings: Sequence[Listing]) -> list[Listing]:
    """The listings, with longer names where two of them call a picture alike.

    A place that is given twice has the same pictures twice, under the same names.
    """
    names = [{one.source.identifier(index) for index in range(len(one.source))} for one in listings]
    if len(set().union(*names)) == sum(map(len, names)):
        return list(listings)
    places = [PurePath(_shown(one.name)).parts for one in listings]
    return [
        replace(one, source=_renamed(one.source, place[-1], _tail(place, places)))
        for one, place in zip(listings, places, strict=True)
    ]


def _tail(place: tuple[str, ...], places: Sequence[tuple[str, ...]]) -> str:
    """The shortest end of the path that no other path has; all of it where another is the same."""
    others = [other for other in places if other != place]
    length = next((n for n in range(1, len(place)) if all(other[-n:] != place[-n:] for other in others)), len(place))
    return str(PurePath(*place[-length:]))


def _renamed(source: PictureSource, last: str, tail: str) -> PictureSource:
    if isinstance(source, ArrayPictures):
        return replace(source, name=_longer(source.name, last, tail))
    if isinstance(source, FilePictures):
        return replace(source, identifiers=tuple(_longer(one, last, tail) for one in source.identifiers))
    raise TypeError(f"{type(source).__name__} has no names that can be changed")


def _longer(name: str, last: str, tail: str) -> str:
    """A name that begins with the place's last part begins with ``tail`` instead; a manifest's own names follow it."""
    if name == last or name.startswith(f"{last}/"):
        return tail + name.removeprefix(last)
    return name if tail == last else f"{tail}: {name}"


def _shown(path: str) -> str:
    """As file names are written: bytes that are not UTF-8 become ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
