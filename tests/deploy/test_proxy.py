"""Real proxies with deploy/proxy's files before real servers: what a caller gets through them, and what stops there."""

import contextlib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from server.client import Client, Result
from server.config import Config
from tests.deploy.proxies import Proxy, proxied
from tests.server.mean_colour import write_mean_colour
from tests.server.posting import GREEN, RED
from tests.server.running import Running, serving

KEY = "the-admin-key"
DRAIN_GRACE_S = 3.0
KINDS = [pytest.param("nginx", marks=pytest.mark.needs_nginx), "envoy"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("served")
    with one_server(folder) as running:
        yield running


@contextlib.contextmanager
def one_server(folder: Path) -> Iterator[Running]:
    write_mean_colour(folder / "store")
    flags = ("--store", str(folder / "store"), "--backend", "onnxruntime", "--admin-key", KEY, "--log-format", "json")
    with serving(folder, *flags, grace_s=DRAIN_GRACE_S) as running:
        yield running


@pytest.fixture(scope="module", params=KINDS)
def proxy(request: pytest.FixtureRequest, server: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with proxied(request.param, tmp_path_factory.mktemp("proxy") / "run", server) as running:
        yield running


def test_a_picture_is_answered_through_tls(proxy: Proxy) -> None:
    with proxy.client() as client:
        for path in ("/v1/predict", "/v1/models/mean_colour/predict", "/v1/models/mean_colour/versions/1/predict"):
            reply = client.post(path, content=RED)
            assert reply.status_code == 200, reply.text
            assert reply.json()["results"][0]["predictions"][0]["label"] == "red"


def test_what_is_no_authority_s_certificate_is_not_trusted(proxy: Proxy) -> None:
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(f"{proxy.url}/healthz", verify=ssl.create_default_context(), trust_env=False)


def test_the_server_logs_who_called_not_what_he_claims(proxy: Proxy, server: Running) -> None:
    with proxy.client(local_address="127.0.0.2") as client:
        reply = client.post("/v1/predict", content=RED, headers={"X-Forwarded-For": "198.51.100.9"})
    assert server.access_line(reply.json()["request_id"])["client"] == "127.0.0.2"


def test_frames_are_streamed(proxy: Proxy) -> None:
    with Client(proxy.url, tls=proxy.trust, proxies=False) as client, client.stream(policy="all") as stream:
        for frame in (RED, GREEN, RED):
            stream.send(frame)
        stream.end()
        best = [event.best.label for event in stream if isinstance(event, Result) and event.best is not None]
    assert best == ["red", "green", "red"]


def test_the_server_knows_its_own_pages_through_the_proxy(proxy: Proxy) -> None:
    address = f"{proxy.url.replace('https', 'wss')}/v1/stream"
    with connect(address, ssl=proxy.trust, origin=proxy.url, proxy=None) as socket:
        assert '"ready"' in str(socket.recv(timeout=60))
    with pytest.raises(InvalidStatus) as refused:
        connect(address, ssl=proxy.trust, origin="https://elsewhere.example", proxy=None)
    assert refused.value.response.status_code == 403


def test_the_page_and_its_documents_are_there(proxy: Proxy) -> None:
    with proxy.client() as client:
        for path in ("/", "/docs", "/v1/models", "/healthz", "/readyz"):
            assert client.get(path).status_code == 200, path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/mean_colour/unload"),
        ("POST", "/v1/models/mean_colour/%75nload"),
        ("POST", "/v1/models/mean_colour/predict/../unload"),
        ("POST", "//v1/models/mean_colour/unload"),
        ("DELETE", "/v1/models/mean_colour"),
        ("GET", "/metrics"),
        ("GET", "/%6detrics"),
        ("GET", "/debug/batches"),
        ("GET", "//debug/./batches"),
    ],
)
def test_what_only_insiders_may_stops_at_the_proxy(proxy: Proxy, server: Running, method: str, path: str) -> None:
    """With the right key, too: the server itself would have done it."""
    with proxy.client() as client:
        request = client.build_request(method, path, headers={"X-API-Key": KEY})
        request.url = httpx.URL(f"{proxy.url}").copy_with(raw_path=path.encode())
        reply = client.send(request)
        assert reply.status_code == 403
        assert "error" not in reply.text, "a proxy's page, not the server's answer"
        assert client.post("/v1/predict", content=RED).status_code == 200


def test_a_body_over_the_server_s_limit_is_refused_before_it(proxy: Proxy, server: Running) -> None:
    before = server.metric("quickeye_requests_total")
    with proxy.client() as client:
        try:
            status = client.post("/v1/predict", content=b"\0" * (Config().max_body_bytes + 1)).status_code
        except httpx.WriteError:  # it closed while we still sent
            status = 413
    assert (status, server.metric("quickeye_requests_total")) == (413, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_drains_costs_no_caller_anything(kind: str, server: Running, tmp_path: Path) -> None:
    with one_server(tmp_path) as leaving, proxied(kind, tmp_path / "run", server, leaving) as proxy:
        with proxy.client() as client:
            before = [running.metric("quickeye_requests_total") for running in (server, leaving)]
            statuses = [client.post("/v1/predict", content=RED).status_code for _ in range(20)]
            served = [running.metric("quickeye_requests_total") for running in (server, leaving)]
            assert all(now > then for now, then in zip(served, before, strict=True)), "both take their share"
            leaving.terminate()
            while leaving.process.poll() is None:
                statuses.append(client.post("/v1/predict", content=RED).status_code)
                time.sleep(0.01)
            statuses += [client.post("/v1/predict", content=RED).status_code for _ in range(20)]
        assert (set(statuses), leaving.ended()) == ({200}, 0)
