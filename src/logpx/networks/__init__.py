"""Networks, modules from tensor to tensor (floor 2). None knows what its output parametrises."""

from logpx.networks.plain import MLP, Activation, ConvDecoder, ConvEncoder, Shape, flat, halved, layers

__all__ = ["MLP", "Activation", "ConvDecoder", "ConvEncoder", "Shape", "flat", "halved", "layers"]
