"""The computed graph of an acoustic model as a file that other programs run."""

from kaldi_bridge.export.onnx_file import OnnxDescription, export_onnx

__all__ = ["OnnxDescription", "export_onnx"]
