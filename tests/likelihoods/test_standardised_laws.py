"""A standardised law is the law of x in its own units: the affine change of variables, and mass one."""

import pytest
import torch
from scipy.integrate import quad
from torch import nn

from logpx.likelihoods import Gaussian, Laplace, StudentT
from logpx.networks import Standard, Standardised

LAWS = [Gaussian, Laplace, StudentT]
STANDARD = Standard((1000.0, -2.0, 0.5), (30.0, 1e-3, 1.0))


@pytest.mark.parametrize("sigma", [0.7, "shared", "pixel"])
@pytest.mark.parametrize("law", LAWS)
def test_log_p_of_x_is_that_of_y_less_the_logarithm_of_the_scales(law, sigma):
    plain, own = law((3,), sigma).double(), law((3,), sigma, standard=STANDARD).double()
    mean, scale = (n.double() for n in STANDARD.tensors((3,)))
    h = torch.randn(5, plain.size, 3).double()
    y = torch.randn(5, 3).double()
    expected = plain(h).log_prob(y) - scale.log().sum()
    assert torch.allclose(own(h).log_prob(mean + scale * y), expected, rtol=1e-8)
    assert torch.allclose(own(h).mean, mean + scale * plain(h).mean)


@pytest.mark.parametrize("law", LAWS)
def test_its_mass_is_one_in_the_units_of_x(law):
    own = law((1,), 0.7, standard=Standard((50.0,), (4.0,))).double()
    p = own(torch.tensor([[0.3]]).double())
    middle = p.mean.item()
    sides = [(-float("inf"), middle), (middle, float("inf"))]
    mass = sum(
        quad(lambda x: p.log_prob(torch.tensor([x], dtype=torch.float64)).exp().item(), *side)[0] for side in sides
    )
    assert mass == pytest.approx(1, abs=1e-7)


def test_draws_are_in_the_units_of_x():
    own = Gaussian((3,), 0.5, standard=STANDARD)
    x = own(torch.zeros(4000, 1, 3)).sample()
    mean, scale = STANDARD.tensors((3,))
    assert torch.allclose((x.mean(0) - mean) / scale, torch.zeros(3), atol=0.05)
    assert torch.allclose(x.std(0) / (0.5 * scale), torch.ones(3), rtol=0.05)


def test_what_the_encoder_sees_has_mean_0_and_nothing_in_the_place_of_a_hole():
    x = torch.tensor([[1030.0, float("nan"), 0.5]])
    assert torch.equal(Standardised((3,), STANDARD)(x), torch.tensor([[1.0, 0.0, 0.0]]))
    assert not list(Standardised((3,), STANDARD).state_dict())
    assert isinstance(Standardised((3,), STANDARD), nn.Module)
