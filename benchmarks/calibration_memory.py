"""Does calibrating on more pictures take more memory? ``python -m benchmarks.calibration_memory``

EfficientNet-Lite0, or another network, at a small input, quantised by pictures that are drawn when they are
asked for; each number of pictures in a process of its own, whose largest size is read off at the end. Drawing
them costs the same for all, so what differs is what the pass holds.
"""

import argparse
import multiprocessing
import resource
import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import add_json_flag, publish, verdict

BAR = 1.2


class Drawn:
    """N pictures of coloured noise over slopes, each made from its number."""

    def __init__(self, count: int, side: int, channels: int) -> None:
        self.shape = (count, side, side, channels)
        self.dtype: np.dtype[np.uint8] = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice, /) -> NDArray[np.uint8]:
        found = [self._one(number) for number in range(len(self))[part]]
        return np.stack(found) if found else np.zeros((0, *self.shape[1:]), np.uint8)

    def _one(self, number: int) -> NDArray[np.uint8]:
        random = np.random.default_rng(number)
        _, height, width, channels = self.shape
        slope = (
            np.linspace(*random.uniform(0, 255, 2), width) + np.linspace(*random.uniform(-60, 60, 2), height)[:, None]
        )
        noise = random.normal(0, 30, (height, width, channels))
        return np.clip(slope[:, :, None] * random.uniform(0.5, 1.2, channels) + noise, 0, 255).astype(np.uint8)


def peak_mb(network: str, count: int, side: int) -> tuple[float, float]:
    """(largest size of the process in MB, seconds of the pass)."""
    import torch

    from model_zoo.architectures import build, input_spec
    from model_zoo.export import export_onnx
    from optimize.passes.quantize_int8 import QuantizeInt8, quantize_int8

    torch.manual_seed(0)
    spec = input_spec(network).at_size(side, side)
    model = export_onnx(build(network, 10).eval(), spec)
    begun = time.perf_counter()
    quantize_int8(model, Drawn(count, side, spec.channels), QuantizeInt8())
    taken = time.perf_counter() - begun
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, taken


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="efficientnet_lite0", metavar="NAME", help="of the zoo")
    parser.add_argument("--side", type=int, default=64, help="of the input, px")
    parser.add_argument("--pictures", type=int, nargs=2, default=[64, 3000], metavar="N", help="the few, and the many")
    add_json_flag(parser)
    flags = parser.parse_args()
    rows = []
    for count in flags.pictures:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peak, seconds = pool.apply(peak_mb, (flags.network, count, flags.side))
        rows.append({"pictures": count, "peak_mb": round(peak), "seconds": round(seconds)})
    ratio = rows[1]["peak_mb"] / rows[0]["peak_mb"]
    lines = [f"  {one['pictures']:5} pictures: {one['peak_mb']} MB at most, {one['seconds']} s" for one in rows]
    lines.append(f"  the many over the few: {ratio:.2f} (bar {BAR}): {verdict(ratio, BAR)}")
    publish(
        {"network": flags.network, "side": flags.side, "rows": rows, "ratio": round(ratio, 3)},
        lines,
        as_json=flags.json,
    )


if __name__ == "__main__":
    main()
