"""nvJPEG through NVIDIA's nvImageCodec: the decoder of JPEGs on a GPU.

Its own order of decoders is kept: the chip's engines for JPEG where it has them, then kernels, then those that leave
Huffman's code to cores. Its CPU decoders are left out: what the GPU refuses is for ours, whose errors people know.

What is asked of it: colours brought to full resolution by interpolation, as libjpeg does (by default it repeats
pixels); no turning by EXIF, which the resizing does; RGB, or the luma alone for models of one channel.

Work is ordered by the stream that it is given, the instance's own: it waits there for what is decoded on streams of the
library, and memory is taken and given back there.
"""

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from server.backends.threads import available_cores

LIBRARY = "nvidia.nvimgcodec"
OPTIONS = ":fancy_upsampling=1"
KINDS = ("HW_GPU_ONLY", "GPU_ONLY", "HYBRID_CPU_GPU")  # the chip's engines for JPEG, kernels, kernels and cores
MOST_THREADS = 8  # of each instance; with engines for JPEG they read headers, without them also Huffman's code


class NvImageCodec:
    """A ``JpegDecoder``."""

    def __init__(
        self,
        library: ModuleType,
        place: torch.device,
        channels: int,
        stream: Callable[[], int],
        kinds: Sequence[str] = KINDS,
    ) -> None:
        """Open one.

        Args:
            library: nvImageCodec's module.
            place: the GPU.
            channels: of the model, 3 or 1.
            stream: gives the current one, as CUDA's number.
            kinds: of ``KINDS``, who may decode.
        Raises:
            RuntimeError: the library has no decoder for this device.
        """
        self._library, self._stream = library, stream
        self._decoder = library.Decoder(
            device_id=place.index or 0,
            max_num_cpu_threads=min(MOST_THREADS, available_cores()),
            backends=[library.Backend(getattr(library.BackendKind, kind)) for kind in kinds],
            options=OPTIONS,
        )
        colours = library.ColorSpec.GRAY if channels == 1 else library.ColorSpec.SRGB
        self._params = library.DecodeParams(apply_exif_orientation=False, color_spec=colours)

    def decode(self, pictures: Sequence[bytes | memoryview]) -> list[Tensor | None]:
        """See ``JpegDecoder``."""
        files = [self._file(data) for data in pictures]
        known = [file for file in files if file is not None]
        images = iter(self._decoder.decode(known, params=self._params, cuda_stream=self._stream()) if known else ())
        return [None if file is None else _tensor(next(images)) for file in files]

    def _file(self, data: bytes | memoryview) -> object | None:
        try:
            file: object = self._library.CodeStream(bytes(data))
        except RuntimeError:  # it can't read the header
            return None
        return file


def _tensor(image: object | None) -> Tensor | None:
    return None if image is None else from_dlpack(image)


def open_decoder(place: torch.device, channels: int, kinds: Sequence[str] = KINDS) -> NvImageCodec:
    """For an instance on a GPU.

    Raises:
        ImportError: nvImageCodec is not installed.
        RuntimeError: it finds no GPU, or its driver is too old.
    """
    os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")  # it prints a line for every file that is broken
    library = import_module(LIBRARY)
    return NvImageCodec(library, place, channels, lambda: int(torch.cuda.current_stream(place).cuda_stream), kinds)
