"""Streams take turns, whenever their frames come."""

import gc
import weakref
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from server.job import Job
from server.stream_line import REMEMBERED, StreamLine
from tests.server.jobs import make_job


def line_of(*names: object) -> StreamLine:
    line = StreamLine()
    for name in names:
        line.add(make_job(stream=name))
    return line


def names_in(line: StreamLine) -> list[object]:
    return [line.take().stream for _ in range(len(line))]


def test_streams_take_turns_one_frame_each() -> None:
    assert names_in(line_of("a", "a", "a", "b", "b")) == ["a", "b", "a", "b", "a"]


def test_a_stream_that_comes_back_late_has_kept_its_turn() -> None:
    line = line_of("a", "b", "c")
    assert [line.take().stream for _ in range(3)] == ["a", "b", "c"]
    for name in "cba":  # never two deep: each is away when it was served, and they come back the other way round
        line.add(make_job(stream=name))
    assert names_in(line) == ["a", "b", "c"]


def test_a_stream_just_served_is_at_the_back_wherever_it_comes_back() -> None:
    line = line_of("a", "b", "c")
    assert line.take().stream == "a"
    line.add(make_job(stream="a"))
    assert names_in(line) == ["b", "c", "a"]


def test_a_new_name_is_at_the_back_so_reconnecting_gains_nothing() -> None:
    line = line_of("a", "b")
    assert line.take().stream == "a"
    line.add(make_job(stream="a again"))
    line.add(make_job(stream="a"))
    assert names_in(line) == ["b", "a", "a again"]


def test_turns_are_not_saved_up() -> None:
    line = line_of("rare", "busy")
    assert line.take().stream == "rare"
    for _ in range(10):
        assert line.take().stream == "busy"
        line.add(make_job(stream="busy"))
    for _ in range(3):
        line.add(make_job(stream="rare"))
    assert names_in(line) == ["rare", "busy", "rare", "rare"]


def test_a_newer_frame_takes_the_place_of_a_waiting_one() -> None:
    line = line_of("a", "b")
    old = line.head()
    assert old is not None
    newest = make_job(stream="a")
    line.replace(old, newest)
    assert line.take() is newest
    assert names_in(line) == ["b"]


def test_a_replaced_frame_has_waited_since_the_first_came() -> None:
    line = StreamLine()
    first, newer = make_job(stream="a"), make_job(stream="a")
    first.arrived_s, newer.arrived_s = 1.0, 2.0
    line.add(first)
    line.replace(first, newer)
    assert line.oldest_arrival_s() == 1.0


def test_a_forgotten_frame_leaves_its_stream_s_turn() -> None:
    line = line_of("a", "b")
    gone = line.head()
    assert gone is not None
    line.forget(gone)
    assert len(line) == 1
    line.add(make_job(stream="a"))
    assert names_in(line) == ["a", "b"]


def test_a_parted_stream_keeps_its_frames_order_and_its_turn() -> None:
    line = line_of("a", "b")
    second = make_job(stream="a")
    line.add(second)
    frames = line.part("a")
    assert [frame is second for frame in frames] == [False, True]
    assert not line.part("a")
    for frame in frames:
        line.add(frame)
    assert names_in(line) == ["a", "b", "a"]


def test_passers_by_are_not_remembered_for_ever() -> None:
    line = StreamLine()
    for number in range(3 * REMEMBERED):
        line.add(make_job(stream=number))
        line.take()
    assert len(line._away) == REMEMBERED
    assert len(line) == len(line._places) == len(line._line) == 0


def test_a_stream_that_left_is_not_kept_alive() -> None:
    class Session:
        pass

    line, session = StreamLine(), Session()
    line.add(make_job(stream=session))
    line.take()
    gone = weakref.ref(session)
    del session
    gc.collect()
    assert gone() is None


@dataclass
class Reference:
    """Longest ago served goes first: written down as it is said, slowly."""

    waiting: list[Job] = field(default_factory=list)
    served: dict[object, int] = field(default_factory=dict)
    now: int = 0

    def add(self, job: Job) -> None:
        self.now += 1
        self.served.setdefault(job.stream, self.now)  # never heard of: as if just served
        self.waiting.append(job)

    def take(self) -> Job:
        name = min({job.stream for job in self.waiting}, key=lambda name: self.served[name])
        job = next(job for job in self.waiting if job.stream == name)
        self.waiting.remove(job)
        self.now += 1
        self.served[name] = self.now
        return job


actions = st.lists(
    st.tuples(st.sampled_from(["add", "take", "take", "forget", "replace"]), st.integers(0, 5)), max_size=80
)


@settings(max_examples=300, deadline=None)
@given(actions)
def test_any_schedule_gives_the_order_of_the_reference(script: list[tuple[str, int]]) -> None:
    line, reference = StreamLine(), Reference()
    for action, number in script:
        if action == "add":
            job = make_job(stream=number)
            line.add(job)
            reference.add(job)
        elif not reference.waiting:
            assert line.head() is None
        elif action == "take":
            expected = line.head()
            assert line.take() is expected is reference.take()
        else:
            job = reference.waiting[number % len(reference.waiting)]
            if action == "forget":
                line.forget(job)
                reference.waiting.remove(job)
            else:
                newer = make_job(stream=job.stream)
                line.replace(job, newer)
                reference.waiting[reference.waiting.index(job)] = newer
        assert len(line) == len(reference.waiting)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 8), st.lists(st.integers(0, 7), min_size=8, max_size=8), st.integers(1, 40))
def test_streams_that_are_back_in_time_are_served_equally(streams: int, delays: list[int], rounds: int) -> None:
    """Each is back some takes after it was served, but before its next turn: no share differs by more than one."""
    line = line_of(*range(streams))
    back: list[tuple[int, int]] = []
    served: Counter[object] = Counter()
    for taken in range(rounds * streams):
        for due, name in [entry for entry in back if entry[0] <= taken]:
            back.remove((due, name))
            line.add(make_job(stream=name))
        name = line.take().stream
        assert isinstance(name, int)
        served[name] += 1
        back.append((taken + 1 + delays[name] % (streams - 1), name))
    assert max(served.values()) - min(served[name] for name in range(streams)) <= 1
