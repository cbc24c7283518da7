"""Tracing with OpenTelemetry (extra ``otel``): where one request's time went, and whom it was run with.

The idea. A request's span begins with it, because its answer must name it and its batch must point to it. All
other spans are written afterwards, from the times that the server takes anyway: nothing is opened or closed
while a picture is decoded, waits or runs. A batch serves many requests, so it has a trace of its own, and links to
every sampled picture in it, and they to it.

What it costs. Off, nothing here imports OpenTelemetry, and the hot path asks ``is None``. On, every request has its
identifiers made and its sampling decided; only a sampled one has its spans written, after its answer has left.

Who knows what. ``opening.py`` decides whether there is tracing at all; ``tracer.py`` begins traces;
``request_trace.py``, ``frame_trace.py`` and ``stages.py`` write them; ``export.py`` sends them, from a thread of its
own with a bounded queue. What the rest of the server sees is in ``contracts.py``, ``picture_trace.py`` and
``current.py``, which need no package.

What it does not do: metrics and logs over OTLP, baggage, spans of what happens while a model is loaded.
"""
