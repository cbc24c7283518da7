"""``[publish]``: the best candidate under its published name, with its card, check and figures."""

import json
from pathlib import Path

import numpy as np
import pytest

from model_zoo.bundle import Bundle
from model_zoo.preprocess import preprocess
from model_zoo.store import Store
from optimize.candidates.photo_views import read_photo
from optimize.candidates.publishing import set_name
from optimize.errors import DataError, MissingPhotosError, RecipeError, RunError
from optimize.judging.arithmetic import open_model
from tests.optimize.candidates.colours import CHECK, PHOTOS, colour_recipe, four_times_as_fast, opened, optimized
from tests.optimize.commands.colour_bundle import folder_of

PAGE = "# {name}, version {version}\n\n{megabytes} MB, {calibration} views.\n\n{accuracy}\n\nIt {guard}\n\n{speed}\n"


@pytest.fixture(autouse=True)
def _nothing_takes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    four_times_as_fast(monkeypatch)


def made(folder: Path, name: str = "traffic", version: int | None = 7) -> Bundle:
    return Store(folder / "store").open(name, version)


def test_the_best_goes_by_the_published_name_and_card(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    publish = {"name": "traffic", "version": 7, "card": str(page), "dataset": "lights"}
    result = optimized(colour_recipe(tmp_path, publish=publish), tmp_path / "run")
    assert result.best == "int8"
    bundle = made(tmp_path / "run")
    assert result.candidate("int8").bundle == str(bundle.folder)
    assert Store(tmp_path / "run" / "store").names() == ["traffic"]
    assert (bundle.spec.licence, bundle.spec.source) == ("none", "a test")
    card = bundle.read("CARD.md").decode()
    assert card.startswith("# traffic, version 7\n\n0.0 MB, 6 views.\n")
    for one in bundle.manifest.accuracy:
        assert f"{one.n} of lights ({one.split})" in card
        assert f"({round(one.value * one.n)} of {one.n})" in card
    assert "pictures that no candidate was made or chosen by" in card
    assert "4.00 times the parent's speed" in card
    assert "{" not in card


def test_agreement_is_told_also_where_the_parent_is_sure(tmp_path: Path) -> None:
    optimized(colour_recipe(tmp_path), tmp_path / "run")
    rows = made(tmp_path / "run", "shades-int8", 1).manifest.accuracy
    assert [(one.split, one.metric, one.dataset) for one in rows] == [
        (split, metric, "shades")
        for split in ("validation", "test")
        for metric in ("top1_agreement", "top1_agreement_where_sure")
    ]
    assert [one.n for one in rows] == [15] * 4, "the parent is sure of plain colours"


def test_the_published_check_is_of_the_photos_and_of_what_the_graph_means(tmp_path: Path) -> None:
    optimized(colour_recipe(tmp_path, publish={"name": "traffic", "version": 7, "check": CHECK}), tmp_path / "run")
    bundle = made(tmp_path / "run")
    check = bundle.check()
    expected = np.stack([preprocess(read_photo(one), bundle.spec.input) for one in CHECK[:3]])
    assert np.array_equal(check.pictures[:3], expected), (
        "the fourth is a JPEG, which decoders read a little differently"
    )
    logits = open_model(bundle.read_model(), "reference")(check.pictures)
    assert np.array_equal(check.outputs["logits"], logits)
    assert check.atol["logits"] == pytest.approx(0.05 * np.abs(logits).max(), rel=1e-6)


def test_labelled_sets_are_told_and_decide_nothing(tmp_path: Path) -> None:
    """One of four pictures is labelled wrong, so the parent and the INT8 model have three."""
    lamps = folder_of(tmp_path / "lamps", red=["red", "green"], green=["green"], blue=["blue"])
    publish = {"name": "traffic", "version": 7, "figures": [{"dataset": "lamps", "data": str(lamps)}]}
    result = optimized(colour_recipe(tmp_path, publish=publish), tmp_path / "run")
    (row,) = (one for one in made(tmp_path / "run").manifest.accuracy if one.dataset == "lamps")
    assert (row.metric, row.n, row.value, row.split) == ("top1", 4, 0.75, "test")
    assert row.reference == "the parent: 0.7500 on the same pictures"
    assert result.pictures == {"train": 0, "val": 15, "guard": 15}


def test_labelled_sets_of_other_classes_are_refused(tmp_path: Path) -> None:
    zebras = folder_of(tmp_path / "zebras", zebra=["red"], red=["red"])
    publish = {"name": "traffic", "figures": [{"dataset": "zebras", "data": str(zebras)}]}
    with pytest.raises(DataError, match="zebra"):
        optimized(colour_recipe(tmp_path, publish=publish), tmp_path / "run")


def test_the_guard_s_pictures_have_their_own_name(tmp_path: Path) -> None:
    lamps = folder_of(tmp_path / "lamps", any=["red", "green", "blue"])
    one = colour_recipe(tmp_path, publish={"name": "traffic", "version": 7, "dataset": "a", "test_dataset": "b"})
    one = one.model_copy(update={"data": one.data.model_copy(update={"test": lamps})})
    optimized(one, tmp_path / "run")
    rows = made(tmp_path / "run").manifest.accuracy
    assert {(row.dataset, row.split, row.n) for row in rows} == {("a", "validation", 30), ("b", "test", 3)}


@pytest.mark.parametrize(
    ("path", "name"),
    [("photos/clothing/validation", "clothing"), ("street", "street"), ("optimize:recipes/foolbox.csv", "foolbox"),
     ("a/train/val", "a"), ("/", "pictures"), ("v1.2", "v1.2"), ("sets/v1.test.csv", "v1.test")],
)  # fmt: skip
def test_pictures_of_the_command_line_go_by_their_folder_s_name(path: str, name: str) -> None:
    assert set_name(Path(path)) == name


def test_what_the_guard_does_not_pass_gets_no_published_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = {"max_drop": 0.0, "strict": True}
    result = optimized(colour_recipe(tmp_path, budget=strict, publish={"name": "traffic"}), tmp_path / "run")
    assert (result.best, result.closest) == (None, "int8")
    assert Store(tmp_path / "run" / "store").names() == ["shades-int8"]


def test_a_run_goes_on_with_another_name_and_makes_nothing_again(tmp_path: Path) -> None:
    first = optimized(colour_recipe(tmp_path, publish={"name": "traffic"}), tmp_path / "run")
    state = json.loads((tmp_path / "run" / "state.json").read_text())
    again = optimized(colour_recipe(tmp_path, publish={"name": "lights", "version": 2}), tmp_path / "run")
    assert Store(tmp_path / "run" / "store").names() == ["lights"]
    assert again.candidate("int8").verdict == first.candidate("int8").verdict
    after = json.loads((tmp_path / "run" / "state.json").read_text())
    assert {k: v for k, v in after.items() if k != "recipe"} == {k: v for k, v in state.items() if k != "recipe"}


@pytest.mark.parametrize(
    ("publish", "error", "says"),
    [
        ({"card": "no_such_page.md"}, RecipeError, r"publish\.card: no_such_page\.md can't be read"),
        ({"card": "no_such_package:page.md"}, MissingPhotosError, "pip install no_such_package"),
        ({"card": "page.md"}, RecipeError, r"nothing fills \{megabits\}; did you mean 'megabytes'"),
        ({"check": [*CHECK[:3], "optimize:ship.py"]}, RecipeError, r"publish\.check: optimize:ship\.py is no photo"),
        ({"check": [*CHECK[:3], "photo.png"]}, RecipeError, "package:path"),
        ({"check": CHECK[:3]}, RecipeError, "at least 4"),
        ({"name": "shades-int8"}, RecipeError, "begin with shades- are the candidates' own"),
        ({"figures": [{"dataset": "x", "data": "lost.csv"}]}, MissingPhotosError, "pip install no_such_package"),
        ({"version": 0}, RecipeError, "greater than or equal to 1"),
        ({"name": "Traffic"}, RecipeError, "pattern"),
        ({"nam": "x"}, RecipeError, "did you mean 'name'"),
        ({"figures": [{"dataset": "x", "data": "nowhere"}]}, RecipeError, "publish.figures: nowhere is not there"),
    ],
)
def test_what_can_not_be_published_is_said_before_anything_is_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    publish: dict[str, object],
    error: type[Exception],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lost.csv").write_text("picture,label\nno_such_package:a.png,red\n")
    (tmp_path / "page.md").write_text("{megabits} and {not a place}")
    with pytest.raises(error, match=says):
        opened(colour_recipe(tmp_path, publish={"name": "traffic", **publish}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_lineage_names_the_parent_s_graph_the_photos_and_the_tools(tmp_path: Path) -> None:
    optimized(colour_recipe(tmp_path), tmp_path / "run")
    lineage = made(tmp_path / "run", "shades-int8", 1).manifest.lineage
    assert lineage.parent == "colours/1"
    parent, data, quantised = lineage.passes
    model = Store(tmp_path / "models").open("colours").manifest.files[0]
    assert parent.parameters == {"sha256": model.sha256}
    assert data.parameters["calibration"] == PHOTOS
    assert quantised.parameters["range_method"] == "percentile"
    assert {"numpy", "onnx", "pillow"} <= lineage.tools.keys()


def test_photos_that_changed_are_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    package = tmp_path / "photos_of_a_run"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    one = colour_recipe(tmp_path, calibration={"photos": ["photos_of_a_run:a.png"], "shares": [1.0]})
    for shade, fails in ((0, False), (0, False), (9, True)):
        Image.new("RGB", (9, 9), (shade, 0, 0)).save(package / "a.png")
        if fails:
            with pytest.raises(RunError, match="photos that have changed"):
                opened(one, tmp_path / "run")
        else:
            opened(one, tmp_path / "run")
