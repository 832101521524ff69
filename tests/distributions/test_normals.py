"""Normal laws of many elements, with one sigma and with many: against scipy, and the gradient of torch's own sum."""

import pytest
import scipy.stats
import torch
from torch.distributions import Independent, Normal

from logpx.distributions import Normals


@pytest.mark.parametrize("sigma", [torch.tensor(0.3), torch.tensor(2e3), torch.rand(2, 3) + 0.1])
def test_the_sum_is_that_of_scipy_and_its_gradient_that_of_torch(sigma: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    x, m = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((5, 2, 3), (4, 5, 2, 3)))
    found = []
    for law in (Normals, Independent):
        mean, scale = m.clone().requires_grad_(), sigma.double().requires_grad_()
        log_p = law(Normal(mean, scale, validate_args=False), 2, validate_args=False).log_prob(x)
        found.append([log_p.detach(), *torch.autograd.grad(log_p.sum(), (mean, scale))])
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-10)
    expected = scipy.stats.norm.logpdf(x.numpy(), m.numpy(), sigma.double().numpy()).sum((-1, -2))
    torch.testing.assert_close(found[0][0].numpy(), expected, rtol=1e-12, atol=1e-10)


def test_one_sigma_takes_one_logarithm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after `expand`, which leaves the one number seen in more places."""
    seen, log = [], torch.Tensor.log
    monkeypatch.setattr(torch.Tensor, "log", lambda t: seen.append(t.numel()) or log(t))
    law = Normals(Normal(torch.zeros(4, 7), torch.tensor(2.0)), 1)
    law.log_prob(torch.ones(4, 7))
    assert law.expand((3, 4)).log_prob(torch.ones(4, 7)).shape == (3, 4)
    assert seen == [1, 1]
