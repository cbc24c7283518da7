"""ONNX Runtime on a GPU: sessions whose inputs and outputs have their places for good."""
