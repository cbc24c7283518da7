"""From a request's body to the pictures in it, in all three forms."""

import asyncio
import base64
import os

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.decode import decode
from model_zoo.errors import ImageTooLargeError, UndecodableImageError
from model_zoo.header import Header, PictureLimits
from server.body import Inflow, Message, ReadPicture, pictures_in, read_body
from server.errors import AbandonedError, BodyTimeoutError, BodyTooLargeError, InvalidRequestError, OverloadedError
from tests.pictures import npy_of

LIMITS = PictureLimits(max_bytes=1000, max_pixels=300)
BOUNDARY = "----quickeye-test"
FORM = f"multipart/form-data; boundary={BOUNDARY}".encode()


def form(*files: bytes, names: list[str] | None = None) -> bytes:
    parts = []
    for number, data in enumerate(files):
        name = names[number] if names else "file"
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="a.jpg"\r\n\r\n'
        parts.append(head.encode() + data + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def json_of(*images: object) -> bytes:
    return orjson.dumps({"images": list(images)})


@pytest.mark.parametrize("kind", [b"", b"image/jpeg", b"text/plain", b"application/x-www-form-urlencoded", b"nonsense"])
def test_a_raw_body_is_the_picture_whatever_it_calls_itself(kind: bytes) -> None:
    body = b"\xff\xd8 some bytes"
    (picture,) = pictures_in(body, kind, 4, LIMITS)
    assert picture is body, "not even copied"


def test_no_body_is_no_image() -> None:
    with pytest.raises(UndecodableImageError, match="empty"):
        pictures_in(b"", b"image/jpeg", 4, LIMITS)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_form_files_come_out_whole_and_in_order(files: list[bytes]) -> None:
    assert pictures_in(form(*files), FORM, 5, LIMITS) == files


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_json_images_come_out_whole_and_in_order(files: list[bytes]) -> None:
    body = json_of(*(base64.b64encode(data).decode() for data in files))
    assert pictures_in(body, b"application/json; charset=utf-8", 5, LIMITS) == files


def test_a_field_that_comes_twice_is_two_pictures() -> None:
    assert pictures_in(form(b"one", b"two", names=["file", "file"]), FORM, 4, LIMITS) == [b"one", b"two"]


def test_a_data_address_is_taken_as_browsers_make_it() -> None:
    text = "data:image/png;base64," + base64.b64encode(b"png").decode()
    assert pictures_in(json_of(text), b"application/json", 1, LIMITS) == [b"png"]


@pytest.mark.parametrize("break_", ["\n", "\r\n", " ", "\t", "\n\n "])
@given(data=st.binary(max_size=300))
def test_base64_in_lines_is_taken_as_tools_print_it(break_: str, data: bytes) -> None:
    lines = break_.join(base64.encodebytes(data).decode().splitlines()) + break_
    assert pictures_in(json_of(lines), b"application/json", 1, LIMITS) == [data]
    assert pictures_in(json_of("data:image/png;base64," + lines), b"application/json", 1, LIMITS) == [data]


@pytest.mark.parametrize(
    "text",
    [
        "YWJj\u00a0",
        "YWJj\u2028",
        "YW\x00Jj",
        "YWJj\x1c",
        "YW.Jj",
        "YQ",
        "YQ=",
        "YQ==YQ==",
        "YQ==\nYQ==",
        "=",
        "YW J",
        "é",
    ],
)
def test_nothing_else_passes_for_base64(text: str) -> None:
    (found,) = pictures_in(json_of(text), b"application/json", 1, LIMITS)
    assert isinstance(found, UndecodableImageError)
    assert str(found) == "this image is not valid base64"


@pytest.mark.parametrize("text", ["-_-_", "ab-_\n", "YWJ-"])
def test_base64url_is_refused_by_its_name(text: str) -> None:
    (found,) = pictures_in(json_of(text), b"application/json", 1, LIMITS)
    assert isinstance(found, UndecodableImageError)
    assert "base64url" in str(found)


def test_broken_base64_is_that_images_own_fault() -> None:
    good = base64.b64encode(b"fine").decode()
    first, second = pictures_in(json_of("***", good), b"application/json", 2, LIMITS)
    assert isinstance(first, UndecodableImageError)
    assert "base64" in str(first)
    assert second == b"fine"


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"\xff\xd8", b"application/json", "not JSON"),
        (b"{}", b"application/json", "images"),
        (b"[]", b"application/json", "images"),
        (b'{"images": []}', b"application/json", "empty"),
        (b'{"images": "abc"}', b"application/json", "images"),
        (b'{"images": [1]}', b"application/json", "base64"),
        (b'{"images": [NaN]}', b"application/json", "not JSON"),
        (b'{"images": ["YQ=="], "top_k": 3}', b"application/json", "nothing else"),
        (b"", b"application/json", "not JSON"),
        (json_of(*["YQ=="] * 10_000), b"application/json", "10,000 images"),
        (form(*[b"a"] * 100), FORM, "at most 8|more than the 8"),
        (form(b"a"), b"multipart/form-data", "boundary"),
        (form(b"a")[:-20], FORM, "broken"),
        (b"", FORM, "broken|without a file"),
        (f"--{BOUNDARY}--\r\n".encode(), FORM, "without a file"),
        (b"hello", FORM, "broken"),
        (form(b"a").replace(b'; filename="a.jpg"', b""), FORM, "query string"),
        (npy_of(np.zeros((0, 4, 4, 3), np.uint8)), b"", "holds no pictures"),
        (npy_of(np.zeros((9, 1, 1, 3), np.uint8)), b"", "9 images in one request; at most 8"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_words(body: bytes, kind: bytes, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        pictures_in(body, kind, 8, LIMITS)


def test_an_npy_of_several_is_taken_apart_without_a_copy() -> None:
    array = np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3)
    body = npy_of(array)
    found = pictures_in(body, b"image/jpeg", 3, LIMITS)
    for one, expected in zip(found, array, strict=True):
        assert isinstance(one, ReadPicture)
        assert one.header == Header("npy", 5, 4, 1, 3)
        assert one.data.obj is body
        assert np.array_equal(decode(one.data, one.header, colour="rgb"), expected)


def test_each_of_several_keeps_the_limits_of_a_picture() -> None:
    with pytest.raises(ImageTooLargeError, match="1,350 bytes; the limit is 1,000"):
        pictures_in(npy_of(np.zeros((2, 30, 15, 3), np.uint8)), b"", 3, LIMITS)
    with pytest.raises(ImageTooLargeError, match=r"15×21 = 315 pixels"):
        pictures_in(npy_of(np.zeros((2, 21, 15, 1), np.uint8)), b"", 3, LIMITS)
    with pytest.raises(UndecodableImageError, match="0×4 pixels"):
        pictures_in(npy_of(np.zeros((2, 4, 0, 1), np.uint8)), b"", 3, LIMITS)
    with pytest.raises(UndecodableImageError, match=r"shape \(4, 4, 2\); a picture is"):
        pictures_in(npy_of(np.zeros((2, 4, 4, 2), np.uint8)), b"", 3, LIMITS)


def test_a_broken_npy_is_left_to_its_header_to_refuse() -> None:
    whole = npy_of(np.zeros((2, 4, 4, 3), np.uint8))
    for body in (whole[:-1], whole[:6], npy_of(np.zeros((2, 4, 4, 3), np.float32))):
        assert pictures_in(body, b"", 3, LIMITS) == [body]


@given(st.binary(max_size=400), st.sampled_from([FORM, b"application/json", b"multipart/form-data; boundary="]))
def test_any_bytes_are_pictures_or_a_refusal(body: bytes, kind: bytes) -> None:
    try:
        assert pictures_in(body, kind, 3, LIMITS)
    except InvalidRequestError as error:
        assert str(error)


class Caller:
    """An ASGI ``receive`` that gives chunks, then leaves or hangs."""

    def __init__(self, *chunks: bytes, leaves: bool = False, hangs: bool = False) -> None:
        self.chunks = list(chunks)
        self.leaves, self.hangs = leaves, hangs
        self.taken = 0

    async def __call__(self) -> Message:
        if self.taken < len(self.chunks):
            self.taken += 1
            more = self.taken < len(self.chunks) or self.leaves or self.hangs
            return {"type": "http.request", "body": self.chunks[self.taken - 1], "more_body": more}
        if self.hangs:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}


def read(caller: Caller, declared: bytes | None = None, max_bytes: int = 100, timeout_s: float = 10.0) -> bytes:
    return asyncio.run(read_body(caller, declared, max_bytes, timeout_s, Inflow(1000)))


def test_one_chunk_is_not_copied() -> None:
    body = os.urandom(50)
    assert read(Caller(body)) is body


def test_chunks_are_joined() -> None:
    assert read(Caller(b"ab", b"", b"cd", b"e")) == b"abcde"


def test_a_declared_length_over_the_limit_is_refused_unread() -> None:
    caller = Caller(b"x")
    with pytest.raises(BodyTooLargeError, match="101"):
        read(caller, b"101")
    assert caller.taken == 0


@pytest.mark.parametrize("chunks", [(b"x" * 101,), (b"x" * 60, b"x" * 60)])
def test_a_body_over_the_limit_is_refused_however_it_comes(chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(BodyTooLargeError):
        read(Caller(*chunks), b"not a number")


@pytest.mark.parametrize("chunks", [(), (b"some",)])
def test_a_body_that_does_not_come_is_given_up(chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(BodyTimeoutError):
        read(Caller(*chunks, hangs=True), timeout_s=0.01)


@pytest.mark.parametrize("chunks", [(), (b"some",)])
def test_a_caller_who_leaves_is_noticed(chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(AbandonedError):
        read(Caller(*chunks, leaves=True))


def test_bodies_that_arrive_together_share_one_bound() -> None:
    inflow = Inflow(10)

    async def both() -> list[object]:
        first = read_body(Caller(b"12345", hangs=True), None, 100, 0.05, inflow)
        second = read_body(Caller(b"1234", b"56789"), None, 100, 10.0, inflow)
        return await asyncio.gather(first, second, return_exceptions=True)

    slow, refused = asyncio.run(both())
    assert isinstance(slow, BodyTimeoutError)
    assert isinstance(refused, OverloadedError)
    inflow.take(10)  # all of it came back
