"""The synthetic sets' densities, judged by scipy: they integrate to one and belong to the rows."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import ive, logsumexp

from logpx.data import load
from logpx.data import synthetic as module

NAMES = list(module.MAKERS)


def pinwheel_by_scipy(x: np.ndarray) -> np.ndarray:
    r, angle = np.hypot(x[:, 0], x[:, 1]), np.arctan2(x[:, 1], x[:, 0])
    radial = stats.lognorm.logpdf(r, s=0.3, scale=2.0)
    arms = [stats.vonmises.logpdf(angle - 1.5 * np.log(r) - 2 * math.pi * k / 5, 40.0) for k in range(5)]
    return radial + logsumexp(arms, axis=0) - math.log(5) - np.log(r)


def sphere_by_scipy(x: np.ndarray) -> np.ndarray:
    """r / s is noncentral chi with 3 degrees of freedom; the direction is uniform."""
    r2 = (x**2).sum(1)
    return stats.ncx2.logpdf(r2 / 0.01, 3, 1 / 0.01) + np.log(2 * np.sqrt(r2) / 0.01) - np.log(4 * math.pi * r2)


def mixture_by_scipy(centres: np.ndarray, variance: float) -> Callable[[np.ndarray], np.ndarray]:
    def log_density(x: np.ndarray) -> np.ndarray:
        each = [stats.multivariate_normal.logpdf(x, c, variance) for c in centres]
        return logsumexp(each, axis=0) - math.log(len(centres))

    return log_density


def linear_by_scipy(x: np.ndarray) -> np.ndarray:
    w, mu = module.linear_parameters()
    return stats.multivariate_normal.logpdf(x, mu, w @ w.T + 0.25 * np.eye(10))


def rotated(d: int) -> np.ndarray:
    """A whole rotation whose first d columns are the embedding."""
    q = np.linalg.svd(module.embedding(d))[0]
    return np.concatenate([module.embedding(d), q[:, d:]], 1)


def sphere_10_by_scipy(x: np.ndarray) -> np.ndarray:
    y = x @ rotated(3)
    return sphere_by_scipy(y[:, :3]) + stats.norm.logpdf(y[:, 3:], scale=0.1).sum(1)


def plane_by_scipy(x: np.ndarray) -> np.ndarray:
    q = module.embedding(2)
    return stats.multivariate_normal.logpdf(x, np.zeros(10), q @ q.T + 0.01 * np.eye(10))


def circles_by_scipy(x: np.ndarray) -> np.ndarray:
    """(rho / s)^2 is noncentral chi square with 2 degrees of freedom around (r / s)^2; the direction is uniform."""
    y = x @ rotated(2)
    rho2 = (y[:, :2] ** 2).sum(1)
    each = [stats.ncx2.logpdf(rho2 / 0.01, 2, r**2 / 0.01) - math.log(0.01 * math.pi * 2) for r in (1.0, 2.0)]
    return logsumexp(each, axis=0) + stats.norm.logpdf(y[:, 2:], scale=0.1).sum(1)


def branching_by_scipy(x: np.ndarray) -> np.ndarray:
    """A mixture of normals whose scales the columns' own have divided."""
    nodes, scale = module.tree_nodes(0)[0], np.sqrt(module.tree_nodes(0)[0].var(0) + 0.2)
    centres = (nodes - nodes.mean(0)) / scale
    each = [stats.norm.logpdf(x, c, math.sqrt(0.2) / scale).sum(1) for c in centres]
    return logsumexp(each, axis=0) - math.log(127)


JUDGES = {
    "linear-gaussian": linear_by_scipy,
    "mixture": mixture_by_scipy(module.mixture_centres(), 0.04),
    "pinwheel": pinwheel_by_scipy,
    "sphere": sphere_by_scipy,
    "sphere-10": sphere_10_by_scipy,
    "plane": plane_by_scipy,
    "circles": circles_by_scipy,
    "tree": mixture_by_scipy(module.tree_nodes(0)[0], 0.2),
    "branching": branching_by_scipy,
}


@pytest.mark.parametrize("name", NAMES)
def test_log_density_is_scipys(name: str) -> None:
    data = load(name)
    x = data.test.x()[:300].double()
    wide = x + 0.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    for points in (x, wide):
        ours = data.log_density(points)
        assert ours.shape == (len(x),)
        assert ours.dtype == torch.float64
        np.testing.assert_allclose(ours.numpy(), JUDGES[name](points.numpy()), rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("name", ["mixture", "pinwheel"])
def test_density_integrates_to_one_in_the_plane(name: str) -> None:
    side = torch.linspace(-8, 8, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    total = load(name).log_density(grid).exp().sum() * (side[1] - side[0]) ** 2
    assert total.item() == pytest.approx(1, abs=1e-6)


def test_sphere_integrates_to_one_along_its_radius() -> None:
    r = torch.linspace(0, 3, 30_001, dtype=torch.float64)
    x = torch.stack([r, torch.zeros_like(r), torch.zeros_like(r)], dim=1)
    shell = load("sphere").log_density(x).exp() * 4 * math.pi * r**2
    assert torch.trapezoid(shell, r).item() == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("name", ["linear-gaussian", "tree"])
def test_density_integrates_to_one_by_importance_sampling(name: str) -> None:
    data = load(name, held_out=0, test=0)
    x = data.train.x().double()
    if name == "tree":  # one node's neighbourhood: 1/127 of the mass
        centre = torch.from_numpy(module.tree_nodes(0)[0][100])
        proposal = torch.distributions.Normal(centre, math.sqrt(0.22))
        expected = 1 / 127
    else:  # fitted to the rows' mean and covariance, so that the weights are close to 1
        proposal = torch.distributions.MultivariateNormal(x.mean(0), x.T.cov() * 1.1)
        expected = 1.0
    torch.manual_seed(0)
    draws = proposal.sample((20_000,))
    log_q = proposal.log_prob(draws)
    log_w = data.log_density(draws) - (log_q.sum(1) if log_q.ndim == 2 else log_q)
    w = log_w.exp() / expected
    assert abs(w.mean().item() - 1) < 4 * w.std().item() / math.sqrt(len(w))
    assert w.std() < 1.5


@pytest.mark.parametrize(
    ("name", "mean", "sd"),
    [
        # entropy of N(mu, C): (10/2) log(2 pi e) + 1/2 log|C|, |C| = 9.25 * 4.25 * 1.25 * 0.25^7
        (
            "linear-gaussian",
            -(5 * math.log(2 * math.pi * math.e) + 0.5 * math.log(9.25 * 4.25 * 1.25 * 0.25**7)),
            2.3,
        ),
        # well-separated components: log M + entropy of one
        ("mixture", -(math.log(8) + math.log(2 * math.pi * math.e * 0.04)), 1.0),
        ("tree", -(math.log(127) + 25 * math.log(2 * math.pi * math.e * 0.2)), 5.0),
        # N(0, Q Q^T + s^2 I): eigenvalues 1.01 twice and 0.01 eight times
        ("plane", -(5 * math.log(2 * math.pi * math.e) + math.log(1.01) + 4 * math.log(0.01)), 2.3),
        # log r: Gaussian; angle: von Mises; log 5 for the arm; 2 E log r = 2 log 2
        (
            "pinwheel",
            -(
                0.5 * math.log(2 * math.pi * math.e * 0.09)
                + math.log(2 * math.pi * ive(0, 40.0))
                + 40
                - 40 * ive(1, 40.0) / ive(0, 40.0)
                + math.log(5)
                + 2 * math.log(2)
            ),
            1.2,
        ),
    ],
)
def test_mean_log_density_of_rows_is_minus_the_entropy(name: str, mean: float, sd: float) -> None:
    data = load(name, held_out=0, test=0)
    values = data.log_density(data.train.x())
    assert values.mean().item() == pytest.approx(mean, abs=4 * sd / math.sqrt(10_000))


def test_sphere_rows_have_the_right_radius_and_direction() -> None:
    x = load("sphere", held_out=0, test=0).train.x().double()
    r2 = x.square().sum(1).numpy()
    assert stats.kstest(r2 / 0.01, stats.ncx2(3, 100).cdf).pvalue > 1e-3
    assert stats.kstest(x[:, 2].numpy() / np.sqrt(r2), stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_far_points_and_the_origin_are_finite(name: str) -> None:
    data = load(name)
    for scale in (0.0, 1e-12, 1e3):
        x = torch.full((2, data.shape[0]), scale)
        assert data.log_density(x).isfinite().all()


def test_sphere_density_at_the_centre_is_the_limit() -> None:
    value = load("sphere").log_density(torch.zeros(1, 3)).item()
    assert value == pytest.approx(-1.5 * math.log(2 * math.pi * 0.01) - 50, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_rows_come_from_the_seed(name: str) -> None:
    one, again, other = load(name), load(name), load(name, seed=1)
    n = module.FEWER.get(name, 10_000)
    assert (len(one.train), len(one.held_out), len(one.test)) == (n - 2 * round(n / 10), round(n / 10), round(n / 10))
    assert one.checksum == again.checksum != other.checksum
    assert torch.equal(one.train.x(), again.train.x())
    assert (one.kind, one.protocol) == ("real", "as-is")


def test_linear_gaussian_has_the_documented_spectrum() -> None:
    w, _ = module.linear_parameters()
    np.testing.assert_allclose(np.linalg.eigvalsh(w @ w.T + 0.25 * np.eye(10))[::-1][:4], [9.25, 4.25, 1.25, 0.25])


def test_tree_steps_and_labels() -> None:
    nodes, depth = module.tree_nodes(0)
    assert nodes.shape == (127, 50)
    assert np.bincount(depth).tolist() == [1, 2, 4, 8, 16, 32, 64]
    parents = nodes[(np.arange(1, 127) - 1) // 2]
    assert (nodes[1:] - parents).var() == pytest.approx(1, abs=4 * math.sqrt(2 / 6300))
    data = load("tree")
    assert data.classes[6] == "depth 6"
    assert data.train.labels.max() == 6


def test_sphere_10_and_plane_lie_as_they_are_said_to() -> None:
    for d in (2, 3):
        np.testing.assert_allclose(module.embedding(d).T @ module.embedding(d), np.eye(d), atol=1e-12)
    x = load("sphere-10", held_out=0, test=0).train.x().double().numpy() @ rotated(3)
    r2 = (x[:, :3] ** 2).sum(1)
    assert stats.kstest(r2 / 0.01, stats.ncx2(3, 100).cdf).pvalue > 1e-3
    assert stats.kstest(x[:, 2] / np.sqrt(r2), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert stats.kstest(x[:, 3:].ravel(), stats.norm(0, 0.1).cdf).pvalue > 1e-3


def test_branching_has_five_rows_of_each_node_of_the_tree_and_standard_columns() -> None:
    nodes, depth = module.tree_nodes(0)
    data = load("branching", held_out=0, test=0)
    assert len(data.train) == 635
    assert np.bincount(data.train.labels).tolist() == (5 * np.bincount(depth)).tolist()
    x = data.train.x().double().numpy()
    mean, scale = nodes.mean(0), np.sqrt(nodes.var(0) + 0.2)
    noise = x * scale + mean - nodes[np.arange(635) % 127]
    assert stats.kstest(noise.ravel() / math.sqrt(0.2), "norm").pvalue > 1e-3
    np.testing.assert_allclose(x.mean(0), 0, atol=4 * math.sqrt(0.2 / 635))
    np.testing.assert_allclose(x.std(0), 1, atol=4 * math.sqrt(0.2 / 635) / scale.min())  # noise and node uncorrelated
