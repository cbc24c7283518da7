from pathlib import Path

import pytest

from server.picture_files import picture_files


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(folder: Path, *, recursive: bool) -> list[str]:
    return [str(file.relative_to(folder)) for file in picture_files(folder, recursive=recursive)]


def test_a_folder_gives_its_pictures_sorted(tmp_path: Path) -> None:
    fill(tmp_path, "b.PNG", "a.jpg", "notes.txt", "c.webp", ".hidden.jpg", "no_suffix", "d.tar.jpeg")
    assert names(tmp_path, recursive=False) == ["a.jpg", "b.PNG", "c.webp", "d.tar.jpeg"]


def test_folders_inside_are_entered_only_when_asked(tmp_path: Path) -> None:
    fill(tmp_path, "z.jpg", "cats/a.jpg", "cats/deep/b.gif", ".cache/c.jpg", "folder.jpg/d.bmp")
    assert names(tmp_path, recursive=False) == ["z.jpg"]
    assert names(tmp_path, recursive=True) == ["cats/a.jpg", "cats/deep/b.gif", "folder.jpg/d.bmp", "z.jpg"]


def test_a_hidden_folder_named_outright_counts(tmp_path: Path) -> None:
    fill(tmp_path, ".hidden/a.jpg")
    assert names(tmp_path / ".hidden", recursive=False) == ["a.jpg"]


def test_a_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    fill(tmp_path, "upload")
    assert picture_files(tmp_path / "upload", recursive=False) == [tmp_path / "upload"]


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert picture_files(tmp_path, recursive=True) == []


def test_an_absent_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*absent"):
        picture_files(tmp_path / "absent", recursive=False)
