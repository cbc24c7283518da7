"""In which order ways to run are tried, and what each asks of ONNX Runtime."""

import pytest

from server.backends.bound.ways import LINE, Way, asked_for, ways
from server.backends.errors import BackendLoadError
from server.backends.onnxruntime_providers import NAMES, Provider

CUDA, TENSORRT, CPU = NAMES["cuda"], NAMES["tensorrt"], NAMES["cpu"]


def labels(provider: str, single: bool = False, **extras: str) -> list[str]:
    return [way.label for way in ways(provider, single, extras)]


def test_cuda_tries_recorded_and_channels_last_first() -> None:
    assert labels(CUDA) == ["graph+nhwc", "nhwc", "graph", "plain"]


def test_what_a_setting_names_is_done_so_and_no_other_way() -> None:
    assert labels(CUDA, cuda_graphs="0") == ["nhwc", "plain"]
    assert labels(CUDA, cuda_graphs="1") == ["graph+nhwc", "graph"]
    assert labels(CUDA, nhwc="0") == ["graph", "plain"]
    assert labels(CUDA, nhwc="1", cuda_graphs="1") == ["graph+nhwc"]


def test_tensorrt_is_recorded_only_where_one_size_is_prepared() -> None:
    assert labels(TENSORRT) == ["plain"]
    assert labels(TENSORRT, single=True) == ["graph", "plain"]


def test_a_cpu_runs_plainly_and_says_so_when_asked_for_more() -> None:
    assert labels(CPU) == ["plain"]
    with pytest.raises(BackendLoadError, match=r"onnxruntime.cuda_graphs=1: CPUExecutionProvider has no such way"):
        ways(CPU, False, {"cuda_graphs": "1"})
    with pytest.raises(BackendLoadError, match=r"onnxruntime.nhwc=1: TensorrtExecutionProvider has no such way"):
        ways(TENSORRT, True, {"nhwc": "1"})
    with pytest.raises(BackendLoadError, match=r"'onnxruntime.nhwc' must be 1 or 0, not 'maybe'"):
        ways(CUDA, False, {"nhwc": "maybe"})


@pytest.mark.parametrize("way", LINE, ids=[way.label for way in LINE])
def test_cuda_is_told_of_graphs_layout_and_stream(way: Way) -> None:
    told, rest = asked_for([Provider(CUDA, {"device_id": "1"}), Provider(CPU)], way, 77)
    wanted = {"device_id": "1", "has_user_compute_stream": "1", "user_compute_stream": "77"}
    wanted |= {"enable_cuda_graph": "1"} if way.recorded else {}
    wanted |= {"prefer_nhwc": "1"} if way.channels_last else {}
    assert told.options == wanted
    assert rest == Provider(CPU)


def test_behind_tensorrt_cuda_shares_its_stream_and_records_nothing() -> None:
    first, second = asked_for([Provider(TENSORRT), Provider(CUDA)], Way(recorded=True), 77)
    assert first.options == {"trt_cuda_graph_enable": "True", "user_compute_stream": "77"}
    assert second.options == {"has_user_compute_stream": "1", "user_compute_stream": "77"}


def test_without_a_stream_the_provider_makes_its_own() -> None:
    assert asked_for([Provider(CUDA)], Way(), 0) == [Provider(CUDA)]
