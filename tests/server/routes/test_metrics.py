"""``/metrics``: every figure of the contract is there after some traffic, and any scraper can read it."""

import asyncio
import math
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.pictures import REFUSED
from tests.server.in_app import running_app
from tests.server.posting import RED

# The names, types and labels that dashboards and alerts rely on.
CONTRACT: dict[str, tuple[str, set[str]]] = {
    "quickeye_requests_total": ("counter", {"model", "protocol", "code"}),
    "quickeye_images_total": ("counter", {"model", "protocol", "outcome"}),
    "quickeye_request_duration_seconds": ("histogram", {"model", "protocol"}),
    "quickeye_stage_duration_seconds": ("histogram", {"model", "stage"}),
    "quickeye_batch_size": ("histogram", {"model"}),
    "quickeye_queue_images": ("gauge", {"model"}),
    "quickeye_inflight_images": ("gauge", {"model"}),
    "quickeye_rejected_total": ("counter", {"model", "reason"}),
    "quickeye_decode_failures_total": ("counter", {"format", "reason"}),
    "quickeye_top_score": ("histogram", {"model"}),
    "quickeye_predictions_total": ("counter", {"model", "class"}),
    "quickeye_model_info": ("gauge", {"model", "version", "backend", "device", "precision", "parent", "check"}),
    "quickeye_model_ready": ("gauge", {"model", "version"}),
    "quickeye_model_load_seconds": ("gauge", {"model", "version"}),
    "quickeye_model_last_load_successful": ("gauge", {"model"}),
    "quickeye_largest_batch": ("gauge", {"model"}),
    "quickeye_predicted_batch_seconds": ("gauge", {"model", "batch"}),
    "quickeye_event_loop_lag_seconds": ("histogram", set()),
}
LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)
OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}

Sample = tuple[str, dict[str, str], float]


async def traffic(client: httpx.AsyncClient) -> None:
    """One good picture, two bad ones, a wrong name, a wrong option."""
    for data in (RED, b"no picture", REFUSED["png_truncated"][1]()):
        await client.post("/v1/predict", content=data)
    for name in ("nobody", "made-up", "x" * 200):
        await client.post(f"/v1/models/{name}/predict", content=RED)
    await client.post("/v1/predict?top_k=0", content=RED)
    await asyncio.sleep(0.6)  # the event loop's lag is looked at twice a second


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory, colour_store: Path) -> dict[str, httpx.Response]:
    """Both exposition formats, after the traffic."""

    async def scenario() -> dict[str, httpx.Response]:
        async with running_app(colour_store, backend="onnxruntime") as (_, client):
            await traffic(client)
            plain = await client.get("/metrics")
            return {"text": plain, "openmetrics": await client.get("/metrics", headers=OPENMETRICS)}

    return asyncio.run(scenario())


def samples(families: Iterable[Metric]) -> list[Sample]:
    return [(one.name, dict(one.labels), one.value) for family in families for one in family.samples]


def value(found: list[Sample], name: str, **labels: str) -> float:
    return sum(value for each, own, value in found if each == name and labels.items() <= own.items())


@pytest.fixture(scope="module")
def found(scraped: dict[str, httpx.Response]) -> list[Sample]:
    return samples(parse(scraped["text"].text))


@pytest.mark.parametrize("name", CONTRACT)
def test_every_metric_of_the_contract_is_there_with_its_type_and_labels(
    scraped: dict[str, httpx.Response], name: str
) -> None:
    kind, labels = CONTRACT[name]
    families = {family.name: family for family in parse(scraped["text"].text)}
    family = families[name.removesuffix("_total") if kind == "counter" else name]
    assert family.type == kind
    assert family.documentation
    assert family.samples
    for sample in family.samples:
        assert sample.name.startswith(name)
        assert set(sample.labels) - {"le"} == labels


def test_the_scrape_says_what_it_is(scraped: dict[str, httpx.Response]) -> None:
    assert scraped["text"].headers["content-type"].startswith("text/plain; version=")
    assert scraped["openmetrics"].headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert scraped["openmetrics"].text.endswith("# EOF\n")


def test_both_formats_tell_the_same(scraped: dict[str, httpx.Response], found: list[Sample]) -> None:
    def of_ours(some: list[Sample]) -> list[tuple[object, ...]]:
        own = [one for one in some if one[0].startswith("quickeye_") and "event_loop_lag" not in one[0]]
        return sorted((name, sorted(labels.items()), figure) for name, labels, figure in own)

    assert of_ours(found) == of_ours(samples(parse_openmetrics(scraped["openmetrics"].text)))


def test_latency_buckets_are_those_of_the_contract(found: list[Sample]) -> None:
    for name in ("quickeye_request_duration_seconds_bucket", "quickeye_event_loop_lag_seconds_bucket"):
        assert {float(labels["le"]) for each, labels, _ in found if each == name} == set(LATENCY_BUCKETS)
    sizes = {labels["le"] for each, labels, _ in found if each == "quickeye_batch_size_bucket"}
    assert {"1.0", "2.0", "4.0", "8.0"} <= sizes


def test_what_happened_was_counted(found: list[Sample]) -> None:
    model = "mean_colour"
    assert value(found, "quickeye_images_total", model=model, protocol="http", outcome="ok") == 1
    assert value(found, "quickeye_images_total", model=model, outcome="undecodable_image") == 2
    assert value(found, "quickeye_requests_total", model=model, code="200") == 1
    assert value(found, "quickeye_requests_total", model=model, code="400") == 3
    assert value(found, "quickeye_rejected_total", model=model, reason="invalid_request") == 1
    assert value(found, "quickeye_decode_failures_total", format="png", reason="undecodable_image") == 1
    assert value(found, "quickeye_decode_failures_total", format="unknown", reason="undecodable_image") == 1
    assert value(found, "quickeye_predictions_total", model=model, **{"class": "0"}) == 1
    for stage in ("queue", "decode", "preprocess", "infer", "postprocess"):
        assert value(found, "quickeye_stage_duration_seconds_count", model=model, stage=stage) == 1
    info = [labels for name, labels, figure in found if name == "quickeye_model_info" and figure == 1]
    assert [(one["model"], one["version"], one["backend"], one["check"]) for one in info] == [
        (model, "2", "onnxruntime", "passed")
    ]
    assert {labels["batch"] for name, labels, _ in found if name == "quickeye_predicted_batch_seconds"} >= {"1", "2"}
    assert value(found, "quickeye_model_load_seconds", model=model) > 0
    assert value(found, "quickeye_largest_batch", model=model) == 2


def test_names_that_nobody_serves_are_one_label(found: list[Sample]) -> None:
    models = {labels["model"] for name, labels, _ in found if name == "quickeye_requests_total"}
    assert models == {"mean_colour", "unknown"}
    assert value(found, "quickeye_requests_total", model="unknown", code="404") == 3
    assert value(found, "quickeye_rejected_total", model="unknown", reason="unknown_model") == 3


def test_the_process_and_python_are_told_of(found: list[Sample]) -> None:
    names = {name for name, _, _ in found}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "python_info"} <= names


def test_refused_pictures_are_counted_with_their_code(colour_store: Path) -> None:
    async def scenario() -> list[Sample]:
        async with running_app(colour_store) as (app, client):
            app.service.catalogue.find().batcher.drain()
            assert (await client.post("/v1/predict", content=RED)).status_code == 503
            return samples(parse((await client.get("/metrics")).text))

    found = asyncio.run(scenario())
    assert value(found, "quickeye_images_total", outcome="draining") == 1
    assert value(found, "quickeye_rejected_total", reason="draining") == 1
