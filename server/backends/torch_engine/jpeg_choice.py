"""Who decodes JPEGs: what the setting says, and whether the device's decoder opens and passes its proof."""

import logging

from model_zoo.spec import InputSpec
from server.backends.errors import BackendLoadError
from server.backends.torch_engine.device import TorchDevice
from server.backends.torch_engine.jpegs import DECODE, Decode, JpegDecoder, refuse_other_pixels
from server.backends.torch_engine.nvimgcodec import open_decoder

log = logging.getLogger("quickeye.backends")


def decode_choice(setting: str, text: str, device: TorchDevice) -> Decode:
    """``text``, where it is one of the choices; ``auto`` is ``cpu`` on a CPU.

    Raises:
        BackendLoadError: it is none.
    """
    for where in DECODE:
        if text == where:
            return "cpu" if where == "auto" and device.place.type != "cuda" else where
    raise BackendLoadError(f"'{setting}' must be one of {', '.join(DECODE)}, not '{text}'")


def proven_decoder(device: TorchDevice, spec: InputSpec, where: Decode) -> JpegDecoder | None:
    """For an instance that resizes on its device; None where the CPU is to decode, which the log says the reason of."""
    if where == "cpu":
        return None
    place = device.place
    try:
        decoder = open_decoder(place, spec.channels)
        refuse_other_pixels(device, decoder, spec)
    except ImportError as error:
        level = logging.WARNING if where == "gpu" else logging.INFO
        log.log(level, "torch on %s: JPEGs are decoded by the CPU: nvImageCodec is not installed (%s)", place, error)
    except Exception as error:  # noqa: BLE001 - drivers and libraries fail in any way
        device.release()
        log.warning("torch on %s: JPEGs are decoded by the CPU: %s", place, " ".join(str(error).split())[:400])
    else:
        return decoder
    return None
