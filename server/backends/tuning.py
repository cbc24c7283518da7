"""What ``quickeye benchmark MODEL --tune`` found best on this machine, kept for the server.

One JSON file in the user's cache folder. A plan counts only for the same kind of
CPU, the same number of cores, the same bundle and the same engine versions;
anything else is a new question. The file is a hint: unreadable, it is
ignored with a warning, and removing it costs only time.
"""

import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_zoo.bundle import Bundle
from server.backends import BACKENDS
from server.backends.cpu_features import cpu_features
from server.backends.threads import available_cores

log = logging.getLogger("quickeye.tuning")

ENGINES = ("onnxruntime", "onnxruntime-gpu", "openvino")
MAX_FILE_BYTES = 2**20
MAX_PLANS = 256


@dataclass(frozen=True, slots=True)
class TunedPlan:
    """How to run a model: ``instances`` of ``backend`` with ``threads`` each, batches up to ``max_batch_size``."""

    backend: str
    instances: int
    threads: int
    max_batch_size: int


class _PlanPart(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    backend: str = Field(max_length=64)
    instances: int = Field(ge=1, le=1024)
    threads: int = Field(ge=1, le=1024)
    max_batch_size: int = Field(ge=1, le=4096)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    schema_: int = Field(default=1, alias="schema", ge=1, le=1)
    plans: dict[str, _PlanPart] = Field(default_factory=dict, max_length=MAX_PLANS)


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """$QUICKEYE_CACHE_DIR, $XDG_CACHE_HOME/quickeye or ~/.cache/quickeye, whichever is set first."""
    values = os.environ if environment is None else environment
    if folder := values.get("QUICKEYE_CACHE_DIR"):
        return Path(folder)
    cache = values.get("XDG_CACHE_HOME")
    home = values.get("HOME") or Path.home()
    return (Path(cache) if cache else Path(home) / ".cache") / "quickeye"


def tuning_path(environment: Mapping[str, str] | None = None) -> Path:
    """``tuning.json`` in the ``cache_folder``."""
    return cache_folder(environment) / "tuning.json"


def engine_versions() -> dict[str, str]:
    """The versions of the installed engines, by package."""
    found: dict[str, str] = {}
    for package in ENGINES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def tuning_key(bundle: Bundle) -> str:
    """What a plan depends on: the machine, the bundle and the engines."""
    engines = " ".join(f"{package}={number}" for package, number in engine_versions().items())
    return f"{cpu_features().identity} | {available_cores()} cores | {bundle.fingerprint} | {engines}"


def remembered_plan(bundle: Bundle, path: Path | None = None) -> TunedPlan | None:
    """What tuning found for this bundle on this machine; None when it was never tuned here."""
    part = _read(path or tuning_path()).plans.get(tuning_key(bundle))
    if part is None or part.backend not in BACKENDS:
        return None
    return TunedPlan(part.backend, part.instances, part.threads, part.max_batch_size)


def remember(bundle: Bundle, plan: TunedPlan, path: Path | None = None) -> Path:
    """Keep a plan; readers see the old file or the new one, whole. The oldest plans go when there are too many.

    Returns:
        Where it was written.
    Raises:
        OSError: the folder can't be made or written.
    """
    path = path or tuning_path()
    plans = _read(path).plans
    key = tuning_key(bundle)
    plans.pop(key, None)
    plans[key] = _PlanPart(**asdict(plan))
    kept = dict(list(plans.items())[-MAX_PLANS:])
    text = _File(schema=1, plans=kept).model_dump_json(indent=1, by_alias=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".tuning-", delete=False) as temporary:
        try:
            temporary.write(text + "\n")
            temporary.close()
            Path(temporary.name).replace(path)
        except BaseException:
            Path(temporary.name).unlink(missing_ok=True)
            raise
    return path


def _read(path: Path) -> _File:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
        return _File.model_validate_json(data)
    except FileNotFoundError:
        return _File(schema=1)
    except (OSError, ValidationError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        log.warning("%s is ignored; remove it, or tune again to replace it: %s", path, reason)
        return _File(schema=1)
