"""How a stream's figures are written for a person; the same words on a screen, in a log and at the end."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from server.client import Prediction
from server.percentiles import Percentiles
from server.sender.tally import StreamTally

_EIGHTHS = " ▏▎▍▌▋▊▉"


def score(value: float) -> str:
    """A probability in percent; what is none as it is."""
    return f"{value:.1%}" if 0 <= value <= 1 else f"{value:.2f}"


def bar(value: float, width: int, *, blocks: bool = True) -> str:
    """``value`` (0 to 1) as a bar of ``width`` columns; '#' where the terminal has no blocks."""
    eighths = round(min(1.0, max(0.0, value)) * width * 8)
    if not blocks:
        return ("#" * round(eighths / 8)).ljust(width)
    rest = _EIGHTHS[eighths % 8] if eighths % 8 else ""
    return ("█" * (eighths // 8) + rest).ljust(width)


def clock_time(seconds: float) -> str:
    """``0:07``, ``61:30``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def latency(found: Percentiles | None) -> str:
    """``14.2 ms p50, 21.0 ms p99``; a dash where there are too few."""
    shown = {} if found is None else found.values
    return ", ".join(f"{shown[name]:.1f} ms {name}" if name in shown else f"– {name}" for name in ("p50", "p99"))


def counted(counts: Counter[str]) -> str:
    """``3: stale 2, overloaded 1``."""
    each = ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
    return f"{counts.total():,}: {each}" if each else "0"


def unanswered(tally: StreamTally) -> str:
    """What a run that is over says of frames that have no end."""
    return f"; {tally.under_way:,} without an answer" if tally.under_way > 0 else ""


def status(tally: StreamTally) -> str:
    """One line for a log."""
    best = tally.predictions[0] if tally.predictions else None
    label = f"{'unknown, ' * tally.unknown}{score(best.score)} {best.label}" if best else "–"
    return (
        f"{clock_time(tally.seconds)}  {tally.rate_in.per_s:.1f} in/s  {tally.rate_out.per_s:.1f} out/s  "
        f"round trip {latency(tally.round_trip_ms)}  dropped {tally.dropped.total():,}  "
        f"errors {tally.errors.total():,}  {label}"
    )


def summary(tally: StreamTally) -> str:
    """The run in a few lines."""
    rate_in, rate_out = tally.rates(whole_run=True)
    reused = f", {tally.reused:,} of them reused" if tally.reused else ""
    lines = [
        f"frames      {tally.frames:,} in {tally.seconds:.1f} s ({rate_in:.1f}/s)",
        f"results     {tally.results:,} ({rate_out:.1f}/s){reused}",
        f"dropped     {counted(tally.dropped)}{unanswered(tally)}",
        f"errors      {counted(tally.errors)}" + (f"; the last: {tally.last_error}" if tally.last_error else ""),
        f"round trip  {latency(tally.round_trip_ms)}",
        f"server      {latency(tally.server_ms)}",
    ]
    if tally.connections > 1:
        lines.append(f"connected   {tally.connections} times")
    return "\n".join(printable(line) for line in lines)


def printable(text: str) -> str:
    """A stranger's text without what could confuse a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def fitted(text: str, columns: int) -> str:
    """Cut to so many columns of a terminal; wide characters take two."""
    used = 0
    for position, character in enumerate(text):
        used += _columns(character)
        if used > columns:
            return text[:position]
    return text


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def prediction_rows(predictions: Sequence[Prediction], *, blocks: bool) -> list[str]:
    """Score, bar and label of each class."""
    return [f"{score(one.score):>7}  {bar(one.score, 24, blocks=blocks)}  {one.label}" for one in predictions]
