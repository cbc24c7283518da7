"""Posting pictures in every body form."""

import base64

import httpx
from PIL import Image

from tests.pictures import encode

# What a bad picture is answered with.
STATUS = {"undecodable_image": 400, "invalid_request": 400, "image_too_large": 413, "unsupported_format": 415}
FORMS = ("raw", "form", "json")


def flat(red: int, green: int, blue: int, name: str = "png") -> bytes:
    return encode(Image.new("RGB", (40, 30), (red, green, blue)), name)


RED, GREEN = flat(250, 10, 10), flat(10, 250, 10)


def post(client: httpx.Client, data: bytes, form: str = "raw", query: str = "") -> httpx.Response:
    url = f"/v1/predict{query}"
    if form == "form":
        return client.post(url, files={"file": ("a", data)})
    if form == "json":
        return client.post(url, json={"images": [base64.b64encode(data).decode()]})
    return client.post(url, content=data)
