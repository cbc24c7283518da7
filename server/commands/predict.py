"""``quickeye predict``: classify files or a folder, without a server."""

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from model_zoo.bundle import Bundle
from model_zoo.errors import BundleError, PictureError, UnknownModelError
from model_zoo.store import Store, parse_reference
from model_zoo.store_flag import store_to_read
from server.backends import BACKENDS
from server.backends.errors import BackendError
from server.class_activation import refuse_unexplained
from server.commands.overlays import Overlays
from server.config import Config
from server.errors import InternalError, InvalidRequestError
from server.in_process import InProcess
from server.job import Answer, JobOptions
from server.loading import load
from server.number_flag import whole_number
from server.picture_files import picture_files

WAITING_PER_INSTANCE = 4
MAX_NAME_COLUMN = 120


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """One file's answer, or the code and message of why there is none; ``overlay``: the picture with its map."""

    file: Path
    answer: Answer | None
    code: str = ""
    message: str = ""
    overlay: Path | None = None

    def as_json(self) -> dict[str, object]:
        """Like one result of the HTTP reply, with the file's name."""
        if self.answer is None:
            return {"file": str(self.file), "predictions": [], "error": {"code": self.code, "message": self.message}}
        told: dict[str, object] = {
            "file": str(self.file),
            "predictions": [asdict(one) for one in self.answer.predictions],
            "width": self.answer.width,
            "height": self.answer.height,
            "error": None,
        }
        if self.answer.unknown:
            told["unknown"] = True
        return told if self.overlay is None else {**told, "overlay": str(self.overlay)}


def make_parser() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(prog="quickeye predict", description="Classify files or a folder, no server.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="pictures, or folders of pictures")
    parser.add_argument("--model", metavar="NAME", help="NAME or NAME/VERSION (default: the only one of the store)")
    parser.add_argument("--store", type=Path, metavar="DIR", help="folder of bundles (default: the shipped bundles)")
    parser.add_argument(
        "--top-k", type=whole_number(1, 100_000), default=5, metavar="K", help="classes per picture (5)"
    )
    parser.add_argument("--backend", choices=("auto", *BACKENDS), default="auto", help="engine (auto)")
    parser.add_argument(
        "--explain", type=Path, metavar="DIR", help="write each picture into DIR with its class-activation map over it"
    )
    parser.add_argument("--recursive", action="store_true", help="enter folders inside folders")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; 0: every file has an answer, 1: some have none, no such model, no engine for it, 2: usage."""
    flags = make_parser().parse_args(arguments)
    try:
        bundle = find_model(store_to_read(flags.store), flags.model)
    except (UnknownModelError, BundleError) as error:
        return _failed(str(error))
    if bundle.spec.task != "classification":
        return _failed(f"'{bundle.spec.name}' is for {bundle.spec.task}; predict needs a model for classification")
    options = JobOptions(flags.top_k, explain=flags.explain is not None)
    try:
        refuse_unexplained(options.explain, bundle.spec)
        overlays = None if flags.explain is None else Overlays(flags.explain, bundle.spec.input)
        loaded = load(Config(backend=flags.backend, max_batch_size=1), bundle)
    except (BackendError, BundleError, InvalidRequestError, OSError) as error:
        return _failed(str(error))
    with InProcess(loaded) as model:
        files = list(find_files(flags.paths, recursive=flags.recursive))
        outcomes = classify_all(model, files, options)
        if overlays is not None:
            outcomes = overlaid(outcomes, overlays)
        return _print_json(outcomes) if flags.json else _print_text(outcomes, _column(files))


def find_model(store: Store, reference: str | None) -> Bundle:
    """The bundle that was named, or the store's only model.

    Raises:
        UnknownModelError: no such model, or several and none named.
        BundleError: it is there, and refused.
    """
    if reference is not None:
        return store.open(*parse_reference(reference))
    names = store.names()
    if len(names) != 1:
        there = f"there are {', '.join(names)}: choose with --model" if names else "there is none"
        raise UnknownModelError(f"{store.root} does not have one single model; {there}")
    return store.open(names[0])


def find_files(paths: Iterable[Path], *, recursive: bool) -> Iterator[Path | FileOutcome]:
    """The pictures of every path in turn; what can't be listed, or has none, is an outcome of its own."""
    for path in paths:
        try:
            files = picture_files(path, recursive=recursive)
        except OSError as error:
            yield FileOutcome(path, None, "unreadable_file", str(error))
            continue
        if not files:
            hint = "" if recursive else "; --recursive looks into the folders inside, too"
            yield FileOutcome(path, None, "no_pictures", f"no files with a picture's name{hint}")
        yield from files


def classify_all(model: InProcess, files: Iterable[Path | FileOutcome], options: JobOptions) -> Iterator[FileOutcome]:
    """Outcomes in the order of the files, on all instances, with few files waiting in memory."""
    with ThreadPoolExecutor(model.instances) as pool:
        waiting: deque[Future[FileOutcome]] = deque()
        for file in files:
            if isinstance(file, FileOutcome):
                waiting.append(pool.submit(lambda outcome: outcome, file))
            else:
                waiting.append(pool.submit(classify, model, file, options))
            if len(waiting) >= WAITING_PER_INSTANCE * model.instances:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def classify(model: InProcess, file: Path, options: JobOptions) -> FileOutcome:
    """One file; whatever is wrong with it is in the outcome."""
    try:
        with file.open("rb") as opened:
            data = opened.read(model.limits.max_bytes + 1)  # one more than allowed is refused, however long it is
        return FileOutcome(file, model.answer(data, options))
    except (PictureError, InternalError) as error:
        return FileOutcome(file, None, error.code, str(error))
    except OSError as error:
        return FileOutcome(file, None, "unreadable_file", error.strerror or str(error))


def overlaid(outcomes: Iterable[FileOutcome], overlays: Overlays) -> Iterator[FileOutcome]:
    """The same outcomes, each picture written with its map over it; what can't be written is an outcome of its own."""
    for outcome in outcomes:
        if outcome.answer is None:
            yield outcome
            continue
        try:
            yield replace(outcome, overlay=overlays.write(outcome.file, outcome.answer))
        except PictureError as error:
            yield FileOutcome(outcome.file, None, error.code, str(error))
        except OSError as error:
            yield FileOutcome(outcome.file, None, "unwritable_overlay", str(error))


def _failed(message: str) -> int:
    print(f"quickeye predict: {message}", file=sys.stderr)
    return 1


def _complain(outcome: FileOutcome) -> None:
    print(f"quickeye predict: {_shown(outcome.file)}: {outcome.message} ({outcome.code})", file=sys.stderr)


def _print_json(outcomes: Iterable[FileOutcome]) -> int:
    found = list(outcomes)
    for outcome in found:
        if outcome.answer is None:
            _complain(outcome)
    print(json.dumps([outcome.as_json() for outcome in found], indent=2))
    return int(any(outcome.answer is None for outcome in found))


def _column(files: Iterable[Path | FileOutcome]) -> int:
    names = [len(_shown(file)) for file in files if isinstance(file, Path)]
    return min(MAX_NAME_COLUMN, max(names, default=0))


def _print_text(outcomes: Iterable[FileOutcome], column: int) -> int:
    failed = False
    for outcome in outcomes:
        if outcome.answer is None:
            failed = True
            _complain(outcome)
        else:
            print("\n".join(rows(outcome.file, outcome.answer, column)), flush=True)
    return int(failed)


def rows(file: Path, answer: Answer, column: int) -> list[str]:
    """One line per class: the file on the first, the score in percent, the label; before them ``unknown`` if it is."""
    texts = ["unknown"] if answer.unknown else []
    texts += [f"{one.score:7.2%}  {one.label}" for one in answer.predictions]
    names = [_shown(file), *[""] * len(texts)]
    return [f"{name:<{column}}  {text}" for name, text in zip(names, texts, strict=False)]


def _shown(file: Path) -> str:
    """A file's name without what could confuse a terminal."""
    return "".join(character if character.isprintable() else "�" for character in str(file))
