"""Bodies of megabytes, one after the other: the process does not ask the kernel for fresh memory each time."""

import ctypes
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import npy_of
from tests.server.running import Running, serving

HAS_GLIBC = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
BODIES, PICTURES, SIDE = 12, 32, 256


def minor_faults(server: Running) -> int:
    text = Path(f"/proc/{server.process.pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[7])


@pytest.mark.skipif(not HAS_GLIBC, reason="this C library is not glibc")
def test_their_memory_is_used_again(colour_store: Path, tmp_path: Path) -> None:
    body = npy_of(np.zeros((PICTURES, SIDE, SIDE, 3), np.uint8))
    pages = BODIES * len(body) / os.sysconf("SC_PAGE_SIZE")

    def post() -> int:
        reply = client.post("/v1/predict", content=body)
        assert reply.status_code == 200, reply.text
        return len(reply.json()["results"])

    flags = ["--store", str(colour_store), "--backend", "onnxruntime", "--max-images-per-request", str(PICTURES)]
    with serving(tmp_path, *flags) as server, server.client() as client:
        assert [post() for _ in range(4)] == [PICTURES] * 4
        before = minor_faults(server)
        for _ in range(BODIES):
            post()
        assert minor_faults(server) - before < pages / 4
