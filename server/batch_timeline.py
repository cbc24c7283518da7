"""When a batch was formed, why it was closed there, and when its instance did what with it.

The batcher makes one for each batch, but only while ``Batcher.keeps_timelines`` says
that somebody will read it; each job of the batch then carries it as ``Job.batch``.
"""

from dataclasses import dataclass
from typing import Literal

# full:      it holds ``max_batch_size`` pictures
# efficient: one more would make no picture cheaper, by the learned t(n)
# probe:     one batch in 32 tries a size beside the efficient one
# bucket:    the engine is prepared for this size, and the next one would have taken longer than two batches
# shared:    the rest was left to other free instances
# deadline:  one more would have broken the tightest deadline in it
# empty:     nobody else waited
# delay:     nobody else came within ``max_queue_delay_ms``
ClosedBy = Literal["full", "efficient", "probe", "bucket", "shared", "deadline", "empty", "delay"]


@dataclass(slots=True, eq=False)
class BatchTimeline:
    """One batch. Instants are seconds on the batcher's clock; None: it did not come to that.

    ``predicted_s`` is t(size) as it was known when the batch was formed, ``measured_s`` what the batch taught it:
    from the first decode to the last answer, without frames that were not run. ``left`` pictures were still in line.
    ``run_s`` and ``ran_s`` are the engine's start and end, ``ran`` how many pictures it had.
    """

    formed_s: float
    closed_by: ClosedBy
    size: int
    left: int
    predicted_s: float
    instance: int | None = None
    run_s: float | None = None
    ran_s: float | None = None
    ended_s: float | None = None
    ran: int = 0
    measured_s: float | None = None


def closed_by(
    size: int, left: int, *, wanted: int, share: int, bucket: int, efficient: int, largest: int, company: bool
) -> ClosedBy:
    """Why a batch of ``size`` did not grow, while ``left`` pictures stood in line.

    Args:
        wanted: how many it might have held; ``share``: how many this instance might have taken.
        bucket: how many of these it was to take; fewer where padding did not pay.
        efficient: the size than which none makes a picture cheaper; ``largest``: the limit.
        company: whether it had been waited for others to come.
    """
    if size >= largest:
        return "full"
    if not left:
        return "delay" if company else "empty"
    if size < bucket:
        return "deadline"
    if bucket < min(wanted, share):
        return "bucket"
    if share < wanted:
        return "shared"
    return "efficient" if wanted == efficient else "probe"
