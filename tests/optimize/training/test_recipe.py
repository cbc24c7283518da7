"""What a recipe may say, what it says when nothing is said, and what it is told when it is wrong."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from optimize.choice import Table
from optimize.errors import RecipeError
from optimize.training.augmentations import AUGMENTATIONS, MIXES
from optimize.training.losses import LOSSES
from optimize.training.optimisers import OPTIMISERS
from optimize.training.recipe import Recipe, parse_recipe
from optimize.training.recipe_file import SHIPPED, read_content, shipped_recipes, to_toml, with_setting, without_paths
from optimize.training.schedules import SCHEDULES
from optimize.training.terms import TERMS
from optimize.training.transfer import PLANS

LEAST: dict[str, Any] = {"name": "shoes", "data": {"train": "photos"}, "model": {}}
# Techniques that can't be had without saying something.
NEEDED = {"partial": {"stages": 2}, "feature": {"student": "a", "teacher": "b"}}
NEEDED |= {"attention_transfer": NEEDED["feature"], "multi_step": {"epochs": [1]}}


def settings_of(table: Table[Any], name: str) -> dict[str, Any]:
    """The least that the entry asks for."""
    required = {key for key, field in table.find(name).model_fields.items() if field.is_required()}
    return {key: value for key, value in NEEDED.get(name, {}).items() if key in required}


KINDS: list[tuple[str, Table[Any], bool]] = [
    ("augment", AUGMENTATIONS, True),
    ("mix", MIXES, True),
    ("loss", LOSSES, True),
    ("term", TERMS, True),
    ("optimiser", OPTIMISERS, False),
    ("schedule", SCHEDULES, False),
    ("transfer", PLANS, False),
]


@pytest.mark.parametrize(
    ("kind", "table", "is_list", "name"),
    [(kind, table, is_list, name) for kind, table, is_list in KINDS for name in table],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_technique_is_a_name_in_a_recipe_and_comes_back_with_all_its_settings(
    kind: str, table: Table[Any], is_list: bool, name: str
) -> None:
    said = {"name": name, **settings_of(table, name)}
    recipe = parse_recipe({**LEAST, kind: [said] if is_list else said})

    content = tomllib.loads(to_toml(recipe))
    written = content[kind][0] if is_list else content[kind]

    choice = table.find(name)
    assert issubclass(choice, BaseModel)
    optional = {key for key, field in choice.model_fields.items() if field.default is not None}
    assert optional <= written.keys()
    assert parse_recipe(content) == recipe


def test_what_is_not_said_has_a_default() -> None:
    recipe = parse_recipe(LEAST)

    assert [one.name for one in recipe.loss] == ["cross_entropy"]
    assert (recipe.optimiser.name, recipe.schedule.name, recipe.transfer.name) == ("adamw", "cosine", "full")
    assert (recipe.augment, recipe.mix, recipe.term) == ((), (), ())


@pytest.mark.parametrize(
    ("change", "place", "hint"),
    [
        ({"optimizer": "adam"}, "optimizer", "did you mean 'optimiser'?"),
        ({"train": {"epoch": 3}}, "train.epoch", "did you mean 'epochs'?"),
        ({"optimiser": {"name": "adamv"}}, "optimiser", "did you mean 'adam"),
        ({"optimiser": {"name": "adam", "learning_rate": 1.0}}, "learning_rate", "there is no such key"),
        ({"augment": [{"name": "flip"}, {"name": "rotat"}]}, "augment.1", "did you mean 'rotate'?"),
        ({"augment": [{"horizontal": 0.5}]}, "augment.0", 'name = "…"'),
        ({"loss": [{"name": "focal", "gama": 2.0}]}, "loss.0", "did you mean 'gamma'?"),
        ({"loss": [{"name": "focal", "weight": "much"}]}, "loss.0", "not a number"),
        ({"data": {"train": "a", "valid": "b"}}, "data.valid", "did you mean 'val'"),
        ({"model": {"arch": "grey28"}}, "model.arch", "there are: architecture, "),
        ({"train": {"epochs": "3"}}, "train.epochs", "integer"),
        ({"train": {"sizes": [[0.5, 128], [0.4, 160]]}}, "train", "must grow"),
        ({"train": {"device": "gpu"}}, "train.device", "pattern"),
        ({"loss": []}, "", "nothing can be learnt"),
        ({"name": "My Shoes"}, "name", "pattern"),
    ],
)
def test_a_fault_is_said_with_its_place_and_the_nearest_right_name(
    change: dict[str, Any], place: str, hint: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**LEAST, **change}, origin="shoes.toml")

    said = str(caught.value)
    assert said.startswith("shoes.toml: ")
    assert place in said
    assert hint in said


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(RecipeError, match=r"trian.*epohcs|epohcs.*trian"):
        parse_recipe({**LEAST, "trian": {}, "train": {"epohcs": 1}})


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_right_and_say_how_they_are_run(name: str) -> None:
    content = read_content(name)
    content.setdefault("data", {}).setdefault("train", "photos")

    recipe = parse_recipe(content, origin=name)

    assert recipe.name == name
    assert f"quickeye train {name} " in (SHIPPED / f"{name}.toml").read_text(encoding="utf-8")


def test_setting_a_field() -> None:
    content = {"train": {"epochs": 3}, "augment": [{"name": "flip"}, {"name": "rotate", "degrees": 5.0}]}

    assert with_setting(content, "train.epochs=7")["train"] == {"epochs": 7}
    assert with_setting(content, "optimiser.lr=0.1")["optimiser"] == {"lr": 0.1}
    searched = with_setting(with_setting(content, "search.sampler=tpe"), "search.space.optimiser.lr=[0.01, 0.1]")
    assert searched["search"] == {"sampler": "tpe", "space": {"optimiser.lr": [0.01, 0.1]}}
    narrowed = with_setting(searched, 'search.space."optimiser.lr"=[0.02, 0.1]')
    assert narrowed["search"]["space"] == {"optimiser.lr": [0.02, 0.1]}
    assert with_setting(content, "name=shoes")["name"] == "shoes"
    assert with_setting(content, 'name="3"')["name"] == "3"
    assert with_setting(content, "train.sizes=[[0.5, 128]]")["train"]["sizes"] == [[0.5, 128]]
    assert with_setting(content, "augment.rotate.degrees=9.0")["augment"][1] == {"name": "rotate", "degrees": 9.0}
    assert with_setting(content, "augment.0.horizontal=1.0")["augment"][0] == {"name": "flip", "horizontal": 1.0}
    assert content == {"train": {"epochs": 3}, "augment": [{"name": "flip"}, {"name": "rotate", "degrees": 5.0}]}


@pytest.mark.parametrize("path", (".", "optimiser..lr", "optimiser.", 'search.space."optimiser.lr'))
def test_a_path_that_is_none(path: str) -> None:
    with pytest.raises(RecipeError, match="keys with a dot between"):
        with_setting({}, f"{path}=1")


def test_a_technique_by_its_name_alone_may_be_given_settings() -> None:
    recipe = parse_recipe(with_setting({**LEAST, "optimiser": "adam"}, "optimiser.lr=0.5"))

    assert recipe.optimiser.name == "adam"
    assert recipe.optimiser.choice.lr == 0.5


@pytest.mark.parametrize("wrong", ["train.epochs", "=3", "augment.blur.sigma=1", "augment.5.degrees=1", "name.first=a"])
def test_a_setting_that_leads_nowhere_is_refused(wrong: str) -> None:
    with pytest.raises(RecipeError, match="--set"):
        with_setting({"augment": [{"name": "flip"}], "name": 3}, wrong)


def test_a_name_that_two_entries_share_is_not_guessed() -> None:
    with pytest.raises(RecipeError, match=r"0 \(flip\), 1 \(flip\)"):
        with_setting({"augment": [{"name": "flip"}, {"name": "flip"}]}, "augment.flip.horizontal=1.0")


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("name = ", encoding="utf-8")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(RecipeError, match="is not TOML"):
        read_content(str(tmp_path / "broken.toml"))
    with pytest.raises(RecipeError, match="is not TOML"):
        read_content(str(tmp_path / "binary.toml"))
    with pytest.raises(RecipeError, match="can't be read: No such file"):
        read_content(str(tmp_path / "absent.toml"))
    with pytest.raises(RecipeError, match="did you mean 'fashion_mnist'"):
        read_content("fashion_mnst")


def test_what_is_published_of_a_recipe_names_no_place_of_this_machine() -> None:
    secret = "/home/somebody"
    teacher = {"sources": [f"{secret}/a", "lite0/1"], "store": f"{secret}/store", "labels": f"{secret}/names.txt"}
    data = {"train": f"{secret}/train", "val": f"{secret}/val", "test": f"{secret}/test", "target": f"{secret}/phones"}
    content = {**LEAST, "data": data, "model": {"weights": f"{secret}/start.pt", "height": 96}, "teacher": teacher}

    found = without_paths(parse_recipe(content).to_content())

    assert secret not in repr(found)
    assert found["model"]["height"] == 96
    assert found["teacher"]["runs"] == "auto"


def test_names_of_published_weights_and_of_a_store_s_models_are_published() -> None:
    content = {**LEAST, "model": {"weights": "pretrained"}, "teacher": {"sources": ["lite0/1", "deep"]}}

    found = without_paths(parse_recipe(content).to_content())

    assert found["model"]["weights"] == "pretrained"
    assert found["teacher"]["sources"] == ["lite0/1", "deep"]


def test_the_recipe_of_the_shipped_bundle_is_none_of_training() -> None:
    assert "efficientnet_lite0_int8" not in shipped_recipes()
    assert {"clothing", "fashion_mnist"} <= set(shipped_recipes())


def test_equal_tables_make_equal_recipes() -> None:
    assert parse_recipe(LEAST) == parse_recipe({**LEAST, "optimiser": {"name": "adamw"}})
    assert isinstance(parse_recipe(LEAST), Recipe)
