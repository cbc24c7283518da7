"""Streams taking turns: whoever was served longest ago goes next, one frame each.

A camera with one waiting frame leaves the line when that frame is taken, and is
back some milliseconds later with the next. Were it to queue up anew each time, a
round would take every camera its own gap longer, and those that come back late
in it would get less. So a stream's turn is counted from when it was last served,
and remembered while it is away: it comes back to its own place. A stream that was
just served is at the back, wherever its next frame finds it; one never heard of
is too, so that reconnecting gains nothing. What a stream did not use is not saved
up: it goes first once, and is then at the back.

A newer frame may take the place of a waiting one; the stream keeps its turn.
"""

import math
from bisect import insort
from collections import deque
from dataclasses import dataclass, field

from server.job import Job

REMEMBERED = 1024  # streams away from the line whose turn is kept


@dataclass(slots=True, eq=False)
class _Place:
    """One stream's frames in line, in their order, at least one; it has waited since ``since_s``."""

    turn: int
    since_s: float
    frames: deque[Job] = field(default_factory=deque)


def _turn(place: _Place) -> int:
    return place.turn


class StreamLine:
    """The waiting frames of one priority. Adding and taking are O(log n) in the streams that wait, bar a memmove."""

    def __init__(self) -> None:
        self._line: list[_Place] = []  # by turn
        self._places: dict[object, _Place] = {}
        self._away: dict[int, int] = {}  # hash of the stream, so as not to keep it alive → turn; in the order they left
        self._turns = 0

    def __len__(self) -> int:
        return sum(len(place.frames) for place in self._line)

    def add(self, job: Job) -> None:
        """Put a frame behind the others of its stream."""
        place = self._places.get(job.stream)
        if place is None:
            turn = self._away.pop(hash(job.stream), None)
            place = self._places[job.stream] = _Place(self._next_turn() if turn is None else turn, job.arrived_s)
            insort(self._line, place, key=_turn)
        place.frames.append(job)

    def head(self) -> Job | None:
        """The frame that is next, left where it stands."""
        return self._line[0].frames[0] if self._line else None

    def take(self) -> Job:
        """Take out what ``head`` returned; its stream goes to the back."""
        place = self._line.pop(0)
        job = place.frames.popleft()
        place.turn = self._next_turn()
        if place.frames:
            place.since_s = place.frames[0].arrived_s
            self._line.append(place)
        else:
            self._leave(job.stream, place.turn)
        return job

    def part(self, stream: object) -> deque[Job]:
        """Take out every frame of a stream; its turn is kept."""
        place = self._places.get(stream)
        if place is None:
            return deque()
        self._line.remove(place)
        self._leave(stream, place.turn)
        return place.frames

    def replace(self, old: Job, new: Job) -> None:
        """Put a frame in the place of a waiting one of its stream."""
        frames = self._places[old.stream].frames
        frames[frames.index(old)] = new

    def forget(self, job: Job) -> None:
        """Take one waiting frame out; its stream keeps its turn."""
        place = self._places[job.stream]
        place.frames.remove(job)
        if not place.frames:
            self._line.remove(place)
            self._leave(job.stream, place.turn)

    def oldest_arrival_s(self) -> float:
        """Since when somebody waits; infinity when nobody does. A newer frame waits since the one it replaced came."""
        return min((place.since_s for place in self._line), default=math.inf)

    def _leave(self, stream: object, turn: int) -> None:
        del self._places[stream]
        self._away[hash(stream)] = turn
        if len(self._away) > REMEMBERED:
            del self._away[next(iter(self._away))]

    def _next_turn(self) -> int:
        self._turns += 1
        return self._turns
