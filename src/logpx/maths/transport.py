"""Transport along learned one-parameter groups (floor 0): T(c) = expm(sum_m c_m Psi_m), and the coefficients between points.

The numerics of latent structure learned by transport operators (Culpepper & Olshausen 2009; Connor, Canal & Rozell 2021,
VAELLS). No eigenvectors anywhere: derivatives are those of torch.linalg.matrix_exp, right for defective operators too.
"""

import torch
from torch import Tensor


def transport(c: Tensor, psi: Tensor) -> Tensor:
    """T(c) = expm(sum_m c_m Psi_m): c (..., M), psi (M, D, D) -> (..., D, D)."""
    return torch.linalg.matrix_exp(torch.einsum("...m,mij->...ij", c, psi))


def transported(c: Tensor, psi: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """T(c) z (..., D) and its derivatives J by c, (..., D, M); c (..., M), z (..., D).

    expm([[A, B], [0, A]]) has T = expm(A) on its diagonal and the derivative of expm at A along B above it (Higham 2008,
    section 3.2): one exponential of twice the size for each of the M directions gives both.
    """
    D, A = psi.shape[-1], torch.einsum("...m,mij->...ij", c, psi)
    A = A.unsqueeze(-3).expand(*A.shape[:-2], len(psi), D, D)
    above = torch.cat([A, psi.expand_as(A)], -1)
    below = torch.cat([torch.zeros_like(A), A], -1)
    E = torch.linalg.matrix_exp(torch.cat([above, below], -2))
    moved = (E[..., 0, :D, :D] @ z.unsqueeze(-1)).squeeze(-1)
    return moved, torch.einsum("...mij,...j->...im", E[..., :D, D:], z)


def transport_cost(c: Tensor, psi: Tensor, start: Tensor, end: Tensor, zeta: float) -> Tensor:
    """1/2 |end - T(c) start|^2 + zeta |c|_1, (...), differentiable in all of them."""
    moved = (transport(c, psi) @ start.unsqueeze(-1)).squeeze(-1)
    return 0.5 * (end - moved).square().sum(-1) + zeta * c.abs().sum(-1)


@torch.no_grad()
def transport_coefficients(
    psi: Tensor, start: Tensor, end: Tensor, zeta: float, *, guesses: Tensor, iterations: int = 20
) -> Tensor:
    """c* = argmin_c 1/2 |end - T(c) start|^2 + zeta |c|_1, (..., M), reached from the best of 0 and the guesses (R, M).

    start and end (..., D). The cost has local minima (a rotation comes round): each row begins at the cheapest of the guesses,
    of which there may be many, since T of each is the same for all rows. Then a fixed number of proximal Gauss-Newton steps
    with Levenberg's damping, for all rows at once: residual and Jacobian from `transported`, the step by coordinate descent
    on its lasso, accepted row by row where the cost falls, and damped by how much of the expected fall came. c* has no
    gradient, and needs none where the cost itself is minimised: at c* it does not change with c (Danskin), so long as the
    same zeta is used.
    """
    lead = torch.broadcast_shapes(start.shape, end.shape)
    start = start.expand(lead)
    c = _best_guess(psi, start, end, zeta, guesses)
    mu = c.new_full((*c.shape[:-1], 1), 1e-3)
    moved, J = transported(c, psi, start)
    cost = _cost(c, moved, end, zeta)
    for _ in range(iterations):
        trial = _lasso_step(c, J, moved - end, mu, zeta)
        trial_moved, trial_J = transported(trial, psi, start)
        trial_cost = _cost(trial, trial_moved, end, zeta)
        better = trial_cost < cost  # False for infinite ones
        expected = cost - _cost(trial, moved + torch.einsum("...im,...m->...i", J, trial - c), end, zeta)
        mu = (mu * _damping(cost - trial_cost, expected).unsqueeze(-1)).clamp(1e-9, 1e9)
        c, moved = (torch.where(better.unsqueeze(-1), a, b) for a, b in ((trial, c), (trial_moved, moved)))
        J = torch.where(better[..., None, None], trial_J, J)
        cost = torch.where(better, trial_cost, cost)
    return c


def _best_guess(psi: Tensor, start: Tensor, end: Tensor, zeta: float, guesses: Tensor) -> Tensor:
    """The cheapest for each row, (..., M), of 0 and the guesses."""
    guesses = torch.cat([torch.zeros_like(guesses[:1]), guesses])
    moved = torch.einsum("rij,...j->...ri", transport(guesses, psi), start)
    return guesses[_cost(guesses, moved, end.unsqueeze(-2), zeta).argmin(-1)]


def _damping(fall: Tensor, expected: Tensor) -> Tensor:
    """The factor of the damping after a step: less where the cost fell as expected, more where by less than a quarter of it."""
    return torch.where(fall > 0.75 * expected, 0.2, torch.where(fall > 0.25 * expected, 1.0, 5.0)).to(fall)


def _cost(c: Tensor, moved: Tensor, end: Tensor, zeta: float) -> Tensor:
    """(...); infinite where the exponential overflowed."""
    cost = 0.5 * (end - moved).square().sum(-1) + zeta * c.abs().sum(-1)
    return cost.nan_to_num(nan=torch.inf)


def _lasso_step(c: Tensor, J: Tensor, r: Tensor, mu: Tensor, zeta: float, sweeps: int = 4) -> Tensor:
    """argmin_b 1/2 |r + J (b - c)|^2 + mu |b - c|^2/2 + zeta |b|_1 by coordinate descent; exact for one coefficient."""
    H = J.mT @ J + mu.unsqueeze(-1) * torch.eye(c.shape[-1], dtype=c.dtype, device=c.device)
    slope = (J.mT @ r.unsqueeze(-1)).squeeze(-1)  # of the smooth part, kept up as b moves
    b = list(c.unbind(-1))
    for _ in range(sweeps):
        for m in range(len(b)):
            h = H[..., m, m]
            target = b[m] - slope[..., m] / h
            new = target.sign() * (target.abs() - zeta / h).clamp_min(0)
            slope = slope + H[..., m] * (new - b[m]).unsqueeze(-1)
            b[m] = new
    return torch.stack(b, -1)
