"""Models for other programs (floor 7): encoder, decoder and scorer as ONNX or as programs of torch.export.

Importing this package imports nothing of the exporters: each is imported when it is first used.
"""

from logpx.export.onnx import onnx_bytes
from logpx.export.parts import Decoder

__all__ = ["Decoder", "onnx_bytes"]
