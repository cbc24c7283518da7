"""Too many frames at once, in virtual time: nobody is forgotten, nobody is late, everybody gets a fair share.

Cameras that keep one frame waiting send to a server that can do a part of them.
Queue, batcher, instances and answers are the real ones; only runs take no time but
what the test says. Hours would pass in seconds, and every run goes the same way.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.admission import BatchLimits
from server.frame_history import FrameHistory
from server.served_model import LoadedModel
from tests.server.gated_backend import GatedBackend, loaded_with
from tests.server.virtual_model import PICTURE, Camera, Poster, VirtualModel
from tests.server.virtual_time import run_virtually

SECONDS = 20.0
MAX_AGE_S = 1.0


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The bundle, without an engine."""
    return loaded_with(tmp_path_factory.mktemp("store"), [])


@dataclass(frozen=True, slots=True)
class Server:
    """So many instances; a batch of n takes ``run_s(n)``, and up to ``batch`` go together."""

    run_s: Callable[[int], float]
    instances: int = 1
    batch: int = 1


def per_second(images: float, instances: int = 1) -> Server:
    """A server of this many pictures a second, where batches gain nothing, as on CPUs."""
    return Server(lambda n: n * instances / images, instances)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of everybody, and how large the queue ever was."""

    cameras: list[Camera]
    posters: list[Poster]
    most_images: int
    most_bytes: int
    unanswered: int
    runs: int


def crowd(
    on_disk: LoadedModel, server: Server, cameras: Sequence[Camera], posters: Sequence[Poster] = (), **limits: float
) -> Outcome:
    """Let them all send for ``SECONDS``, then wait for what is left."""
    loaded = replace(on_disk, backends=tuple(GatedBackend() for _ in range(server.instances)))
    bounds = BatchLimits(max_batch_size=server.batch, **limits)  # type: ignore[arg-type]

    async def scenario() -> Outcome:
        async with VirtualModel(loaded, bounds, server.run_s) as at:
            filming = [camera.film(at, SECONDS) for camera in cameras]
            await asyncio.gather(*filming, *(poster.post(at, SECONDS) for poster in posters))
            await asyncio.sleep(2 * (MAX_AGE_S + server.run_s(1)))
            waiting, running = at.model.batcher.counts()
            left = at.model.unanswered + waiting + running
            return Outcome(list(cameras), list(posters), at.most_images, at.most_bytes, left, at.runs)

    return run_virtually(scenario())


def cameras_of(rates: Sequence[float], seed: int = 0, jitter: float = 0.0) -> list[Camera]:
    """One camera per rate, each beginning at some moment of its own."""
    begin = random.Random(seed)
    return [
        Camera(number, fps, begin.random() / fps, MAX_AGE_S, jitter=jitter, seed=seed)
        for number, fps in enumerate(rates)
    ]


def fair_shares(rates: Sequence[float], capacity: float) -> list[float]:
    """Max–min: nobody gets more than it sends, and what one leaves the others share."""
    shares = [0.0] * len(rates)
    for taken, number in enumerate(sorted(range(len(rates)), key=lambda number: rates[number])):
        shares[number] = min(rates[number], (capacity - sum(shares)) / (len(rates) - taken))
    return shares


def check_everybody_was_told_in_time(outcome: Outcome) -> None:
    """Every frame has one outcome, results come in order, none is stale, nothing is left behind."""
    assert outcome.unanswered == 0
    for camera in outcome.cameras:
        assert sum(camera.outcomes.values()) == camera.sent
        assert camera.outcomes["result"] == len(camera.told)
        assert set(camera.outcomes) <= {"result", "superseded", "deadline_exceeded"}
        assert [number for number, _ in camera.told] == sorted(number for number, _ in camera.told)
        assert all(age_s <= camera.max_age_s for _, age_s in camera.told)


def check_shares(outcome: Outcome, capacity: float) -> None:
    """Each camera got its max–min share of ``capacity``, within 10 %."""
    expected = fair_shares([camera.fps for camera in outcome.cameras], capacity)
    got = [camera.outcomes["result"] / SECONDS for camera in outcome.cameras]
    assert got == pytest.approx(expected, rel=0.1)


EIGHT = [30.0] * 8
UNEQUAL = [30.0, 30.0, 30.0, 25.0, 24.0, 15.0, 10.0, 5.0]


@pytest.mark.parametrize("instances", [1, 2, 3])
@pytest.mark.parametrize("rates", [EIGHT, UNEQUAL, [30.0] * 3, [60.0, 30.0, 7.0]], ids=str)
def test_a_quarter_of_what_is_sent_is_shared_fairly(on_disk: LoadedModel, rates: list[float], instances: int) -> None:
    capacity = sum(rates) / 4
    outcome = crowd(on_disk, per_second(capacity, instances), cameras_of(rates))
    check_everybody_was_told_in_time(outcome)
    check_shares(outcome, capacity)
    assert outcome.most_images <= len(rates), "one frame waits for each"
    assert outcome.most_bytes <= len(rates) * PICTURE.nbytes


@pytest.mark.parametrize(("instances", "batch"), [(1, 4), (1, 16), (2, 4), (2, 8)])
def test_shares_are_fair_where_batches_gain(on_disk: LoadedModel, instances: int, batch: int) -> None:
    """A run takes 0.2 s whatever the batch, as on GPUs. Real cameras never keep perfect step: neither do these."""
    server = Server(lambda n: 0.2 + n * 1e-4, instances, batch)
    outcome = crowd(on_disk, server, cameras_of(EIGHT, jitter=0.2))
    check_everybody_was_told_in_time(outcome)
    check_shares(outcome, sum(camera.outcomes["result"] for camera in outcome.cameras) / SECONDS)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(2.0, 60.0), min_size=1, max_size=6),
    st.floats(0.15, 1.2),
    st.integers(1, 3),
    st.integers(0, 999),
)
def test_any_cameras_at_any_load(
    on_disk: LoadedModel, rates: list[float], share: float, instances: int, seed: int
) -> None:
    outcome = crowd(on_disk, per_second(sum(rates) * share, instances), cameras_of(rates, seed))
    check_everybody_was_told_in_time(outcome)
    assert outcome.most_images <= len(rates)


@pytest.mark.parametrize("instances", [1, 2])
def test_a_poster_beside_them_is_answered_at_once(on_disk: LoadedModel, instances: int) -> None:
    """Five posts a second that want their answer within 150 ms, where a round of the cameras takes 133 ms."""
    poster = Poster(5.0, 0.150)
    outcome = crowd(on_disk, per_second(60, instances), cameras_of(EIGHT), [poster])
    check_everybody_was_told_in_time(outcome)
    check_shares(outcome, 55)
    assert poster.outcomes == Counter(result=100)
    assert max(poster.waits_s) <= (2 + instances) / 60 + 1e-9, "what runs, one frame at most, and its own run"


def test_a_flood_of_posts_leaves_the_streams_half(on_disk: LoadedModel) -> None:
    poster = Poster(300.0, 5.0)
    outcome = crowd(on_disk, per_second(60), cameras_of(EIGHT), [poster], max_queue_images=40)
    check_everybody_was_told_in_time(outcome)
    check_shares(outcome, 30)
    assert set(poster.outcomes) == {"result", "overloaded"}, "refused at the door, or answered within the deadline"
    assert poster.outcomes["result"] == pytest.approx(30 * SECONDS, rel=0.1)
    assert max(poster.waits_s) <= 0.25 * 1.3, "max_queue_wait_s, as well as it can be foretold"


def test_posts_that_fill_the_queue_leave_room_for_frames(on_disk: LoadedModel) -> None:
    poster = Poster(300.0, 60.0)
    outcome = crowd(on_disk, per_second(60), cameras_of(EIGHT), [poster], max_queue_images=8, max_queue_wait_s=60.0)
    check_everybody_was_told_in_time(outcome)
    check_shares(outcome, 30)
    assert outcome.most_images <= 16
    assert outcome.most_bytes <= 16 * PICTURE.nbytes


def test_streams_that_fill_the_queue_leave_room_for_posts(on_disk: LoadedModel) -> None:
    """Twenty streams where eight frames may wait: some are refused, each time others, and posts are not."""
    poster = Poster(5.0, 0.5)
    outcome = crowd(on_disk, per_second(60), cameras_of([30.0] * 20), [poster], max_queue_images=8)
    assert poster.outcomes == Counter(result=100)
    assert outcome.most_images <= 16
    for camera in outcome.cameras:
        assert sum(camera.outcomes.values()) == camera.sent
        assert set(camera.outcomes) <= {"result", "superseded", "overloaded"}


def test_a_server_too_slow_for_any_frame_drops_them_as_stale(on_disk: LoadedModel) -> None:
    outcome = crowd(on_disk, per_second(0.5), cameras_of([10.0, 2.0]))
    check_everybody_was_told_in_time(outcome)
    assert sum(camera.outcomes["result"] for camera in outcome.cameras) == 0
    assert all(camera.outcomes["deadline_exceeded"] for camera in outcome.cameras)


def test_streams_with_a_history_share_as_fairly(on_disk: LoadedModel) -> None:
    """Their frames are run one after the other; three instances still do all that they can for eight of them."""
    cameras = [replace(camera, history=FrameHistory(smoothing=0.5)) for camera in cameras_of(EIGHT)]
    outcome = crowd(on_disk, per_second(60, 3), cameras)
    check_everybody_was_told_in_time(outcome)
    check_shares(outcome, 60)


def test_a_more_important_stream_goes_first_and_the_others_do_not_starve(on_disk: LoadedModel) -> None:
    cameras = cameras_of(EIGHT)
    cameras[0].priority = 0
    cameras[1].priority = 9
    outcome = crowd(on_disk, per_second(60), cameras)
    check_everybody_was_told_in_time(outcome)
    first, last, *others = (camera.outcomes["result"] / SECONDS for camera in cameras)
    assert first > 20
    assert 0 < last < min(others)
