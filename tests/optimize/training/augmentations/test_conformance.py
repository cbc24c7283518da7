"""What every augmentation and every mix keeps to, whatever it does."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from torch import Tensor
from torch.overrides import TorchFunctionMode

from optimize.errors import RecipeError
from optimize.training.augmentations import AUGMENTATIONS, MIXES, name_of
from optimize.training.augmentations.geometry import Geometric
from optimize.training.augmentations.pipeline import Pipeline
from tests.optimize.training.augmentations.drawing import bytes_of, draw, pictures

TECHNIQUES = [(AUGMENTATIONS, name) for name in AUGMENTATIONS] + [(MIXES, name) for name in MIXES]


def pipeline_of(name: str) -> Pipeline:
    """One technique alone, with its default settings."""
    return (
        Pipeline([AUGMENTATIONS.choose(name)]) if name in AUGMENTATIONS.entries else Pipeline([], [MIXES.choose(name)])
    )


NAMES = [*AUGMENTATIONS, *MIXES]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(
    count=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    stored=st.tuples(st.integers(4, 33), st.integers(4, 33)),
    drawn=st.tuples(st.integers(1, 33), st.integers(1, 33)),
    seed=st.integers(0, 2**31),
)
def test_pictures_of_the_drawn_size_in_0_to_1(
    name: str, count: int, channels: int, stored: tuple[int, int], drawn: tuple[int, int], seed: int
) -> None:
    batch = torch.randint(0, 256, (count, channels, *stored), generator=draw(seed=seed).generator, dtype=torch.uint8)
    targets = torch.eye(5)[torch.arange(count) % 5]
    changed, rows = pipeline_of(name)(batch, targets, draw(*drawn, seed=seed))
    assert changed.shape == (count, channels, *drawn)
    assert changed.dtype == torch.float32
    assert changed.is_contiguous()
    assert bool(torch.isfinite(changed).all())
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    torch.testing.assert_close(rows.sum(1), torch.ones(count))


class Moves(TorchFunctionMode):
    """Notes each ``to`` a device, and whether it waits for it."""

    def __init__(self) -> None:
        self.waits: list[bool] = []

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func is torch.Tensor.to and isinstance(args[1], torch.device):
            self.waits.append(not (kwargs or {}).get("non_blocking", False))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", NAMES)
def test_what_was_drawn_is_moved_without_waiting_for_the_device(name: str) -> None:
    batch, targets = bytes_of(pictures(12)), torch.eye(12)
    with Moves() as moves:
        for seed in range(4):
            pipeline_of(name)(batch, targets, draw(15, 15, seed=seed))
    assert not any(moves.waits)


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_alone_decides(name: str) -> None:
    batch, targets = bytes_of(pictures(12)), torch.eye(12)
    run = pipeline_of(name)
    first = run(batch, targets, draw(seed=3))
    torch.manual_seed(99)
    again, other = run(batch, targets, draw(seed=3)), run(batch, targets, draw(seed=4))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("name", NAMES)
def test_torchs_own_generators_stay_where_they_are(name: str) -> None:
    before = torch.get_rng_state()
    pipeline_of(name)(bytes_of(pictures()), torch.eye(6), draw())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_the_given_pictures_stay_as_they_are(name: str) -> None:
    batch = pictures(12)
    kept = batch.clone()
    AUGMENTATIONS.choose(name)(batch, draw())
    assert torch.equal(batch, kept)


@pytest.mark.parametrize("name", list(MIXES))
def test_a_mix_leaves_what_it_is_given(name: str) -> None:
    batch, targets = pictures(12), torch.eye(12)
    kept = batch.clone()
    MIXES.choose(name)(batch, targets, draw())
    assert torch.equal(batch, kept)
    assert torch.equal(targets, torch.eye(12))


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_each_picture_draws_for_itself(name: str) -> None:
    """Of 24 copies of one photo, some come out unlike others."""
    batch = pictures(1).expand(24, -1, -1, -1)
    changed = AUGMENTATIONS.choose(name)(batch, draw())
    assert len({tuple(one.flatten().tolist()) for one in changed}) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_stays_one(name: str) -> None:
    changed, targets = pipeline_of(name)(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, 4), draw(8))
    assert changed.shape == (0, 3, 8, 8)
    assert targets.shape == (0, 4)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_it_again_as_it_was(name: str) -> None:
    table = AUGMENTATIONS if name in AUGMENTATIONS.entries else MIXES
    choice = table.choose(name)
    assert isinstance(choice, BaseModel)
    assert table.choose(name, choice.model_dump(mode="json")) == choice
    assert name_of(choice) == name
    assert type(choice).__doc__


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("flip", {"horizontal": 0.0}),
        ("flip", {"horizontal": 1.5}),
        ("rotate", {"degrees": 0.0}),
        ("rotate", {"degrees": 181.0}),
        ("rotate", {"border": "pink"}),
        ("rotate", {"probability": 0.0}),
        ("scale", {"range": [1.0, 1.0]}),
        ("scale", {"range": [0.01, 1.0]}),
        ("scale", {"range": [0.5]}),
        ("translate", {"horizontal": 0.0, "vertical": 0.0}),
        ("translate", {"horizontal": 1.0}),
        ("shear", {"horizontal": 0.0}),
        ("shear", {"horizontal": 89.0}),
        ("random_resized_crop", {"scale": [0.9, 0.1]}),
        ("random_resized_crop", {"scale": [1.0, 1.0]}),
        ("random_resized_crop", {"ratio": [2.0, 1.0]}),
        ("random_resized_crop", {"scale": [0.0, 1.0]}),
        ("crop", {"padding": 0}),
        ("crop", {"padding": 1.5}),
        ("colour_jitter", {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}),
        ("colour_jitter", {"hue": 0.6}),
        ("grey", {"probability": 0.0}),
        ("blur", {"sigma": [2.0, 1.0]}),
        ("blur", {"sigma": [0.0, 1.0]}),
        ("noise", {"deviation": 0.0}),
        ("erasing", {"area": [0.5, 0.1]}),
        ("erasing", {"fill": "white"}),
        ("trivial_augment", {"probability": 2.0}),
        ("rand_augment", {"magnitude": 31.0}),
        ("rand_augment", {"operations": 0}),
        ("mixup", {"alpha": 0.0}),
        ("cutmix", {"alpha": -1.0}),
        ("cutmix", {"alfa": 1.0}),
    ],
)
def test_settings_that_do_nothing_or_cannot_be_are_refused(name: str, setting: dict[str, object]) -> None:
    table = AUGMENTATIONS if name in AUGMENTATIONS.entries else MIXES
    with pytest.raises(RecipeError, match=next(iter(setting)) if len(setting) == 1 else name):
        table.choose(name, setting)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("height", [24, 17])
def test_the_same_on_the_gpu(name: str, channels: int, height: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    batch, targets = bytes_of(pictures(64, channels)), torch.eye(64)
    run = pipeline_of(name)
    torch.set_float32_matmul_precision("high")
    try:
        here = run(batch, targets, draw(height))
        there = run(batch.cuda(), targets.cuda(), draw(height))
    finally:
        torch.set_float32_matmul_precision("highest")
    assert there[0].is_cuda
    close = (there[0].cpu() - here[0]).abs() < 1e-4
    # posterize, solarize and equalize jump: a value on the brink may fall to either side.
    assert float(close.float().mean()) > (0.999 if name in ("trivial_augment", "rand_augment") else 0.99999)
    torch.testing.assert_close(there[1].cpu(), here[1])


def test_mixed_precision_changes_nothing() -> None:
    batch: Tensor = bytes_of(pictures())
    run = Pipeline([AUGMENTATIONS.choose("random_resized_crop"), AUGMENTATIONS.choose("colour_jitter")])
    plain = run(batch, torch.eye(6), draw())[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(batch, torch.eye(6), draw())[0], plain)
    chosen = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(run(batch, torch.eye(6), draw())[0], plain)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(chosen)


def test_every_geometric_one_brings_the_drawn_size_by_itself() -> None:
    geometric = [choice for name in AUGMENTATIONS if isinstance(choice := AUGMENTATIONS.choose(name), Geometric)]
    assert len(geometric) >= 7
    for choice in geometric:
        assert choice(pictures(), draw(10, 14)).shape[2:] == (10, 14)
