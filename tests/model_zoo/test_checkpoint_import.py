"""A torch checkpoint and an architecture's name become a bundle that computes what torch computes."""

from pathlib import Path

import numpy as np
import pytest

from model_zoo.bundle import read_bundle
from model_zoo.errors import BundleError, ImportRefusedError, UnknownArchitectureError, WeightsError
from model_zoo.onnx_original import ImportOptions
from model_zoo.onnx_run import open_graph

torch = pytest.importorskip("torch", reason="pip install 'quickeye[optimize]'")

from model_zoo.architectures import build, input_spec  # noqa: E402
from model_zoo.checkpoint_import import import_checkpoint  # noqa: E402

CLASSES = 7


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small grey net with seven classes, as a training script saves it."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("checkpoint") / "last.pth"
    torch.save({"epoch": 4, "state_dict": build("grey28", CLASSES).state_dict()}, path)
    return path


@pytest.mark.slow
def test_the_bundle_computes_what_torch_computes(checkpoint: Path, tmp_path: Path) -> None:
    """Classes are counted in the checkpoint; the architecture's input and normalisation are used."""
    bundle = import_checkpoint(
        checkpoint, architecture="grey28", name="mine", store=tmp_path, options=ImportOptions(licence="MIT")
    )
    assert read_bundle(bundle.folder) == bundle
    assert bundle.labels == tuple(f"class {index}" for index in range(CLASSES))
    spec = input_spec("grey28")
    assert bundle.spec.input == spec
    assert bundle.spec.licence == "MIT"
    assert bundle.weights_path is not None
    pictures = np.random.default_rng(0).integers(0, 256, (3, spec.height, spec.width, 1), dtype=np.uint8)
    net = build("grey28", CLASSES).eval()
    net.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    values = (pictures.astype(np.float64) - spec.graph_mean) / spec.graph_std
    with torch.no_grad():
        expected = net.double()(torch.from_numpy(values.transpose(0, 3, 1, 2))).numpy()
    got = np.asarray(open_graph(bundle.read_model(), "images")(pictures)["logits"])
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


def test_refusals(checkpoint: Path, tmp_path: Path) -> None:
    """Wrong options, wrong architecture, a pickled module: the reason, and nothing written."""
    store = tmp_path / "store"

    def take(path: Path, architecture: str = "grey28", options: ImportOptions | None = None) -> None:
        import_checkpoint(path, architecture=architecture, name="mine", store=store, options=options or ImportOptions())

    with pytest.raises(BundleError, match="can't be a model's name"):
        import_checkpoint(
            tmp_path / "absent.pth", architecture="grey28", name="Bad Name", store=store, options=ImportOptions()
        )
    with pytest.raises(ImportRefusedError, match="--layout"):
        take(checkpoint, options=ImportOptions(layout="NCHW"))
    with pytest.raises(ImportRefusedError, match="fractions"):
        take(checkpoint, options=ImportOptions(mean=(0.13,), std=(0.3,)))
    with pytest.raises(WeightsError):
        take(checkpoint, options=ImportOptions(labels=("a", "b")))
    with pytest.raises(WeightsError):
        take(checkpoint, "squeezenet1_1")
    with pytest.raises(UnknownArchitectureError, match="grey28"):
        take(checkpoint, "gray28")
    whole = tmp_path / "whole.pth"
    torch.save(build("grey28", CLASSES), whole)
    with pytest.raises(WeightsError):
        take(whole)
    assert not store.exists()
