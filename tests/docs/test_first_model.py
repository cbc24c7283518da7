"""docs/first-model.md, done as a person would: every block marked ``run-by-test``, in order, in one folder."""

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.docs.pages import ROOT, RUN_BY_TEST, Example, on_page
from tests.server.running import free_port

PAGE = ROOT / "docs" / "first-model.md"
WITHIN_S = 120.0
SERVING = "quickeye serve "


class Walk:
    """A folder, the servers that were started in it, and what the last command said."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._servers: list[subprocess.Popen[bytes]] = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QUICKEYE_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        self._environment = kept | {
            "PATH": path,
            "QUICKEYE_PORT": str(self.port),
            "QUICKEYE_DRAIN_GRACE_S": "0",
            "QUICKEYE_CACHE_DIR": str(folder / "cache"),
        }

    def console(self, command: str) -> str:
        """Run one line; a server is left running. Returns what it printed on stdout."""
        if command.startswith(SERVING):
            return self._serve(command)
        line = command.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        return self._run(["bash", "-c", line])

    def python(self, text: str) -> str:
        return self._run([sys.executable, "-c", text])

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _serve(self, command: str) -> str:
        # exec: the shell becomes the server, so that ending the process ends it.
        with (self._folder / "serve.log").open("wb") as log:
            arguments = ["bash", "-c", f"exec {command}"]
            self._servers.append(
                subprocess.Popen(arguments, cwd=self._folder, env=self._environment, stdout=log, stderr=log)
            )
        until_s = time.monotonic() + WITHIN_S
        while self._servers[-1].poll() is None and time.monotonic() < until_s:
            with contextlib.suppress(URLError, ConnectionError):
                if urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status == 200:
                    return ""
            time.sleep(0.05)
        raise AssertionError((self._folder / "serve.log").read_text())

    def end(self) -> list[int]:
        """Stop the servers as an administrator would; their exit codes."""
        for server in self._servers:
            server.terminate()
        return [server.wait(WITHIN_S) for server in self._servers]


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    walk = Walk(tmp_path)
    yield walk
    walk.end()


def words(text: str) -> list[str]:
    """Without the figures: sizes and scores differ a little with the versions of what made them."""
    return re.sub(r"\d+(\.\d+)?", "0", text).split()


def marked() -> list[Example]:
    return [example for example in on_page(PAGE) if RUN_BY_TEST in example.marks]


@pytest.mark.slow
def test_the_walk_through_works_from_top_to_bottom(walk: Walk) -> None:
    said: dict[str, str] = {}
    for example in marked():
        if example.language == "python":
            walk.python(example.text)
            continue
        for command in example.commands:
            said[command] = walk.console(command)
            shown = words(example.text.partition(f"$ {command}\n")[2].partition("$ ")[0])
            assert shown == [] or shown == words(said[command]), f"the page shows another answer to: {command}"
    answers = [text for command, text in said.items() if "/predict" in command and command.startswith("curl")]
    assert len(answers) == 1
    assert '"label":"red"' in answers[0]
    assert walk.end() == [0]


def test_every_command_of_the_walk_through_before_the_checkpoints_is_run() -> None:
    text = PAGE.read_text().partition("## A checkpoint")[0]
    walked = [example for example in on_page(PAGE) if example.line <= text.count("\n")]
    assert [str(example) for example in walked if RUN_BY_TEST not in example.marks] == []
    assert len(walked) >= 8
