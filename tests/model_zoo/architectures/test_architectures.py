"""Every entry of ``ARCHITECTURES``, held to what is published of it; a newcomer is covered by being listed."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model_zoo.architectures import ARCHITECTURES, build, input_spec
from model_zoo.errors import UnknownArchitectureError
from tests.model_zoo.architectures.published import PUBLISHED

# Parameters at ten classes, and million multiply-adds at the entry's input size: added up from the channels, by hand.
OWN = {
    "grey28": (98_466, 16.10),
    "grey28_small": (24_666, 1.77),
    "grey28_wide": (94_258, 6.67),
    "efficientnet_lite0_short": (780_138, 47.27),
}

EVERY = pytest.mark.parametrize("name", ARCHITECTURES)
EVERY_PUBLISHED = pytest.mark.parametrize("name", PUBLISHED)


def on_meta(name: str, num_classes: int = 1000) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return build(name, num_classes).eval()


def blank(name: str, batch: int = 1) -> torch.Tensor:
    """A batch at the entry's own input size, on the meta device."""
    spec = input_spec(name)
    return torch.empty(batch, spec.channels, spec.height, spec.width, device="meta")


def test_every_entry_has_published_figures_or_is_our_own() -> None:
    assert set(PUBLISHED) | set(OWN) == set(ARCHITECTURES)


@EVERY_PUBLISHED
def test_parameters_are_the_published_number(name: str) -> None:
    assert sum(p.numel() for p in on_meta(name).parameters()) == PUBLISHED[name].parameters


@EVERY_PUBLISHED
def test_macs_are_the_published_number(name: str) -> None:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        on_meta(name)(blank(name))
    assert counter.get_total_flops() / 2e9 == pytest.approx(PUBLISHED[name].macs, abs=0.0006, rel=0.002)


@EVERY_PUBLISHED
def test_state_dict_has_the_published_names(name: str) -> None:
    state, published = on_meta(name).state_dict(), PUBLISHED[name]
    assert len(state) == published.tensors
    assert tuple(state[published.tensor].shape) == published.shape


@EVERY
@pytest.mark.parametrize("num_classes", [1000, 10])
def test_forward_gives_one_logit_per_class(name: str, num_classes: int) -> None:
    assert on_meta(name, num_classes)(blank(name, batch=3)).shape == (3, num_classes)


@EVERY
def test_pictures_of_a_batch_do_not_mix_in_eval(name: str) -> None:
    """Eval mode is deterministic and treats each picture alone; on small real tensors."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module, spec = build(name, 10).eval(), input_spec(name)
    batch = torch.randn(2, spec.channels, min(spec.height, 64), min(spec.width, 64))
    with torch.no_grad():
        together, again = module(batch), module(batch)
        alone = torch.cat([module(batch[:1]), module(batch[1:])])
    assert torch.equal(together, again)
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-5)


@EVERY
def test_training_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module, spec = build(name, 4).train(), input_spec(name)
    batch = torch.randn(2, spec.channels, 64, 64)
    module(batch).square().sum().backward()
    without = [key for key, parameter in module.named_parameters() if parameter.grad is None]
    assert without == []


@EVERY
def test_initial_activations_neither_vanish_nor_explode(name: str) -> None:
    """In training mode, where batch norms use the batch: the logits of noise are finite and not all alike."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module, spec = build(name, 10).train(), input_spec(name)
    with torch.no_grad():
        logits = module(torch.randn(4, spec.channels, 64, 64))
    assert torch.isfinite(logits).all()
    assert 1e-4 < logits.std() < 100


@pytest.mark.parametrize(("name", "parameters", "macs"), [(name, *figures) for name, figures in OWN.items()])
def test_our_own_nets_are_as_small_as_they_say(name: str, parameters: int, macs: float) -> None:
    module = on_meta(name, 10)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(blank(name))
    assert sum(p.numel() for p in module.parameters()) == parameters
    assert counter.get_total_flops() / 2e6 == pytest.approx(macs, abs=0.05)


def test_the_short_net_is_smaller_than_mobilenet_v3_small_in_every_way() -> None:
    figures = []
    for name in ("efficientnet_lite0_short", "mobilenet_v3_small"):
        module = on_meta(name, 10)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            module(blank(name))
        figures.append((sum(p.numel() for p in module.parameters()), counter.get_total_flops()))
    (short_parameters, short_flops), (parameters, flops) = figures
    assert short_parameters < parameters
    assert short_flops < flops


def test_the_short_net_begins_as_lite0_does() -> None:
    whole, short = on_meta("efficientnet_lite0").state_dict(), on_meta("efficientnet_lite0_short").state_dict()
    trunk = {key for key in short if key.startswith(("conv_stem.", "bn1.", "blocks."))}
    assert {key for key in short if key not in trunk} == {
        *(f"bn2.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
        *("conv_head.weight", "classifier.weight", "classifier.bias"),
    }
    assert all(short[key].shape == whole[key].shape for key in trunk)


def test_seeds_make_weights_repeatable() -> None:
    torch.manual_seed(7)
    first = build("grey28", 10).state_dict()
    torch.manual_seed(7)
    second = build("grey28", 10).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_arguments_reach_the_network() -> None:
    dropouts = [m.p for m in build("resnet18", 10, dropout=0.25).modules() if isinstance(m, nn.Dropout)]
    assert dropouts == [0.25]


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(UnknownArchitectureError, match="widht"):
        build("mobilenet_v2", widht=0.5)


def test_a_misspelt_name_gets_the_nearest_one() -> None:
    with pytest.raises(UnknownArchitectureError, match="'resnet-50'; did you mean 'resnet50'"):
        build("resnet-50")


def test_a_name_like_no_other_gets_the_list() -> None:
    with pytest.raises(UnknownArchitectureError, match=r"there are: efficientnet_lite0, .*grey28"):
        input_spec("qqqq")


@pytest.mark.parametrize("statement", ["import model_zoo.architectures", "from model_zoo.architectures import *"])
def test_importing_the_table_does_not_import_torch(statement: str) -> None:
    code = f"{statement}\nfrom model_zoo.architectures import input_spec\ninput_spec('resnet18')\n"
    code += "import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
