"""PromQL as the dashboards write it, so that every panel adds up in the same way.

Counters go through ``rate`` first and are added then; a quantile is read off buckets that were
added, never averaged; a ratio is one sum over another. Where nothing was asked, a ratio has no
value instead of 0/0; where the part was never counted but the whole was, it is 0.

``$job``, ``$instance`` and ``$model`` are the dashboard's variables; ``$__rate_interval`` is
Grafana's, four scrapes or more.
"""

WINDOW = "$__rate_interval"
PROCESS = 'job=~"$job",instance=~"$instance"'
MODEL = PROCESS + ',model=~"$model"'


def of_model(metric: str, where: str = "") -> str:
    """The series of a metric that has a label ``model``; ``where`` adds matchers, as ``code=~"5.."``."""
    return f"{metric}{{{MODEL}{',' if where else ''}{where}}}"


def of_process(metric: str, where: str = "") -> str:
    """The series of a metric that has no label ``model``."""
    return f"{metric}{{{PROCESS}{',' if where else ''}{where}}}"


def by(*labels: str) -> str:
    """``sum``, or ``sum by (…)``."""
    return f"sum by ({', '.join(labels)})" if labels else "sum"


def per_second(series: str, *labels: str, window: str = WINDOW) -> str:
    """How fast a counter rises, added up by labels."""
    return f"{by(*labels)} (rate({series}[{window}]))"


def counted(series: str, *labels: str, window: str = WINDOW) -> str:
    """By how much a counter rose, added up by labels."""
    return f"{by(*labels)} (increase({series}[{window}]))"


def ratio(part: str, whole: str) -> str:
    """``part`` of ``whole``, two sums by the same labels."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def mean(histogram: str, *labels: str, window: str = WINDOW) -> str:
    """What a histogram's values are on average: their sum over their number.

    Args:
        histogram: its series, as ``of_model`` gives them, without ``_sum`` or ``_count``.
    """
    total, count = (per_second(suffixed(histogram, end), *labels, window=window) for end in ("_sum", "_count"))
    return f"{total} / ({count} > 0)"


def quantile(share: float, histogram: str, *labels: str, window: str = WINDOW) -> str:
    """The value that ``share`` of a histogram's values stay below, to within a bucket; none where there were none."""
    rates = per_second(suffixed(histogram, "_bucket"), "le", *labels, window=window)
    return f"histogram_quantile({share:g}, {rates}) >= 0"


def buckets(histogram: str) -> str:
    """How many values fell into each bucket, for a heat-map."""
    return counted(suffixed(histogram, "_bucket"), "le")


def suffixed(series: str, end: str) -> str:
    """``name{…}`` → ``name_sum{…}``."""
    name, brace, matchers = series.partition("{")
    return f"{name}{end}{brace}{matchers}"
