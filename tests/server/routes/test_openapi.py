"""The OpenAPI document is true: a stranger's tool sends what it allows, and gets what it promises."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.in_app import running_app
from tests.server.mean_colour import write_mean_colour
from tests.server.posting import RED
from tests.server.running import Running, serving

# No schema can say that bytes are a picture, and a deadline of 1 ms may well pass.
EXCLUDED = "positive_data_acceptance,not_a_server_error"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of its own, whose admin calls are closed: they would end its models."""
    folder = tmp_path_factory.mktemp("guarded")
    write_mean_colour(folder / "store")
    flags = ["--store", str(folder / "store"), "--backend", "onnxruntime", "--admin-key", "sesame"]
    with serving(folder, *flags, "--log-format", "json") as running:
        yield running


@pytest.mark.slow
def test_replies_are_those_that_the_document_promises(guarded: Running, tmp_path: Path) -> None:
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "--config-file", tmp_path / "schemathesis.toml",
        "run", f"{guarded.url}/openapi.json",
        "--phases", "examples,coverage,fuzzing",
        "--max-examples", "20",
        "--seed", "1",
        "--exclude-checks", EXCLUDED,
        "--no-color",
    ]  # fmt: skip
    (tmp_path / "schemathesis.toml").touch()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 13" in done.stdout
    assert guarded.metric("quickeye_requests_total", code="500") == 0
    assert guarded.metric("quickeye_requests_total", code="200") > 0
    assert '"level":"error"' not in guarded.lines()


def test_the_deadline_s_bounds_are_those_of_this_server(colour_store: Path) -> None:
    async def scenario() -> tuple[list[object], list[int]]:
        async with running_app(colour_store, max_timeout_ms=1234.0, timeout_ms=600.0) as (_, client):
            paths = (await client.get("/openapi.json")).json()["paths"]
            calls = [call["post"] for path, call in paths.items() if path.endswith("/predict")]
            schemas = [one["schema"] for call in calls for one in call["parameters"] if one["name"] == "timeout_ms"]
            statuses = [
                (await client.post(f"/v1/predict?timeout_ms={asked}", content=RED)).status_code
                for asked in (1234, 1235)
            ]
            return schemas, statuses

    schemas, statuses = asyncio.run(scenario())
    assert schemas == [{"type": "number", "minimum": 1, "maximum": 1234, "default": 600}] * 3
    assert statuses == [200, 400]


def test_the_document_names_every_call_and_no_error_form_but_ours(guarded: Running) -> None:
    with guarded.client() as client:
        document = client.get("/openapi.json").json()
    assert {(path, method) for path, calls in document["paths"].items() for method in calls} == {
        ("/v1/predict", "post"),
        ("/v1/models/{model}/predict", "post"),
        ("/v1/models/{model}/versions/{version}/predict", "post"),
        ("/v1/models", "get"),
        ("/v1/models/{model}", "get"),
        ("/v1/models/{model}", "delete"),
        ("/v1/models/{model}/load", "post"),
        ("/v1/models/{model}/unload", "post"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
        ("/debug/profile", "get"),
        ("/debug/batches", "get"),
    }
    assert "HTTPValidationError" not in str(document)
    for calls in document["paths"].values():
        for call in calls.values():
            for status, reply in call["responses"].items():
                if int(status) >= 400:
                    assert "error" in reply["content"]["application/json"]["schema"]["properties"]
