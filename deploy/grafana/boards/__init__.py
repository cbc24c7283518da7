"""One module per dashboard, and one per part of a long one; the order is that of the links between them."""

from deploy.grafana.boards.latency import LATENCY
from deploy.grafana.boards.machine import MACHINE
from deploy.grafana.boards.models import MODELS
from deploy.grafana.boards.overview import OVERVIEW
from deploy.grafana.boards.streams import STREAMS
from deploy.grafana.dashboard import Dashboard

BOARDS: tuple[Dashboard, ...] = (OVERVIEW, LATENCY, STREAMS, MODELS, MACHINE)
