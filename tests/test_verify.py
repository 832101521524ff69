"""`logpx verify`: each check passes here, and each would notice a wrong number."""

import math

import pytest
import torch

from logpx import verify
from logpx.verify import CHECKS, Result, check

SLOW = {"trained_vae_reaches_the_oracle"}  # tens of seconds on a busy machine; its parts are tested elsewhere


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - SLOW))
def test_every_check_passes(name: str) -> None:
    before = torch.get_rng_state()
    found = check(name)
    assert found.passed, found.line()
    assert torch.equal(torch.get_rng_state(), before)
    assert not found.claim.endswith(".")
    assert found.line().startswith(f"ok    {found.claim}: ")


def test_the_checks_are_frozen() -> None:
    assert len(CHECKS) == 14
    assert CHECKS.keys() > SLOW


@pytest.mark.parametrize(
    ("value", "passed"), [(1.0, True), (1.1, True), (1.11, False), (0.5, False), (math.nan, False), (math.inf, False)]
)
def test_the_tolerance(value: float, passed: bool) -> None:
    found = Result("a", "a claim", value, 1.0, 0.1000001, 0.0)
    assert found.passed is passed
    assert found.line().startswith("ok  " if passed else "FAIL")


def test_a_tolerance_that_is_no_number_passes_nothing() -> None:
    assert not Result("a", "a", 1.0, 1.0, math.nan, 0.0).passed


def test_a_broken_formula_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks measure the functions that training and evaluation use: bend one, and its check fails."""
    monkeypatch.setattr(
        "logpx.evaluate.importance.log_mean_exp", lambda a, dim=0: torch.logsumexp(a, dim)
    )  # log k forgotten
    assert not check("importance_weighted_bound").passed


def test_a_broken_divergence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "kl_divergence", lambda q, p: torch.distributions.kl_divergence(q, p) + 0.01)
    assert not check("full_covariance_kl").passed


def test_the_toy_is_what_its_docstring_says() -> None:
    """log N(1; 0, 2) = -1.51551 and E log N(1; z, 1) = -1.91894; two draws by quadrature over the plane."""
    assert -0.5 * math.log(4 * math.pi) - 0.25 == pytest.approx(-1.51551, abs=1e-5)
    assert -0.5 * math.log(2 * math.pi) - 1 == pytest.approx(-1.91894, abs=1e-5)
    z = torch.linspace(-9, 9, 901, dtype=torch.float64)
    mass = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi) * 0.02
    log_w = -0.5 * (1 - z) ** 2 - 0.5 * math.log(2 * math.pi)
    two = (mass * mass[:, None] * torch.logaddexp(log_w, log_w[:, None])).sum().item() - math.log(2)
    assert verify._toy_bound(2) == pytest.approx(two, abs=1e-4)
    assert -1.91894 < two < verify._toy_bound(5) < verify._toy_bound(50) < -1.51551
