"""Every schedule of the table, against torch's own schedulers step by step."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD, lr_scheduler

from optimize.errors import RecipeError
from optimize.training.schedules import SCHEDULES, Schedule
from optimize.training.schedules.rates import set_rates

EPOCHS, STEPS = 10, 20
TOTAL = EPOCHS * STEPS
BASE = 0.3


def factors(schedule: Schedule, epochs: int = EPOCHS, steps: int = STEPS) -> list[float]:
    """At each step of a training."""
    last = epochs * steps - 1
    return [schedule.factor(step / last, step // steps, epochs) for step in range(epochs * steps)]


def torchs(make: Callable[[SGD], Any], *, each: str) -> list[float]:
    """Factors of a scheduler that is moved each "step" or "epoch"."""
    optimiser = SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    scheduler = make(optimiser)
    found = []
    for step in range(TOTAL):
        found.append(optimiser.param_groups[0]["lr"] / BASE)
        optimiser.step()
        if (each == "step" and step < TOTAL - 1) or (each == "epoch" and (step + 1) % STEPS == 0):
            scheduler.step()
    return found


@pytest.mark.parametrize("name", list(SCHEDULES))
class TestEverySchedule:
    @given(progress=st.floats(0, 1), epochs=st.integers(1, 300), warmup=st.floats(0, 0.9))
    def test_a_factor_is_from_nought_to_one(self, name: str, progress: float, epochs: int, warmup: float) -> None:
        schedule = SCHEDULES.choose(name, {"warmup": warmup})
        factor = schedule.factor(progress, min(int(progress * epochs), epochs - 1), epochs)
        assert 0 <= factor <= 1 + 1e-12

    def test_begins_and_goes_on_at_any_place(self, name: str) -> None:
        """A resumed run asks for the middle first."""
        whole = factors(SCHEDULES.choose(name))
        schedule = SCHEDULES.choose(name)
        assert [schedule.factor(s / (TOTAL - 1), s // STEPS, EPOCHS) for s in range(TOTAL // 2, TOTAL)] == whole[
            TOTAL // 2 :
        ]

    def test_one_step_in_all_is_fine(self, name: str) -> None:
        assert math.isfinite(SCHEDULES.choose(name, {"warmup_epochs": 5}).factor(0.0, 0, 1))

    def test_warms_up_in_a_straight_line(self, name: str) -> None:
        found = factors(SCHEDULES.choose(name, {"warmup_epochs": 2.0, "warmup_start": 0.1}))
        first = SCHEDULES.choose(name).factor(0.0, 0, EPOCHS)
        warm = 2 / EPOCHS * (TOTAL - 1)
        for step in range(int(warm)):
            assert found[step] == pytest.approx(first * (0.1 + 0.9 * step / warm), rel=1e-9)

    def test_a_warmup_in_epochs_is_a_share(self, name: str) -> None:
        by_epochs = SCHEDULES.choose(name, {"warmup_epochs": 2})
        by_share = SCHEDULES.choose(name, {"warmup": 0.2})
        assert factors(by_epochs) == pytest.approx(factors(by_share))

    def test_two_warmups_are_refused(self, name: str) -> None:
        with pytest.raises(RecipeError, match="give one of them"):
            SCHEDULES.choose(name, {"warmup": 0.1, "warmup_epochs": 3})

    def test_remembers_what_it_says_it_does(self, name: str) -> None:
        schedule, other = SCHEDULES.choose(name), SCHEDULES.choose(name)
        for value in (2.0, 1.0, *[1.5] * 8):
            schedule.observe(value)
        other.restore(schedule.state())
        assert factors(other) == factors(schedule)
        assert bool(schedule.state()) == (name == "plateau")


def test_constant_stays() -> None:
    assert set(factors(SCHEDULES.choose("constant"))) == {1.0}


def test_step_is_torchs() -> None:
    ours = SCHEDULES.choose("step", {"every": 3, "gamma": 0.5})
    assert factors(ours) == pytest.approx(torchs(lambda o: lr_scheduler.StepLR(o, 3, 0.5), each="epoch"))


@pytest.mark.parametrize("milestones", [[4, 7], [0.4, 0.7]])
def test_multi_step_is_torchs(milestones: list[float]) -> None:
    ours = SCHEDULES.choose("multi_step", {"milestones": milestones, "gamma": 0.2})
    assert factors(ours) == pytest.approx(torchs(lambda o: lr_scheduler.MultiStepLR(o, [4, 7], 0.2), each="epoch"))


def test_cosine_is_torchs() -> None:
    ours = SCHEDULES.choose("cosine", {"minimum": 0.05})
    theirs = torchs(lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL - 1, eta_min=0.05 * BASE), each="step")
    assert factors(ours) == pytest.approx(theirs, abs=1e-9)


def test_cosine_with_warmup_is_torchs_two_in_a_row() -> None:
    """101 steps, of which the first 20 warm up: the border lies on a step."""
    schedule = SCHEDULES.choose("cosine", {"warmup": 0.2, "warmup_start": 0.1})
    optimiser = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    warm = lr_scheduler.LinearLR(optimiser, 0.1, total_iters=20)
    rest = lr_scheduler.CosineAnnealingLR(optimiser, 80)
    both = lr_scheduler.SequentialLR(optimiser, [warm, rest], [20])
    for step in range(101):
        assert schedule.factor(step / 100, 0, 1) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-9)
        optimiser.step()
        both.step()


def test_linear_is_torchs() -> None:
    ours = SCHEDULES.choose("linear", {"minimum": 0.1})
    theirs = torchs(lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, total_iters=TOTAL - 1), each="step")
    assert factors(ours) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
def test_one_cycle_is_torchs_momentum_too(anneal: str) -> None:
    settings = {"rise": 0.25, "start_division": 10.0, "end_division": 100.0, "anneal": anneal, "cycle_momentum": True}
    ours = SCHEDULES.choose("one_cycle", settings)
    # Torch ends the rise a fraction of a step earlier; its share is chosen so that both peak at one place.
    share = (0.25 * (TOTAL - 1) + 1) / TOTAL
    optimiser = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    theirs = lr_scheduler.OneCycleLR(
        optimiser, 1.0, TOTAL, pct_start=share, anneal_strategy="cos" if anneal == "cosine" else "linear",
        div_factor=10, final_div_factor=100,
    )  # fmt: skip
    for step in range(TOTAL):
        group, progress = optimiser.param_groups[0], step / (TOTAL - 1)
        assert ours.factor(progress, 0, 1) == pytest.approx(group["lr"], abs=1e-9)
        assert ours.momentum(progress, 0, 1) == pytest.approx(group["momentum"], abs=1e-9)
        optimiser.step()
        if step < TOTAL - 1:
            theirs.step()


@given(
    losses=st.lists(st.floats(0.01, 10) | st.sampled_from([1.0, 0.99999, float("nan")]), max_size=40),
    patience=st.integers(0, 4),
    cooldown=st.integers(0, 3),
)
def test_plateau_is_torchs(losses: list[float], patience: int, cooldown: int) -> None:
    ours = SCHEDULES.choose(
        "plateau", {"gamma": 0.5, "patience": patience, "cooldown": cooldown, "threshold": 0.01, "minimum": 0.03}
    )
    optimiser = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.5, patience=patience, cooldown=cooldown, threshold=0.01, min_lr=0.03
    )
    for epoch, loss in enumerate(losses):
        ours.observe(loss)
        theirs.step(loss)
        assert ours.factor(0.5, epoch, 100) == pytest.approx(optimiser.param_groups[0]["lr"])


@given(losses=st.lists(st.floats(0.01, 10), min_size=1, max_size=30), cut=st.integers(0, 30))
def test_plateau_goes_on_after_a_kill(losses: list[float], cut: int) -> None:
    settings = {"patience": 1, "cooldown": 1, "gamma": 0.5}
    whole, first, second = (SCHEDULES.choose("plateau", settings) for _ in range(3))
    for loss in losses:
        whole.observe(loss)
    for loss in losses[:cut]:
        first.observe(loss)
    second.restore(first.state())
    for loss in losses[cut:]:
        second.observe(loss)
    assert second.state() == whole.state()


def test_a_share_that_is_a_whole_number_of_epochs_is_that_epoch() -> None:
    """0.55 · 100 is 55.000…01 in floating point."""
    schedule = SCHEDULES.choose("multi_step", {"milestones": [0.55], "gamma": 0.5})
    assert [schedule.factor(0.5, epoch, 100) for epoch in (54, 55)] == [1.0, 0.5]


@pytest.mark.parametrize("milestones", [[7, 4], [3, 3], [0.5, 7]])
def test_odd_milestones_are_refused(milestones: list[float]) -> None:
    with pytest.raises(RecipeError, match="milestones"):
        SCHEDULES.choose("multi_step", {"milestones": milestones})


def test_rates_keep_each_groups_own() -> None:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimiser = SGD([{"params": weights[:1], "lr": 0.4}, {"params": weights[1:], "lr": 0.04}], momentum=0.9)
    schedule = SCHEDULES.choose("one_cycle", {"cycle_momentum": True, "rise": 0.5})
    for progress in (0.2, 0.7, 0.5):
        assert set_rates(optimiser, schedule, progress, 0, 1) == schedule.factor(progress, 0, 1)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.4, 0.04])
    assert [group["momentum"] for group in optimiser.param_groups] == pytest.approx([0.85, 0.85])


def test_rates_survive_a_checkpoint() -> None:
    def make() -> SGD:
        return SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)

    schedule, first, second = SCHEDULES.choose("cosine"), make(), make()
    set_rates(first, schedule, 0.75, 7, 10)
    second.load_state_dict(first.state_dict())
    set_rates(second, schedule, 0.5, 5, 10)
    assert second.param_groups[0]["lr"] == pytest.approx(0.2)


def test_momentum_is_adams_first_beta() -> None:
    adam = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    set_rates(adam, SCHEDULES.choose("one_cycle", {"cycle_momentum": True}), 0.3, 0, 1)
    assert adam.param_groups[0]["betas"] == pytest.approx((0.85, 0.999))
