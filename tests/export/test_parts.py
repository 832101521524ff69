"""The modules that are exported."""

import pytest
import torch

from logpx.data import from_array
from logpx.errors import UserError
from logpx.export import Decoder
from logpx.recipes import RECIPES

x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)).numpy()


def test_a_decoder_is_a_copy_in_float32_at_rest():
    model = RECIPES["vae"].build(from_array(x), latent=2, hidden=(8,)).model.double().train()
    decoder, z = Decoder(model), torch.randn(3, 2)
    assert decoder(z).dtype == torch.float32
    assert not any(part.training for part in decoder.modules())
    assert model.decoder.training
    assert next(model.parameters()).dtype == torch.float64
    torch.testing.assert_close(decoder(z), model.decode(z.double()).mean.float(), rtol=1e-6, atol=1e-6)


def test_a_model_without_a_mean_has_no_decoder():
    model = RECIPES["made"].build(from_array(x), hidden=(8,)).model
    with pytest.raises(UserError, match="no decoder to export"):
        Decoder(model)
