"""What a server exposes and what Prometheus adds: each series' name, its labels, and the values these can have."""

from prometheus_client import Counter

from server.errors import STATUSES
from server.job import STAGES
from server.metrics import LATENCY_BUCKETS_S, Metrics
from tests.deploy.promql_labels import TARGET, Labels

# Prometheus's own, of every target.
OF_PROMETHEUS = ("up", "scrape_duration_seconds", "scrape_samples_scraped")

# What the rules may ask these labels to be. Statuses are asked for by their class, see below.
VALUES: dict[tuple[str, str], set[str]] = {
    ("quickeye_requests_total", "protocol"): {"http", "ws"},
    ("quickeye_request_duration_seconds", "protocol"): {"http", "ws"},
    ("quickeye_requests_total", "code"): {"5.."},
    ("quickeye_rejected_total", "reason"): set(STATUSES),
    ("quickeye_images_total", "outcome"): {"ok", *STATUSES},
    ("quickeye_stage_duration_seconds", "stage"): set(STAGES),
    ("quickeye_stream_frames_total", "outcome"): {
        *("result", "superseded", "stale", "overloaded", "error", "abandoned")
    },
    ("quickeye_model_info", "check"): {"passed", "failed"},
    ("quickeye_request_duration_seconds", "le"): {f"{bound:g}" for bound in LATENCY_BUCKETS_S},
}


def exposed() -> dict[str, Labels]:
    """Series → labels, as Prometheus stores them after a scrape."""
    metrics = Metrics(lambda: ())
    counters = {one._name: one._labelnames for one in vars(metrics).values() if isinstance(one, Counter)}
    found = dict.fromkeys(OF_PROMETHEUS, TARGET)
    for family in metrics.registry.collect():
        labels = TARGET | frozenset(counters.get(family.name) or getattr(family, "_labelnames", ()))
        match family.type:
            case "counter":
                found[f"{family.name}_total"] = labels
            case "histogram":
                found[f"{family.name}_bucket"] = labels | {"le"}
                found[f"{family.name}_sum"] = found[f"{family.name}_count"] = labels
            case _:
                found[family.name] = labels
    return found
