"""Files inside installed packages, by reference."""

from pathlib import Path

import pytest

from optimize.data.layouts import list_path
from optimize.data.options import DataOptions
from optimize.data.package_files import found_file, package_file
from optimize.errors import MissingPhotosError, RecipeError

CAT = "skimage:data/chelsea.png"
OPTIONS = DataOptions(train=Path("unused"))


def test_a_package_s_file_is_found_without_importing_it() -> None:
    assert package_file(CAT).read_bytes().startswith(b"\x89PNG")
    assert package_file("optimize:recipes").is_dir()


@pytest.mark.parametrize(
    "reference",
    [
        "coffee.png",
        "skimage:",
        ":data/coffee.png",
        "skimage:../x.png",
        "skimage:/etc/x",
        "C:\\x.png",
        "s3://a/b.png",
        "",
    ],
)
def test_reference_of_another_form_is_refused(reference: str) -> None:
    with pytest.raises(RecipeError, match="package:path"):
        package_file(reference)
    assert found_file(Path(reference)) == Path(reference)


@pytest.mark.parametrize(
    ("reference", "package"),
    [
        ("no_such_package_here:photo.png", "no_such_package_here"),
        ("sklearn_of_no_one:photo.png", "sklearn_of_no_one"),
        ("__main__:photo.png", "__main__"),
    ],
)
def test_absent_package_says_what_to_install(reference: str, package: str) -> None:
    with pytest.raises(MissingPhotosError, match=f"pip install {package}"):
        package_file(reference)


def test_package_without_such_a_file_is_not_to_be_installed_again() -> None:
    with pytest.raises(MissingPhotosError, match="the package skimage is here, and has no such file"):
        package_file("skimage:data/no_such_photo.png")


def test_one_s_own_file_goes_before_a_package_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert found_file(Path(CAT)) == package_file(CAT)
    (tmp_path / "skimage:data").mkdir()
    (tmp_path / CAT).write_bytes(b"mine")
    assert found_file(Path(CAT)) == Path(CAT)


def test_a_manifest_may_lie_in_a_package_and_name_photos_of_packages(tmp_path: Path) -> None:
    listing = list_path(Path("optimize:recipes/foolbox.csv"), OPTIONS)[""]
    assert len(listing.source) == 20
    assert listing.source.identifier(0) == "foolbox:data/imagenet_00_243.jpg"
    mixed = tmp_path / "mixed.csv"
    mixed.write_text(f"picture,label\n{CAT},cat\nb:c.png,dog\n")
    (tmp_path / "b:c.png").write_bytes(package_file("skimage:data/coffee.png").read_bytes())
    source = list_path(mixed, OPTIONS)[""].source
    assert [source.read(place).shape for place in (0, 1)] == [(300, 451, 3), (400, 600, 3)]


def test_the_labels_of_the_twenty_photos_are_those_of_their_file_names() -> None:
    """foolbox's names end in the number of the class."""
    from model_zoo.labels import imagenet_labels

    listing = list_path(Path("optimize:recipes/foolbox.csv"), OPTIONS)[""]
    names = [listing.source.identifier(place) for place in range(20)]
    numbers = [int(name.removesuffix(".jpg").rpartition("_")[2]) for name in names]
    assert listing.columns == (tuple(imagenet_labels()[number] for number in numbers),)
    assert len(set(names)) == 20
