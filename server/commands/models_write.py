"""``quickeye models build | import | remove``: what changes a store."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from model_zoo.bundle import Bundle
from model_zoo.errors import BundleError, ImportRefusedError
from model_zoo.manifest import NAME_IN_WORDS, refuse_bad_name
from model_zoo.store import Store, parse_reference
from model_zoo.tables import file_size
from server.commands.label_file import read_label_file
from server.number_flag import whole_number

if TYPE_CHECKING:
    from model_zoo.onnx_original import ImportOptions

_pixels = whole_number(1, 65_536)
_CHECKPOINTS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".tar")


def add_build_flags(parser: argparse.ArgumentParser) -> None:
    """``build NAME``."""
    parser.add_argument("name", help="zoo model with a weight package, such as efficientnet_lite0")


def run_build(flags: argparse.Namespace, store: Store) -> int:
    """The FP32 bundle of a zoo model; needs the extras ``zoo`` and ``optimize``."""
    store.refuse_if_read_only()
    try:
        from model_zoo.export import build_bundle
    except ImportError as error:
        raise ImportRefusedError(f"building needs torch ({error}): pip install 'quickeye[optimize]'") from error
    _report(build_bundle(flags.name, store), flags, store)
    return 0


def add_import_flags(parser: argparse.ArgumentParser) -> None:
    """``import FILE --name NAME …``."""
    parser.add_argument("file", type=Path, help="ONNX classifier, or with --arch a torch checkpoint")
    parser.add_argument("--name", required=True, type=_name, help=f"the model's name in the store: {NAME_IN_WORDS}")
    parser.add_argument("--arch", metavar="NAME", help="a checkpoint's architecture (resnet18, timm:NAME, …)")
    parser.add_argument("--mean", type=_numbers, metavar="R,G,B", help="of the normalisation, in 0–255 units")
    parser.add_argument("--std", type=_numbers, metavar="R,G,B", help="of the normalisation, in 0–255 units")
    parser.add_argument("--labels", metavar="FILE", help="class names, one a line or JSON; or the word imagenet")
    parser.add_argument("--height", type=_pixels, metavar="H", help="input height, where the file leaves it open")
    parser.add_argument("--width", type=_pixels, metavar="W", help="input width, where the file leaves it open")
    parser.add_argument("--layout", choices=["NCHW", "NHWC"], help="where the file's shape fits both")
    parser.add_argument("--output", metavar="NAME", help="the output with the classes, where there are several")
    parser.add_argument("--resize", choices=["shorter_side", "stretch", "letterbox"], help="default: shorter_side")
    parser.add_argument("--resize-size", type=_pixels, metavar="PX", help="of the shorter side (default: 256 for 224)")
    parser.add_argument("--filter", choices=["nearest", "bilinear", "bicubic", "lanczos"], help="default: bilinear")
    parser.add_argument("--licence", default="unknown", help="the weights' licence, for the manifest and the card")
    parser.add_argument("--source", help="where the model comes from, for the manifest and the card")


def run_import(flags: argparse.Namespace, store: Store) -> int:
    """An ONNX file or a checkpoint becomes the next version of ``--name``."""
    from model_zoo.onnx_import import import_onnx

    options = _options(flags)
    if flags.arch:
        from model_zoo.checkpoint_import import import_checkpoint

        bundle = import_checkpoint(
            flags.file, architecture=flags.arch, name=flags.name, store=store.root, options=options
        )
    elif flags.file.suffix.lower() in _CHECKPOINTS:
        raise ImportRefusedError(f"{flags.file} looks like a torch checkpoint; say what it is of: --arch resnet18")
    else:
        bundle = import_onnx(flags.file, name=flags.name, store=store.root, options=options)
    _report(bundle, flags, store)
    return 0


def _options(flags: argparse.Namespace) -> "ImportOptions":
    from model_zoo.onnx_original import ImportOptions

    return ImportOptions(
        mean=flags.mean,
        std=flags.std,
        labels=read_label_file(flags.labels) if flags.labels else None,
        height=flags.height,
        width=flags.width,
        layout=flags.layout,
        output=flags.output,
        resize_mode=flags.resize,
        resize_size=flags.resize_size,
        resize_filter=flags.filter,
        licence=flags.licence,
        source=flags.source or f"the file {flags.file.name}",
    )


def _name(text: str) -> str:
    try:
        refuse_bad_name(text)
    except BundleError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not numbers with commas between, such as 124,116,104") from None


def _report(bundle: Bundle, flags: argparse.Namespace, store: Store) -> None:
    spec = bundle.spec
    if flags.json:
        facts = {"name": spec.name, "version": spec.version, "folder": str(bundle.folder), "bytes": bundle.size_bytes}
        print(json.dumps(facts, ensure_ascii=False))
        return
    print(f"{spec.name}/{spec.version}: {spec.precision}, {len(bundle.labels)} classes, {file_size(bundle.size_bytes)}")
    if _gets_raw_pixels(bundle):
        print(
            "note: without --mean and --std the graph gets pixels from 0 to 255 as they are; most ImageNet models "
            "want --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375",
            file=sys.stderr,
        )
    print(f"serve it: quickeye serve --store {store.root} --model {spec.name}")


def _gets_raw_pixels(bundle: Bundle) -> bool:
    """Whether a float graph was imported with no normalisation."""
    steps = bundle.manifest.lineage.passes
    raw = set(bundle.spec.input.graph_mean) == {0.0} and set(bundle.spec.input.graph_std) == {1.0}
    return raw and bool(steps) and steps[0].parameters.get("input_type") in ("float32", "float16")


def add_remove_flags(parser: argparse.ArgumentParser) -> None:
    """``remove NAME/VERSION``."""
    parser.add_argument("model", help="NAME/VERSION")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run_remove(flags: argparse.Namespace, store: Store) -> int:
    """Delete one version, after a question on a terminal."""
    name, version = parse_reference(flags.model)
    store.refuse_if_read_only()
    if version is None:
        known = ", ".join(f"{name}/{number}" for number in store.versions(name)) or "none in this store"
        print(f"quickeye models remove: say which version of '{name}': {known}", file=sys.stderr)
        return 2
    folder = store.folder(name, version)
    if not flags.yes and not _agreed(folder):
        print("nothing removed", file=sys.stderr)
        return 1
    store.remove(name, version)
    print(json.dumps({"removed": f"{name}/{version}"}) if flags.json else f"removed {folder}")
    return 0


def _agreed(folder: Path) -> bool:
    if not sys.stdin.isatty():
        print("quickeye models remove: no terminal to ask on; add --yes", file=sys.stderr)
        return False
    print(f"remove {folder}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
