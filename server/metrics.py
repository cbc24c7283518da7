"""Every figure of ``/metrics``: names, labels and buckets in one place.

Counters and histograms are written where things happen; gauges are read from
their owners when somebody scrapes, so that the hot path pays nothing for them.
Label values come from a closed set: a model name that nobody serves is counted
as ``unknown``.
"""

import threading
from collections.abc import Callable, Iterable
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from model_zoo.errors import PictureError
from server.histogram import Histogram
from server.job import STAGES, Answer, Job

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
SCORE_BUCKETS = tuple(tenth / 10 for tenth in range(1, 11))
MAX_CLASSES_COUNTED = 1000
UNKNOWN_MODEL = "unknown"

# What a gauge reports at scrape time: (metric, label values, value).
GaugeSample = tuple[str, tuple[str, ...], float]
ReadGauges = Callable[[], Iterable[GaugeSample]]

GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "quickeye_queue_images": ("Images waiting in the queue.", ("model",)),
    "quickeye_inflight_images": ("Images being decoded or run.", ("model",)),
    "quickeye_model_info": (
        "One for every model served.",
        ("model", "version", "backend", "device", "precision", "parent", "check"),
    ),
    "quickeye_model_ready": ("1 when the model answers.", ("model", "version")),
    "quickeye_model_load_seconds": ("Time to read, check and warm the model.", ("model", "version")),
    "quickeye_model_last_load_successful": ("0 when the last try to load a version of the model failed.", ("model",)),
    "quickeye_largest_batch": ("Most images that run together; it falls when a GPU's memory runs out.", ("model",)),
    "quickeye_predicted_batch_seconds": ("Learned time of one batch, by its size.", ("model", "batch")),
    "quickeye_stream_sessions": ("Streams open now.", ("model",)),
    "quickeye_gpu_busy_ratio": ("Share of the last moment in which something ran on the GPU.", ("gpu",)),
    "quickeye_gpu_memory_used_bytes": ("Memory of the GPU in use, whoever uses it.", ("gpu",)),
    "quickeye_gpu_memory_total_bytes": ("Memory that the GPU has.", ("gpu",)),
    "quickeye_gpu_power_watts": ("What the GPU draws.", ("gpu",)),
    "quickeye_gpu_temperature_celsius": ("How warm the GPU is.", ("gpu",)),
    "quickeye_gpu_jpeg_decoder_busy_ratio": ("Share of the last moment in which the GPU's JPEG engine ran.", ("gpu",)),
    "quickeye_gpu_video_decoder_busy_ratio": ("Share of the last moment in which its video decoder ran.", ("gpu",)),
}

# As gauges: read at each scrape, from whoever adds them up.
COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "quickeye_device_seconds": ("Seconds of the device's own clock, by what it did for batches.", ("model", "stage")),
    "quickeye_decoded_images": ("Images decoded, by where: cpu, gpu.", ("model", "where")),
}


class _Gauges(Collector):
    def __init__(self, read: ReadGauges) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {
            name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in GAUGES.items()
        }
        for name, (text, labels) in COUNTERS.items():
            families[name] = CounterMetricFamily(name, text, labels=labels)
        for name, labels, value in self._read():
            families[name].add_metric(list(labels), value)
        return families.values()


class Metrics:
    """All metrics of one server. ``read_gauges`` is called at each scrape."""

    def __init__(self, read_gauges: ReadGauges) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter, which nobody reads
        self.registry = CollectorRegistry()
        self.lock = threading.Lock()  # of all histograms
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.registry.register(_Gauges(read_gauges))
        self.requests = self._counter(
            "quickeye_requests", "Requests answered, by HTTP status or gRPC status name.", "model", "protocol", "code"
        )
        self.images = self._counter(
            "quickeye_images", "Images answered: ok, or the error code.", "model", "protocol", "outcome"
        )
        self.request_duration = self._histogram(
            "quickeye_request_duration_seconds", "From the request's headers to its answer.", "model", "protocol"
        )
        # Looking a child up costs more than counting with it; their label values are few.
        self.requests_of = cache(self.requests.labels)
        self.images_of = cache(self.images.labels)
        self.duration_of = cache(self.request_duration.labels)
        self.stage_duration = self._histogram(
            "quickeye_stage_duration_seconds", "Time of one image in each stage.", "model", "stage"
        )
        self.batch_size = self._histogram("quickeye_batch_size", "Images run together.", "model", buckets=BATCH_BUCKETS)
        self.rejected = self._counter(
            "quickeye_rejected", "Images or requests refused before they were run.", "model", "reason"
        )
        self.decode_failures = self._counter(
            "quickeye_decode_failures", "Images that could not be read.", "format", "reason"
        )
        self.top_score = self._histogram(
            "quickeye_top_score", "Score of the best class; drift shows here.", "model", buckets=SCORE_BUCKETS
        )
        self.predictions = self._counter(
            "quickeye_predictions", "Answers by their best class (off above 1,000 classes).", "model", "class"
        )
        self.stream_frames = self._counter(
            "quickeye_stream_frames", "Frames of streams, by what became of them.", "model", "outcome"
        )
        self.stream_frames_of = cache(self.stream_frames.labels)
        self.stream_frame_age = self._histogram(
            "quickeye_stream_frame_age_seconds", "From a frame's arrival to its result leaving.", "model"
        )
        self.event_loop_lag = self._histogram(
            "quickeye_event_loop_lag_seconds", "How much later than asked the event loop woke up."
        ).labels()
        self.trace_spans = self._counter(
            "quickeye_trace_spans", "Spans of sampled traces, by what became of them.", "outcome"
        )

    def header_refused(self, code: str) -> None:
        """Count a picture that was refused for its header, if that could not be read."""
        if code in ("undecodable_image", "unsupported_format"):
            self.decode_failures.labels("unknown", code).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = LATENCY_BUCKETS_S
    ) -> Histogram:
        histogram = Histogram(name, text, labels, buckets, self.lock)
        self.registry.register(histogram)
        return histogram


class ModelMetrics:
    """One model's children, looked up once; written from its instances' threads."""

    def __init__(self, metrics: Metrics, model: str, classes: int) -> None:
        self._lock = metrics.lock
        self._stages = [metrics.stage_duration.labels(model, stage) for stage in STAGES]
        self._batch_size = metrics.batch_size.labels(model)
        self._top_score = metrics.top_score.labels(model)
        self._decode_failures = metrics.decode_failures
        self._model = model
        self._predictions = metrics.predictions if classes <= MAX_CLASSES_COUNTED else None
        self._by_class: dict[int, Counter] = {}

    def batch(self, jobs: list[Job]) -> None:
        """Count one finished batch."""
        answers = [job.result for job in jobs if isinstance(job.result, Answer)]
        run = sum([not answer.reused for answer in answers])
        with self._lock:
            for answer in answers:
                self._add(answer)
            if run:
                self._batch_size.add(run)
        for answer in answers:
            self._count_class(answer.best.index)
        if len(answers) < len(jobs):
            self._count_failures(jobs)

    def exemplify(self, traced: list[Job]) -> None:
        """Let the histograms point to these jobs' traces; they are among those that were counted last."""
        with self._lock:
            for job in traced:
                if job.trace is not None and isinstance(job.result, Answer):
                    self._point_to(job.result, job.trace.exemplar)

    def _point_to(self, answer: Answer, exemplar: dict[str, str]) -> None:
        for stage, distribution in zip(STAGES, self._stages, strict=True):
            distribution.exemplify(getattr(answer.times, stage), exemplar)
        self._top_score.exemplify(answer.best.score, exemplar)
        if not answer.reused:
            self._batch_size.exemplify(answer.batch_size, exemplar)

    def _add(self, answer: Answer) -> None:
        times = answer.times
        queue, decode, preprocess, infer, postprocess = self._stages
        queue.add(times.queue)
        decode.add(times.decode)
        preprocess.add(times.preprocess)
        infer.add(times.infer)
        postprocess.add(times.postprocess)
        self._top_score.add(answer.best.score)

    def _count_class(self, index: int) -> None:
        if self._predictions is not None:
            counter = self._by_class.get(index)
            if counter is None:
                counter = self._by_class[index] = self._predictions.labels(self._model, str(index))
            counter.inc()

    def _count_failures(self, jobs: list[Job]) -> None:
        for job in jobs:
            if isinstance(job.result, PictureError) and job.header is not None:
                self._decode_failures.labels(job.header.format, job.result.code).inc()


class StreamMetrics:
    """One stream's figures, under the model that answers it. ``abandoned``: the client left before the answer."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._frames_of = metrics.stream_frames_of
        self._images_of = metrics.images_of
        self._age = metrics.stream_frame_age.labels(model)
        self._model = model

    def result(self, age_s: float, exemplar: dict[str, str] | None = None) -> None:
        """A frame was answered, so long after it came."""
        self._frames_of(self._model, "result").inc()
        self._images_of(self._model, "ws", "ok").inc()
        self._age.observe(age_s, exemplar)

    def dropped(self, reason: str) -> None:
        """A frame was ``superseded``, ``stale``, or refused because the server is ``overloaded``."""
        self._frames_of(self._model, reason).inc()

    def failed(self, code: str) -> None:
        """A frame was answered with an error."""
        self._frames_of(self._model, "error").inc()
        self._images_of(self._model, "ws", code).inc()

    def abandoned(self, frames: int) -> None:
        """So many frames had no event yet when their stream ended."""
        if frames:
            self._frames_of(self._model, "abandoned").inc(frames)
