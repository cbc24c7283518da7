"""Hints and attention transfer against their formulas in float64, and in a step with real networks."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from optimize.errors import RecipeError, TrainingError
from optimize.training.step import Seen, Term
from optimize.training.teacher.ensemble import EnsembleTeacher
from optimize.training.terms import TERMS
from optimize.training.terms.attention_transfer import AttentionTerm
from optimize.training.terms.feature import FeatureTerm
from optimize.training.terms.matched_features import to_common_size
from tests.optimize.training.terms.steps import SmallNet, context, random_logits, step_of, student, teacher

NAMES = ["feature", "attention_transfer"]


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(term: Term, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> Tensor:
    logits = random_logits(n=len(next(iter(ours.values()))))
    found: Tensor = term(step_of(logits, logits, features=ours, teacher_features=theirs))
    return found


def hint(**settings: object) -> FeatureTerm:
    term = TERMS.choose("feature", settings).build(context(student(), teacher()))
    assert isinstance(term, FeatureTerm)
    return term


def attention(**settings: object) -> AttentionTerm:
    term = TERMS.choose("attention_transfer", settings).build(context(student(), teacher()))
    assert isinstance(term, AttentionTerm)
    return term


@pytest.mark.parametrize("relative", [False, True])
def test_a_hint_is_the_squared_error_of_a_projection(relative: bool) -> None:
    term = hint(relative=relative).double()
    ours, theirs = maps(3, 6, 8, 8), maps(3, 10, 8, 8, seed=1)
    projection = term.projections[0]
    assert isinstance(projection, nn.Conv2d)
    assert projection.bias is not None
    weight, bias = projection.weight.detach().numpy()[:, :, 0, 0], projection.bias.detach().numpy()
    projected = np.einsum("oc,nchw->nohw", weight, ours.numpy()) + bias[:, None, None]
    expected = ((projected - theirs.numpy()) ** 2).mean()
    expected /= (theirs.numpy() ** 2).mean() if relative else 1
    assert value(term, {"middle": ours}, {"middle": theirs}).item() == pytest.approx(expected, rel=1e-5)


def test_a_hint_takes_the_last_stage_but_one() -> None:
    term = hint()
    assert (term.student_features, term.teacher_features) == (("middle",), ("middle",))


def test_a_hint_can_be_learnt() -> None:
    """The projection alone finds maps that are one of the student's."""
    term = hint()
    ours = maps(4, 6, 8, 8).float()
    mix = maps(10, 6, seed=3).float()
    theirs = torch.einsum("oc,nchw->nohw", mix, ours)
    optimiser = torch.optim.Adam(term.parameters(), lr=0.05)
    first = value(term, {"middle": ours}, {"middle": theirs}).item()
    for _ in range(300):
        optimiser.zero_grad()
        value(term, {"middle": ours}, {"middle": theirs}).backward()
        optimiser.step()
    assert first > 0.5
    assert value(term, {"middle": ours}, {"middle": theirs}).item() < 0.01


def test_a_projection_begins_the_same_by_seed_and_disturbs_nobody() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = hint().state_dict()
    torch.manual_seed(5)
    network, master = student(), teacher()
    torch.manual_seed(5)
    second = TERMS.choose("feature").build(context(network, master)).state_dict()
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_vectors_may_be_compared_too() -> None:
    term = hint(student=["head"], teacher=["head"])
    ours, theirs = maps(3, 4).float(), maps(3, 4, seed=1).float()
    projection = term.projections[0]
    expected = (projection(ours[:, :, None, None])[:, :, 0, 0] - theirs).square().mean() / theirs.square().mean()
    torch.testing.assert_close(value(term, {"head": ours}, {"head": theirs}), expected)


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
def test_attention_is_the_papers_map(power: float) -> None:
    term = attention(student=["last"], teacher=["last"], power=power)
    ours, theirs = maps(3, 9, 4, 4), maps(3, 15, 4, 4, seed=1)

    def of(features: Tensor) -> np.ndarray:
        rows = (np.abs(features.numpy()) ** power).mean(axis=1).reshape(3, -1)
        unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    expected = ((of(ours) - of(theirs)) ** 2).sum(axis=1).mean()
    assert value(term, {"last": ours}, {"last": theirs}).item() == pytest.approx(expected, rel=1e-10)


def test_attention_looks_at_the_last_three_stages() -> None:
    assert attention().student_features == ("stem", "middle", "last")


def test_attention_does_not_see_how_strong_it_is() -> None:
    term = attention(student=["last"], teacher=["last"])
    ours = maps(3, 9, 4, 4)
    assert value(term, {"last": ours}, {"last": 7 * ours}).item() == pytest.approx(0, abs=1e-12)


def test_half_precision_maps_do_not_overflow() -> None:
    term = attention(student=["last"], teacher=["last"])
    ours, theirs = (300 * maps(3, 9, 4, 4)).half(), (300 * maps(3, 15, 4, 4, seed=1)).half()
    assert 0 < value(term, {"last": ours}, {"last": theirs}).item() < 2


@pytest.mark.parametrize(("first", "second", "size"), [((8, 8), (4, 4), (4, 4)), ((7, 3), (3, 5), (3, 3))])
def test_the_larger_is_averaged_down(first: tuple[int, int], second: tuple[int, int], size: tuple[int, int]) -> None:
    ours, theirs = to_common_size(maps(2, 3, *first), maps(2, 5, *second))
    assert ours.shape[2:] == size
    assert theirs.shape[2:] == size
    if first == (8, 8):
        blocks = maps(2, 3, 8, 8).numpy().reshape(2, 3, 4, 2, 4, 2).mean(axis=(3, 5))
        np.testing.assert_allclose(ours.numpy(), blocks, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
class TestBoth:
    def test_in_a_step_with_real_networks(self, name: str) -> None:
        """Pictures of another size than the example's, as progressive resolution makes them."""
        network, master = student(), teacher()
        term = TERMS.choose(name).build(context(network, master))
        pictures = torch.rand(4, 1, 24, 24)
        seen: dict[str, Tensor] = {}
        for key in term.student_features:
            network.get_submodule(key).register_forward_hook(keep(seen, key))
        logits = network(pictures)
        theirs = master(pictures)
        found = term(step_of(logits, theirs.logits, features=seen, teacher_features=theirs.features))
        found.backward()
        assert found.ndim == 0
        assert found > 0
        assert network.stem[0].weight.grad is not None
        assert all(parameter.grad is None for parameter in master.parameters())

    def test_lists_must_be_of_one_length(self, name: str) -> None:
        with pytest.raises(RecipeError, match="there are 2 of the student and 1"):
            TERMS.choose(name, {"student": ["stem", "last"], "teacher": ["last"]}).build(context(student(), teacher()))

    def test_a_layer_of_the_teacher_that_is_not_there(self, name: str) -> None:
        with pytest.raises(RecipeError, match=r"the teacher has no layer 'lst'.*did you mean 'last'"):
            TERMS.choose(name, {"student": ["last"], "teacher": ["lst"]}).build(context(student(), teacher()))

    def test_an_ensemble_shows_no_layers(self, name: str) -> None:
        both = EnsembleTeacher([teacher(seed=1), teacher(seed=2)])
        with pytest.raises(RecipeError, match="gives logits only"):
            TERMS.choose(name).build(context(student(), both))

    def test_a_step_without_the_features(self, name: str) -> None:
        term = TERMS.choose(name).build(context(student(), teacher()))
        logits = random_logits()
        with pytest.raises(TrainingError, match="without the features of"):
            term(step_of(logits, logits))


def keep(seen: dict[str, Tensor], key: str) -> Callable[[nn.Module, object, Tensor], None]:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen[key] = output

    return hook


def test_the_teacher_gives_what_was_tapped() -> None:
    master = teacher()
    master.tap(["last", "stem", "last"])
    seen: Seen = master(torch.rand(2, 1, 16, 16))
    assert {key: tuple(value.shape) for key, value in seen.features.items()} == {
        "stem": (2, 5, 16, 16),
        "last": (2, 15, 4, 4),
    }
    assert isinstance(master.network, SmallNet)
    with pytest.raises(RecipeError, match="no layer 'frist'"):
        master.tap(["frist"])
