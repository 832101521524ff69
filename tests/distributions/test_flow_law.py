"""The law of a flow by itself, on an affine flow whose law is a normal one: what it keeps of a draw, and its moments."""

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from logpx.distributions import Flow
from logpx.distributions.flow import _normal_nodes

A = torch.tensor([[1.5, 0.0], [0.7, 0.4]], dtype=torch.float64)
SHIFT = torch.tensor([0.3, -1.0], dtype=torch.float64)


class Affine:
    """z = a A u + c, counting how often z is taken back to u."""

    def __init__(self):
        self.a = torch.tensor(1.2, dtype=torch.float64, requires_grad=True)
        self.calls = 0

    def go(self, u):
        log_det = (self.a**2 * A.det()).log().expand(u.shape[:-1])
        return self.a * u @ A.T + SHIFT, log_det

    def back(self, z):
        self.calls += 1
        return torch.linalg.solve(self.a * A, (z - SHIFT).unsqueeze(-1)).squeeze(-1)

    def law(self):
        zeros = torch.zeros(3, 2, dtype=torch.float64)
        return Flow(Independent(Normal(zeros, zeros + 1), 1), self.go, self.back, "draws")

    def exact(self):
        return MultivariateNormal(SHIFT, scale_tril=self.a * A)


def test_a_draw_without_gradients_has_a_density_with_one():
    flow = Affine()
    q = flow.law()
    z = q.sample((5,))
    ours, exact = q.log_prob(z), flow.exact().log_prob(z)
    torch.testing.assert_close(ours, exact, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(value.sum(), flow.a)[0] for value in (ours, exact)]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-12)


def test_without_gradients_the_density_of_the_own_draw_costs_no_way_back():
    flow = Affine()
    q = flow.law()
    with torch.no_grad():
        q.log_prob(q.sample((5,)))
        q.log_prob(q.rsample((5,)))
    z = q.rsample((5,))
    q.log_prob(z)
    assert flow.calls == 0


def test_the_density_kept_with_a_draw_has_the_total_derivative_at_its_noise():
    """log q(z(u, a)) = log b(u) - log a^2 |A|: its derivative by a is -2/a, whatever z is; the partial one is another."""
    flow = Affine()
    q = flow.law()
    z = q.rsample((5,))
    (total,) = torch.autograd.grad(q.log_prob(z).mean(), flow.a, retain_graph=True)
    assert total.item() == pytest.approx(-2 / 1.2, rel=1e-12)
    assert torch.autograd.grad(q.log_prob(z).mean(), z, allow_unused=True, retain_graph=True)[0] is None
    by_z, by_a = torch.autograd.grad(q.log_prob(at := z.detach().requires_grad_()).mean(), [at, flow.a])
    through = torch.autograd.grad(z, flow.a, by_z)[0]
    assert (by_a + through).item() == pytest.approx(total.item(), rel=1e-10)


def test_the_covariance_is_the_normals():
    covariance = Affine().law().covariance_matrix
    assert covariance.shape == (3, 2, 2)
    nodes = _normal_nodes(2)  # the images of the quadrature's own points, whose covariance is I within 3 in 100
    torch.testing.assert_close(covariance[1], 1.44 * A @ (nodes.T @ nodes / len(nodes)) @ A.T, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(covariance[1], 1.44 * A @ A.T, rtol=0.03, atol=0)
    torch.testing.assert_close(covariance.diagonal(dim1=1, dim2=2), Affine().law().variance, rtol=1e-12, atol=0)
