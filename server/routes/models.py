"""``/v1/models``: what is served and what it is; load, unload and delete for the administrator."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from server.catalogue_entry import ModelEntry, entry_of
from server.errors import InvalidRequestError
from server.routes import Routes
from server.routes.predict_openapi import ERROR_FORM
from server.service import Service


class ModelList(BaseModel):
    """What is served."""

    models: list[ModelEntry]
    default: str | None = Field(description="the model that answers where none is named; null while there is none")


class Unloaded(BaseModel):
    """What was unloaded."""

    unloaded: str
    default: str | None = Field(description="the model that answers now where none is named; null: none does")


class Deleted(BaseModel):
    """What was removed from the store."""

    deleted: str
    versions: list[int]
    default: str | None = Field(description="the model that answers now where none is named; null: none does")


Version = Annotated[int | None, Query(ge=1, description="one version; none: the newest that runs here, or all")]


def _errors(**descriptions: str) -> dict[int | str, dict[str, Any]]:
    """``_404="why"`` → a documented response."""
    content = {"application/json": {"schema": ERROR_FORM}}
    return {int(status[1:]): {"description": text, "content": content} for status, text in descriptions.items()}


NOT_FOUND = _errors(_400="invalid_request", _404="unknown_model", _503="not_ready")
REFUSED = {
    **NOT_FOUND,
    **_errors(_401="unauthorized", _403="forbidden", _503="not_ready, draining or backend_unavailable"),
}


async def refuse_odd_queries(request: Request) -> None:
    """A misspelt ``version`` must not become "all versions".

    Raises:
        InvalidRequestError: a parameter that is not known, or comes twice.
    """
    for name, _ in request.query_params.multi_items():
        if name != "version":
            raise InvalidRequestError(f"no parameter {name[:80]!r}; known: version")
    if len(request.query_params.getlist("version")) > 1:
        raise InvalidRequestError("version is given twice")


def routes(service: Service) -> Routes:
    """The catalogue calls."""
    router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[Depends(refuse_odd_queries)])
    catalogue = service.catalogue

    async def may_administer(request: Request) -> None:
        service.keys.may_administer(dict(request.headers.raw))
        service.must_take_work()

    admin = [Depends(may_administer)]

    @router.get("", summary="All models that answer")
    async def models() -> ModelList:
        """Every served version: spec, lineage, accuracy, latency, backend, check verdict and learned t(n)."""
        entries = [await entry_of(model, catalogue.store) for model in catalogue.served()]
        return ModelList(models=entries, default=catalogue.default)

    @router.get("/{model}", summary="One model", responses=NOT_FOUND)
    async def one_model(model: str, version: Version = None) -> ModelEntry:
        """The newest served version of a name, or the one asked for."""
        service.must_be_loaded()
        return await entry_of(catalogue.find(model, version), catalogue.store)

    @router.post("/{model}/load", summary="Load or swap", dependencies=admin, responses=REFUSED)
    async def load(model: str, version: Version = None) -> ModelEntry:
        """Load a version from the store and let it answer; the swap is atomic and loses nothing.

        Without a version: the newest that runs here replaces every served version of the name.
        """
        return await entry_of(await catalogue.load(model, version), catalogue.store)

    @router.post("/{model}/unload", summary="Stop serving", dependencies=admin, responses=REFUSED)
    async def unload(model: str, version: Version = None) -> Unloaded:
        """Stop answering for a name, or one version of it; what was admitted is still answered.

        When this was the default model, calls that name none get 404 until it is loaded again.
        """
        await catalogue.unload(model, version)
        return Unloaded(unloaded=model, default=catalogue.default)

    @router.delete("/{model}", summary="Unload and remove from the store", dependencies=admin, responses=REFUSED)
    async def delete(model: str, version: Version = None) -> Deleted:
        """Remove bundles from the store; the shipped store is read-only."""
        versions = await catalogue.delete(model, version)
        return Deleted(deleted=model, versions=versions, default=catalogue.default)

    return Routes(router=router)
