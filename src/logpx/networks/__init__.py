"""Networks, modules from tensor to tensor (floor 2). None knows what its output parametrises."""

from logpx.networks.code_grid import CausalTransformer, GridDecoder, GridEncoder, Summed
from logpx.networks.codes import Coded, Dictionary, TopK
from logpx.networks.curved import Ambient, Curvature, Curvatures, Geodesic
from logpx.networks.masked import MADE, GatedPixelCNN, MaskedLinear, picture
from logpx.networks.noise import Corrupted, GaussianNoise, Masking, SaltAndPepper
from logpx.networks.own import Own, Sizes, calm, named
from logpx.networks.plain import MLP, Activation, ConvDecoder, ConvEncoder, Nothing, Shape, flat, halved, layers
from logpx.networks.sequence import (
    AtEveryPlace,
    LSTMDecoder,
    LSTMEncoder,
    TransformerDecoder,
    TransformerEncoder,
)
from logpx.networks.table import (
    LevelFeatures,
    OneHotFeatures,
    Seeing,
    Spread,
    Standard,
    Standardised,
    TableFeatures,
    behind_features,
)
from logpx.networks.transport import Operators

__all__ = [
    "MADE",
    "MLP",
    "Activation",
    "Ambient",
    "AtEveryPlace",
    "CausalTransformer",
    "Coded",
    "ConvDecoder",
    "ConvEncoder",
    "Corrupted",
    "Curvature",
    "Curvatures",
    "Dictionary",
    "GatedPixelCNN",
    "GaussianNoise",
    "Geodesic",
    "GridDecoder",
    "GridEncoder",
    "LSTMDecoder",
    "LSTMEncoder",
    "LevelFeatures",
    "MaskedLinear",
    "Masking",
    "Nothing",
    "OneHotFeatures",
    "Operators",
    "Own",
    "SaltAndPepper",
    "Seeing",
    "Shape",
    "Sizes",
    "Spread",
    "Standard",
    "Standardised",
    "Summed",
    "TableFeatures",
    "TopK",
    "TransformerDecoder",
    "TransformerEncoder",
    "behind_features",
    "calm",
    "flat",
    "halved",
    "layers",
    "named",
    "picture",
]
