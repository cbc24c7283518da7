"""GPUs, a part of the board of the machine."""

from deploy.grafana.dashboard import row, section
from deploy.grafana.panels import Panel, Query
from deploy.grafana.queries import of_process

NO_GPU = "No GPU, or none that a model runs on"
GPU_USED, GPU_TOTAL = of_process("quickeye_gpu_memory_used_bytes"), of_process("quickeye_gpu_memory_total_bytes")
GPU_BUSY = of_process("quickeye_gpu_busy_ratio")
JPEG_BUSY = of_process("quickeye_gpu_jpeg_decoder_busy_ratio")
VIDEO_BUSY = of_process("quickeye_gpu_video_decoder_busy_ratio")

GPU = section(
    "GPU",
    row(
        6,
        Panel(
            "GPU busy",
            "Share of the time in which something ran on it.",
            "percentunit",
            (Query(f"max by (instance, gpu) ({GPU_BUSY})", "{{instance}} GPU {{gpu}}"),),
            NO_GPU,
            maximum=1,
        ),
        Panel(
            "GPU memory",
            "In use by everybody on the machine, as a share of all it has.",
            "percentunit",
            (
                Query(
                    f"sum by (instance, gpu) ({GPU_USED}) / sum by (instance, gpu) ({GPU_TOTAL})",
                    "{{instance}} GPU {{gpu}}",
                ),
            ),
            NO_GPU,
            maximum=1,
        ),
        Panel(
            "GPU power",
            "What it draws.",
            "watt",
            (
                Query(
                    f"max by (instance, gpu) ({of_process('quickeye_gpu_power_watts')})",
                    "{{instance}} GPU {{gpu}}",
                ),
            ),
            NO_GPU,
        ),
        Panel(
            "GPU temperature",
            "A GPU that grows too hot slows itself down.",
            "celsius",
            (
                Query(
                    f"max by (instance, gpu) ({of_process('quickeye_gpu_temperature_celsius')})",
                    "{{instance}} GPU {{gpu}}",
                ),
            ),
            NO_GPU,
        ),
    ),
    row(
        6,
        Panel(
            "GPU decoders",
            "Share of the time in which its engine for JPEGs, and its decoder of video, ran.",
            "percentunit",
            (
                Query(f"max by (instance, gpu) ({JPEG_BUSY})", "{{instance}} GPU {{gpu}} JPEG"),
                Query(f"max by (instance, gpu) ({VIDEO_BUSY})", "{{instance}} GPU {{gpu}} video"),
            ),
            NO_GPU,
            maximum=1,
        ),
    ),
)
