"""The Python client of a Quickeye server: pictures and streams of frames, typed, with or without an event loop.

::

    from server.client import Client

    with Client("http://127.0.0.1:8000") as client:
        print(client.predict(Path("photo.jpg")).best)

Nothing of the server and no HTTP library is loaded by importing this.
"""

from server.client.async_client import AsyncClient
from server.client.async_stream import AsyncStream
from server.client.backoff import Backoff
from server.client.errors import (
    ClientError,
    FrameTooLargeError,
    RefusedError,
    StreamClosedError,
    TimedOutError,
    UnexpectedReplyError,
    UnreachableError,
    UnreadEventsError,
)
from server.client.events import (
    ConfigChanged,
    DropCounts,
    Dropped,
    EffectiveOptions,
    Event,
    FrameAge,
    FrameError,
    Limits,
    Ready,
    Result,
    Stats,
)
from server.client.replies import (
    ClassActivation,
    PictureFailure,
    PictureResult,
    Prediction,
    Reply,
    ServedModel,
    StageTimes,
)
from server.client.stream_target import Timeouts
from server.client.sync_client import Client
from server.client.sync_stream import Stream

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "Backoff",
    "ClassActivation",
    "Client",
    "ClientError",
    "ConfigChanged",
    "DropCounts",
    "Dropped",
    "EffectiveOptions",
    "Event",
    "FrameAge",
    "FrameError",
    "FrameTooLargeError",
    "Limits",
    "PictureFailure",
    "PictureResult",
    "Prediction",
    "Ready",
    "RefusedError",
    "Reply",
    "Result",
    "ServedModel",
    "StageTimes",
    "Stats",
    "Stream",
    "StreamClosedError",
    "TimedOutError",
    "Timeouts",
    "UnexpectedReplyError",
    "UnreachableError",
    "UnreadEventsError",
]
