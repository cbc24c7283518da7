"""Loads for the programs here: which pictures, and ``quickeye loadtest``'s own client against a ``Served``."""

import argparse
import asyncio
import io
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import uvloop
from PIL import Image

from benchmarks.served import Served
from server.load.report import LoadReport
from server.load.run import LoadPlan
from server.loadtest import parse_target, read_pictures, run_load

CLIENT_TIMEOUT_S = 10.0
FORM = "multipart/form-data; boundary=3f1d6b0c9e2a47f58c74"


def add_serving_flags(parser: argparse.ArgumentParser) -> None:
    """Which pictures, which store, which engine, and any other flag of ``quickeye serve``."""
    parser.add_argument("--images", type=Path, metavar="DIR", help="pictures to send (default: scikit-learn's photos)")
    parser.add_argument("--store", metavar="DIR", help="folder of bundles (default: the shipped ones)")
    parser.add_argument("--model", metavar="NAME", help="model of the store")
    parser.add_argument("--backend", metavar="NAME", help="engine")
    parser.add_argument("serve_flags", nargs="*", metavar="-- FLAG", help="more flags for quickeye serve, after --")


def serving_flags(flags: argparse.Namespace) -> list[str]:
    """The flags for ``quickeye serve`` that ``add_serving_flags`` found."""
    named = {"--store": flags.store, "--model": flags.model, "--backend": flags.backend}
    return [word for name, value in named.items() if value for word in (name, value)] + flags.serve_flags


def photos(folder: Path | None) -> list[bytes]:
    """The pictures of a folder; without one, the two JPEG photos (640×427) that scikit-learn brings.

    Raises:
        SystemExit: there is neither.
    """
    if folder is None:
        sklearn = find_spec("sklearn")
        if sklearn is None or sklearn.origin is None:
            raise SystemExit("name pictures with --images DIR, or install scikit-learn for its photos")
        folder = Path(sklearn.origin).parent / "datasets" / "images"
    try:
        return read_pictures(folder)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error


def small_jpeg(max_bytes: int, side: int = 96) -> bytes:
    """A thumbnail-like JPEG, side × side px, of the best quality that fits in ``max_bytes``."""
    ramp = np.linspace(0, 255, side)
    noise = np.random.default_rng(0).normal(0, 12, (side, side, 3))
    smooth = np.stack([ramp[:, None] + 0 * ramp, ramp[None, :] + 0 * ramp[:, None], np.add.outer(ramp, ramp) / 2], -1)
    image = Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))
    best = b""
    for quality in range(5, 96):
        encoded = io.BytesIO()
        image.save(encoded, "JPEG", quality=quality)
        if encoded.tell() <= max_bytes:
            best = encoded.getvalue()
    if not best:
        raise SystemExit(f"no JPEG of {side}×{side} px fits in {max_bytes} bytes")
    return best


def form_of(pictures: list[bytes]) -> bytes:
    """The body of one request with all of them; its Content-Type is ``FORM``."""
    files = [("file", ("picture", data)) for data in pictures]
    return httpx.Request("POST", "http://form", files=files, headers={"Content-Type": FORM}).read()


def run(served: Served, bodies: list[bytes], plan: LoadPlan, content_type: str | None = None) -> LoadReport:
    """Load the server's ``/v1/predict`` with pictures, or with bodies of another type.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    target = parse_target(served.url, {})
    if content_type is not None:
        target = replace(target, content_type=content_type)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(run_load(served.url, target, bodies, plan, CLIENT_TIMEOUT_S))
    if report.tally.interrupted:
        raise KeyboardInterrupt
    return report
