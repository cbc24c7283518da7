"""The store: names, versions, the newest, removal; only whole bundles are seen."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.bundle import write_bundle
from model_zoo.errors import BundleError, UnknownModelError
from model_zoo.store import Store, parse_reference, shipped_store
from tests.model_zoo.drafts import draft


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """means/1, means/2, means/10 and other/1."""
    for version in (1, 2, 10):
        write_bundle(tmp_path, draft(version=version))
    write_bundle(tmp_path, draft(name="other"))
    return Store(tmp_path)


def test_names_and_versions(store: Store) -> None:
    """Sorted; versions as numbers, not as text."""
    assert store.names() == ["means", "other"]
    assert store.versions("means") == [1, 2, 10]
    assert store.versions("nothing") == []
    assert store.versions("../means") == []


def test_the_newest_is_opened_by_default(store: Store) -> None:
    """Ten comes after two."""
    assert store.open("means").spec.version == 10
    assert store.open("means", 2).spec.version == 2


def test_an_absent_store_is_empty(tmp_path: Path) -> None:
    """No folder, no models, no error until one is asked for."""
    store = Store(tmp_path / "absent")
    assert store.names() == []
    with pytest.raises(UnknownModelError, match="it is empty"):
        store.open("means")


def test_what_is_not_a_bundle_is_passed_over(store: Store) -> None:
    """Half-written folders, other files, symlinks, odd names."""
    for name in (".writing-x1", ".removed-y", "means/.tmp", "means/01", "means/x", "means/0", "Big/1", "empty"):
        (store.root / name).mkdir(parents=True)
    (store.root / "means" / "7").write_text("a file")
    (store.root / "means" / "8").symlink_to(store.root / "means" / "1")
    (store.root / "linked").symlink_to(store.root / "means")
    (store.root / "README").write_text("a file")
    assert store.names() == ["means", "other"]
    assert store.versions("means") == [1, 2, 10]


@pytest.mark.parametrize(
    ("name", "version", "reason"),
    [
        ("maens", None, "did you mean 'means'"),
        ("zzz", None, "there are: means, other"),
        ("means", 3, "there are: 1, 2, 10"),
        ("means", -1, "no version -1"),
        ("../means", None, "no model"),
    ],
)
def test_an_unknown_model_says_what_there_is(store: Store, name: str, version: int | None, reason: str) -> None:
    """With the nearest name."""
    with pytest.raises(UnknownModelError, match=reason):
        store.open(name, version)


def test_removal(store: Store) -> None:
    """The version goes, the others stay; with the last one the name goes too."""
    store.remove("means", 10)
    assert store.versions("means") == [1, 2]
    assert store.open("means").spec.version == 2
    store.remove("other", 1)
    assert sorted(path.name for path in store.root.iterdir()) == ["means"]
    with pytest.raises(UnknownModelError):
        store.remove("other", 1)


def test_two_removers_of_one_version(store: Store) -> None:
    """One of them did it, the others are told."""
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def remove() -> None:
        barrier.wait()
        try:
            store.remove("means", 2)
            outcomes.append("removed")
        except UnknownModelError:
            outcomes.append("unknown")

    threads = [threading.Thread(target=remove) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["removed", "unknown", "unknown", "unknown"]
    assert store.versions("means") == [1, 10]


def test_removing_and_writing_at_once(tmp_path: Path) -> None:
    """A name that comes and goes: every writer gets a whole bundle in the end."""
    store = Store(tmp_path)
    written: list[int] = []

    def write_and_remove() -> None:
        for _ in range(5):
            version = store.write(draft()).spec.version
            written.append(version)
            store.remove("means", version)

    threads = [threading.Thread(target=write_and_remove) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 15
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_goes_while_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There when the writer made its folder, gone when it looked."""
    made = Path.mkdir
    refusals = iter([FileExistsError(17, "File exists")])

    def mkdir(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if path == tmp_path / "means":
            for refusal in refusals:
                raise refusal
        made(path, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert Store(tmp_path).write(draft()).spec.version == 1


@pytest.mark.parametrize("version", [None, 3])
def test_a_file_in_a_name_s_place(tmp_path: Path, version: int | None) -> None:
    """Neither waited for nor called a version."""
    (tmp_path / "means").write_text("")
    with pytest.raises(BundleError, match="can't be written"):
        Store(tmp_path).write(draft(version=version))


def test_the_shipped_store_is_read_only() -> None:
    """It comes with the package: nobody's folder to write to, by any path that leads there."""
    shipped = shipped_store()
    assert shipped.read_only
    detour = Store(shipped.root / ".." / "bundles")
    for store in (shipped, detour):
        with pytest.raises(BundleError, match="read-only"):
            store.write(draft())
        with pytest.raises(BundleError, match="read-only"):
            store.remove("efficientnet_lite0", 1)


def test_every_shipped_bundle_is_whole() -> None:
    """As the server will read them."""
    shipped = shipped_store()
    for name in shipped.names():
        assert shipped.open(name).spec.name == name
    assert not Store(shipped.root.parent).read_only


@pytest.mark.parametrize(
    ("text", "parts"), [("means", ("means", None)), ("a.b-c_1/12", ("a.b-c_1", 12)), ("0/1", ("0", 1))]
)
def test_references(text: str, parts: tuple[str, int | None]) -> None:
    """NAME and NAME/VERSION."""
    assert parse_reference(text) == parts


@pytest.mark.parametrize("text", ["", "/", "means/", "means/0", "means/-1", "means/x", "../x", "a/1/2", "A", "a\n"])
def test_what_is_no_reference(text: str) -> None:
    """The message shows the two forms."""
    with pytest.raises(UnknownModelError, match="NAME/VERSION"):
        parse_reference(text)


@given(st.text(max_size=12))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    """And a name never leads out of the store."""
    try:
        name, _ = parse_reference(text)
    except UnknownModelError:
        return
    assert "/" not in name
    assert not name.startswith(".")
