"""Posting pictures to a running server: every body form, every bad input, and nothing else disturbed."""

import base64
import socket

import httpx
import numpy as np
import orjson
import pytest
from PIL import Image

from tests.pictures import ACCEPTED, ORIENTATIONS, REFUSED, encode, oriented, picture
from tests.server.mean_colour import LABELS, expected_logits
from tests.server.posting import FORMS, GREEN, RED, STATUS, post
from tests.server.running import Running


def assert_undisturbed(client: httpx.Client) -> None:
    reply = post(client, RED)
    assert reply.status_code == 200
    assert reply.json()["results"][0]["predictions"][0]["label"] == "red"


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_gets_its_classes(client: httpx.Client, form: str) -> None:
    reply = post(client, GREEN, form)
    answer = reply.json()
    (result,) = answer["results"]
    assert reply.status_code == 200
    assert (answer["model"], answer["version"]) == ("mean_colour", 2)
    assert answer["request_id"] == reply.headers["x-request-id"]
    assert (result["width"], result["height"], result["error"]) == (40, 30, None)
    logits = expected_logits(np.array([[[[10, 250, 10]]]], np.uint8))[0].astype(np.float64)
    softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert [one["label"] for one in result["predictions"]] == ["green", "red", "blue"]
    assert [one["score"] for one in result["predictions"]] == pytest.approx(sorted(softmax, reverse=True), abs=1e-5)
    assert set(result["timing_ms"]) == {"queue", "decode", "preprocess", "infer", "postprocess"}
    assert result["batch_size"] == 1
    assert sum(result["timing_ms"].values()) <= answer["timing_ms"]["total"]
    stages = dict(entry.split(";dur=") for entry in reply.headers["server-timing"].split(", "))
    assert float(stages["infer"]) == pytest.approx(result["timing_ms"]["infer"], abs=0.01)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/models/mean_colour/predict"])
def test_the_newest_version_answers_and_only_it_is_loaded(client: httpx.Client, path: str) -> None:
    assert client.post(path, content=RED).json()["version"] == 2
    assert client.post("/v1/models/mean_colour/versions/2/predict", content=RED).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/nobody/predict",
        "/v1/models/mean_colour/versions/1/predict",
        "/v1/models/mean_colour/versions/x/predict",
        "/v1/models/mean_colour/versions/99999999999999999999/predict",
        "/v1/models/a%20b/predict",
    ],
)
def test_an_unknown_model_is_404(client: httpx.Client, path: str) -> None:
    reply = client.post(path, content=RED)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_model")


@pytest.mark.parametrize("name", ACCEPTED)
@pytest.mark.parametrize("form", FORMS)
def test_every_format_is_served_on_every_body_form(client: httpx.Client, name: str, form: str) -> None:
    data = ACCEPTED[name]()
    reply = post(client, data, form)
    assert reply.status_code == 200, reply.text
    result = reply.json()["results"][0]
    assert sorted(one["label"] for one in result["predictions"]) == sorted(LABELS)
    assert sum(one["score"] for one in result["predictions"]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("form", FORMS)
def test_every_bad_picture_gets_its_status_and_code(client: httpx.Client, name: str, form: str) -> None:
    code, make = REFUSED[name]
    reply = post(client, make(), form)
    assert (reply.status_code, reply.json()["error"]["code"]) == (STATUS[code], code), reply.text
    error = reply.json()["error"]
    assert error["request_id"] == reply.headers["x-request-id"]
    assert len(error["message"]) > 10
    assert_undisturbed(client)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff"])
def test_exif_is_applied_once_and_alike_on_every_form(client: httpx.Client, name: str, form: str) -> None:
    replies = [post(client, oriented(name, turn), form).json()["results"][0] for turn in ORIENTATIONS]
    upright = {one["label"]: one["score"] for one in replies[0]["predictions"]}
    for result in replies:
        assert (result["width"], result["height"]) == picture().size
        scores = {one["label"]: one["score"] for one in result["predictions"]}
        assert scores == pytest.approx(upright, abs=0.05)


@pytest.mark.parametrize(
    "query",
    ["top_k=0", "top_k=-1", "top_k=1000000000", "top_k=NaN", "top_k=1&top_k=2", "priority=10", "timeout_ms=-1",
     "timeout_ms=nan", "threshold=nan", "topk=3", "explain=cam"],
)  # fmt: skip
def test_bad_options_are_400(client: httpx.Client, query: str) -> None:
    reply = post(client, RED, query=f"?{query}")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")


def test_top_k_and_threshold_shorten_the_list(client: httpx.Client) -> None:
    assert len(post(client, RED, query="?top_k=2").json()["results"][0]["predictions"]) == 2
    assert len(post(client, RED, query="?top_k=1000").json()["results"][0]["predictions"]) == 3
    assert [one["label"] for one in post(client, RED, query="?threshold=0.5").json()["results"][0]["predictions"]] == [
        "red"
    ]
    assert post(client, RED, query="?threshold=1.5").json()["results"][0]["predictions"] == []


@pytest.mark.parametrize("kind", ["text/html", "application/pdf", "image/gif", "nonsense", ""])
def test_a_wrong_content_type_does_not_matter(client: httpx.Client, kind: str) -> None:
    assert client.post("/v1/predict", content=RED, headers={"content-type": kind}).status_code == 200


def test_each_of_several_images_fails_alone(client: httpx.Client) -> None:
    files = [("file", ("a.png", RED)), ("file", ("b.txt", b"no")), ("other", ("c.png", GREEN))]
    reply = client.post("/v1/predict", files=files)
    first, second, third = reply.json()["results"]
    assert reply.status_code == 200
    assert first["predictions"][0]["label"] == "red"
    assert (second["error"]["code"], second["predictions"]) == ("undecodable_image", [])
    assert third["predictions"][0]["label"] == "green"


def test_when_every_image_fails_the_first_ones_error_is_the_requests(client: httpx.Client) -> None:
    images = [base64.b64encode(data).decode() for data in (REFUSED["ico"][1](), b"no")]
    reply = client.post("/v1/predict", json={"images": images})
    assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unsupported_format")
    assert [one["error"]["code"] for one in reply.json()["results"]] == ["unsupported_format", "undecodable_image"]


def test_broken_base64_is_that_images_fault(client: httpx.Client) -> None:
    reply = client.post("/v1/predict", json={"images": ["!!!", base64.b64encode(RED).decode()]})
    assert reply.status_code == 200
    assert reply.json()["results"][0]["error"]["code"] == "undecodable_image"
    assert reply.json()["results"][1]["predictions"][0]["label"] == "red"


def test_ten_thousand_images_in_one_request_are_refused(client: httpx.Client) -> None:
    body = orjson.dumps({"images": ["YQ=="] * 10_000})
    reply = client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")
    assert "10,000" in reply.json()["error"]["message"]
    assert_undisturbed(client)


def test_an_image_with_too_many_bytes_is_413(client: httpx.Client) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1100, 3), np.uint8)
    reply = post(client, encode(Image.fromarray(noise), "bmp"))
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "image_too_large")


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_413_and_the_connection_ends(client: httpx.Client, declared: bool) -> None:
    body = bytes(4_000_001)
    content = body if declared else iter([body[:2_000_000], body[2_000_000:]])
    reply = client.post("/v1/predict", content=content)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")
    assert reply.headers["connection"] == "close"
    assert_undisturbed(client)


def test_a_chunked_body_is_read_whole(client: httpx.Client) -> None:
    data = ACCEPTED["png_16_bit_rgb"]()
    pieces = [data[start : start + 100] for start in range(0, len(data), 100)]
    assert client.post("/v1/predict", content=iter(pieces)).json() != client.post("/v1/predict", content=b"").json()
    assert client.post("/v1/predict", content=iter(pieces)).status_code == 200


def test_a_body_that_does_not_come_is_408(server: Running) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(head)
        reply = b""
        while chunk := sock.recv(65536):
            reply += chunk
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_timeout"' in reply


def test_a_caller_who_leaves_half_way_disturbs_nobody(server: Running, client: httpx.Client) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
            sock.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc")
    assert_undisturbed(client)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405(client: httpx.Client, method: str) -> None:
    reply = client.request(method, "/v1/predict")
    assert (reply.status_code, reply.json()["error"]["code"]) == (405, "method_not_allowed")
    assert reply.headers["allow"] == "POST"


def test_the_callers_request_id_is_kept_when_it_is_harmless(client: httpx.Client) -> None:
    assert client.post("/v1/predict", content=RED, headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    odd = client.post("/v1/predict", content=RED, headers={"x-request-id": "a b\tc"}).headers["x-request-id"]
    assert odd != "a b\tc"


def test_a_short_deadline_is_504_or_an_answer(client: httpx.Client) -> None:
    reply = post(client, ACCEPTED["png_1x20000"](), query="?timeout_ms=1")
    assert reply.status_code in (200, 504)
    assert reply.status_code == 200 or reply.json()["error"]["code"] == "deadline_exceeded"


def test_the_access_line_tells_where_the_time_went(server: Running, client: httpx.Client) -> None:
    line = server.access_line(post(client, RED).headers["x-request-id"])
    assert (line["method"], line["path"], line["status"], line["images"]) == ("POST", "/v1/predict", 200, 1)
    assert set(line["stages_ms"]) == {"queue", "decode", "preprocess", "infer", "postprocess"}


def test_metrics_count_what_happened(server: Running, client: httpx.Client) -> None:
    def counts() -> tuple[float, ...]:
        return (
            server.metric("quickeye_images_total", model="mean_colour", outcome="ok"),
            server.metric("quickeye_images_total", model="mean_colour", outcome="undecodable_image"),
            server.metric("quickeye_requests_total", code="200"),
            server.metric("quickeye_requests_total", code="400"),
            server.metric("quickeye_requests_total", model="unknown", code="404"),
            server.metric("quickeye_stage_duration_seconds_count", stage="infer"),
            server.metric("quickeye_batch_size_sum"),
            server.metric("quickeye_top_score_count"),
            server.metric("quickeye_predictions_total", **{"class": "0"}),
            server.metric("quickeye_decode_failures_total", format="png", reason="undecodable_image"),
            server.metric("quickeye_rejected_total", reason="unknown_model"),
        )

    before = counts()
    for _ in range(3):
        post(client, RED)
    post(client, b"no picture")
    post(client, REFUSED["png_truncated"][1]())
    client.post("/v1/models/made-up-name/predict", content=RED)
    assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [
        3, 2, 3, 2, 1, 3, 3, 3, 3, 1, 1,
    ]  # fmt: skip
