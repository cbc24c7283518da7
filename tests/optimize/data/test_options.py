"""What a recipe may say under ``[data]``."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from optimize.choice import faults
from optimize.data.options import DataOptions


def test_a_recipes_strings_and_lists_are_taken() -> None:
    options = DataOptions.model_validate({"train": "photos", "label_columns": ["kind", "colour"], "val": "more"})
    assert options.train_paths == (Path("photos"),)
    assert options.val == Path("more")
    assert options.label_columns == ("kind", "colour")


def test_train_may_be_several_paths() -> None:
    assert DataOptions.model_validate({"train": ["a", "b"]}).train_paths == (Path("a"), Path("b"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "train"),
        ({"train": []}, "train"),
        ({"train": "a", "test": "b", "hold_out": 5}, "exclude each other"),
        ({"train": "a", "val_share": 0.0}, "val_share"),
        ({"train": "a", "val_share": 1.0}, "val_share"),
        ({"train": "a", "unreadable": "ignore"}, "'skip' or 'stop'"),
        ({"train": "a", "hold_out": "1000"}, "hold_out"),
        ({"train": "a", "hold_uot": 1000}, "did you mean 'hold_out'"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DataOptions.model_validate(settings)
    assert message in faults(caught.value, DataOptions)
