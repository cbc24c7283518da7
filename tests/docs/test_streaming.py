"""docs/streaming.md and the code say the same, and its client works."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from server.routes.stream_messages import SCHEMAS
from server.streams.control import FIELDS
from server.streams.frame import HEADER, MAGIC
from server.streams.options import OPTIONS
from server.streams.tally import REASONS
from tests.docs.pages import examples, rows, text_of
from tests.server.mean_colour import write_mean_colour
from tests.server.posting import RED
from tests.server.running import serving

FIRST_CELLS = [row[0].strip("`") for row in rows("streaming.md")]


def test_every_option_is_in_the_page_with_its_bounds() -> None:
    table = {row[0].strip("`"): row for row in rows("streaming.md") if len(row) == 4}
    assert set(OPTIONS) <= set(table)
    for name, option in OPTIONS.items():
        for bound in ("minimum", "maximum"):
            if bound in option.schema and abs(option.schema[bound]) < 1e8:
                assert f"{option.schema[bound]:g}" in table[name][1] or name == "version", name


def test_every_event_is_in_the_page() -> None:
    kinds = {schema["properties"]["type"]["const"] for schema in SCHEMAS.values() if "properties" in schema}
    assert kinds - {"end", "ping"} <= set(FIRST_CELLS)
    text = text_of("streaming.md")
    assert [reason for reason in REASONS if f"`{reason}`" not in text] == []


def test_every_message_is_in_the_page() -> None:
    sent = {found for cell in FIRST_CELLS for found in re.findall(r'"type": "(\w+)"', cell)}
    assert sent == set(FIELDS)


def test_the_header_in_the_page_is_the_code_s() -> None:
    text = text_of("streaming.md")
    assert f'struct.pack("{HEADER.format}", b"{MAGIC.decode()}"' in text
    assert f"{HEADER.size} bytes and a picture" in text


@pytest.mark.parametrize("size", [1, 3])
def test_the_client_in_the_page_gets_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int) -> None:
    (example,) = [each for each in examples("python") if each.page.name == "streaming.md"]
    space: dict[str, Any] = {"__name__": "example"}
    exec(compile(example.text, str(example), "exec"), space)
    write_mean_colour(tmp_path / "store")
    with serving(tmp_path, "--store", str(tmp_path / "store"), "--backend", "onnxruntime") as server:
        asyncio.run(space["watch"](server.url.replace("http", "ws"), [RED] * size))
    ready, *results = capsys.readouterr().out.splitlines()
    assert ready.startswith("mean_colour ['jpeg', 'png'")
    assert [line.split()[:2] for line in results] == [[str(seq), "red"] for seq in range(1, size + 1)]
