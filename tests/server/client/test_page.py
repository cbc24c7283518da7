"""Every example of docs/client.md and of the docstrings does what it says, against a real server."""

import asyncio
import inspect
import re
import textwrap
from pathlib import Path

import pytest

from server.client import AsyncClient, AsyncStream, Client, Stream
from server.client import errors as error_module
from server.client.events import Event
from tests.docs.pages import ROOT, on_page, rows
from tests.server.posting import GREEN, RED
from tests.server.running import Running

PAGE = ROOT / "docs" / "client.md"
EXAMPLES = [example.text for example in on_page(PAGE) if example.language == "python"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the files that the examples name."""
    (tmp_path / "frames").mkdir()
    for name, data in [("photo.jpg", RED), ("cat.jpg", RED), ("dog.jpg", GREEN), ("frames/1.jpg", GREEN)]:
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)


def run(text: str, server: Running, **given: object) -> None:
    """Run an example as a program, at the server's real address; ``given`` are names that it may use."""
    here = text.replace("http://127.0.0.1:8000", server.url).replace(
        "Client().stream", f'Client("{server.url}").stream'
    )
    exec(compile(here, str(PAGE), "exec"), {"__name__": "example", "Path": Path, **given})


@pytest.mark.parametrize("text", EXAMPLES, ids=[f"example {number}" for number, _ in enumerate(EXAMPLES, 1)])
@pytest.mark.usefixtures("photos")
def test_an_example_of_the_page_runs(text: str, server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    run(text, server)
    caught = capsys.readouterr()
    assert "red" in caught.out or "green" in caught.out
    assert caught.err == ""


def example_of(documented: object) -> str:
    """The block after ``::`` in a docstring."""
    text = inspect.getdoc(documented) or ""
    found = re.search(r"::\n\n((?:    .*\n|\n)+)", text)
    assert found, documented
    return textwrap.dedent(found[1])


@pytest.mark.usefixtures("photos")
def test_the_docstrings_examples_run(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    run(example_of(Client), server, Client=Client)
    run(example_of(Stream), server, client=Client(server.url))
    given = {"Path": Path, "AsyncClient": AsyncClient, "client": AsyncClient(server.url)}
    for documented in (AsyncClient, AsyncStream):
        text = example_of(documented).replace("http://127.0.0.1:8000", server.url)
        lines = ["async def main():", *(f"    {line}" for line in text.splitlines())]
        namespace = dict(given)
        exec("\n".join(lines), namespace)
        asyncio.run(namespace["main"]())  # type: ignore[operator]
    assert capsys.readouterr().out.count("Prediction(index=0, label='red'") == 4


def test_every_call_error_and_event_is_on_the_page() -> None:
    cells = {cell.strip("`") for row in rows("client.md") for cell in row}
    calls = {name for name, method in vars(Client).items() if inspect.isfunction(method) and not name.startswith("_")}
    assert calls - {"close"} == {cell.partition("(")[0] for cell in cells if "(" in cell} & calls
    errors = {name for name, each in vars(error_module).items() if inspect.isclass(each) and name.endswith("Error")}
    assert errors - {"ClientError"} <= cells
    assert {kind.__name__ for kind in Event.__args__} <= cells


def test_both_clients_have_the_same_calls() -> None:
    def shape(kind: type) -> dict[str, list[str]]:
        methods = {name: method for name, method in vars(kind).items() if inspect.isfunction(method) and name[0] != "_"}
        return {name: list(inspect.signature(method).parameters) for name, method in methods.items()}

    assert shape(Client) == shape(AsyncClient)
    assert shape(Stream) == {name: words for name, words in shape(AsyncStream).items() if name != "take"}
    for name in shape(Client):
        blocking, awaited = (inspect.getdoc(getattr(kind, name)) or "" for kind in (Client, AsyncClient))
        assert blocking == awaited.replace("``async with``", "``with``").replace("AsyncStream", "Stream")
