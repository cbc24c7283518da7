"""Pruned architectures: built from a sentence, never wider than the whole, and never more than a clear refusal."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from model_zoo.architectures import ARCHITECTURES, build, input_spec
from model_zoo.architectures.pruned import LONGEST, describe, is_depthwise, narrow, sized_layers, widths
from model_zoo.errors import UnknownArchitectureError

# grey28 in the order of registration: stem, then blocks of conv, norm, conv, norm (skip, norm), then the head's inputs.
WHOLE = "1-24 24 24 24 24 24 24-40 40 40 40 24-40 40 40-64 64 64 64 40-64 64 64"
HALF = "1-8 8 8-16 16 16-8 8 8-24 24 24 24 8-24 24 24-32 32 32 32 24-32 32 32"


def picture(n: int = 2) -> torch.Tensor:
    return torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(0))


# One or two of each family: the others differ in depth and width alone.
FAMILIES = (
    "efficientnet_lite0_short",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet18",
    "seresnet50",
    "squeezenet1_1",
    "densenet121",
    "shufflenet_v2_x0_5",
    "grey28_small",
    "grey28_wide",
)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_entry_fits_into_a_manifest(name: str) -> None:
    with torch.device("meta"):
        assert 0 < len(describe(build(name, 10))) <= LONGEST


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_built_again(name: str) -> None:
    with torch.device("meta"):
        whole = build(name, 10)
        said = describe(whole)
        again = build(f"pruned:{name}", 10, layers=said)

    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in whole.state_dict().items()
    }


def test_the_widths_are_those_that_are_said() -> None:
    torch.manual_seed(0)
    net = build("pruned:grey28", 7, layers=HALF, dropout=0.3)

    layers = sized_layers(net)
    assert widths(layers["blocks.0.conv1"]) == (8, 16)
    assert layers["blocks.0.conv1"].weight.shape == (16, 8, 3, 3)
    assert layers["blocks.0.bn1"].running_mean.shape == (16,)
    assert widths(layers["classifier"]) == (32, 7)
    assert net.eval()(picture()).shape == (2, 7)
    assert describe(net) == HALF


def test_new_weights_have_hes_scale_for_the_narrow_layer() -> None:
    torch.manual_seed(0)
    weight = sized_layers(build("pruned:grey28", 10, layers=HALF))["blocks.2.conv2"].weight
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.05)


def test_one_seed_one_network() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(4)
        states.append(build("pruned:grey28_wide", 3, layers=describe(build("grey28_wide", 3))).state_dict())
        torch.manual_seed(4)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_pooling_by_place_stays_a_mean() -> None:
    said = describe(build("grey28_wide", 3)).replace("48", "16")
    net = build("pruned:grey28_wide", 3, layers=said)
    features = torch.randn(2, 16, 7, 7)
    torch.testing.assert_close(net.place_pooling(features), features.mean((2, 3)))


def test_arguments_of_the_whole_network_are_its_own() -> None:
    mirrored = build("pruned:grey28", 10, layers=HALF, mirrored=True).eval()
    torch.testing.assert_close(mirrored(picture()), mirrored(picture().flip(3)))
    with pytest.raises(UnknownArchitectureError, match="does not take"):
        build("pruned:grey28", 10, layers=HALF, wings=2)


def test_the_input_is_that_of_the_whole_network() -> None:
    assert input_spec("pruned:grey28") == input_spec("grey28")
    with pytest.raises(UnknownArchitectureError, match="did you mean 'grey28'"):
        input_spec("pruned:grey29")


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ("", "19 layers"),
        (WHOLE + " 64", "names 20"),
        (" ".join(["9" * 6] * 100_000), "at most 2000"),
        (WHOLE.replace("1-24", "1-25", 1), "only gets narrower"),
        (WHOLE.replace("1-24", "1-999999", 1), "only gets narrower"),
        (WHOLE.replace("1-24", "1-0", 1), "only gets narrower"),
        (WHOLE.replace("1-24", "1-9999999999", 1), "widths such as"),
        (WHOLE.replace("1-24", "1--4", 1), "widths such as"),
        (WHOLE.replace("1-24", "1-2٤", 1), "widths such as"),
        (WHOLE.replace("1-24 24", "1-24 24-16", 1), "as many channels"),
        (WHOLE.replace("1-24", "1-16", 1), "do not fit together"),
        (WHOLE[:-2] + "64-10", "its inputs alone"),
        (WHOLE[:-2] + "63", "do not fit together"),
    ],
)
def test_what_describes_no_narrower_network_is_refused(layers: str, reason: str) -> None:
    with pytest.raises(UnknownArchitectureError, match=reason):
        build("pruned:grey28", 10, layers=layers)


class Grouped(nn.Module):
    """A grouped convolution of 8 channels in two groups, between others."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 1)
        self.norm = nn.BatchNorm2d(8, affine=False, track_running_stats=False)
        self.grouped = nn.Conv2d(8, 8, 1, groups=2)
        self.second = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1, H, W) → (N, classes)."""
        out: torch.Tensor = self.fc(self.second(self.grouped(self.norm(self.first(x)))).mean((2, 3)))
        return out


@pytest.fixture
def _grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "grouped", f"{__name__}:Grouped")
    monkeypatch.setattr("model_zoo.architectures.pruned.input_spec", lambda _: input_spec("grey28"))


@pytest.mark.usefixtures("_grouped")
@pytest.mark.parametrize("width", ["4", "4-8", "8-4", "2", "8-6"])
def test_a_grouped_convolution_stays_as_it_is(width: str) -> None:
    assert build("pruned:grouped", 3, layers="1-8 8 8 8-4 4").eval()(picture()).shape == (2, 3)
    for norm in ("4", "8"):
        with pytest.raises(UnknownArchitectureError, match="it is a grouped convolution and stays 8-8"):
            build("pruned:grouped", 3, layers=f"1-{norm} {norm} {width} 8 8")


def test_a_batch_norm_that_has_nothing_of_its_own_gets_narrower() -> None:
    norm = nn.BatchNorm2d(8, affine=False, track_running_stats=False)
    narrow(norm, torch.arange(3), torch.arange(3))
    assert widths(norm) == (3, 3)


@pytest.mark.parametrize("arguments", [{}, {"layers": 3}, {"layers": True}])
def test_layers_must_be_said_as_text(arguments: dict[str, int]) -> None:
    with pytest.raises(UnknownArchitectureError, match="layers"):
        build("pruned:grey28", 10, **arguments)


@pytest.mark.parametrize("name", ["pruned:pruned:grey28", "pruned:ensemble:mean", "pruned:nothing", "pruned:"])
def test_only_a_whole_network_can_be_named(name: str) -> None:
    with pytest.raises(UnknownArchitectureError):
        build(name, 10, layers=WHOLE)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["1", "8", "24", "64", "1-24", "8-16", "24-40", "x", ""]), min_size=19, max_size=19))
def test_any_text_builds_a_network_that_runs_or_is_refused(tokens: list[str]) -> None:
    try:
        net = build("pruned:grey28", 10, layers=" ".join(tokens))
    except UnknownArchitectureError:
        return
    assert net.eval()(picture(1)).shape == (1, 10)


def test_narrowing_keeps_the_channels_that_are_named() -> None:
    net = build("grey28_small", 10)
    depthwise, plain = net.get_submodule("blocks.1.conv_dw1"), net.get_submodule("blocks.0.conv1")
    before = depthwise.weight.detach().clone(), plain.weight.detach().clone()
    plain.weight.requires_grad_(False)

    for layer in (depthwise, plain):
        narrow(layer, torch.tensor([0, 5]), torch.tensor([1, 7]))

    assert torch.equal(depthwise.weight, before[0][[1, 7]])
    assert (depthwise.groups, widths(depthwise), is_depthwise(depthwise)) == (2, (2, 2), True)
    assert torch.equal(plain.weight, before[1][[1, 7]][:, [0, 5]])
    assert not plain.weight.requires_grad
