"""Ways to run a graph on a GPU, best first: recorded or not, channels last or first.

1. recorded as CUDA graphs, convolutions channels-last
2. channels-last
3. recorded
4. neither

A kernel that can't be recorded, or a graph with nodes on the CPU, ends at 2; a channels-last kernel that is missing or
wrong, at 3. What a setting names is done that way or not at all.

TensorRT chooses layouts itself, and its provider keeps one recording whatever the size: it is recorded only where a
single size is prepared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.backends.errors import BackendLoadError
from server.backends.extras import as_flag
from server.backends.onnxruntime_providers import NAMES, Provider

CUDA, TENSORRT = NAMES["cuda"], NAMES["tensorrt"]
_RECORDS = {CUDA: ("enable_cuda_graph", "1"), TENSORRT: ("trt_cuda_graph_enable", "True")}


@dataclass(frozen=True, slots=True)
class Way:
    """One of them."""

    recorded: bool = False
    channels_last: bool = False

    @property
    def label(self) -> str:
        """For people: ``graph+nhwc``, ``nhwc``, ``graph`` or ``plain``."""
        return "+".join(["graph"] * self.recorded + ["nhwc"] * self.channels_last) or "plain"


LINE = (Way(True, True), Way(channels_last=True), Way(recorded=True), Way())


def ways(provider: str, single: bool, extras: dict[str, str]) -> list[Way]:
    """What to try on a session whose first provider this is.

    Args:
        single: one size of batch is prepared.
    Raises:
        BackendLoadError: the settings ask for what it has not.
    """
    wanted = {key: as_flag(f"onnxruntime.{key}", extras[key]) for key in ("cuda_graphs", "nhwc") if key in extras}
    can_record = provider == CUDA or (provider == TENSORRT and single)
    line = [
        way
        for way in LINE
        if (can_record or not way.recorded)
        and (provider == CUDA or not way.channels_last)
        and way.recorded == wanted.get("cuda_graphs", way.recorded)
        and way.channels_last == wanted.get("nhwc", way.channels_last)
    ]
    if not line:
        asked = ", ".join(f"onnxruntime.{key}={int(value)}" for key, value in wanted.items())
        raise BackendLoadError(
            f"{asked}: {provider} has no such way to run {'one size' if single else 'several sizes'}"
        )
    return line


def asked_for(providers: Sequence[Provider], way: Way, stream: int) -> list[Provider]:
    """The same providers, told to run this way, on this CUDA stream; 0 is one of their own."""
    return [
        replace(one, options=one.options | _options(one.name, one is providers[0], way, stream)) for one in providers
    ]


def _options(name: str, first: bool, way: Way, stream: int) -> dict[str, str]:
    found: dict[str, str] = {}
    if name not in _RECORDS:
        return found
    if way.recorded and first:
        setting, yes = _RECORDS[name]
        found[setting] = yes
    if way.channels_last and name == CUDA:
        found["prefer_nhwc"] = "1"
    if stream:
        found["user_compute_stream"] = str(stream)
        if name == CUDA:  # TensorRT's provider has no such setting
            found["has_user_compute_stream"] = "1"
    return found
