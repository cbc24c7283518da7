"""A decoder for JPEGs, where there is one that opens and passes its proof."""

import logging

from model_zoo.spec import InputSpec
from server.backends.extras import Decode
from server.backends.torch_engine.device import TorchDevice
from server.backends.torch_engine.jpegs import JpegDecoder, refuse_other_pixels
from server.backends.torch_engine.nvimgcodec import KINDS, open_decoder

log = logging.getLogger("quickeye.backends")


def proven_decoder(
    engine: str, device: TorchDevice, spec: InputSpec, where: Decode, *, resizes: bool
) -> JpegDecoder | None:
    """For an instance of ``engine``; None where the CPU is to decode, which the log says the reason of.

    ``resizes``: whether the instance resizes pictures on its device. One that doesn't would have to bring them back.
    """
    if where == "cpu":
        return None
    told = f"{engine} on {device.place}: JPEGs are decoded by the CPU"
    if not resizes:
        log.info("%s, as it resizes the pictures", told)
        return None
    reasons: list[str] = []
    for kinds in (KINDS, KINDS[1:]):  # the chip's engines may bring colours to full resolution in a way of their own
        try:
            decoder = open_decoder(device.place, spec.channels, kinds)
            refuse_other_pixels(device, decoder, spec)
        except ImportError as error:
            level = logging.WARNING if where == "gpu" else logging.INFO
            log.log(level, "%s: nvImageCodec is not installed (%s)", told, error)
            return None
        except Exception as error:  # noqa: BLE001 - drivers and libraries fail in any way
            device.release()
            reasons.append(" ".join(str(error).split())[:400])
        else:
            if reasons:
                log.warning("%s on %s: the chip's JPEG engines are not used: %s", engine, device.place, reasons[0])
            return decoder
    log.warning("%s: %s", told, "; without the chip's JPEG engines: ".join(dict.fromkeys(reasons)))
    return None
