"""Transport operators: rotations in closed form, the derivative of the exponential, the coefficients between two points."""

import math

import pytest
import torch
from scipy.linalg import expm, expm_frechet

from logpx.maths.transport import transport, transport_coefficients, transport_cost, transported

ROTATION = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]], dtype=torch.float64)


def operators(M, D, seed=0, scale=0.5):
    return scale * torch.randn(M, D, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def polar(r, angle):
    return torch.tensor([r * math.cos(angle), r * math.sin(angle)], dtype=torch.float64)


def test_a_quarter_turn_takes_e1_to_e2():
    T = transport(torch.tensor([math.pi / 2], dtype=torch.float64), ROTATION)
    torch.testing.assert_close(T @ polar(1, 0), polar(1, math.pi / 2), rtol=0, atol=1e-14)


def test_skew_operators_keep_lengths():
    psi = operators(3, 5)
    psi = psi - psi.mT
    z, c = torch.randn(7, 5).double(), 2 * torch.randn(7, 3).double()
    moved, _ = transported(c, psi, z)
    torch.testing.assert_close(moved.norm(dim=-1), z.norm(dim=-1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("defective", [False, True])
def test_value_and_derivative_are_scipys(defective):
    """[[1, 1], [0, 1]] has one eigenvector only, where a formula by eigenvalues divides by zero."""
    psi = torch.tensor([[[1.0, 1.0], [0.0, 1.0]], [[0.0, 0.5], [0.0, 0.0]]]).double() if defective else operators(2, 4)
    c, z = torch.tensor([0.7, -1.1]).double(), torch.randn(psi.shape[-1]).double()
    moved, J = transported(c, psi, z)
    A = (c[:, None, None] * psi).sum(0).numpy()
    torch.testing.assert_close(moved, torch.from_numpy(expm(A) @ z.numpy()), rtol=1e-12, atol=1e-12)
    for m in range(2):
        derivative = expm_frechet(A, psi[m].numpy(), compute_expm=False) @ z.numpy()
        torch.testing.assert_close(J[:, m], torch.from_numpy(derivative), rtol=1e-11, atol=1e-12)


def test_the_gradient_by_the_operator_is_that_of_the_eigenvalues():
    """A = V diag(l) V^-1: d expm(A)[E] = V (F . (V^-1 E V)) V^-1, F_ij = (e^li - e^lj)/(li - lj), F_ii = e^li."""
    A = operators(1, 4)[0].requires_grad_()
    weight = torch.randn(4, 4).double()
    (torch.linalg.matrix_exp(A) * weight).sum().backward()
    lam, V = torch.linalg.eig(A.detach())
    apart = lam[:, None] - lam[None]
    F = torch.where(
        torch.eye(4).bool(),
        lam.exp().diag(),
        (lam.exp()[:, None] - lam.exp()[None]) / torch.where(apart == 0, 1, apart),
    )
    E, W = torch.eye(16).double().view(16, 4, 4), torch.linalg.inv(V)
    along = (V @ (F * (W @ E.to(V) @ V)) @ W).real
    torch.testing.assert_close(A.grad, (along * weight).sum((1, 2)).view(4, 4), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("zeta", [1e-6, 0.1, 0.5])
@pytest.mark.parametrize("angle", [0.4, 1.5, -2.2])
def test_the_angle_between_two_points_less_what_the_penalty_takes(zeta, angle):
    """-r0 r1 cos(th - c) + zeta |c| is smallest at c = sign(th) max(|th| - arcsin(zeta/(r0 r1)), 0)."""
    r0, r1 = 1.3, 0.9
    guesses = torch.tensor([[-1.0], [1.0]]).double()
    c = transport_coefficients(ROTATION, polar(r0, 0.3), polar(r1, 0.3 + angle), zeta, guesses=guesses, iterations=60)
    right = math.copysign(max(abs(angle) - math.asin(zeta / (r0 * r1)), 0), angle)
    assert c.item() == pytest.approx(right, abs=1e-7)  # a cost in float64 tells c to the root of its rounding, 2e-8


def test_a_penalty_beyond_the_pull_leaves_exactly_zero():
    c = transport_coefficients(ROTATION, polar(1, 0), polar(1, 0.3), 0.3, guesses=torch.tensor([[0.5]]).double())
    assert c.item() == 0


def test_rows_and_guesses_go_together_and_the_best_is_kept():
    """An angle beyond pi is reached from the other side; rows do not know of each other."""
    angles = torch.tensor([0.2, 2.9, -2.9, 1.0]).double()
    start = polar(1, 0).expand(4, 2)
    end = torch.stack([angles.cos(), angles.sin()], -1)
    guesses = torch.tensor([[-2.0], [2.0]]).double()
    c = transport_coefficients(ROTATION, start, end, 1e-9, guesses=guesses)
    torch.testing.assert_close(c[:, 0], angles, rtol=0, atol=1e-7)
    alone = transport_coefficients(ROTATION, start[1], end[1], 1e-9, guesses=guesses)
    torch.testing.assert_close(alone, c[1], rtol=0, atol=1e-12)


def test_the_point_found_is_stationary_and_the_penalty_makes_it_sparse():
    """Optimality of the lasso: |J^T r|_m <= zeta where c_m = 0, and -J^T r = zeta sign(c) elsewhere."""
    psi, zeta = operators(4, 3, scale=0.3), 0.05
    start, true = torch.randn(20, 3).double(), torch.zeros(20, 4).double()
    true[:, 0] = torch.randn(20)
    end, _ = transported(true, psi, start)
    guesses = 0.5 * torch.randn(4, 4).double()
    c = transport_coefficients(psi, start, end, zeta, guesses=guesses, iterations=120)
    moved, J = transported(c, psi, start)
    slope = torch.einsum("bim,bi->bm", J, moved - end)
    off = c == 0
    assert (slope[off].abs() <= zeta + 1e-6).all()
    torch.testing.assert_close(slope[~off], -zeta * c[~off].sign(), rtol=0, atol=1e-5)
    assert off.double().mean() > 0.25


def test_at_the_coefficients_the_gradient_needs_none_through_them():
    """Danskin: d/dz min_c cost = the partial derivative at c*; against central differences of the minimum itself."""
    psi, zeta, h = ROTATION, 0.2, 1e-5
    start, end = polar(1.1, 0.2), polar(0.8, 1.4).requires_grad_()
    guesses = torch.tensor([[1.0]]).double()

    def least(end):
        c = transport_coefficients(psi, start, end.detach(), zeta, guesses=guesses, iterations=40)
        return transport_cost(c, psi, start, end, zeta)

    (mine,) = torch.autograd.grad(least(end), end)
    steps = [h * e for e in torch.eye(2).double()]
    numeric = torch.stack([(least(end.detach() + s) - least(end.detach() - s)) / (2 * h) for s in steps])
    torch.testing.assert_close(mine, numeric, rtol=1e-6, atol=1e-8)


def test_the_inference_is_one_graph():
    torch.compiler.reset()
    psi, start, end = operators(2, 3).float(), torch.randn(5, 3), torch.randn(5, 3)
    guesses = torch.randn(2, 2)

    def least(psi, start, end):
        c = transport_coefficients(psi, start, end, 0.1, guesses=guesses, iterations=1)
        return transport_cost(c, psi, start, end, 0.1)

    traced = torch.compile(least, fullgraph=True, backend="aot_eager")(psi, start, end)
    torch.testing.assert_close(traced, least(psi, start, end), rtol=1e-4, atol=1e-5)


def test_an_operator_that_grows_without_bound_leaves_the_numbers_finite():
    psi = torch.tensor([[[50.0, 0.0], [0.0, 50.0]]])
    guesses = torch.tensor([[5.0], [-5.0]])
    c = transport_coefficients(psi, torch.ones(2), torch.ones(2), 0.01, guesses=guesses)
    assert c.item() == 0


def test_random_operators_learn_that_points_on_circles_are_turned():
    """Pairs of points on one of two circles, the radius told by nothing: one operator is left, and it is a rotation.

    min over Psi of E min_c cost + eta/2 sum |Psi_m|^2: the penalty on c takes the longest operator alone, that on Psi empties
    the others. Its eigenvalues are a pair of imaginary numbers.
    """
    g = torch.Generator().manual_seed(0)
    psi = (0.3 * torch.randn(3, 2, 2, generator=g)).requires_grad_()
    adam = torch.optim.Adam([psi], lr=0.05)
    for _ in range(150):
        r = torch.where(torch.rand(24, 1, generator=g) < 0.5, 0.6, 1.2)
        a = 2 * math.pi * torch.rand(24, 1, generator=g)
        b = a + 1.6 * (torch.rand(24, 1, generator=g) - 0.5)
        start, end = (r * torch.cat([t.cos(), t.sin()], 1) for t in (a, b))
        guesses = 0.5 * torch.randn(1, 3, generator=g)
        c = transport_coefficients(psi.detach(), start, end, 0.05, guesses=guesses, iterations=6)
        adam.zero_grad()
        (transport_cost(c, psi, start, end, 0.05).mean() + 0.025 * psi.square().sum()).backward()
        adam.step()
    size, order = psi.detach().flatten(1).norm(dim=1).sort(descending=True)
    assert size[1] < 0.01 * size[0]
    turn = torch.linalg.eigvals(psi.detach()[order[0]])
    assert (turn.real.abs() < 0.05 * turn.imag.abs()).all()
