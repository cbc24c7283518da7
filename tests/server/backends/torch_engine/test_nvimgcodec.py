"""How nvImageCodec is asked, with a module that stands in for it and keeps what it was told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch

from server.backends.torch_engine.nvimgcodec import NvImageCodec, open_decoder
from tests.pictures import encode, picture

STREAM = 4711


@dataclass
class Asked:
    """What the module was called with."""

    opened: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    batches: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


def library(asked: Asked) -> ModuleType:
    """Its names, and a decoder that works on the CPU: nothing comes back of what it cannot decode."""

    class CodeStream:
        def __init__(self, data: bytes) -> None:
            assert type(data) is bytes
            if not data.startswith(b"\xff\xd8"):
                raise RuntimeError("Failed to get image info")
            self.data = data

    class Decoder:
        def __init__(self, **options: Any) -> None:  # noqa: ANN401
            asked.opened = options

        def decode(self, streams: Sequence[CodeStream], **options: Any) -> list[object]:  # noqa: ANN401
            asked.batches.append((len(streams), options))
            return [self._one(stream.data) for stream in streams]

        def _one(self, data: bytes) -> object:
            try:
                return simplejpeg.decode_jpeg(data, asked.params["color_spec"])
            except ValueError:
                return None

    class Kinds:
        HW_GPU_ONLY, GPU_ONLY, HYBRID_CPU_GPU, CPU_ONLY = "hardware", "kernels", "hybrid", "cpu"

    class Colours:
        SRGB, GRAY = "RGB", "GRAY"

    def params(**given: Any) -> Asked:  # noqa: ANN401
        asked.params = given
        return asked

    module = ModuleType("stand_in_for_nvimgcodec")
    names = {"CodeStream": CodeStream, "Decoder": Decoder, "BackendKind": Kinds, "ColorSpec": Colours}
    vars(module).update(names | {"DecodeParams": params, "Backend": lambda kind: f"backend {kind}"})
    return module


def decoder_of(asked: Asked, channels: int = 3) -> NvImageCodec:
    return NvImageCodec(library(asked), torch.device("cuda", 2), channels, lambda: STREAM)


def test_it_is_opened_for_interpolated_colours_on_every_part_of_the_gpu_and_not_on_the_cpu() -> None:
    asked = Asked()
    decoder_of(asked)
    assert asked.opened["device_id"] == 2
    assert asked.opened["options"] == ":fancy_upsampling=1"
    assert asked.opened["backends"] == ["backend hardware", "backend kernels", "backend hybrid"]
    assert asked.opened["max_num_cpu_threads"] >= 1
    assert asked.params == {"apply_exif_orientation": False, "color_spec": "RGB"}
    decoder_of(asked, channels=1)
    assert asked.params["color_spec"] == "GRAY"


def test_a_batch_is_decoded_at_once_on_the_current_stream() -> None:
    asked = Asked()
    data = encode(picture(), "jpeg")
    pixels = decoder_of(asked).decode([data, memoryview(data)])
    assert asked.batches == [(2, {"params": asked, "cuda_stream": STREAM})]
    for one in pixels:
        assert one is not None
        np.testing.assert_array_equal(one.numpy(), simplejpeg.decode_jpeg(data))


def test_what_it_cannot_read_or_decode_is_refused_alone() -> None:
    asked = Asked()
    good = encode(picture(), "jpeg")
    told = decoder_of(asked).decode([b"no picture", good, good[:700], b"", good])
    assert [one is None for one in told] == [True, False, True, True, False]
    assert asked.batches[0][0] == 3


def test_it_is_not_bothered_with_nothing() -> None:
    asked = Asked()
    assert decoder_of(asked).decode([b"no picture"]) == [None]
    assert asked.batches == []


def test_without_the_package_nothing_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.backends.torch_engine.nvimgcodec.LIBRARY", "nvidia_that_nobody_has.nvimgcodec")
    with pytest.raises(ImportError):
        open_decoder(torch.device("cuda", 0), 3)
