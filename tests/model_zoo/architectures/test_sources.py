"""``timm:NAME`` and ``torchvision:NAME``: absent, and present as a stand-in module."""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest
from torch import nn

from model_zoo.architectures import build, input_spec
from model_zoo.errors import UnknownArchitectureError
from model_zoo.spec import Resize


def fake_timm() -> ModuleType:
    """As much of timm as is used, with its signatures."""
    timm = ModuleType("timm")

    def create_model(name: str, pretrained: bool, num_classes: int, **arguments: object) -> nn.Module:
        assert not pretrained
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes), nn.Identity(name=name, **arguments))

    config = SimpleNamespace(
        input_size=(3, 240, 240), crop_pct=0.9, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    grey = SimpleNamespace(input_size=(1, 240, 240))
    timm.create_model = create_model  # type: ignore[attr-defined]
    timm.list_models = lambda: ["convnext_tiny", "vit_grey"]  # type: ignore[attr-defined]
    timm.is_model = timm.list_models().__contains__  # type: ignore[attr-defined]
    timm.get_pretrained_cfg = {"convnext_tiny": config, "vit_grey": grey}.__getitem__  # type: ignore[attr-defined]
    return timm


def fake_torchvision() -> ModuleType:
    """As much of ``torchvision.models`` as is used, with its signatures."""
    models = ModuleType("torchvision.models")

    def get_model(name: str, weights: None, num_classes: int) -> nn.Module:
        assert weights is None
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes), nn.Identity(name=name))

    transforms = SimpleNamespace(
        crop_size=[224],
        resize_size=[232],
        interpolation=SimpleNamespace(value="bilinear"),
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
    )
    weights = SimpleNamespace(DEFAULT=SimpleNamespace(transforms=lambda: transforms))
    models.get_model = get_model  # type: ignore[attr-defined]
    models.get_model_weights = {"regnet_y_400mf": weights}.__getitem__  # type: ignore[attr-defined]
    models.list_models = lambda module: ["regnet_y_400mf"]  # type: ignore[attr-defined]
    return models


FAKES: dict[str, tuple[str, Callable[[], ModuleType], str]] = {
    "timm": ("timm", fake_timm, "convnext_tiny"),
    "torchvision": ("torchvision.models", fake_torchvision, "regnet_y_400mf"),
}


@pytest.fixture(params=FAKES)
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """(source, a name it has), with the stand-in installed."""
    module_name, fake, known = FAKES[request.param]
    for part in (module_name.partition(".")[0], module_name):
        monkeypatch.setitem(sys.modules, part, fake())
    return request.param, known


@pytest.mark.parametrize("library", FAKES)
@pytest.mark.parametrize("call", [build, input_spec])
def test_an_absent_library_says_what_to_install(
    library: str, call: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, FAKES[library][0], None)
    with pytest.raises(UnknownArchitectureError, match=f"pip install {library}"):
        call(f"{library}:resnet18")


def test_a_present_library_builds(source: tuple[str, str]) -> None:
    library, known = source
    head = build(f"{library}:{known}", 7).get_submodule("1")
    assert isinstance(head, nn.LazyLinear)
    assert head.out_features == 7


def test_a_misspelt_name_gets_the_librarys_nearest(source: tuple[str, str]) -> None:
    library, known = source
    with pytest.raises(UnknownArchitectureError, match=f"did you mean '{known}'"):
        build(f"{library}:{known[:-1]}")


def test_timm_input_comes_from_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", fake_timm())
    spec = input_spec("timm:convnext_tiny")
    assert (spec.height, spec.width, spec.resize) == (240, 240, Resize("shorter_side", 266, "bicubic"))
    assert spec.graph_mean == spec.graph_std == (127.5, 127.5, 127.5)


def test_timm_models_that_are_not_rgb_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", fake_timm())
    with pytest.raises(UnknownArchitectureError, match="not a square RGB"):
        input_spec("timm:vit_grey")


def test_torchvision_input_comes_from_its_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", fake_torchvision())
    spec = input_spec("torchvision:regnet_y_400mf")
    assert (spec.height, spec.resize) == (224, Resize("shorter_side", 232, "bilinear"))
    assert spec.graph_mean == pytest.approx((123.675, 116.28, 103.53))


def test_another_prefix_is_no_source() -> None:
    with pytest.raises(UnknownArchitectureError, match="huggingface:vit"):
        build("huggingface:vit")
