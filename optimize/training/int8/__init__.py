"""Training in the arithmetic of INT8 kernels, so that ``quantize_int8`` afterwards costs less."""
