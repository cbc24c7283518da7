"""From ``[model]`` to a network: weights kept, heads replaced, sizes changed, and what can't be."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model_zoo.architectures import build, input_spec
from model_zoo.export import Provenance, export_bundle
from model_zoo.spec import ArchitectureRef, InputSpec
from model_zoo.weights import pretrained
from optimize.data.dataset import Task
from optimize.errors import CheckpointError, RecipeError
from optimize.training.network.build import build_network
from optimize.training.network.head import head
from optimize.training.network.network import Network
from optimize.training.network.options import ModelOptions
from tests.optimize.training.network.small import ANIMALS, COLOURS, grey_pictures, small_network


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def weights_of(network: Network) -> dict[str, torch.Tensor]:
    """The state dict."""
    return network.module.state_dict()


def saved(folder: Path, module: nn.Module) -> str:
    """A checkpoint of a module."""
    file = folder / "weights.safetensors"
    save_file(module.state_dict(), file)
    return str(file)


def bundle_of(network: Network, store: Path, name: str = "animals", spec: InputSpec | None = None) -> Path:
    """The bundle that a run would make of it."""
    written = export_bundle(
        network.module,
        name=name,
        store=store,
        spec=spec or network.spec,
        labels=network.tasks[0].classes,
        provenance=Provenance(licence="none", source="a test"),
        architecture=network.architecture,
    )
    return written.folder


def trunk_is_equal(first: Network, second: Network) -> bool:
    """Whether all but the last layer has the same weights."""
    one, two = weights_of(first), weights_of(second)
    return all(torch.equal(one[key], two[key]) for key in one if key not in head(first.module).keys)


def test_a_new_network_has_logits_for_the_classes_and_trains() -> None:
    network = small_network()
    assert network.module.training
    assert network.module(grey_pictures()).shape == (4, 3)
    assert network.architecture == ArchitectureRef("grey28", {"num_classes": 3})
    assert network.slices == (slice(0, 3),)
    assert network.notes == ("the weights start at random",)


def test_the_seed_decides_the_weights_and_touches_no_other_random_number() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, again, other = small_network(seed=5), small_network(seed=5), small_network(seed=6)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(weights_of(first)[key], value) for key, value in weights_of(again).items())
    assert not trunk_is_equal(first, other)


@pytest.mark.parametrize(
    ("asked", "size", "resized"),
    [({}, (224, 224), 256), ({"height": 96}, (96, 96), 110), ({"width": 128, "height": 96}, (96, 128), 146)],
)
def test_the_input_size_is_the_recipes_and_the_crop_keeps_its_share(
    asked: dict[str, int], size: tuple[int, int], resized: int
) -> None:
    network = build_network(ModelOptions(architecture="efficientnet_lite0", **asked), (ANIMALS,), 1)
    assert (network.spec.height, network.spec.width) == size
    assert network.spec.resize.size == resized
    assert network.spec.graph_mean == input_spec("efficientnet_lite0").graph_mean


def test_published_weights_are_kept_but_for_the_head() -> None:
    network = build_network(ModelOptions(weights="pretrained", height=64), (ANIMALS,), 1)
    published = pretrained("efficientnet_lite0")
    state = weights_of(network)
    assert all(torch.equal(state[key], published[key]) for key in published if not key.startswith("classifier."))
    assert state["classifier.weight"].shape == (3, 1280)
    assert "new head for 3 classes" in network.notes[0]


def test_a_network_cut_short_begins_with_the_weights_of_the_whole_one() -> None:
    options = ModelOptions(architecture="efficientnet_lite0_short", weights="pretrained", height=96)
    network = build_network(options, (ANIMALS,), 1)
    published = pretrained("efficientnet_lite0")
    state = weights_of(network)
    trunk = [key for key in state if key.startswith(("conv_stem.", "bn1.", "blocks."))]
    assert len(trunk) > 50
    assert all(torch.equal(state[key], published[key]) for key in trunk)
    assert "as far as they go" in network.notes[0]


def test_published_weights_that_there_are_not() -> None:
    with pytest.raises(CheckpointError, match="no package holds weights for 'grey28'"):
        small_network(weights="pretrained")


def test_a_checkpoint_of_as_many_classes_is_taken_whole(tmp_path: Path) -> None:
    start = small_network(seed=9)
    network = small_network(weights=saved(tmp_path, start.module))
    assert all(torch.equal(weights_of(start)[key], value) for key, value in weights_of(network).items())
    assert "the head is kept" in network.notes[0]


def test_a_checkpoint_of_other_classes_gets_a_new_head(tmp_path: Path) -> None:
    start = small_network(COLOURS, seed=9)
    network = small_network(weights=saved(tmp_path, start.module))
    assert trunk_is_equal(start, network)
    assert network.module.eval()(grey_pictures()).shape == (4, 3)


def test_a_checkpoint_of_another_architecture_says_which_keys_differ(tmp_path: Path) -> None:
    file = saved(tmp_path, build("squeezenet1_1", 3))
    with pytest.raises(CheckpointError, match=r"missing: stem\.0\.weight.*unexpected: .*features\.0\.weight"):
        small_network(weights=file)


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "half.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(CheckpointError, match=r"half\.safetensors: not a whole safetensors file"):
        small_network(weights=str(tmp_path / "half.safetensors"))


def test_the_note_that_is_published_names_no_folder_and_the_weights_are_known_again(tmp_path: Path) -> None:
    start, other = small_network(), small_network()
    with torch.no_grad():
        next(other.module.parameters()).add_(1)
    networks = [small_network(weights=saved(tmp_path, one.module)) for one in (start, start, other)]
    assert str(tmp_path) not in networks[0].notes[0]
    assert "weights.safetensors" in networks[0].notes[0]
    assert networks[0].start == networks[1].start != networks[2].start
    assert start.start is None


def test_weights_that_are_nowhere(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no such file or folder.*'pretrained'"):
        small_network(weights=str(tmp_path / "absent.pt"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    """A network, and a run's folder with its bundle; the input is not the architecture's usual one."""
    network = small_network(seed=9)
    network = replace(network, spec=replace(network.spec, graph_mean=(10.0,), graph_std=(20.0,)))
    folder = tmp_path_factory.mktemp("run")
    bundle_of(network, folder / "store")
    return network, folder


@pytest.mark.parametrize("place", [".", "store", "store/animals", "store/animals/1"])
def test_a_bundle_is_found_in_its_run_its_store_or_its_folder(run: tuple[Network, Path], place: str) -> None:
    start, folder = run
    network = small_network(weights=str(folder / place))
    assert all(torch.equal(weights_of(start)[key], value) for key, value in weights_of(network).items())
    assert network.spec.graph_mean == (10.0,)


def test_a_head_of_the_same_classes_in_another_order_is_turned(run: tuple[Network, Path]) -> None:
    start, folder = run
    network = small_network(Task("animal", ("owl", "cat", "dog")), weights=str(folder))
    before, after = (one.module.eval()(grey_pictures()) for one in (start, network))
    torch.testing.assert_close(after, before[:, [2, 0, 1]])


def test_a_head_of_as_many_other_classes_is_replaced(run: tuple[Network, Path]) -> None:
    start, folder = run
    network = small_network(Task("animal", ("cat", "dog", "emu")), weights=str(folder))
    assert trunk_is_equal(start, network)
    assert not torch.equal(head(network.module).layer.weight, head(start.module).layer.weight)
    assert "new head" in network.notes[0]


def test_a_bundle_of_another_architecture_names_both(run: tuple[Network, Path]) -> None:
    message = r"network of grey28, the recipe asks for resnet18; .*architecture = 'grey28'"
    with pytest.raises(CheckpointError, match=message):
        build_network(ModelOptions(architecture="resnet18", weights=str(run[1])), (ANIMALS,), 1)


def test_a_store_of_several_bundles_is_no_choice(run: tuple[Network, Path], tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        bundle_of(run[0], tmp_path, name)
    with pytest.raises(CheckpointError, match="there are: cats, dogs; name one of their folders"):
        small_network(weights=str(tmp_path))


def test_a_run_without_a_bundle_says_so(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").touch()
    with pytest.raises(CheckpointError, match="this run has made no bundle"):
        small_network(weights=str(tmp_path))


def test_an_empty_folder_holds_no_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is none"):
        small_network(weights=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "grey82"}, "did you mean 'grey28'"),
        ({"arguments": {"depht": 3}}, "depht"),
        ({"architecture": "densenet121", "height": 16}, "densenet121 can't take pictures of 16×16 px"),
        ({"architecture": "squeezenet1_1", "height": 64, "drop_path": 0.1}, "no residual blocks"),
        ({"architecture": "squeezenet1_1", "height": 64, "batch_norm_momentum": 0.1}, "no batch norms"),
    ],
)
def test_a_model_that_can_not_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        small_network(**options)


def test_choices_of_dropout_and_batch_norm_reach_the_layers() -> None:
    module = small_network(dropout=0.4, batch_norm_momentum=0.03).module
    assert {part.p for part in module.modules() if isinstance(part, nn.Dropout)} == {0.4}
    assert {part.momentum for part in module.modules() if isinstance(part, nn.BatchNorm2d)} == {0.03}


def test_frozen_statistics_stay_while_the_weights_train() -> None:
    network = small_network(batch_norm="frozen")
    norm = next(part for part in network.module.modules() if isinstance(part, nn.BatchNorm2d))
    assert network.module.training
    assert not norm.training
    network.module(grey_pictures()).sum().backward()
    assert norm.running_mean is not None
    assert not norm.running_mean.any()
    assert norm.weight.grad is not None


@pytest.mark.parametrize("sharing", ["hard", "soft"])
def test_several_tasks_have_their_logits_side_by_side(sharing: str) -> None:
    network = small_network(ANIMALS, COLOURS, sharing=sharing, drop_path=0.1)
    assert network.slices == (slice(0, 3), slice(3, 5))
    assert network.module.eval()(grey_pictures()).shape == (4, 5)


def test_trunks_of_soft_sharing_start_alike() -> None:
    network = small_network(ANIMALS, COLOURS, sharing="soft")
    first, second = network.module.get_submodule("networks.0"), network.module.get_submodule("networks.1")
    assert torch.equal(first.get_parameter("stem.0.weight"), second.get_parameter("stem.0.weight"))


def test_soft_sharing_of_one_task_is_an_ordinary_network() -> None:
    assert type(small_network(sharing="soft").module) is type(small_network().module)
