"""Measured times from a running server's ``/metrics``: what it learned of batches, and where pictures spent theirs.

The histograms have coarse buckets, and straight lines through them would invent slow batches. So the spread is that of
log-normal distributions, one for each batch size that ran, with the sigma that makes the bucket counts of ``infer``
likeliest. Their means keep the proportions of the learned times, and all together have the histogram's own: a batch of
four that takes four times as long as one picture is no spread.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist

from prometheus_client.parser import text_string_to_metric_families

from server.planning.errors import PlanningError
from server.planning.measured import ASSUMED_ADDED_S, ASSUMED_REQUEST_S, Measured, Spread

FEWEST = 200  # pictures: fewer say little of a spread
SIGMAS = tuple(step / 100 for step in range(1, 151))
LEAST_SHARE = 1e-12
LEAST_INFER_S = 1e-6


@dataclass
class Buckets:
    """One histogram: how many values are at most each bound, rising, and their sum."""

    at_most: dict[float, float] = field(default_factory=dict)
    total: float = 0.0

    @property
    def count(self) -> float:
        """Of all values."""
        return self.at_most.get(math.inf, 0.0)

    @property
    def mean(self) -> float:
        """0 for none."""
        return self.total / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """A share of all pictures, and the mean of their times."""

    mean: float
    share: float


@dataclass
class Scraped:
    """What a scrape says of one model."""

    labels: dict[str, str] = field(default_factory=dict)
    batch_s: dict[int, float] = field(default_factory=dict)
    batch_sizes: Buckets = field(default_factory=Buckets)
    stages: dict[str, Buckets] = field(default_factory=dict)


def read_metrics(
    text: str, model: str, source: str, date: str, *, instances: int = 1, threads: int = 1, machine: str = "not known"
) -> Measured:
    """A server's times of one model.

    Args:
        text: of ``/metrics``, in Prometheus' text format.
        instances: of the model there, each of ``threads``; the metrics do not tell.
    Raises:
        PlanningError: it is no such text, or does not know the model or any batch of one.
    """
    scraped = _scraped(text, model, source)
    if 1 not in scraped.batch_s:
        raise PlanningError(f"{source} has no quickeye_predicted_batch_seconds of model '{model}' with batch 1")
    stages = {name: scraped.stages.get(name, Buckets()) for name in ("decode", "preprocess", "infer")}
    notes = ["CPU and delay of a request are assumed: a server's metrics do not tell them (--request-ms, --added-ms)"]
    if stages["infer"].count < FEWEST:
        notes.append(f"fewer than {FEWEST} pictures were answered: times are taken as always the same")
    measured = Measured(
        model=model,
        version=int(scraped.labels["version"]) if "version" in scraped.labels else None,
        source=source,
        machine=machine,
        date=date,
        backend=scraped.labels.get("backend", "not known"),
        device=scraped.labels.get("device", "cpu").partition(":")[0],
        instances=instances,
        threads=threads,
        cores=instances * threads,
        batch_s=dict(sorted(scraped.batch_s.items())),
        decode_s=stages["decode"].mean,
        preprocess_s=stages["preprocess"].mean,
        request_s=ASSUMED_REQUEST_S,
        added_s=ASSUMED_ADDED_S,
        spread=Spread(),
        notes=tuple(notes),
    )
    if stages["infer"].count < FEWEST:
        return measured
    parts = infer_by_size(measured, pictures_by_size(scraped.batch_sizes))
    return replace(measured, spread=Spread.lognormal(likeliest_sigma(stages["infer"], parts)))


def pictures_by_size(batch_sizes: Buckets) -> dict[int, float]:
    """Pictures that ran in batches of each size; all in batches of 1 where that is not told.

    Of a bucket of several sizes each is taken to be as frequent as the others; what lies beyond the last is left out.
    """
    pictures: dict[int, float] = {}
    below, batches_below = 0, 0.0
    for bound in sorted(bound for bound in batch_sizes.at_most if not math.isinf(bound)):
        sizes = range(below + 1, int(bound) + 1)
        batches = batch_sizes.at_most[bound] - batches_below
        if batches:
            pictures |= {size: size * batches / len(sizes) for size in sizes}
        below, batches_below = int(bound), batch_sizes.at_most[bound]
    return pictures or {1: 1.0}


def infer_by_size(measured: Measured, pictures: Mapping[int, float]) -> list[Part]:
    """How long an engine takes for the batches of each size, by the learned times less decoding and preprocessing."""
    model = measured.latency_model()
    before_s = measured.decode_s + measured.preprocess_s
    total = sum(pictures.values())
    return [
        Part(max(LEAST_INFER_S, model.predict(size) - size * before_s), count / total)
        for size, count in pictures.items()
    ]


def likeliest_sigma(buckets: Buckets, parts: Sequence[Part] = (Part(1.0, 1.0),)) -> float:
    """Of log-normal distributions that together have this histogram's mean and explain its bucket counts best.

    Args:
        parts: their means, in proportion, and their shares.
    """
    bounds = sorted(buckets.at_most)
    counts = [
        buckets.at_most[high] - (buckets.at_most[low] if low is not None else 0.0)
        for low, high in zip([None, *bounds], bounds, strict=False)
    ]
    scale = buckets.mean / sum(part.mean * part.share for part in parts)
    scaled = [Part(part.mean * scale, part.share) for part in parts]
    return min(SIGMAS, key=lambda sigma: _unlikelihood(sigma, scaled, bounds, counts))


def _unlikelihood(sigma: float, parts: Sequence[Part], bounds: Sequence[float], counts: Sequence[float]) -> float:
    normals = [(NormalDist(math.log(part.mean) - sigma**2 / 2, sigma), part.share) for part in parts]
    below, sum_of = 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=True):
        at_most = 1.0 if math.isinf(bound) else sum(share * one.cdf(math.log(bound)) for one, share in normals)
        sum_of -= count * math.log(max(LEAST_SHARE, at_most - below))
        below = at_most
    return sum_of


def _scraped(text: str, model: str, source: str) -> Scraped:
    scraped = Scraped()
    try:
        for name, labels, value in _samples(text, model):
            _add(scraped, name, labels, value)
    except (ValueError, KeyError, IndexError) as error:
        raise PlanningError(f"{source} is not what a server's /metrics says: {error}") from None
    return scraped


def _samples(text: str, model: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("model") == model:
                yield sample.name, sample.labels, sample.value


def _add(scraped: Scraped, name: str, labels: Mapping[str, str], value: float) -> None:
    match name:
        case "quickeye_model_info":
            if int(labels["version"]) >= int(scraped.labels.get("version", 0)):
                scraped.labels = dict(labels)
        case "quickeye_predicted_batch_seconds":
            scraped.batch_s[int(labels["batch"])] = value
        case "quickeye_batch_size_bucket":
            scraped.batch_sizes.at_most[float(labels["le"])] = value
        case "quickeye_stage_duration_seconds_sum":
            scraped.stages.setdefault(labels["stage"], Buckets()).total = value
        case "quickeye_stage_duration_seconds_bucket":
            scraped.stages.setdefault(labels["stage"], Buckets()).at_most[float(labels["le"])] = value
        case _:
            pass
