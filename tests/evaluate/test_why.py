"""Shares of the elements in -log p(x): against closed forms of a linear model, and the sum that they keep."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from logpx import exact, recipes
from logpx.data import Column, Spec
from logpx.errors import UserError
from logpx.evaluate import scores
from logpx.exact.ppca import PPCA
from logpx.model import VAE


def law() -> PPCA:
    generator = torch.Generator().manual_seed(3)
    W = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    return PPCA(W, torch.linspace(-2, 2, 5, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64))


def rows(n: int) -> Tensor:
    return 2 * torch.randn(n, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def closed_form(x: Tensor) -> tuple[Tensor, Tensor]:
    """(-E log p(x_j | z) (n, 5), KL(p(z|x) || p(z)) (n,)) of z | x ~ N(m, V): Tipping & Bishop 1999, section 3."""
    W, mu, s2 = law()[:3]
    M = W.T @ W + s2 * torch.eye(2, dtype=torch.float64)
    m, V = (x - mu) @ W @ torch.linalg.inv(M), s2 * torch.linalg.inv(M)
    spread = (W @ V @ W.T).diagonal()
    each = 0.5 * torch.log(2 * math.pi * s2) + ((x - mu - m @ W.T).square() + spread) / (2 * s2)
    kl = 0.5 * (V.trace() + m.square().sum(1) - 2 - torch.logdet(V))
    return each, kl


def test_the_closed_form_itself_adds_up() -> None:
    x, (W, mu, s2) = rows(20), law()[:3]
    each, kl = closed_form(x)
    truth = MultivariateNormal(mu, W @ W.T + s2 * torch.eye(5).double()).log_prob(x)
    torch.testing.assert_close(each.sum(1) + kl, -truth)


def test_shares_of_a_linear_model_are_the_closed_form() -> None:
    """By draws of the exact posterior, whose weights are all alike: within four standard errors, row by row and column by
    column."""
    x, k = rows(30), 4000
    found = scores(exact.ppca.as_vae(law(), (5,)).double(), x, samples=k, why=True)
    each, kl = closed_form(x)
    W, mu, s2 = law()[:3]
    M = torch.linalg.inv(W.T @ W + s2 * torch.eye(2, dtype=torch.float64))
    m, v = (x - mu) @ W @ M, (W @ (s2 * M) @ W.T).diagonal()
    far = x - mu - m @ W.T
    error = ((4 * far.square() * v + 2 * v**2) / (4 * s2**2) / k).sqrt()  # of (far + e)^2/2 s2, e ~ N(0, v)
    assert ((found.shares - each).abs() < 4.5 * error).all()
    torch.testing.assert_close(found.code, kl, rtol=0, atol=0.3)
    torch.testing.assert_close(found.shares.sum(1) + found.code, -found.log_px)


def table() -> tuple[VAE, Tensor]:
    """A model of a number, a count and a category, and rows of which some miss a value."""
    columns = (Column("a", "real"), Column("n", "integer"), Column("c", "categorical", 3))
    model = recipes.vae(Spec((3,), "mixed", columns=columns), latent=2, hidden=(8,), seed=0).model
    x = torch.tensor([[0.5, 2.0, 1.0], [math.nan, 3.0, 0.0], [0.1, 0.0, 2.0], [90.0, 0.0, 2.0]])
    return model, x


def test_columns_of_all_kinds_have_shares_and_gaps_have_none() -> None:
    model, x = table()
    found = scores(model, x, samples=50, why=True)
    assert found.shares.isnan().tolist() == x.isnan().tolist()
    torch.testing.assert_close(found.shares.nansum(1) + found.code, -found.log_px)
    assert found.shares[3].argmax() == 0  # 90 among numbers of order one


def test_log_px_is_as_without_and_pieces_are_as_the_whole() -> None:
    model, x = table()
    x = x.repeat(80, 1)
    whole = scores(model, x, samples=20, why=True)
    assert torch.equal(scores(model, x, samples=20).log_px, whole.log_px)
    part = scores(model, x[128:], samples=20, why=True, first=128)
    assert torch.equal(part.shares.nan_to_num(), whole.shares[128:].nan_to_num())


def test_what_has_no_shares_is_a_sentence() -> None:
    with pytest.raises(UserError, match="no code given which the columns are independent"):
        scores(recipes.made(Spec((6,), "binary")).model, torch.zeros(3, 6), why=True)
