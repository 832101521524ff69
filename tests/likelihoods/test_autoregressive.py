"""The autoregressive law: a probability of all images, scored and drawn alike, dependent on z, and honest about its mean."""

import math
from itertools import product

import pytest
import torch

from logpx import likelihoods, networks
from logpx.distributions import log_prob_by_element
from logpx.errors import UserError
from logpx.likelihoods import Autoregressive, Bernoulli, Categorical, DiscretisedLogistic, Gaussian, NegativeBinomial


def made(shape, law, features=0, see=None):
    return networks.MADE(shape, law.size, features=features, hidden=(8,), see=see)


def pixelcnn(shape, law, features=0, see=None, kernels=(3, 3)):
    return networks.GatedPixelCNN(shape, law.size, features=features, channels=6, kernels=kernels, see=see)


def built(make, law, shape, features=0, see=None):
    """With weights large enough for x_i to matter."""
    torch.manual_seed(1)
    likelihood = Autoregressive(make(shape, law, features, see), law).double()
    with torch.no_grad():
        for p in likelihood.net.parameters():
            p *= 2
    return likelihood


def every_x(levels, shape):
    return torch.tensor(list(product(range(levels), repeat=math.prod(shape)))).double().view(-1, *shape)


SHAPES = {"made": (made, (10,)), "made of a picture": (made, (2, 2, 2)), "pixelcnn": (pixelcnn, (1, 3, 3))}
SHAPES["pixelcnn in colour"] = (pixelcnn, (2, 2, 2))


@pytest.mark.parametrize("name", SHAPES)
def test_the_probabilities_of_all_images_add_to_one_whatever_z(name):
    make, shape = SHAPES[name]
    px = built(make, Bernoulli(shape), shape, 2)(torch.randn(2, 2, *shape).double())
    log_p = px.log_prob(every_x(2, shape).unsqueeze(1))
    assert log_p.shape == (2 ** math.prod(shape), 2)
    torch.testing.assert_close(log_p.logsumexp(0), torch.zeros(2).double(), rtol=0, atol=1e-12)
    assert (log_p[:, 0] - log_p[:, 1]).abs().max() > 0.01  # another z, another law


@pytest.mark.parametrize("make", [made, pixelcnn])
@pytest.mark.parametrize("law", [Categorical, DiscretisedLogistic])
def test_so_do_those_of_codes_and_of_levels(make, law):
    shape, see = (1, 2, 2), {Categorical: networks.OneHotFeatures, DiscretisedLogistic: networks.LevelFeatures}[law]
    px = built(make, law(shape, 3), shape, 0, see(shape, 3))(torch.zeros(0, *shape).double())
    torch.testing.assert_close(px.log_prob(every_x(3, shape)).logsumexp(0).item(), 0.0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SHAPES)
def test_samples_score_at_the_entropy(name):
    make, shape = SHAPES[name]
    px = built(make, Bernoulli(shape), shape)(torch.zeros(0, *shape).double())
    log_p = px.log_prob(every_x(2, shape))
    entropy, spread = -(log_p.exp() * log_p).sum().item(), (log_p.exp() * log_p.square()).sum().item()
    torch.manual_seed(0)
    found = px.log_prob(px.sample((4000,)))
    error = math.sqrt((spread - entropy**2) / 4000)
    assert abs(found.mean().item() + entropy) < 4 * error
    assert px.sample((4000,)).unique(dim=0).shape[0] > 2 ** math.prod(shape) / 10


def naive(likelihood, f):
    """One pass of the whole network for each element."""
    x = f.new_zeros(len(f), *likelihood.shape)
    for i in likelihood.net.order.tolist():
        x.flatten(1)[:, i] = likelihood.draw_one(likelihood.net(x, f).flatten(2)[:, :, i], i)
    return x


LAWS = {
    "bernoulli": (Bernoulli, None),
    "categorical": (lambda shape: Categorical(shape, 4), networks.OneHotFeatures),
    "logistic": (lambda shape: DiscretisedLogistic(shape, 4), networks.LevelFeatures),
    "negative binomial": (NegativeBinomial, lambda shape, _: networks.LevelFeatures(shape, None)),
}


@pytest.mark.parametrize("make", [made, pixelcnn])
@pytest.mark.parametrize("law", LAWS)
def test_cached_samples_are_the_naive_ones_bit_for_bit(make, law):
    shape, (kind, see) = (2, 3, 4), LAWS[law]
    likelihood = built(make, kind(shape), shape, 1, see and see(shape, 4))
    f = torch.randn(5, 1, *shape).double()
    torch.manual_seed(3)
    cached = likelihood(f).sample()
    torch.manual_seed(3)
    with torch.no_grad():
        assert torch.equal(cached, naive(likelihood, f))


def test_real_numbers_are_drawn_alike_to_the_last_digits():
    likelihood = built(made, Gaussian((5,), "pixel"), (5,), 1)
    f = torch.randn(4, 1, 5).double()
    torch.manual_seed(3)
    cached = likelihood(f).sample()
    torch.manual_seed(3)
    with torch.no_grad():
        torch.testing.assert_close(cached, naive(likelihood, f), rtol=1e-11, atol=1e-11)


def test_each_element_has_its_own_number_where_the_law_has_one():
    law = NegativeBinomial((3,))
    with torch.no_grad():
        law.log_r.copy_(torch.tensor([-3.0, 0.0, 9.0]))
    likelihood = built(made, law, (3,), 0, networks.LevelFeatures((3,), None))
    torch.manual_seed(0)
    h = torch.zeros(20_000, 1).double() + 2
    variance = torch.tensor([likelihood.draw_one(h, i).var().item() for i in range(3)])
    mu = math.exp(2)
    assert abs(variance[2].item() - (mu + mu**2 * math.exp(-9))) < 0.5  # nearly a Poisson's
    assert variance[0] > variance[1] > 2 * variance[2]


def test_batches_broadcast_and_elements_add_up():
    shape = (1, 2, 3)
    likelihood = built(pixelcnn, Bernoulli(shape), shape, 2)
    f, x = torch.randn(3, 4, 2, *shape).double(), torch.randint(2, (4, *shape)).double()
    px = likelihood(f)
    assert px.batch_shape == (3, 4)
    assert px.event_shape == shape
    one_by_one = torch.stack([torch.stack([likelihood(f[k, b]).log_prob(x[b]) for b in range(4)]) for k in range(3)])
    torch.testing.assert_close(px.log_prob(x), one_by_one, rtol=1e-12, atol=1e-12)
    each = px.log_conditionals(x)
    assert each.shape == (3, 4, *shape)
    torch.testing.assert_close(each.sum((-3, -2, -1)), one_by_one, rtol=1e-12, atol=1e-12)
    many = torch.randint(2, (5, 1, 4, *shape)).double()  # leading axes that do not repeat in turn
    torch.testing.assert_close(px.log_prob(many)[2], px.log_prob(many[2, 0]), rtol=1e-12, atol=1e-12)
    assert px.sample((2,)).shape == (2, 3, 4, *shape)
    torch.testing.assert_close(px.expand((2, 3, 4)).log_prob(x)[1], one_by_one, rtol=1e-12, atol=1e-12)


def test_it_has_no_mean_but_the_one_along_an_x():
    likelihood = built(made, Bernoulli((3,)), (3,))
    px, x = likelihood(torch.zeros(0, 3).double()), torch.tensor([1.0, 0.0, 1.0]).double()
    with pytest.raises(UserError, match="no mean in closed form"):
        _ = px.mean
    torch.testing.assert_close(px.given(x).mean, likelihood.net(x[None], torch.zeros(1, 0, 3).double())[0, 0].sigmoid())
    assert not likelihood.has_mean


def test_holes_and_values_of_no_probability_are_refused_in_a_sentence():
    likelihood = built(made, Bernoulli((3,)), (3,))
    with pytest.raises(UserError, match="not a product over data elements"):
        log_prob_by_element(likelihood(torch.zeros(0, 3).double()), torch.zeros(3).double())
    with pytest.raises(UserError, match="likelihood 'bernoulli'"):
        likelihoods.check_support(likelihood, torch.full((1, 3), 0.5))
    assert likelihoods.measure_of(likelihood) == "log-probability"
