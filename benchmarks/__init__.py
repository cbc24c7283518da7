"""Programs that measure what the project promises; run one with ``python -m benchmarks.NAME --help``."""
