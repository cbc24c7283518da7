"""What is used of ONNX Runtime here, which is untyped; and its word for too little memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

from server.backends.onnxruntime_providers import Provider

Faults = tuple[type[Exception], ...]
PIXELS, ANSWERS = "uint8", "float32"  # what goes in, what comes out


class Value(Protocol):
    """``onnxruntime.OrtValue``."""

    def update_inplace(self, data: object) -> None: ...
    def numpy(self) -> object: ...


class Binding(Protocol):
    """``onnxruntime.IOBinding``: where one run reads and writes."""

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: str, shape: Sequence[int], buffer_ptr: int
    ) -> None: ...
    def bind_output(
        self, name: str, device_type: str, device_id: int, element_type: str, shape: Sequence[int], buffer_ptr: int
    ) -> None: ...
    def bind_ortvalue_input(self, name: str, ortvalue: Value) -> None: ...
    def bind_ortvalue_output(self, name: str, ortvalue: Value) -> None: ...


class GraphValue(Protocol):
    """An input or output of a session: ``shape`` has a name or None where a size is open."""

    name: str
    type: str
    shape: list[int | str | None]


class BoundSession(Protocol):
    """``onnxruntime.InferenceSession``."""

    def get_inputs(self) -> Sequence[GraphValue]: ...
    def io_binding(self) -> Binding: ...
    def run_with_iobinding(self, iobinding: Binding, run_options: object = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Runtime:
    """The library, all that it throws, and a way to open a session of one bundle on some providers.

    ``open`` raises ``BackendUnavailableError`` or ``BackendLoadError``.
    """

    module: ModuleType
    faults: Faults
    open: Callable[[Sequence[Provider]], BoundSession]

    def run_options(self, entries: dict[str, str]) -> object:
        """Of one run."""
        options = self.module.RunOptions()
        options.log_severity_level = 4  # what fails is told once, as an exception
        for key, value in entries.items():
            options.add_run_config_entry(key, value)
        found: object = options
        return found


def short(error: Exception) -> str:
    """One line for a log."""
    return " ".join(str(error).split())[:400] or type(error).__name__
