"""CUDA's device, as far as it can be told without one."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from server.backends.torch_engine.device import CudaDevice


def test_living_instances_have_streams_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch hands out a few in turns, whoever still has them."""
    handles = itertools.cycle(range(3))
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: SimpleNamespace(cuda_stream=next(handles)))
    monkeypatch.setattr(torch.cuda, "Event", lambda **_: None)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    first, second = CudaDevice(0), CudaDevice(0)
    for _ in range(5):
        third = CudaDevice(0)
        handle = {one._stream.cuda_stream for one in (first, second, third)}
        assert len(handle) == 3
        del third
    elsewhere = [CudaDevice(1) for _ in range(3)]
    assert len({one._stream.cuda_stream for one in elsewhere}) == 3
    more = [CudaDevice(1) for _ in range(2)]
    assert {one._stream.cuda_stream for one in more} <= {0, 1, 2}, "with none left they share"
