"""From a request's body to the encoded pictures in it.

Three forms: the picture itself, ``multipart/form-data`` with one or more files,
and JSON ``{"images": ["<base64>", …]}``. The body is read once, under a limit and
a deadline; a raw picture that came in one piece is never copied. Nor are those of an ``.npy`` of
several, which is the shortest way in for many.
"""

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

import orjson
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from model_zoo.errors import UndecodableImageError
from model_zoo.header import Header, NpyPictures, PictureLimits, read_npy_pictures
from server.errors import AbandonedError, BodyTimeoutError, BodyTooLargeError, InvalidRequestError, OverloadedError
from server.peer import Peer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class ReadPicture(NamedTuple):
    """A picture whose header is known already."""

    data: memoryview
    header: Header


# A picture, or why this one of several could not be had.
Picture = bytes | ReadPicture | UndecodableImageError


class Inflow:
    """The bytes of all bodies that are still arriving, under one bound: a thousand slow callers fill no memory."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0

    def take(self, size: int) -> None:
        """Make room for a chunk.

        Raises:
            OverloadedError: there is none.
        """
        if self._held + size > self._max_bytes:
            raise OverloadedError("too many bodies are arriving at once; try again later")
        self._held += size

    def give_back(self, size: int) -> None:
        """A body is complete, or given up."""
        self._held -= size


async def read_body(
    receive: Receive,
    declared: bytes | None,
    max_bytes: int,
    timeout_s: float,
    inflow: Inflow,
    peer: Peer | None = None,
) -> bytes:
    """Read the whole body.

    Args:
        declared: the Content-Length header, if there is one.
        max_bytes: more is refused, before it is read where it was declared.
        timeout_s: for all of it.
        inflow: bounds what all callers together have sent so far.
        peer: asked first whether all of it is here already.
    Raises:
        BodyTooLargeError, BodyTimeoutError, AbandonedError, OverloadedError.
    """
    if declared is not None and declared.isdigit() and int(declared) > max_bytes:
        raise BodyTooLargeError(f"the body has {int(declared):,} bytes, at most {max_bytes:,} are taken")
    if peer is not None and (whole := peer.whole_body()) is not None:
        return _within(whole, max_bytes)
    message = await _first_message(receive, timeout_s)
    first: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return _within(first, max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            return await _gathered(message, receive, max_bytes, inflow)
    except TimeoutError:
        raise BodyTimeoutError(f"the body did not arrive within {timeout_s:g} s") from None


async def _gathered(message: Message, receive: Receive, max_bytes: int, inflow: Inflow) -> bytes:
    """A body in several pieces, the first of which is in ``message``."""
    chunks: list[bytes] = []
    size = 0
    try:
        while True:
            chunk: bytes = message.get("body", b"")
            inflow.take(len(chunk))
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLargeError(f"the body has more than the {max_bytes:,} bytes that are taken")
            if not message.get("more_body", False):
                return b"".join(chunks)
            message = await receive()
            if message["type"] == "http.disconnect":
                raise AbandonedError("the caller left before the body was complete")
    finally:
        inflow.give_back(size)


async def _first_message(receive: Receive, timeout_s: float) -> Message:
    try:
        async with asyncio.timeout(timeout_s):
            message = await receive()
    except TimeoutError:
        raise BodyTimeoutError(f"no body arrived within {timeout_s:g} s") from None
    if message["type"] == "http.disconnect":
        raise AbandonedError("the caller left before the body came")
    return message


def _within(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise BodyTooLargeError(f"the body has {len(body):,} bytes, at most {max_bytes:,} are taken")
    return body


def pictures_in(body: bytes, content_type: bytes, max_images: int, limits: PictureLimits) -> list[Picture]:
    """The encoded pictures of a body, in order, at least one.

    Anything that does not call itself multipart or JSON is the picture itself,
    whatever its Content-Type says; or, of an ``.npy`` of several, these.

    Raises:
        InvalidRequestError: a form, JSON or ``.npy`` that is empty or holds too many; a form or JSON that is broken.
        UndecodableImageError: there is no body at all.
        ImageTooLargeError, UndecodableImageError: each picture of an ``.npy`` is no picture, or over ``limits``.
    """
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"multipart/form-data":
        return _from_form(body, content_type.decode("latin-1"), max_images)
    if kind == b"application/json":
        return _from_json(body, max_images)
    if not body:
        raise UndecodableImageError("the body is empty; send the bytes of an image")
    several = read_npy_pictures(body, limits)
    return [body] if several is None else _from_npy(several, max_images)


def _from_form(body: bytes, content_type: str, max_images: int) -> list[Picture]:
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary:
        raise InvalidRequestError("multipart/form-data without a boundary in its Content-Type")
    pictures: list[Picture] = []
    chunks: list[bytes | bytearray] = []
    try:
        parser = PushMultipartParser(boundary, content_length=len(body))
        with parser:
            for event in (*parser.parse(body), *parser.parse(b"")):
                if isinstance(event, MultipartSegment):
                    if event.filename is None:
                        raise InvalidRequestError(
                            f"form field {event.name[:80]!r} is not a file; options go into the query string"
                        )
                    if len(pictures) == max_images:
                        raise InvalidRequestError(f"more than the {max_images} images that one request may hold")
                    chunks = []
                elif event:
                    chunks.append(event)
                else:
                    pictures.append(b"".join(chunks))
    except MultipartError as error:
        raise InvalidRequestError(f"broken multipart/form-data: {error}") from None
    if not pictures:
        raise InvalidRequestError("multipart/form-data without a file in it")
    return pictures


def _from_npy(several: NpyPictures, max_images: int) -> list[Picture]:
    count, header, pixels = several
    if count == 0:
        raise InvalidRequestError("the npy file holds no pictures")
    if count > max_images:
        raise InvalidRequestError(f"{count:,} images in one request; at most {max_images} are taken")
    size = len(pixels) // count
    return [ReadPicture(pixels[at : at + size], header) for at in range(0, len(pixels), size)]


def _from_json(body: bytes, max_images: int) -> list[Picture]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidRequestError(
            'the body is not JSON; send {"images": ["<base64>", …]}, or the image itself without that Content-Type'
        ) from None
    if not isinstance(document, dict) or set(document) != {"images"} or not isinstance(document["images"], list):
        raise InvalidRequestError('JSON must be {"images": ["<base64>", …]} and nothing else')
    texts = document["images"]
    if not texts:
        raise InvalidRequestError('"images" is empty')
    if len(texts) > max_images:
        raise InvalidRequestError(f"{len(texts):,} images in one request; at most {max_images} are taken")
    if not all(isinstance(text, str) for text in texts):
        raise InvalidRequestError('"images" must hold base64 strings')
    return [_from_base64(text) for text in texts]


def _from_base64(text: str) -> Picture:
    """Standard base64, in lines or not; a ``data:`` address, as browsers make them, is taken too."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    with contextlib.suppress(ValueError):  # the usual case: no white space, and no copy to remove it
        return base64.b64decode(text, validate=True)
    try:
        return base64.b64decode(text.encode("ascii").translate(None, b" \t\r\n\f\v"), validate=True)
    except ValueError:
        url_safe = "; it looks like base64url: use + and / for - and _" if "-" in text or "_" in text else ""
        return UndecodableImageError(f"this image is not valid base64{url_safe}")
