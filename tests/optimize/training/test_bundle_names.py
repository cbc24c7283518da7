"""Names that no store would take are refused before anything is trained."""

import pytest

from optimize.data.dataset import Task
from optimize.errors import RecipeError
from optimize.training.bundle_names import bundle_names


def tasks(*names: str) -> list[Task]:
    return [Task(name, ("a", "b")) for name in names]


def test_the_first_is_called_as_the_recipe_and_others_after_their_column() -> None:
    assert bundle_names("shoes", tasks("Kind")) == ("shoes",)
    assert bundle_names("shoes", tasks("kind", "Sole colour", "Größe")) == ("shoes", "shoes-sole-colour", "shoes-gr-e")


@pytest.mark.parametrize(
    ("name", "columns", "said"),
    [
        ("shoes", ("kind", "sole colour", "Sole Colour"), "both be called 'shoes-sole-colour'"),
        ("shoes", ("kind", "尺寸", "颜色"), "both be called 'shoes-task'"),
        ("s" * 60, ("kind", "colour"), "at most 64 letters.*shorter name"),
    ],
)
def test_what_a_store_would_refuse_or_lose_is_refused(name: str, columns: tuple[str, ...], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        bundle_names(name, tasks(*columns))
