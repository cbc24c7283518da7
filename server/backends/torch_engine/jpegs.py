"""JPEGs decoded on the device: what is asked of a decoder, and the proof that it gives the CPU's pixels.

``JpegDecoder`` is the seam: the real one is nvJPEG's (``nvimgcodec.py``); the tests have one that decodes on the CPU,
refuses, fails or is wrong when asked to.

The proof. No two decoders give the same levels: each rounds in its own way after the cosine transform, after bringing
the colours to full resolution and after turning them into red, green and blue. libjpeg-turbo's own quicker transform is
off by 1 level in the mean and 5 at worst from its exact one, on the pictures below. What must not pass is colours
brought up by repeating pixels, where the CPU interpolates: that costs accuracy, and is off by 2.7 levels in the mean
and 28 at worst at 4:2:2, by 4.3 and 70 at 4:2:0. The limits lie between the two.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_zoo.decode import decode
from model_zoo.header import Header, PictureLimits, read_header
from model_zoo.preprocess import Stored
from model_zoo.spec import InputSpec
from server.backends.torch_engine.device import TorchDevice

MEAN_LEVELS, WORST_LEVELS = 1.5, 12  # of 0-255
# Height, width and how colours are stored; "Gray" is a picture without any.
PROOF = ((240, 320, "420"), (243, 321, "420"), (241, 319, "422"), (240, 320, "444"), (242, 321, "Gray"))


class JpegDecoder(Protocol):
    """One instance's, on its device. Used by one thread at a time."""

    def decode(self, pictures: Sequence[bytes | memoryview]) -> list[Tensor | None]:
        """Decode plain JPEGs; the work is on, or waited for by, the device's current stream.

        Returns:
            One for each: uint8 (H, W, channels of the model) on the device, as stored, without EXIF's turn; None where
            it is refused.
        Raises:
            Exception: any; nothing was decoded.
        """


def decoded_on(
    device: TorchDevice, decoder: JpegDecoder, pictures: Sequence[tuple[bytes | memoryview, Header]], channels: int
) -> list[Stored | None]:
    """As ``DecodingBackend.decode``: what has another size than its header said is refused, too.

    It is waited for: whoever shares pictures out must know how long the device really took, and a fault of the device
    is a fault of these pictures, not of the network's run after them.

    Raises:
        RuntimeError: another number of pictures came back.
        Exception: the decoder's.
    """
    with torch.inference_mode(), device.stream():
        told = decoder.decode([data for data, _ in pictures])
        device.wait()
    if len(told) != len(pictures):
        raise RuntimeError(f"{len(told)} pictures came back of {len(pictures)}")
    return [_stored(pixels, header, channels) for pixels, (_, header) in zip(told, pictures, strict=True)]


def _stored(pixels: Tensor | None, header: Header, channels: int) -> Stored | None:
    if pixels is None or pixels.dtype != torch.uint8:
        return None
    if tuple(pixels.shape) != (header.height, header.width, channels):
        return None
    return Stored(pixels, header.height, header.width, 8, header.orientation)


def refuse_other_pixels(device: TorchDevice, decoder: JpegDecoder, spec: InputSpec) -> None:
    """Hold a few pictures against the CPU's: settings, drivers and chips can be wrong about colours.

    Raises:
        RuntimeError: it refuses one, or they differ by more than they may.
        Exception: the decoder's.
    """
    files = [proof_jpeg(height, width, colours) for height, width, colours in PROOF]
    headed = [(data, read_header(data, PictureLimits())) for data in files]
    told = decoded_on(device, decoder, headed, spec.channels)
    for (data, header), one, (_, _, colours) in zip(headed, told, PROOF, strict=True):
        if one is None or not isinstance(one.pixels, Tensor):
            raise RuntimeError(f"it does not decode a plain JPEG ({colours})")
        with device.stream():
            ours = one.pixels.cpu().numpy()
        mean, worst = difference(ours, decode(data, header._replace(orientation=1), colour=spec.colour))
        if mean > MEAN_LEVELS or worst > WORST_LEVELS:
            raise RuntimeError(
                f"decoded pixels differ from the CPU's by {mean:.1f} levels, at worst by {worst} ({colours})"
            )


def difference(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> tuple[float, int]:
    """Mean and worst, in levels of 0-255."""
    off = np.abs(ours.astype(np.int16) - theirs)
    return float(off.mean()), int(off.max())


def proof_jpeg(height: int, width: int, colours: str) -> bytes:
    """Smooth, with noise on it and a red field, whose edges show how colours are brought up; always the same."""
    down, across = np.mgrid[0:height, 0:width]
    waves = [np.sin(down / 9) * np.cos(across / 7), np.cos(down / 5 + across / 11), np.sin(across / 6 - down / 8)]
    levels = 128 + 90 * np.stack(waves, axis=2)
    levels[height // 3 : height // 2, width // 4 : width // 2] = (230, 20, 40)
    levels += np.random.default_rng(height * width).normal(0, 6, levels.shape)
    pixels = np.clip(levels, 0, 255).astype(np.uint8)
    if colours == "Gray":
        pixels = pixels[:, :, :1].copy()
    colourspace = "GRAY" if colours == "Gray" else "RGB"
    encoded: bytes = simplejpeg.encode_jpeg(pixels, 90, colourspace, colours)
    return encoded
