"""What one stream counts."""

from hypothesis import given
from hypothesis import strategies as st

from server.metrics import Metrics
from server.streams.tally import RECENT, Tally
from tests.server.jobs import HandClock


def counted(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_stream_that_told_nothing_has_no_ages() -> None:
    clock = HandClock(5.0)
    tally = Tally(Metrics(lambda: ()), "shoes", clock)
    clock.now_s = 7.25
    stats = tally.as_stats()
    assert (stats["seconds"], stats["frame_age_ms"], stats["frames"]) == (2.25, None, 0)


def test_frames_are_counted_under_the_model_that_had_them() -> None:
    metrics = Metrics(lambda: ())
    tally = Tally(metrics, "shoes", HandClock())
    for _ in range(4):
        tally.frame(100)
    tally.result("shoes", 0.004, reused=True)
    tally.drop("boots", "stale")
    tally.failure("boots", "undecodable_image")
    tally.refusal()
    tally.closed()
    frames = "quickeye_stream_frames_total"
    assert counted(metrics, frames, model="shoes", outcome="result") == 1
    assert counted(metrics, frames, model="boots", outcome="stale") == 1
    assert counted(metrics, frames, model="boots", outcome="error") == 1
    assert counted(metrics, frames, model="shoes", outcome="abandoned") == 1
    images = "quickeye_images_total"
    assert counted(metrics, images, model="shoes", protocol="ws", outcome="ok") == 1
    assert counted(metrics, images, model="boots", protocol="ws", outcome="undecodable_image") == 1
    assert counted(metrics, "quickeye_stream_frame_age_seconds_sum", model="shoes") == 0.004
    stats = tally.as_stats()
    assert (stats["frames"], stats["results"], stats["reused"], stats["errors"], stats["bytes"]) == (4, 1, 1, 2, 400)
    assert stats["dropped"] == {"superseded": 0, "stale": 1, "overloaded": 0}


@given(ages_ms=st.lists(st.integers(0, 10_000), min_size=1, max_size=300))
def test_percentiles_are_ages_that_happened(ages_ms: list[int]) -> None:
    tally = Tally(Metrics(lambda: ()), "shoes", HandClock())
    for age_ms in ages_ms:
        tally.result("shoes", age_ms / 1e3, reused=False)
    told = tally.as_stats()["frame_age_ms"]
    ordered = sorted(ages_ms)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        assert sum(age <= told[name] for age in ordered) >= share * len(ordered)
        assert sum(age < told[name] for age in ordered) <= share * len(ordered)
        assert round(told[name]) in ages_ms


def test_ages_are_those_of_recent_results_alone() -> None:
    tally = Tally(Metrics(lambda: ()), "shoes", HandClock())
    for age_s in [100.0] * 50 + [0.001] * RECENT:
        tally.result("shoes", age_s, reused=False)
    assert tally.as_stats()["frame_age_ms"] == {"p50": 1.0, "p99": 1.0}
