"""The shipped optimising recipes at full size, on the models of ``trained_models``: ``docs/fronts/``.

    python -m benchmarks.fronts fashion_mnist --parent runs/studies/fashion_mnist/large-1 --out runs/fronts
    python -m benchmarks.fronts clothing --parent runs/studies/clothing/parent-1 --clothing PHOTOS --out runs/fronts

Each is the command that a user types; one that is killed, or whose ``--time-limit`` is over, goes on where it was.
Figures of speed are beside the parent in FP32, on ONNX Runtime both. What is written: the report, the result as
JSON, and a table of it.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

ROOT = Path(__file__).parents[1]
FRONTS = ROOT / "docs" / "fronts"
NAMES = ("fashion_mnist", "clothing")


def command(name: str, parent: Path, photos: Path | None, out: Path, minutes: int | None = None) -> list[str]:
    """What a user would type."""
    settings = [f"model={parent}"]
    if name == "clothing":
        if photos is None:
            raise SystemExit("error: name the folder of the clothing photos with --clothing")
        both = f'data.train=["{photos / "train"}", "{photos / "validation"}"]'
        settings += [both, "data.hold_out=1000", "data.val_share=0.05"]  # as the parent's: these photos are new to it
    words = ["optimize", f"{name}_fast", "--backend", "onnxruntime", "--out", str(out / name), "--json"]
    words += [] if minutes is None else ["--time-limit", str(minutes)]
    return [*words, *(word for setting in settings for word in ("--set", setting))]


def written(name: str, result: Mapping[str, Any], report: Path, took: float | None, folder: Path) -> str:
    """Write the three files; returns the table.

    Args:
        took: seconds from the command to its end; None of a run that went on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "seconds": None if took is None else round(took), "result": result}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    shutil.copyfile(report, folder / f"{name}.html")
    text = "\n".join(table(result)) + "\n"
    (folder / f"{name}.table.md").write_text(text, encoding="utf-8")
    return text


def table(result: Mapping[str, Any]) -> list[str]:
    """A line for the parent and for each candidate, fastest last; what is not on the front has no verdict."""
    made = [one for one in result["candidates"] if one["speed"] is not None]
    lines = [
        "| | input, px | MACs | MB | times the parent's speed, one picture | in batches "
        "| right of those that choose, % | points lost on the guard's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return [*lines, *(_row(one) for one in sorted(made, key=lambda one: one["speed"]["faster"]))]


def _row(one: Mapping[str, Any]) -> str:
    speed, lost = one["speed"], "–"
    if one["verdict"] is not None:
        paired = one["verdict"]["paired"]
        low, high = paired["ci95"]
        lost = f"{paired['drop']:.2f} ({low:.2f} to {high:.2f}) of {paired['n']:,}"
    cells = [
        f"**{one['name']}**" if one["is_on_front"] else one["name"],
        one["height"],
        f"{one['macs'] / 1e6:.1f} M",
        f"{one['bytes'] / 1e6:.2f}",
        f"{speed['faster']:.2f} ± {speed['spread']:.2f}",
        f"{speed['throughput']:.2f} ± {speed['throughput_spread']:.2f}",
        f"{100 * one['val']['top1']:.2f}" if one["val"] else "–",
        lost,
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fronts", description=__doc__)
    parser.add_argument("front", choices=NAMES)
    parser.add_argument("--parent", type=Path, required=True, help="the run, or the bundle, to make faster")
    parser.add_argument("--clothing", type=Path, help="the folder with train/ and validation/")
    parser.add_argument("--out", type=Path, default=Path("runs/fronts"), help="where the runs lie")
    parser.add_argument("--time-limit", type=int, metavar="MINUTES", help="begin no step after so many")
    parser.add_argument("--list", action="store_true", help="print the command")
    chosen = parser.parse_args()
    words = command(chosen.front, chosen.parent, chosen.clothing, chosen.out, chosen.time_limit)
    print(shlex.join(["quickeye", *words]), file=sys.stderr, flush=True)
    if chosen.list:
        return
    is_new, begun = not (chosen.out / chosen.front).exists(), time.monotonic()
    ended = subprocess.run([sys.executable, str(ROOT / "quickeye.py"), *words], stdout=subprocess.PIPE, check=False)
    took = time.monotonic() - begun if is_new else None
    if not ended.stdout:
        raise SystemExit(f"error: quickeye optimize ended with exit code {ended.returncode}")
    report = chosen.out / chosen.front / "report.html"
    print(written(chosen.front, json.loads(ended.stdout), report, took, FRONTS))


if __name__ == "__main__":
    main()
