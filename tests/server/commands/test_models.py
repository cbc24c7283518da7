"""``quickeye models``: what it prints, what it changes, and its exit codes."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from model_zoo.bundle import Bundle
from model_zoo.check import CheckVerdict
from model_zoo.store import Store
from model_zoo.tables import table
from server.backends import BackendOptions
from server.backends.errors import BackendLoadError, BackendUnavailableError, CheckFailedError
from server.commands.models import ACTIONS, main
from server.commands.models_verify import engine_trial, verify
from tests.model_zoo.drafts import draft, store_of_three
from tests.model_zoo.onnx_graphs import body, model

Output = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """means/1, an INT8 means/2 with figures, and a broken other/1."""
    return store_of_three(tmp_path / "store")


def call(*words: str | Path) -> int:
    """The exit code, as the shell would see it."""
    try:
        return main([str(word) for word in words])
    except SystemExit as exit_:
        return int(exit_.code or 0)


def test_list(store: Store, capsys: Output) -> None:
    """A line per version, aligned; a broken one is a line that says why."""
    assert call("list", "--store", store.root) == 0
    heading, first, second, broken = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "VERSION", "PRECISION", "TOP-1", "SIZE", "STATE"]
    assert first.split()[:4] == ["means", "1", "fp32", "-"]
    assert second.split()[:4] == ["means", "2", "int8", "85.0%"]
    assert broken.startswith("other")
    assert "CARD.md: listed in manifest.json, but missing" in broken
    assert first.index("ok") == second.index("ok") == heading.index("STATE") == broken.index("refused")


def test_list_as_json(store: Store, capsys: Output) -> None:
    """Nothing but JSON on stdout."""
    assert call("list", "--json", "--store", store.root) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(line["name"], line["version"], line["top1"], line["state"]) for line in found] == [
        ("means", 1, None, "ok"),
        ("means", 2, 0.85, "ok"),
        ("other", 1, None, "refused"),
    ]
    assert found[0]["bytes"] == store.open("means", 1).size_bytes


def test_the_store_of_the_environment(store: Store, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """QUICKEYE_STORE stands in for --store; the flag wins; without both the shipped bundles are read."""
    monkeypatch.setenv("QUICKEYE_STORE", str(store.root))
    assert call("list") == 0
    assert "means" in capsys.readouterr().out
    assert call("list", "--store", store.root / "absent") == 1
    assert "there is no folder" in capsys.readouterr().err
    monkeypatch.delenv("QUICKEYE_STORE")
    assert call("list", "--json") == 0
    assert "means" not in capsys.readouterr().out


def test_show(store: Store, capsys: Output) -> None:
    """The newest by default; facts a person asks for."""
    assert call("show", "means", "--store", store.root) == 0
    text = capsys.readouterr().out
    for fact in (
        "means/2",
        "int8",
        "8×8 rgb",
        "means/1",
        "Apache-2.0",
        "top1 0.85 [0.64, 0.95] on d val (n=20)",
        "6.5 ms",
    ):
        assert fact in text
    assert call("show", "means/1", "--json", "--store", store.root) == 0
    content = json.loads(capsys.readouterr().out)
    bundle = store.open("means", 1)
    assert content["schema"] == 1
    assert content["labels"] == ["red", "green", "blue"]
    assert content["fingerprint"] == bundle.fingerprint
    assert content["files"] == [file.model_dump() for file in bundle.manifest.files]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["show", "maens"], "did you mean 'means'"),
        (["show", "means/7"], "there are: 1, 2"),
        (["show", "../means"], "NAME/VERSION"),
        (["show", "other"], "CARD.md"),
        (["remove", "means/7", "--yes"], "there are: 1, 2"),
    ],
)
def test_failures_say_why(store: Store, capsys: Output, words: list[str], reason: str) -> None:
    """On stderr, exit code 1."""
    assert call(*words, "--store", store.root) == 1
    captured = capsys.readouterr()
    assert reason in captured.err
    assert captured.err.startswith(f"quickeye models {words[0]}: ")
    assert captured.out == ""


@pytest.mark.parametrize("name", ["a" * 65, "a" * 300, "Shoes", "../up", "", "-a b", ".hidden", "a/1", "é", "a\n"])
def test_a_name_that_can_be_none_is_said_before_anything_is_read(tmp_path: Path, capsys: Output, name: str) -> None:
    """In words, exit code 2; the file that was named does not even exist."""
    assert call("import", tmp_path / "absent.onnx", f"--name={name}", "--store", tmp_path / "new") == 2
    err = capsys.readouterr().err
    assert "argument --name: " in err
    assert "a name is 1 to 64 of a-z, 0-9, _ . and -, the first a letter or a digit" in err
    assert len(err.splitlines()[-1]) < 250
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("words", [[], ["fly"], ["show"], ["import", "x.onnx"], ["list", "--nope"]])
def test_wrong_usage_is_two(words: list[str], capsys: Output) -> None:
    """Exit code 2, and how it is used."""
    assert call(*words) == 2
    assert "usage: quickeye models" in capsys.readouterr().err


def test_an_action_that_is_none_is_told_all_there_are(capsys: Output) -> None:
    assert call("dif") == 2
    err = capsys.readouterr().err
    assert f"there is no action 'dif'; there are {', '.join(ACTIONS)} and diff" in err
    assert call("--help") == 0
    assert "quickeye models diff A B compares two bundles" in capsys.readouterr().out


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_explains_itself(action: str, capsys: Output) -> None:
    """``--help`` works without a store."""
    assert call(action, "--help") == 0
    assert "--store DIR" in capsys.readouterr().out


def test_remove(store: Store, capsys: Output) -> None:
    """With --yes at once."""
    assert call("remove", "means/2", "--yes", "--store", store.root) == 0
    assert store.versions("means") == [1]
    assert "removed" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, [1]), ("n\n", 1, [1, 2]), ("", 1, [1, 2])])
def test_remove_asks(store: Store, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: list[int]) -> None:
    """Anything but yes keeps it."""
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert call("remove", "means/2", "--store", store.root) == code
    assert store.versions("means") == left


def test_remove_without_a_terminal_or_a_version(store: Store, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script must say what it means."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert call("remove", "means/2", "--store", store.root) == 1
    assert "--yes" in capsys.readouterr().err
    assert call("remove", "means", "--yes", "--store", store.root) == 2
    assert "means/1, means/2" in capsys.readouterr().err
    assert store.versions("means") == [1, 2]


def test_the_shipped_bundles_are_not_changed(capsys: Output) -> None:
    """By no writing command."""
    from model_zoo.store import shipped_store

    root = shipped_store().root
    for words in (["build", "efficientnet_lite0"], ["import", "x.onnx", "--name", "x"], ["remove", "x/1", "--yes"]):
        assert call(*words, "--store", root) == 1
        assert "read-only" in capsys.readouterr().err


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    """A stranger's classifier."""
    path = tmp_path / "stranger.onnx"
    onnx.save(model(body()), path)
    return path


def test_import(onnx_file: Path, tmp_path: Path, capsys: Output) -> None:
    """Flags become the bundle's facts."""
    labels = tmp_path / "labels.txt"
    labels.write_bytes("\ufeffa\r\nb\r\nc\r\nd\r\ne\r\n\r\n".encode())
    words = ["--name", "mine", "--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375", "--labels", labels]
    more = ["--licence", "MIT", "--resize-size", "14", "--filter", "bicubic", "--store", tmp_path / "new", "--json"]
    assert call("import", onnx_file, *words, *more) == 0
    facts = json.loads(capsys.readouterr().out)
    bundle = Store(tmp_path / "new").open("mine")
    assert facts == {"name": "mine", "version": 1, "folder": str(bundle.folder), "bytes": bundle.size_bytes}
    assert bundle.labels == ("a", "b", "c", "d", "e")
    assert bundle.spec.input.graph_mean == (123.675, 116.28, 103.53)
    assert (bundle.spec.input.resize.size, bundle.spec.input.resize.filter) == (14, "bicubic")
    assert (bundle.spec.licence, bundle.spec.source) == ("MIT", "the file stranger.onnx")


def test_import_without_normalisation_says_so(
    onnx_file: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent wrong guess would cost accuracy; and without --store it goes to ./store."""
    monkeypatch.chdir(tmp_path)
    assert call("import", onnx_file, "--name", "mine") == 0
    captured = capsys.readouterr()
    assert "--mean 123.675" in captured.err
    assert "quickeye serve --store store --model mine" in captured.out
    assert Store(tmp_path / "store").versions("mine") == [1]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"], 1, "123.675,116.28,103.53"),
        (["--mean", "a,b,c"], 2, "argument --mean: 'a,b,c' is not numbers with commas between"),
        (["--height", "0"], 2, "argument --height: '0' is not a whole number from 1"),
        (["--width", "wide"], 2, "argument --width: 'wide' is not a whole number from 1"),
        (["--layout", "HWC"], 2, "--layout"),
        (["--labels", "absent.txt"], 1, "absent.txt can't be read"),
        (["--labels", "imagenet"], 1, "5 classes, the labels given 1000"),
    ],
)
def test_import_refusals(
    onnx_file: Path, tmp_path: Path, capsys: Output, words: list[str], code: int, reason: str
) -> None:
    """The reason, and nothing written."""
    assert call("import", onnx_file, "--name", "mine", "--store", tmp_path / "new", *words) == code
    assert reason in capsys.readouterr().err
    assert Store(tmp_path / "new").names() == []


def test_a_checkpoint_needs_its_architecture(tmp_path: Path, capsys: Output) -> None:
    """Known by its suffix."""
    path = tmp_path / "weights.pth"
    path.write_bytes(b"x")
    assert call("import", path, "--name", "mine", "--store", tmp_path / "new") == 1
    assert "--arch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("l.json", '["a", "b", "c", "d", "e"]', ("a", "b", "c", "d", "e")),
        ("l.json", '{"1": "b", "0": "a", "2": "c", "3": "d", "4": "e"}', ("a", "b", "c", "d", "e")),
        ("l.json", "{}", None),
        ("l.json", '{"1": "b"}', None),
        ("l.json", "[1]", None),
        ("l.json", "{", None),
        ("l.txt", "\n\n", None),
    ],
)
def test_label_files(
    onnx_file: Path, tmp_path: Path, capsys: Output, name: str, text: str, labels: tuple[str, ...] | None
) -> None:
    """Lines or JSON; anything else is refused by name."""
    (tmp_path / name).write_text(text)
    words = ["import", onnx_file, "--name", "mine", "--labels", tmp_path / name, "--store", tmp_path / "new"]
    assert call(*words) == (1 if labels is None else 0)
    if labels is None:
        assert name in capsys.readouterr().err
    else:
        assert Store(tmp_path / "new").open("mine").labels == labels


class IdleBackend:
    """A backend that is opened and closed, never run."""

    name, device = "idle", "cpu"

    def __init__(self) -> None:
        self.closed = False

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> tuple[NDArray[np.float32], ...]:
        """Not called here."""
        raise NotImplementedError(batch.shape)

    def close(self) -> None:
        """Remember it."""
        self.closed = True


@dataclass(frozen=True)
class Opened:
    """What an opener gives."""

    backend: IdleBackend
    verdict: CheckVerdict


class Opener:
    """Answers for each engine as told: a verdict, or an error."""

    def __init__(self, **answers: CheckVerdict | Exception) -> None:
        self.answers = answers
        self.backends: list[IdleBackend] = []

    def __call__(self, bundle: Bundle, options: BackendOptions, name: str | None = None) -> Opened:
        """As ``server.backends.selection.open_backend``."""
        answer = self.answers[name or ""]
        if isinstance(answer, Exception):
            raise answer
        self.backends.append(IdleBackend())
        return Opened(self.backends[-1], answer)


PASSED = CheckVerdict(True, 0.25, "largest difference 0.25")


@pytest.mark.parametrize(
    ("answer", "verdict", "diff", "sound"),
    [
        (PASSED, "passed", 0.25, True),
        (CheckFailedError("differs by 9"), "failed", None, True),
        (BackendLoadError("no such operator"), "refused", None, True),
        (BackendUnavailableError("not installed"), "not here", None, True),
    ],
)
def test_verify_says_how_each_engine_did(
    store: Store, answer: CheckVerdict | Exception, verdict: str, diff: float | None, sound: bool
) -> None:
    """One engine that passes is enough to serve; what was opened is closed."""
    opener = Opener(onnxruntime=PASSED, openvino=answer)
    result = verify(store, "means", 1, engine_trial(opener, BackendOptions()))
    assert result.sound is sound
    assert result.fault is None
    assert [engine.verdict for engine in result.engines] == ["passed", verdict]
    assert result.engines[1].max_abs_diff == diff
    assert all(backend.closed for backend in opener.backends)


def test_verify_fails_when_no_engine_passes(store: Store) -> None:
    """Nothing could serve it."""
    opener = Opener(onnxruntime=CheckFailedError("differs"), openvino=BackendUnavailableError("not installed"))
    assert not verify(store, "means", 1, engine_trial(opener, BackendOptions())).sound


def test_verify_opens_no_engine_on_an_altered_bundle(store: Store) -> None:
    """First the hashes."""
    path = store.open("means", 1).model_path
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    opener = Opener()
    result = verify(store, "means", 1, engine_trial(opener, BackendOptions()))
    assert (result.sound, result.engines) == (False, ())
    assert "sha256" in str(result.fault)


def test_an_engine_of_a_later_version_is_not_here(store: Store) -> None:
    """A bundle may name backends that this version does not have."""
    store.write(draft(name="later", runs_on=("warp",)))
    (engine,) = verify(store, "later", 1, engine_trial(Opener(), BackendOptions())).engines
    assert (engine.backend, engine.verdict) == ("warp", "not here")


def test_verify_from_the_command_line(store: Store, capsys: Output) -> None:
    """The real engines on the real files: the whole bundle passes, the broken one is named."""
    words = ["--backend", "onnxruntime", "--store", store.root]
    assert call("verify", "means/1", *words) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split()[:4] == ["MODEL", "FILES", "BACKEND", "VERDICT"]
    assert row.split()[:4] == ["means/1", "whole", "onnxruntime", "passed"]
    assert call("verify", "--json", *words) == 1
    found: Sequence[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [(verdict["model"], verdict["sound"]) for verdict in found] == [
        ("means/1", True),
        ("means/2", True),
        ("other/1", False),
    ]


def test_a_strangers_text_can_not_drive_the_terminal() -> None:
    """Escape sequences become question marks."""
    assert table([["A", "B"], ["\x1b[2Jx", "y"]]) == "A      B\n?[2Jx  y"
