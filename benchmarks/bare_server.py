"""The least that an HTTP server in Python does with a picture: what `server_overhead` compares with.

uvicorn with uvloop and the same HTTP protocol class; one ASGI function reads the body and
the picture's header, decodes and prepares it, runs the fake engine, and answers with
the best classes as JSON, all on the event loop. No queue, no threads, no batches, no
deadlines, no limits beyond the header's, no metrics, no log, no timings, no request ids.
"""

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvicorn

from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import prepare
from model_zoo.store import Store
from model_zoo.top_k import activate, top_k
from server.config import Config
from server.http_protocol import HttpProtocol
from server.loading import load

TOP_K = 5
Asgi = Callable[
    [dict[str, Any], Callable[[], Awaitable[dict[str, Any]]], Callable[..., Awaitable[None]]], Awaitable[None]
]


def bare_app(store: Path) -> Asgi:
    """The one function, of the first bundle of a store on the fake engine."""
    stored = Store(store)
    bundle = stored.open(stored.names()[0])
    engine = load(Config(backend="fake"), bundle).backends[0]
    spec, limits = bundle.spec, PictureLimits()
    batch = np.empty((1, spec.input.height, spec.input.width, spec.input.channels), np.uint8)

    async def app(
        scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Callable[..., Awaitable[None]]
    ) -> None:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        reply = b"{}"
        if body:
            header = read_header(body, limits)
            batch[0] = prepare(body, header, spec.input)
            scores = activate(engine.run(batch)[0], spec.outputs[0].activation)[0]
            indices, values = top_k(scores, TOP_K)
            best = [
                {"index": index, "label": bundle.labels[index], "score": score}
                for index, score in zip(indices.tolist(), values.tolist(), strict=True)
            ]
            reply = orjson.dumps({"results": [{"predictions": best, "width": header.width, "height": header.height}]})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    return app


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    flags = parser.parse_args()
    uvicorn.run(
        bare_app(flags.store),  # type: ignore[arg-type]
        host=flags.host,
        port=flags.port,
        http=HttpProtocol,
        ws="none",
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_level="error",
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
