"""What the engines of one process have in common on a GPU: recordings take turns, and how want of memory is told."""

import threading

# A recording sees what other threads do on the device, and starting one waits for the device, which ends another.
RECORDING = threading.Lock()

# ONNX Runtime's arena's, CUDA's own name for it, cuDNN's and cuBLAS's; each in small letters.
_OUT_OF_MEMORY = (
    "failed to allocate memory", "cuda_error_out_of_memory", "out of memory", "cudaerrormemoryallocation",
    "status_alloc_failed",
)  # fmt: skip


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether a run failed for want of the device's memory; most libraries have no exception of their own for it."""
    text = str(error).lower()
    return any(words in text for words in _OUT_OF_MEMORY)
