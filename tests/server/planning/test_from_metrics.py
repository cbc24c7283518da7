"""Times read from what a server's own metrics say."""

import math
import random

import pytest
from prometheus_client import generate_latest

from server.job import STAGES
from server.metrics import LATENCY_BUCKETS_S, GaugeSample, Metrics
from server.planning.errors import PlanningError
from server.planning.from_metrics import Buckets, likeliest_sigma, pictures_by_size, read_metrics
from server.planning.measured import Spread

GAUGES: list[GaugeSample] = [
    ("quickeye_predicted_batch_seconds", ("shoes", "8"), 0.080),
    ("quickeye_predicted_batch_seconds", ("shoes", "1"), 0.012),
    ("quickeye_predicted_batch_seconds", ("hats", "1"), 0.5),
    ("quickeye_model_info", ("shoes", "9", "openvino", "cpu", "int8", "", "passed"), 1.0),
    ("quickeye_model_info", ("shoes", "10", "onnxruntime", "cpu", "int8", "", "passed"), 1.0),
]
LEARNED = {1: 0.020, 4: 0.070, 8: 0.140}


def scraped(pictures: int, sigma: float = 0.2) -> str:
    """A server's text after so many pictures."""
    metrics = Metrics(lambda: GAUGES)
    seconds = {"queue": 0.1, "decode": 0.002, "preprocess": 0.001, "infer": 0.009, "postprocess": 0.0001}
    noise = random.Random(1)
    for _ in range(pictures):
        for stage in STAGES:
            factor = math.exp(noise.gauss(0, sigma)) if stage == "infer" else 1.0
            metrics.stage_duration.labels("shoes", stage).observe(seconds[stage] * factor)
            metrics.stage_duration.labels("hats", stage).observe(1.0)
    return generate_latest(metrics.registry).decode()


def test_the_times_are_the_model_s_own() -> None:
    measured = read_metrics(scraped(1_000), "shoes", "here", "2026-01-02", instances=2, threads=3, machine="a machine")
    assert measured.batch_s == {1: 0.012, 8: 0.080}
    assert (measured.decode_s, measured.preprocess_s) == pytest.approx((0.002, 0.001))
    assert (measured.version, measured.backend, measured.device) == (10, "onnxruntime", "cpu")
    assert (measured.instances, measured.threads, measured.cores) == (2, 3, 6)
    assert (measured.model, measured.source, measured.machine, measured.date) == (
        *("shoes", "here", "a machine", "2026-01-02"),
    )
    assert any("assumed" in note for note in measured.notes)


def test_a_server_that_answered_few_has_times_that_do_not_vary() -> None:
    measured = read_metrics(scraped(10), "shoes", "here", "2026-01-02")
    assert measured.spread == Spread()
    assert any("fewer than" in note for note in measured.notes)


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.8])
def test_a_spread_is_found_again_behind_coarse_buckets(sigma: float) -> None:
    noise = random.Random(2)
    values = [0.02 * math.exp(noise.gauss(0, sigma)) for _ in range(5_000)]
    bounds = (*LATENCY_BUCKETS_S, math.inf)
    buckets = Buckets({bound: float(sum(value <= bound for value in values)) for bound in bounds}, sum(values))
    assert likeliest_sigma(buckets) == pytest.approx(sigma, rel=0.15)


def test_a_spread_narrower_than_a_bucket_is_not_made_wider() -> None:
    """All within 5 to 10 ms: straight lines through the buckets would say that one in a hundred takes 9.95 ms."""
    bounds = (*LATENCY_BUCKETS_S, math.inf)
    buckets = Buckets({bound: 1_000.0 * (bound >= 0.01) for bound in bounds}, 1_000 * 0.0068)
    assert 0.0068 * Spread.lognormal(likeliest_sigma(buckets)).at(0.99) < 0.0085


@pytest.mark.parametrize("sigma", [0.05, 0.3])
def test_larger_batches_that_take_longer_are_no_spread(sigma: float) -> None:
    """Half the pictures in batches of 4, which take 3.5 times as long: of one distribution, that is a sigma of 0.6."""
    metrics = Metrics(lambda: [("quickeye_predicted_batch_seconds", ("shoes", str(n)), s) for n, s in LEARNED.items()])
    noise = random.Random(3)
    for turn in range(3_000):
        size = 4 if turn % 5 == 0 else 1  # as many pictures in either
        metrics.batch_size.labels("shoes").observe(size)
        seconds = {"queue": 0.1, "decode": 0.002, "preprocess": 0.001, "postprocess": 0.0001}
        seconds["infer"] = (LEARNED[size] - size * 0.003) * math.exp(noise.gauss(0, sigma))
        for _ in range(size):
            for stage in STAGES:
                metrics.stage_duration.labels("shoes", stage).observe(seconds[stage])
    text = generate_latest(metrics.registry).decode()
    spread = read_metrics(text, "shoes", "here", "2026-01-02").spread
    assert spread.at(0.95) == pytest.approx(math.exp(1.645 * sigma - sigma**2 / 2), rel=0.1)


def test_pictures_are_counted_by_the_size_of_their_batch() -> None:
    batches = Buckets({1.0: 10.0, 2.0: 15.0, 4.0: 15.0, 8.0: 19.0, math.inf: 20.0})
    assert pictures_by_size(batches) == {1: 10.0, 2: 10.0, 5: 5.0, 6: 6.0, 7: 7.0, 8: 8.0}
    assert pictures_by_size(Buckets()) == {1: 1.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no quickeye_predicted_batch_seconds of model 'shoes'"),
        ("# nothing of ours\nup 1\n", "no quickeye_predicted_batch_seconds of model 'shoes'"),
        ('quickeye_predicted_batch_seconds{model="shoes",batch="8"} 0.1\n', "with batch 1"),
        ('quickeye_predicted_batch_seconds{model="shoes",batch="many"} 0.1\n', "not what a server's /metrics says"),
        ('quickeye_predicted_batch_seconds{model="shoes"} 0.1\n', "not what a server's /metrics says"),
        ("<html>404</html>\n", "not what a server's /metrics says"),
    ],
)
def test_other_text_is_refused_with_a_reason(text: str, said: str) -> None:
    with pytest.raises(PlanningError, match=said):
        read_metrics(text, "shoes", "here", "2026-01-02")
