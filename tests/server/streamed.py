"""Events of a stream, made by hand."""

from server.client import EffectiveOptions, Limits, Prediction, Ready, Result


class Clock:
    """Turned by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def ready(policy: str = "latest") -> Ready:
    options = EffectiveOptions(5, None, 5, policy, only_changed=False, gate=0.0, smoothing=0.0, explain=None)
    return Ready("shoes", 2, "s", options, Limits(1000, 4, 1000.0, ("jpeg",)))


def result(
    seq: int, label: str, *, age_ms: float = 4.0, round_trip_ms: float | None = None, reused: bool = False,
    unchanged: bool = False, score: float = 0.75,
) -> Result:  # fmt: skip
    predictions = () if unchanged else (Prediction(1, label, score), Prediction(2, "other", 0.125))
    return Result(seq, None, "shoes", 2, predictions, 640, 480, None, 1, age_ms, reused, unchanged, None, round_trip_ms)
