"""JPEGs decoded on the device: the proof at load, the setting, and what becomes of pictures that lie there."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_zoo.architectures import ARCHITECTURES
from model_zoo.bundle import Bundle
from model_zoo.header import Header, PictureLimits, read_header
from model_zoo.preprocess import Stored, decode_for, prepare_reference
from model_zoo.spec import InputSpec, Resize
from server.backends import BackendOptions, DecodingBackend, decoding
from server.backends.errors import BackendError, BackendLoadError
from server.backends.extras import Decode
from server.backends.onnxruntime import load as load_onnxruntime
from server.backends.torch import load as load_torch
from server.backends.torch_engine.device import CpuDevice
from server.backends.torch_engine.jpegs import decoded_on, refuse_other_pixels
from server.backends.torch_engine.proven_decoder import proven_decoder
from server.backends.torch_engine.resizing import Resizing
from tests.pictures import encode, oriented, picture
from tests.server.fake_bundles import MeanColour
from tests.server.fake_jpeg_decoder import FakeJpegDecoder

ENGINES = {"torch": load_torch, "onnxruntime": load_onnxruntime}
SETTINGS = {"preprocess": "exact", "decode": "gpu"}
KIND = MeanColour(network=True, height=32, width=24)
DEVICE = CpuDevice(1)


def input_of(channels: int = 3) -> InputSpec:
    return replace(KIND.input, channels=channels, colour="grey" if channels == 1 else "rgb")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setitem(ARCHITECTURES, "mean_colour", "tests.server.mean_colour_network:mean_colour")
    return KIND.write(tmp_path)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Those that take pictures from a device's decoder."""
    name: str = request.param
    return name


@pytest.fixture
def opened(bundle: Bundle, engine: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DecodingBackend | None]:
    """Loads the bundle with a decoder in place of nvJPEG."""

    def open_with(decoder: FakeJpegDecoder | Exception, **extra: str) -> DecodingBackend | None:
        def open_decoder(place: torch.device, channels: int, kinds: Sequence[str]) -> FakeJpegDecoder:
            if isinstance(decoder, Exception):
                raise decoder
            return decoder

        monkeypatch.setattr("server.backends.torch_engine.proven_decoder.open_decoder", open_decoder)
        own = {f"{engine}.{key}": value for key, value in (SETTINGS | extra).items()}
        if engine == "onnxruntime":
            own["onnxruntime.memory"] = "torch"
        return decoding(ENGINES[engine](bundle, BackendOptions("cpu", 1, 8, own)))

    return open_with


def headed(data: bytes) -> tuple[bytes, Header]:
    return data, read_header(data, PictureLimits())


@pytest.mark.parametrize("channels", [3, 1])
def test_the_cpu_s_pixels_pass_and_those_of_another_transform(channels: int) -> None:
    refuse_other_pixels(DEVICE, FakeJpegDecoder(channels), input_of(channels))
    refuse_other_pixels(DEVICE, FakeJpegDecoder(channels, fastdct=True), input_of(channels))


def test_repeated_colours_do_not_pass() -> None:
    with pytest.raises(RuntimeError, match=r"differ from the CPU's by 4\.\d levels, at worst by \d\d \(420\)"):
        refuse_other_pixels(DEVICE, FakeJpegDecoder(fastupsample=True), input_of())


def few_are_off(pixels: Tensor) -> Tensor:
    pixels[:2, :2] += 13
    return pixels


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda pixels: pixels.flip(2), "differ from the CPU's"),
        (few_are_off, "at worst by"),
        (lambda pixels: pixels.clamp(max=250) + 2, "by 2.0 levels"),
        (lambda pixels: pixels.transpose(0, 1), "does not decode a plain JPEG"),
        (lambda pixels: pixels.float(), "does not decode a plain JPEG"),
    ],
    ids=["blue for red", "a few", "all a little", "turned", "floats"],
)
def test_other_pixels_do_not_pass(changed: Callable[[Tensor], Tensor], said: str) -> None:
    decoder = FakeJpegDecoder()
    decoder.changed = changed
    with pytest.raises(RuntimeError, match=said):
        refuse_other_pixels(DEVICE, decoder, input_of())


def test_a_decoder_that_refuses_plain_ones_does_not_pass() -> None:
    decoder = FakeJpegDecoder()
    decoder.refuses = lambda data: True
    with pytest.raises(RuntimeError, match=r"does not decode a plain JPEG \(420\)"):
        refuse_other_pixels(DEVICE, decoder, input_of())


def test_what_fails_the_proof_is_not_used(
    opened: Callable[..., DecodingBackend | None], caplog: pytest.LogCaptureFixture
) -> None:
    assert opened(FakeJpegDecoder(fastupsample=True)) is None
    assert "JPEGs are decoded by the CPU: decoded pixels differ" in caplog.text
    broken = FakeJpegDecoder()
    broken.fails = RuntimeError("no driver\nhere")
    assert opened(broken) is None
    assert "JPEGs are decoded by the CPU: no driver here" in caplog.text


def test_where_the_chip_s_engines_fail_the_proof_its_kernels_decode(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = FakeJpegDecoder()

    def open_decoder(place: torch.device, channels: int, kinds: Sequence[str]) -> FakeJpegDecoder:
        return FakeJpegDecoder(fastupsample=True) if "HW_GPU_ONLY" in kinds else kernels

    monkeypatch.setattr("server.backends.torch_engine.proven_decoder.open_decoder", open_decoder)
    assert proven_decoder("torch", DEVICE, KIND.input, "auto", resizes=True) is kernels
    assert "torch on cpu: the chip's JPEG engines are not used: decoded pixels differ" in caplog.text


@pytest.mark.parametrize(("where", "level"), [("auto", logging.INFO), ("gpu", logging.WARNING)])
def test_a_package_that_is_missing_is_a_remark_unless_it_was_asked_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, where: Decode, level: int
) -> None:
    monkeypatch.setattr("server.backends.torch_engine.nvimgcodec.LIBRARY", "nvidia_that_nobody_has.nvimgcodec")
    with caplog.at_level(logging.INFO, "quickeye.backends"):
        assert proven_decoder("torch", DEVICE, KIND.input, where, resizes=True) is None
    (told,) = [record for record in caplog.records if "nvImageCodec is not installed" in record.message]
    assert told.levelno == level


def test_nothing_is_decoded_there_unless_it_is_resized_there(
    opened: Callable[..., DecodingBackend | None], engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    decoder = FakeJpegDecoder()
    with caplog.at_level(logging.INFO, "quickeye.backends"):
        assert opened(decoder, preprocess="cpu") is None
    assert f"{engine} on cpu: JPEGs are decoded by the CPU, as it resizes the pictures" in caplog.text
    assert opened(decoder, decode="cpu") is None
    assert opened(decoder, decode="auto") is None  # on a CPU
    assert decoder.batches == []
    with pytest.raises(BackendLoadError, match=rf"'{engine}.decode' must be one of auto, gpu, cpu, not 'both'"):
        opened(decoder, decode="both")


def test_decoded_there_or_here_a_picture_has_the_same_answer(opened: Callable[..., DecodingBackend | None]) -> None:
    backend = opened(FakeJpegDecoder())
    assert backend is not None and not backend.shares_decoding
    spec = KIND.input
    files = [oriented("jpeg", orientation) for orientation in range(1, 5)]
    files += [encode(picture(90, 61), "jpeg"), encode(picture(31, 200).convert("L"), "jpeg")]
    here = [decode_for(*headed(data), spec) for data in files]
    there = backend.decode([headed(data) for data in files])
    assert all(one is not None and isinstance(one.pixels, Tensor) for one in there)
    mixed = [one or other for one, other in zip([there[0], None, *there[2:5], None], here, strict=True)]
    expected = backend.run_stored(here)[0]
    np.testing.assert_allclose(backend.run_stored([one for one in there if one])[0], expected, atol=2e-3)
    np.testing.assert_allclose(backend.run_stored(mixed)[0], expected, atol=2e-3)
    np.testing.assert_allclose(backend.run_stored(mixed[::-1])[0], expected[::-1], atol=2e-3)
    np.testing.assert_allclose(backend.run_stored(here)[0], expected)  # nothing is left of the batch before


def test_more_than_there_is_room_for_goes_in_turns(
    opened: Callable[..., DecodingBackend | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("backend", "bound_memory"):
        monkeypatch.setattr(f"server.backends.torch_engine.{module}.PACKED_LEAST_BYTES", 0)
        monkeypatch.setattr(f"server.backends.torch_engine.{module}.PACKED_BYTES_EACH", 30_000)
    backend = opened(FakeJpegDecoder())
    assert backend is not None
    assert backend.decoded_bytes == backend.largest_picture_bytes < 240_000
    files = [headed(encode(picture(200, 150), "jpeg")), headed(encode(picture(150, 200), "jpeg"))] * 4  # 90 kB each
    pictures = [one for one in backend.decode(files) if one is not None]
    alone = np.concatenate([backend.run_stored([one])[0] for one in pictures])
    np.testing.assert_allclose(backend.run_stored(pictures)[0], alone, atol=1e-4)


def test_refused_and_odd_pictures_are_told_apart(opened: Callable[..., DecodingBackend | None]) -> None:
    decoder = FakeJpegDecoder()
    backend = opened(decoder)
    assert backend is not None
    good, bad = encode(picture(64, 48), "jpeg"), encode(picture(48, 64), "jpeg")
    decoder.refuses = lambda data: data == bad
    assert [one is None for one in backend.decode([headed(good), headed(bad), headed(good)])] == [False, True, False]
    other_size = headed(good)[1]._replace(width=65)
    assert backend.decode([(good, other_size)]) == [None]


def test_a_decoder_that_fails_says_so_and_may_be_asked_again(
    opened: Callable[..., DecodingBackend | None], engine: str
) -> None:
    decoder = FakeJpegDecoder()
    backend = opened(decoder)
    assert backend is not None
    files = [headed(encode(picture(), "jpeg"))]
    decoder.fails = RuntimeError("out of memory\non the device")
    with pytest.raises(BackendError, match=f"{engine} could not decode 1 JPEGs: out of memory on the device"):
        backend.decode(files)
    decoder.fails = None
    assert backend.decode(files)[0] is not None
    decoder.decode = lambda pictures: []  # type: ignore[method-assign]
    with pytest.raises(BackendError, match="0 pictures came back of 1"):
        backend.decode(files)
    backend.close()
    with pytest.raises(BackendError, match=r"decodes nothing|is closed"):
        backend.decode(files)


def test_their_memory_is_not_kept_once_they_were_copied() -> None:
    spec = replace(KIND.input, resize=Resize("stretch", 32))
    resizing = Resizing(spec, 2, 100_000, DEVICE, exact=True)
    pixels = torch.zeros((20, 30, 3), dtype=torch.uint8)
    assert resizing.pack([Stored(pixels, 20, 30, 8, 1)]) == 1
    resizing.copy_in(1)
    assert resizing._decoded_there == [] == resizing._places_there


def resized(resizing: Resizing, count: int) -> NDArray[np.int16]:
    pixels = torch.zeros((count, KIND.height, KIND.width, 3), dtype=torch.uint8)
    resizing.copy_in(count)
    resizing.resize_into(pixels)
    return pixels.numpy().astype(np.int16)


def test_they_are_turned_and_resized_as_the_cpu_does() -> None:
    files = [headed(oriented("jpeg", orientation)) for orientation in range(1, 9)]
    resizing = Resizing(KIND.input, 8, 200_000, DEVICE, exact=True)
    there = [one for one in decoded_on(DEVICE, FakeJpegDecoder(), files, 3) if one is not None]
    assert resizing.pack(there) == 8
    told = resized(resizing, 8)
    for one, (data, header) in zip(told, files, strict=True):
        np.testing.assert_allclose(one, prepare_reference(data, header, KIND.input), atol=1)


def test_a_batch_that_was_packed_and_not_run_leaves_nothing() -> None:
    """In a buffer that two pictures fill, the places of one batch are the other's."""
    resizing = Resizing(KIND.input, 2, 3632, DEVICE, exact=True)
    white, black = (torch.full((20, 30, 3), level, dtype=torch.uint8) for level in (255, 0))
    assert resizing.pack([Stored(white, 20, 30, 8, 1)] * 2) == 2
    assert resizing.pack([Stored(black.numpy(), 20, 30, 8, 1)] * 2) == 2
    assert not resized(resizing, 2).any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available() or find_spec("nvidia") is None, reason="there is no GPU")
def test_on_a_gpu_nvjpeg_decodes_and_refuses(bundle: Bundle, engine: str) -> None:
    options = BackendOptions("cuda", 1, 16, {"torch.mode": "graph", f"{engine}.decode": "gpu"})
    backend = decoding(ENGINES[engine](bundle, options))
    assert backend is not None
    whole = encode(picture(640, 480), "jpeg")
    broken = whole[:600] + whole[-600:]
    files = [headed(oriented("jpeg", orientation)) for orientation in range(1, 9)]
    there = backend.decode([*files, (broken, headed(whole)[1]), headed(whole)])
    good = [one for one in [*there[:8], there[9]] if one is not None]
    assert len(good) == 9
    here = [decode_for(*one, KIND.input) for one in [*files, headed(whole)]]
    np.testing.assert_allclose(backend.run_stored(good)[0], backend.run_stored(here)[0], atol=0.05)
    assert len(backend.decode(files)) == 8
