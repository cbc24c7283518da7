"""What a recipe says of an ensemble: ``[ensemble]``, a name in ``ENSEMBLES`` and that entry's settings."""

from typing import Self

from pydantic import ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from optimize.choice import Choice
from optimize.ensembles import ENSEMBLES, EnsembleChoice
from optimize.errors import RecipeError


class EnsembleOptions(Choice):
    """``[ensemble]``; what the other keys may be is up to the entry of that name."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    name: str

    @property
    def settings(self) -> dict[str, object]:
        """All keys but ``name``."""
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            self.choice()
        except RecipeError as error:
            raise PydanticCustomError("technique", "{message}", {"message": str(error)}) from error
        return self

    def choice(self) -> EnsembleChoice:
        """The entry of ``ENSEMBLES`` with these settings.

        Raises:
            RecipeError: no such entry, or settings that it does not have.
        """
        return ENSEMBLES.choose(self.name, self.settings)
