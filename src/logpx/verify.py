"""Checks that anyone can run on their own machine (floor 8): closed forms and laws, each a number and what it should be.

A check returns (value, expected, tolerance). They go through the same functions that training and evaluation use, so
a broken installation, a changed library or a damaged file shows here before it shows in a table.
"""

import gzip
import hashlib
import math
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from logpx import data, exact, likelihoods, objectives, posteriors, priors, recipes
from logpx.distributions import ContinuousBernoulli
from logpx.evaluate import evidence
from logpx.model import VAE, Batch
from logpx.train import fit

Measured = tuple[float, float, float]  # value, expected, tolerance


class Result(NamedTuple):
    """One check as it came out."""

    name: str
    claim: str
    value: float
    expected: float
    tolerance: float
    seconds: float

    @property
    def passed(self) -> bool:
        return abs(self.value - self.expected) <= self.tolerance

    def line(self) -> str:
        mark = "ok  " if self.passed else "FAIL"
        numbers = f"{self.value:.10g}, expected {self.expected:.10g} +- {self.tolerance:.1g}"
        return f"{mark}  {self.claim}: {numbers}  ({self.seconds:.1f} s)"


CHECKS: dict[str, Callable[[], Measured]] = {}


def _check(function: Callable[[], Measured]) -> Callable[[], Measured]:
    CHECKS[function.__name__] = function
    return function


def check(name: str) -> Result:
    """Runs one check of CHECKS with a random state of its own."""
    function, start = CHECKS[name], time.perf_counter()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        value, expected, tolerance = function()
    claim = (function.__doc__ or name).strip().rstrip(".")
    return Result(name, claim, value, expected, tolerance, time.perf_counter() - start)


@_check
def full_covariance_kl() -> Measured:
    """KL(N((1,2), [[1,.5],[.5,2]]) || N(0, I))."""
    q = MultivariateNormal(torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.0, 0.5], [0.5, 2.0]]).double())
    zero = torch.zeros(2, dtype=torch.float64)
    return kl_divergence(q, Independent(Normal(zero, zero + 1), 1)).item(), 2.7201921060322887, 1e-12


@_check
def continuous_bernoulli_mass() -> Measured:
    """Mass of the continuous Bernoulli over [0, 1] at logit 40, by quadrature."""
    x = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    density = ContinuousBernoulli(torch.tensor(40.0).double()).log_prob(x).exp()
    return torch.trapezoid(density, x).item(), 1.0, 1e-6


@_check
def exact_posterior() -> Measured:
    """Largest difference between the one-sample ELBO at pPCA's exact posterior and the evidence."""
    x = torch.randn(200, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64)
    model = exact.ppca.as_vae(exact.ppca.closed_form(x, 2), (6,))
    draw = model.draw(Batch(x))
    elbo = draw.log_px() - draw.kl(sampled=True)
    return (elbo[0] - evidence(model, x).per_point).abs().max().item(), 0.0, 1e-9


@_check
def linear_vae_optimum() -> Measured:
    """Analytic ELBO at the linear VAE's optimum against pPCA's maximum."""
    x = torch.randn(500, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64)
    best = exact.linear_vae.global_optimum(x, 2).elbo(x).mean().item()
    return best, exact.ppca.closed_form(x, 2).log_evidence(x).mean().item(), 1e-9


@_check
def collapse_is_a_saddle() -> Measured:
    """Upward curvature at total collapse for eigenvalue 2 and sigma 1."""
    return (
        torch.linalg.eigvalsh(exact.linear_vae.collapse_hessian(2.0, 1.0)).max().item(),
        0.56155281281,
        1e-9,
    )


@_check
def mean_field_kl() -> Measured:
    """KL(q || p) of coordinate ascent on a Gaussian against 1/2 (sum log Lambda_jj - log |Lambda|)."""
    A = torch.randn(5, 8, dtype=torch.float64)
    target = exact.mean_field.GaussianTarget(torch.randn(5, dtype=torch.float64), A @ A.T)
    q, _ = list(exact.mean_field.gaussian(target))[-1]
    p = MultivariateNormal(target.mean, precision_matrix=target.precision)
    return kl_divergence(MultivariateNormal(q.mean, q.variance.diag()), p).item(), target.kl_at_optimum().item(), 1e-9


@_check
def one_component_is_exact() -> Measured:
    """ELBO of a Bayesian mixture of one component against log p(X), a chain of predictive densities."""
    x = torch.randn(20, 2, dtype=torch.float64)
    prior = exact.gaussian_mixture.prior_of(x, 1)
    belief, chain, once = prior.components(1), 0.0, torch.ones(1, 1, dtype=torch.float64)
    for row in x.split(1):
        chain += belief.log_predictive(row).item()
        belief = belief.given(row, once)
    return list(exact.gaussian_mixture.fit(x, 1, prior))[-1][1], chain, 1e-8


@_check
def factor_analysis_of_three_columns() -> Measured:
    """Evidence of one factor on three columns, whose covariance it fits exactly, against -1/2 (log |2 pi S| + 3)."""
    e = torch.randn(2000, 3, dtype=torch.float64)
    x = e + torch.randn(2000, 1, dtype=torch.float64)
    S = torch.cov(x.T, correction=0)
    *_, (_, found) = exact.factor_analysis.em(x, 1, tolerance=1e-13)
    return found, -0.5 * (torch.logdet(2 * math.pi * S).item() + 3), 1e-9


def toy() -> VAE:
    """z ~ N(0, 1), x|z ~ N(z, 1), q = N(0, 1): at x = 1, log p(x) = -1.51551 and L_1 = -1.91894."""

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.log_variance = nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.zeros(len(x), dtype=x.dtype), self.log_variance.expand(len(x))], -1)

    decoder = nn.Unflatten(-1, (1, 1))
    likelihood = likelihoods.Gaussian((1,), 1.0)
    parts = {"posterior": posteriors.DiagNormal(1), "prior": priors.StandardNormal(1)}
    return VAE(encoder=Constant(), decoder=decoder, likelihood=likelihood, **parts).double()


def _toy_bound(k: int) -> float:
    """L_k of the toy without sampling: E log S = int (e^-t - M(t)^k) dt/t, S = sum w_i, M(t) = E e^{-t w}.

    To 1e-9 for k >= 5; the tail beyond t = e^8, where M is below 3e-3, is left out.
    """
    z = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    mass = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    w = torch.exp(-0.5 * (1 - z) ** 2) / math.sqrt(2 * math.pi)
    u = torch.linspace(-30, 8, 8001, dtype=torch.float64)  # t = e^u
    t = u.exp()
    M = (torch.exp(-t[:, None] * w) * mass).sum(1)
    return torch.trapezoid(torch.exp(-t) - M**k, u).item() - math.log(k)


@_check
def importance_weighted_bound() -> Measured:
    """L_5 of a Gaussian toy, 20,000 estimates, against its integral; tolerance 4 standard errors."""
    found = evidence(toy(), torch.ones(20_000, 1, dtype=torch.float64), samples=5)
    return found.mean, _toy_bound(5), 4 * found.standard_error


@_check
def doubly_reparameterised_gradient() -> Measured:
    """Mean gradient by the encoder, doubly reparameterised less plain, in standard errors of the difference."""
    found = torch.stack([_encoder_gradient("dreg") - _encoder_gradient("plain") for _ in range(400)])
    return (found.mean(0) / (found.std(0) / math.sqrt(len(found)))).abs().max().item(), 0.0, 4.0


def _encoder_gradient(gradient: objectives.Gradient) -> Tensor:
    torch.manual_seed(int(torch.randint(2**31, ()).item()))
    model = exact.linear_vae.build((2,), 1, 1.0).double()
    model.load_state_dict(
        {name: torch.linspace(-0.7, 0.8, t.numel()).reshape(t.shape) for name, t in model.state_dict().items()}
    )
    x = torch.tensor([[1.0, -0.5]], dtype=torch.float64).expand(256, 2)
    objectives.IWAE(4, gradient)(model, Batch(x)).loss.backward()
    return torch.cat([p.grad.flatten() for p in model.encoder.parameters() if p.grad is not None])


@_check
def rows_are_independent() -> Measured:
    """Largest change of a row's evidence when the other rows and the memory change."""
    model = recipes.vae(data.Spec((8,), "binary"), latent=3, hidden=(16,)).model
    x = torch.rand(300, 8).round()
    alone = evidence(model, x[:7], samples=70, memory=2**10).per_point
    return (evidence(model, x, samples=70).per_point[:7] - alone).abs().max().item(), 0.0, 1e-5


@_check
def resumed_run() -> Measured:
    """Largest difference between weights after 4 epochs and after 2 epochs, a stop and 2 more."""
    x = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        whole = fit(recipes.vae(x, latent=2, hidden=(8,)), x, epochs=4, show=False, device="cpu")
        fit(recipes.vae(x, latent=2, hidden=(8,)), x, epochs=2, show=False, device="cpu", out=f"{folder}/run")
        fit(
            recipes.vae(x, latent=2, hidden=(8,)),
            x,
            epochs=4,
            show=False,
            device="cpu",
            out=f"{folder}/run",
            resume=True,
        )
        again = recipes.load_run(f"{folder}/run")
    pairs = zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs), 0.0, 0.0


@_check
def mnist_is_whole() -> Measured:
    """Files of the shipped MNIST, unpacked, that have their published MD5 sum."""
    folder = resources.files("logpx.data") / "mnist"
    sums = {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }
    whole = [hashlib.md5(gzip.decompress((folder / f"{n}.gz").read_bytes())).hexdigest() == s for n, s in sums.items()]
    return sum(whole), 4, 0


@_check
def trained_vae_reaches_the_oracle() -> Measured:
    """Evidence of a trained linear VAE against pPCA's maximum on the same rows, in nats."""
    rows = data.load("linear-gaussian")
    method = recipes.linear_vae(rows, latent=3)
    run = fit(method, rows, epochs=30, learning_rate=0.01, show=False, device="cpu")
    best = exact.ppca.closed_form(rows.train.x(), 3)
    found = evidence(run.model, rows.train).mean
    return found, best.log_evidence(rows.train.x()).mean().item(), 0.02
