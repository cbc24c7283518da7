"""Pictures of the dashboards with data: every panel drawn in its place from its own queries.

Grafana is not needed: the dashboards' JSON says what to ask and where to draw, and a recorded run of
server, traffic and Prometheus (``proved_run.py``) answers. Colours and letters are matplotlib's, not Grafana's::

    python -m tests.deploy.grafana_pictures docs/images
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tests.deploy.grafana_drawing import draw_panel
from tests.deploy.grafana_queries import Json, chosen, dashboards, put_in
from tests.deploy.grafana_shapes import FAINT, INK, PX, Box, Line, lines_of
from tests.deploy.proved_run import Run, recorded

WIDTH_PX, COLUMN_PX, UNIT_PX, GAP_PX, HEAD_PX = 1600, 1600 / 24, 38, 8, 54
SCRAPE_S = 5


def picture(run: Run, dashboard: Json) -> Image.Image:
    """One dashboard, 1600 px wide."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    height_px = HEAD_PX + rows * UNIT_PX + GAP_PX
    figure = Figure((WIDTH_PX / PX, height_px / PX), dpi=PX, facecolor="#f2f4f6")
    figure.text(16 / WIDTH_PX, 1 - 24 / height_px, dashboard["title"], size=14, weight="bold", color=INK)
    figure.text(16 / WIDTH_PX, 1 - 43 / height_px, dashboard["description"], size=9, color=FAINT)
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        box = Box(place["x"] * COLUMN_PX, HEAD_PX + place["y"] * UNIT_PX, place["w"] * COLUMN_PX, place["h"] * UNIT_PX)
        if panel["type"] == "row":
            at = (box.left + 16) / WIDTH_PX, 1 - (box.top + 24) / height_px
            figure.text(*at, f"▾ {panel['title']}", size=10.5, weight="bold", color=INK)
        else:
            draw_panel(figure, box.inside(*[GAP_PX / 2] * 4), panel, _answers(run, dashboard, panel))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _answers(run: Run, dashboard: Json, panel: Json) -> list[Line]:
    window = run.window
    lines: list[Line] = []
    for target in panel["targets"]:
        expr = put_in(target["expr"], {**window.variables, **chosen(dashboard)})
        if target["instant"]:
            series = run.prometheus.at(expr, window.end_s)
        else:
            series = run.prometheus.over(expr, window.start_s, window.end_s, window.step_s)
        lines += lines_of(target["legendFormat"], series)
    return lines


def main(arguments: list[str]) -> int:
    """Record a run and draw every dashboard."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.grafana_pictures", description=main.__doc__)
    parser.add_argument("out", type=Path, help="folder for dashboard-NAME.webp")
    parser.add_argument("--seconds", type=float, default=150.0, help="of traffic (150)")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between rounds of posts (1)")
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, recorded(Path(folder), asked.seconds, asked.pause, SCRAPE_S) as run:
        for name, dashboard in dashboards().items():
            file = asked.out / f"dashboard-{name.removeprefix('quickeye-').removesuffix('.json')}.webp"
            buffer = io.BytesIO()
            picture(run, dashboard).save(buffer, "webp", quality=80, method=6)
            file.write_bytes(buffer.getvalue())
            print(f"{file}: {len(buffer.getvalue()) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
