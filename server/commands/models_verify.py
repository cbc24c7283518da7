"""``quickeye models verify``: is the bundle whole, and which engines on this machine compute it rightly?"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from model_zoo.bundle import Bundle
from model_zoo.check import CheckVerdict
from model_zoo.errors import ModelZooError
from model_zoo.store import Store, parse_reference
from model_zoo.tables import table
from server.backends import BACKENDS, Backend, BackendOptions
from server.backends.errors import BackendError, BackendUnavailableError, CheckFailedError


@dataclass(frozen=True, slots=True)
class EngineVerdict:
    """One engine's: ``verdict`` is passed, failed, refused or not here; ``max_abs_diff`` None where nothing ran."""

    backend: str
    verdict: str
    max_abs_diff: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class BundleVerdict:
    """One bundle's; ``fault`` None when its files are whole. Sound: whole, and at least one engine passed."""

    model: str
    sound: bool
    fault: str | None
    engines: tuple[EngineVerdict, ...]


class _Opened(Protocol):
    @property
    def backend(self) -> Backend: ...
    @property
    def verdict(self) -> CheckVerdict: ...


# ``server.backends.selection.open_backend``, or a test's.
OpenBackend = Callable[[Bundle, BackendOptions, str | None], _Opened]
TryEngine = Callable[[Bundle, str], EngineVerdict]


def add_verify_flags(parser: argparse.ArgumentParser) -> None:
    """``verify [MODEL …]``."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help="NAME or NAME/VERSION (default: all of the store)")
    parser.add_argument("--backend", choices=list(BACKENDS), help="this engine alone (default: all the bundle names)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to run")


def run_verify(flags: argparse.Namespace, store: Store) -> int:
    """Exit code 1 when a bundle is altered or no engine passes its check."""
    from server.backends.selection import open_backend

    try_engine = engine_trial(open_backend, BackendOptions(device=flags.device))
    backends = (flags.backend,) if flags.backend else None
    verdicts = [verify(store, name, version, try_engine, backends) for name, version in _wanted(flags.models, store)]
    if flags.json:
        print(json.dumps([asdict(verdict) for verdict in verdicts], indent=2, ensure_ascii=False))
    elif not verdicts:
        print(f"no models in {store.root}")
    else:
        rows = [row for verdict in verdicts for row in _rows(verdict)]
        print(table([["MODEL", "FILES", "BACKEND", "VERDICT", "MAX DIFF", "DETAIL"], *rows]))
    return 0 if all(verdict.sound for verdict in verdicts) else 1


def _wanted(models: list[str], store: Store) -> list[tuple[str, int]]:
    if not models:
        return [(name, version) for name in store.names() for version in store.versions(name)]
    references = [parse_reference(text) for text in models]
    return [(name, int(store.folder(name, version).name)) for name, version in references]


def verify(
    store: Store, name: str, version: int, try_engine: TryEngine, backends: Sequence[str] | None = None
) -> BundleVerdict:
    """Hash every file, look into the graphs, then try the engines: those given, or all that the bundle names."""
    from model_zoo.onnx_safety import refuse_external_data

    model = f"{name}/{version}"
    try:
        bundle = store.open(name, version)
        for graph in (bundle.read_model(), bundle.read_twin()):
            if graph is not None:
                refuse_external_data(graph)
    except ModelZooError as error:
        return BundleVerdict(model, False, str(error), ())
    engines = tuple(try_engine(bundle, backend) for backend in backends or bundle.spec.runs_on)
    return BundleVerdict(model, any(engine.verdict == "passed" for engine in engines), None, engines)


def engine_trial(open_backend: OpenBackend, options: BackendOptions) -> TryEngine:
    """A function that opens one engine, closes it again, and says how it went."""

    def try_engine(bundle: Bundle, backend: str) -> EngineVerdict:
        if backend not in BACKENDS:
            return EngineVerdict(backend, "not here", None, "this version of quickeye has no such backend")
        try:
            opened = open_backend(bundle, options, backend)
        except BackendUnavailableError as error:
            return EngineVerdict(backend, "not here", None, str(error))
        except CheckFailedError as error:
            return EngineVerdict(backend, "failed", None, str(error))
        except BackendError as error:
            return EngineVerdict(backend, "refused", None, str(error))
        opened.backend.close()
        return EngineVerdict(backend, "passed", opened.verdict.max_abs_diff, opened.verdict.detail)

    return try_engine


def _rows(verdict: BundleVerdict) -> Iterator[list[str]]:
    if verdict.fault is not None:
        yield [verdict.model, "refused", "-", "-", "-", verdict.fault]
    for engine in verdict.engines:
        worst = "-" if engine.max_abs_diff is None else f"{engine.max_abs_diff:.3g}"
        yield [verdict.model, "whole", engine.backend, engine.verdict, worst, engine.detail]
