"""The tables of deploy/capacity.md: measured times of a model on this machine, and what they allow.

`--write` keeps the times in deploy/capacity.json and puts the tables into the page; from the same times the same tables
come again, on any machine, without `--measure`. Measure where nothing else runs: the page says so where the load
average was more than half of the cores.
"""

import argparse
import json
import math
import os
from pathlib import Path
from typing import Any

from benchmarks.machine import add_json_flag, publish
from model_zoo.store import Store, shipped_store
from server.benchmark_pictures import encoded_pictures
from server.commands.predict import find_model
from server.config import Config
from server.planning.from_file import as_json, from_json
from server.planning.measure import measure
from server.planning.measured import Measured
from server.planning.search import bottleneck, floor_s, largest_rate, machines_of

FOLDER = Path(__file__).parents[1] / "deploy"
TIMES, PAGE = FOLDER / "capacity.json", FOLDER / "capacity.md"
BEGIN = "<!-- tables: python -m benchmarks.capacity --measure --write -->\n"
END = "<!-- end of tables -->\n"
NOTHING = "Not measured yet: run the command on a machine that does nothing else.\n"
KEPT_FREE = 0.2


def tables(times: dict[str, Any]) -> str:
    """Both tables as Markdown, and where their times are from."""
    asked, measured = times["asked"], from_json(times["measured"])
    largest = max(measured.batch_s)
    kinds = [machines_of(measured, [cores], largest)[-1] for cores in asked["cores"] if cores >= measured.threads]
    rates = [[largest_rate(kind, measured, p99_ms / 1e3) for p99_ms in asked["p99_ms"]] for kind in kinds]
    objectives = " | ".join(f"99 in 100 within {p99_ms:g} ms" for p99_ms in asked["p99_ms"])
    rule = "|---" * (len(asked["p99_ms"]) + 1) + "|\n"
    lines = [*_said(times, measured), f"| cores | {objectives} | ends first |\n", rule.rstrip("\n") + "---|\n"]
    for kind, row in zip(kinds, rates, strict=True):
        cells = " | ".join(f"{rate:.0f}/s" if rate else "not met" for rate in row)
        lines.append(f"| {kind.cores} | {cells} | {bottleneck(kind, measured)} |\n")
    lines += [f"\nMachines for so many pictures a second, {KEPT_FREE:.0%} of the rate kept free:\n\n"]
    lines += [f"| pictures a second, cores of each machine | {objectives} |\n", rule]
    for wanted in asked["rates"]:
        for kind, row in zip(kinds, rates, strict=True):
            counts = [str(math.ceil(wanted * (1 + KEPT_FREE) / rate)) if rate else "not met" for rate in row]
            lines.append(f"| {wanted:g}, {kind.cores} | {' | '.join(counts)} |\n")
    return "".join(lines)


def _said(times: dict[str, Any], measured: Measured) -> list[str]:
    busy = times["load_1min"] > measured.cores / 2
    provisional = (
        f"**Provisional: the machine had other work (load {times['load_1min']:g} on {measured.cores} "
        "cores), which makes every figure too small.** "
    )
    parts = {"decode": measured.decode_s, "preprocess": measured.preprocess_s, "infer": measured.infer_s}
    each = ", ".join(f"{name} {seconds * 1e3:.1f}" for name, seconds in parts.items())
    batches = ", ".join(f"{size} in {seconds * 1e3:.1f}" for size, seconds in measured.batch_s.items())
    return [
        provisional if busy else "",
        f"`{measured.model}` version {measured.version} on {measured.backend}, {measured.instances} instances of "
        f"{measured.threads} threads, {measured.machine}, {measured.cores} cores, {measured.date}. "
        f"{times['pictures']}. One picture, ms: {each}; a request {measured.request_s * 1e3:.2f} of CPU and "
        f"{measured.added_s * 1e3:.2f} of delay; batches of {batches}. Alone a picture has "
        f"{floor_s(measured) * 1e3:.1f} ms at p99.\n\nThe largest rate of one machine:\n\n",
    ]


def in_page(text: str) -> str:
    """The tables that the page has now."""
    return text.partition(BEGIN)[2].partition(END)[0]


def make_parser() -> argparse.ArgumentParser:
    """The program's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure anew (default: the times that were kept)")
    parser.add_argument("--store", metavar="DIR", help="folder of bundles (default: the shipped ones)")
    parser.add_argument("--model", metavar="NAME", help="model of the store")
    parser.add_argument("--images", type=Path, metavar="DIR", help="decode these pictures (default: made ones)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of measuring")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2, 4, 8], help="of one machine")
    parser.add_argument("--p99", type=float, nargs="+", default=[50.0, 100.0, 250.0], metavar="MS", help="objectives")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[50.0, 200.0, 500.0, 1000.0], help="pictures a second"
    )
    parser.add_argument("--write", action="store_true", help="keep the times, and put the tables into the page")
    add_json_flag(parser)
    return parser


def measured_now(flags: argparse.Namespace) -> dict[str, Any]:
    """Times of this machine, and what the tables are asked for."""
    load = round(os.getloadavg()[0], 2)
    bundle = find_model(Store(Path(flags.store)) if flags.store else shipped_store(), flags.model)
    pictures, said = encoded_pictures(bundle, flags.images)
    measured = measure(bundle, pictures, Config(), flags.seconds)
    asked = {"cores": flags.cores, "p99_ms": flags.p99, "rates": flags.rates}
    return {
        "load_1min": load,
        "pictures": said.partition(" (--images")[0],
        "asked": asked,
        "measured": as_json(measured),
    }


def kept() -> dict[str, Any]:
    """The times of the page.

    Raises:
        SystemExit: there are none.
    """
    if not TIMES.exists():
        raise SystemExit(f"{TIMES} is not there: --measure --write makes it")
    times: dict[str, Any] = json.loads(TIMES.read_text(encoding="utf-8"))
    return times


def main() -> None:
    """Measure if asked, and print or write."""
    flags = make_parser().parse_args()
    times = measured_now(flags) if flags.measure else kept()
    text = tables(times)
    if flags.write:
        TIMES.write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + text + END + rest.partition(END)[2], encoding="utf-8")
    publish({"times": times, "tables": text}, [text], as_json=flags.json)


if __name__ == "__main__":
    main()
