"""Codes on disk and values made anew, against plain tensors."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from optimize.passes import streamed
from optimize.passes.streamed import Codes, Values


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_codes_come_back_as_they_went_even_to_two_readers(dtype: torch.dtype) -> None:
    tensor = torch.randint(0, int(torch.iinfo(dtype).max), (11, 3, 2), dtype=dtype)
    codes = Codes(iter(tensor.transpose(1, 2).split(4)))
    assert len(codes) == 11
    first, second = iter(codes), iter(codes)
    pairs = list(zip(first, second, strict=True))
    torch.testing.assert_close(torch.cat([one for one, _ in pairs]), tensor.transpose(1, 2))
    torch.testing.assert_close(torch.cat([two for _, two in pairs]), tensor.transpose(1, 2))
    codes.close()


@pytest.mark.parametrize(("kept_bytes", "made"), [(1 << 20, 1), (30, 3)])
def test_values_are_kept_where_they_are_few_and_made_again_where_not(
    monkeypatch: pytest.MonkeyPatch, kept_bytes: int, made: int
) -> None:
    monkeypatch.setattr(streamed, "KEPT_BYTES", kept_bytes)
    tensor, calls = torch.randn(4, 3, dtype=torch.float64), []

    def make() -> Iterator[Tensor]:
        calls.append(1)
        yield from tensor.split(2)

    values = Values(make)
    for _ in range(3):
        torch.testing.assert_close(torch.cat(list(values)), tensor.float())
    assert len(calls) == made


def test_a_reader_that_stops_early_does_not_pass_for_all_there_is() -> None:
    values = Values(lambda: iter(torch.arange(6.0).split(2)))
    next(iter(values))
    assert torch.cat(list(values)).tolist() == [0, 1, 2, 3, 4, 5]
