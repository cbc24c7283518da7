"""CSV, TSV and JSONL manifests."""

import json
from pathlib import Path

import pytest

from optimize.data.manifest_file import list_manifest
from optimize.data.options import DataOptions
from optimize.errors import DataError

OPTIONS = DataOptions(train=Path("unused"))


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def test_csv_columns_are_found_by_their_usual_names(tmp_path: Path) -> None:
    path = written(tmp_path / "list.csv", "label,image\nhat,a.png\ndress,sub/b.png\n")
    listing = list_manifest(path, OPTIONS)[""]
    assert listing.columns == (("hat", "dress"),)
    assert [listing.source.identifier(index) for index in range(2)] == ["a.png", "sub/b.png"]


def test_paths_are_relative_to_the_manifest_and_may_lead_out_of_its_folder(tmp_path: Path) -> None:
    from tests.optimize.data.sets_on_disk import save

    save(tmp_path / "elsewhere" / "a.png", 1)
    (tmp_path / "lists").mkdir()
    absolute = tmp_path / "elsewhere" / "a.png"
    path = written(tmp_path / "lists" / "list.csv", f"image,label\n../elsewhere/a.png,x\n{absolute},y\n")
    source = list_manifest(path, OPTIONS)[""].source
    assert source.read(0).shape == source.read(1).shape == (20, 24, 3)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".csv", 'picture,kind,shade\n"a, b.png",hat,red\nc.png,dress,\n'),
        (".tsv", "picture\tkind\tshade\na, b.png\that\tred\nc.png\tdress\t\n"),
        (
            ".jsonl",
            '{"picture": "a, b.png", "kind": "hat", "shade": "red", "box": [1, 2]}\n\n'
            '{"picture": "c.png", "kind": "dress"}\n',
        ),
    ],
)
def test_several_label_columns_are_several_tasks_and_may_be_empty(tmp_path: Path, suffix: str, text: str) -> None:
    options = DataOptions(train=Path("unused"), label_columns=("kind", "shade"))
    listing = list_manifest(written(tmp_path / f"list{suffix}", text), options)[""]
    assert listing.task_names == ("kind", "shade")
    assert listing.columns == (("hat", "dress"), ("red", None))
    assert listing.source.identifier(0) == "a, b.png"


def test_a_split_column_gives_listings_by_split(tmp_path: Path) -> None:
    text = "file,class,split\na,x,train\nb,y,Validation\nc,x,TEST\nd,x,train\n"
    parts = list_manifest(written(tmp_path / "list.csv", text), OPTIONS)
    assert {name: listing.columns for name, listing in parts.items()} == {
        "train": (("x", "x"),),
        "val": (("y",),),
        "test": (("x",),),
    }


def test_numbers_and_truth_values_of_json_are_labels(tmp_path: Path) -> None:
    rows = [{"image": "a", "label": 3}, {"image": "b", "label": True}]
    path = written(tmp_path / "list.jsonl", "\n".join(map(json.dumps, rows)))
    assert list_manifest(path, OPTIONS)[""].columns == (("3", "true"),)


def test_a_spreadsheets_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = written(tmp_path / "list.csv", "image,label\na,x\n", "utf-8-sig")
    assert list_manifest(path, OPTIONS)[""].columns == (("x",),)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "lists no pictures"),
        ("a.csv", "image,label\n", "lists no pictures"),
        ("a.csv", "image,label\na.png\n", "line 2: 1 cells; the head has 2"),
        ("a.csv", "image,image\na,b\n", "two columns have one name"),
        ("a.csv", "photo,label\na,x\n", "data.picture_column says which it is; there are: photo, label"),
        ("a.csv", "image,kind\na,x\n", "data.label_columns says which"),
        ("a.csv", "image,label\n,x\n", "line 2: no image"),
        ("a.csv", "image,label\na,x\nb,\n", "line 3: no label"),
        ("a.csv", "image,label\nhttps://somewhere/a.png,x\n", "pictures are read from files"),
        ("a.csv", "image,label,split\na,x,trian\n", "line 2: split is 'trian'; did you mean 'train'"),
        ("a.csv", 'image,label\n"a,x\n', "can't be read"),
        ("a.jsonl", "{}\n", "no column is called"),
        ("a.jsonl", '{"image": "a", "label": "x"}\n{"image"\n', "line 2: no JSON"),
        ("a.jsonl", "[1]\n", "line 1: not an object"),
        ("a.jsonl", '{"image": "a", "label": 0.5}\n', "no column is called label"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list_manifest(written(tmp_path / name, text), OPTIONS)


def test_a_misspelt_column_names_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "image,colour\na,x\n")
    with pytest.raises(DataError, match="there is no column 'color'; did you mean 'colour'"):
        list_manifest(path, DataOptions(train=path, label_columns=("color",)))


def test_text_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"image,label\n\xff\xfe,x\n")
    with pytest.raises(DataError, match="can't be read"):
        list_manifest(tmp_path / "a.csv", OPTIONS)
