"""Fields of a recipe set by path."""

import pytest

from optimize.errors import RecipeError
from optimize.search.space import configured, with_values

CONTENT = {
    "name": "n",
    "data": {"train": "nowhere"},
    "model": {"architecture": "grey28", "arguments": {}},
    "optimiser": {"name": "adamw", "lr": 0.1, "betas": [0.9, 0.99]},
    "augment": [{"name": "flip", "share": 0.5}, {"name": "rotate", "degrees": 10}, {"name": "flip", "share": 0.1}],
}


def test_paths_lead_into_tables_lists_and_names() -> None:
    changed = with_values(
        CONTENT,
        {
            "optimiser.lr": 1.0,
            "augment.0.share": 0.25,
            "augment.rotate.degrees": 5,
            "model.arguments.dropout": 0.3,
            "train.epochs": 3,
        },
    )
    assert changed["optimiser"]["lr"] == 1.0
    assert [one.get("share") for one in changed["augment"]] == [0.25, None, 0.1]
    assert changed["augment"][1]["degrees"] == 5
    assert changed["model"]["arguments"] == {"dropout": 0.3}
    assert changed["train"] == {"epochs": 3}
    assert "train" not in CONTENT
    assert CONTENT["augment"][0] == {"name": "flip", "share": 0.5}, "what was given stays as it was"


def test_another_technique_starts_from_its_own_defaults_whatever_the_order() -> None:
    values = {"optimiser.momentum": 0.8, "optimiser.name": "momentum"}
    assert with_values(CONTENT, values)["optimiser"] == {"name": "momentum", "momentum": 0.8}
    assert with_values(CONTENT, {"optimiser.name": "adamw"})["optimiser"] == CONTENT["optimiser"]


def test_a_whole_table_may_be_chosen_and_a_field_in_it_set() -> None:
    values = {"optimiser.lr": 0.5, "optimiser": {"name": "sgd", "lr": 0.1}}
    assert with_values(CONTENT, values)["optimiser"] == {"name": "sgd", "lr": 0.5}
    assert with_values(CONTENT, {"augment.1": {"name": "flip"}})["augment"][1] == {"name": "flip"}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("augment.rotat.degrees", "did you mean 'rotate'"),
        ("augment.flip.share", "by number"),
        ("augment.7.share", "no entry '7'"),
        ("optimizer.lr", "did you mean 'optimiser'"),
        ("name.first", "no fields"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        with_values(CONTENT, {path: 1})


def test_configured_is_a_recipe() -> None:
    base = {key: value for key, value in CONTENT.items() if key != "augment"}
    base["optimiser"] = {"name": "adamw"}
    assert configured(base, {"train.epochs": 7}).train.epochs == 7
    with pytest.raises(RecipeError, match="epochs"):
        configured(base, {"train.epochs": 0})
