"""Synthetic sets whose density is known exactly: the oracle for every estimate of log p(x) (floor 6).

The laws are fixed; the seed draws the rows (and, for the tree, its nodes). Rows come from numpy's
RandomState, whose stream is frozen for good, and are stored as float32.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from logpx.data.base import Stored

ROWS = 10_000
FEWER = {"branching": 635}  # five of each node, as published


class Synthetic(NamedTuple):
    """N rows of a known law."""

    x: np.ndarray  # (N, P)
    log_density: Callable[[Tensor], Tensor]  # (B, P) -> (B,), nats, float64
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None


def parameter(array: np.ndarray, x: Tensor) -> Tensor:
    """A fixed array beside x: float64, on x's device."""
    return torch.as_tensor(array, dtype=torch.float64, device=x.device)


def mixture_log_density(x: Tensor, centres: np.ndarray, variance: float) -> Tensor:
    """log (1/M) sum_m N(x; c_m, s^2 I): (B, P) -> (B,)."""
    distance = torch.cdist(x.double(), parameter(centres, x), compute_mode="donot_use_mm_for_euclid_dist").square()
    log_norm = 0.5 * centres.shape[1] * math.log(2 * math.pi * variance) + math.log(len(centres))
    return torch.logsumexp(-distance / (2 * variance), dim=1) - log_norm


# --- linear-gaussian ----------------------------------------------------------------------------------------

LINEAR_P, LINEAR_SCALES, LINEAR_NOISE = 10, (3.0, 2.0, 1.0), 0.5


def linear_parameters() -> tuple[np.ndarray, np.ndarray]:
    """(W (10, 3), mu (10,)). W's columns are cosines (DCT-II): orthogonal, of lengths 3, 2 and 1, so that the
    covariance W W^T + s^2 I has the eigenvalues 9.25, 4.25, 1.25 and seven times 0.25.
    """
    p, j = np.arange(LINEAR_P)[:, None], np.arange(1, len(LINEAR_SCALES) + 1)
    cosines = math.sqrt(2 / LINEAR_P) * np.cos(math.pi * (p + 0.5) * j / LINEAR_P)
    return cosines * np.array(LINEAR_SCALES), np.linspace(-1, 1, LINEAR_P)


def linear_gaussian(n: int, seed: int) -> Synthetic:
    """x = W z + mu + s e, z ~ N(0, I_3), e ~ N(0, I_10), s = 1/2 (Tipping & Bishop 1999)."""
    w, mu = linear_parameters()
    random = np.random.RandomState(seed)
    z, e = random.standard_normal((n, len(LINEAR_SCALES))), random.standard_normal((n, LINEAR_P))
    return Synthetic(z @ w.T + mu + LINEAR_NOISE * e, linear_log_density)


def linear_log_density(x: Tensor) -> Tensor:
    """log N(x; mu, W W^T + s^2 I)."""
    w, mu = (parameter(a, x) for a in linear_parameters())
    covariance = w @ w.T + LINEAR_NOISE**2 * torch.eye(LINEAR_P, dtype=w.dtype, device=x.device)
    return torch.distributions.MultivariateNormal(mu, covariance).log_prob(x.double())


# --- mixture ------------------------------------------------------------------------------------------------

MIXTURE_SIZE, MIXTURE_RADIUS, MIXTURE_SCALE = 8, 2.0, 0.2


def mixture_centres() -> np.ndarray:
    """(8, 2): evenly spaced on a circle of radius 2."""
    angle = 2 * math.pi * np.arange(MIXTURE_SIZE) / MIXTURE_SIZE
    return MIXTURE_RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def mixture(n: int, seed: int) -> Synthetic:
    """Eight Gaussians of standard deviation 0.2 and equal weight, evenly spaced on a circle of radius 2."""
    random = np.random.RandomState(seed)
    component = random.randint(MIXTURE_SIZE, size=n)
    x = mixture_centres()[component] + MIXTURE_SCALE * random.standard_normal((n, 2))
    classes = tuple(f"component {k}" for k in range(MIXTURE_SIZE))
    return Synthetic(x, lambda x: mixture_log_density(x, mixture_centres(), MIXTURE_SCALE**2), component, classes)


# --- pinwheel -----------------------------------------------------------------------------------------------

ARMS, LOG_RADIUS, LOG_SPREAD, TWIST, CONCENTRATION = 5, math.log(2), 0.3, 1.5, 40.0


def pinwheel(n: int, seed: int) -> Synthetic:
    """Five spiral arms, drawn in polar coordinates: log r ~ N(log 2, 0.3^2), and on arm k (of equal weight)
    the angle is von Mises around 2 pi k / 5 + 1.5 log r with concentration 40.
    """
    random = np.random.RandomState(seed)
    arm = random.randint(ARMS, size=n)
    log_r = LOG_RADIUS + LOG_SPREAD * random.standard_normal(n)
    angle = 2 * math.pi * arm / ARMS + TWIST * log_r + random.vonmises(0.0, CONCENTRATION, n)
    x = np.exp(log_r)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Synthetic(x, pinwheel_log_density, arm, tuple(f"arm {k}" for k in range(ARMS)))


def pinwheel_log_density(x: Tensor) -> Tensor:
    """log p(log r) + log p(angle | r) - 2 log r: one log r for d log r / dr, one for the area r dr."""
    x = x.double()
    log_r = x.norm(dim=1).clamp_min(1e-300).log()
    arms = 2 * math.pi * torch.arange(ARMS, dtype=x.dtype, device=x.device) / ARMS
    angle = torch.atan2(x[:, 1], x[:, 0])
    offset = angle[:, None] - TWIST * log_r[:, None] - arms
    # von Mises: exp(k (cos - 1)) / (2 pi e^-k I_0(k)), with the scaled Bessel function that cannot overflow
    bessel = torch.special.i0e(torch.tensor(CONCENTRATION, dtype=x.dtype)).item()
    angular = CONCENTRATION * (offset.cos() - 1) - math.log(2 * math.pi * bessel * ARMS)
    radial = -0.5 * ((log_r - LOG_RADIUS) / LOG_SPREAD).square() - math.log(LOG_SPREAD * math.sqrt(2 * math.pi))
    return radial + torch.logsumexp(angular, dim=1) - 2 * log_r


# --- sphere -------------------------------------------------------------------------------------------------

SPHERE_NOISE = 0.1


def sphere(n: int, seed: int) -> Synthetic:
    """A uniform point on the unit sphere S^2 in R^3 plus N(0, 0.1^2 I)."""
    random = np.random.RandomState(seed)
    direction = random.standard_normal((n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return Synthetic(direction + SPHERE_NOISE * random.standard_normal((n, 3)), sphere_log_density)


def sphere_log_density(x: Tensor) -> Tensor:
    """(2 pi s^2)^(-3/2) exp(-(r^2 + 1) / (2 s^2)) sinh(t) / t with t = r / s^2.

    The mean of exp(x.u / s^2) over unit vectors u is sinh(t) / t; exp(t) is taken out of sinh and joined with
    the Gaussian factor, which leaves exp(-(r - 1)^2 / (2 s^2)) and no overflow.
    """
    variance = SPHERE_NOISE**2
    r = x.double().norm(dim=1)
    t = 2 * (r / variance).clamp_min(1e-30)
    log_ratio = torch.log(-torch.expm1(-t) / t)  # log((1 - e^-2t) / 2t) = log(sinh t / t) - t
    return log_ratio - (r - 1).square() / (2 * variance) - 1.5 * math.log(2 * math.pi * variance)


# --- the same sphere, and a plane, in ten dimensions ---------------------------------------------------------

EMBEDDED_P = 10


def embedding(d: int) -> np.ndarray:
    """Q (10, d) with Q^T Q = I: the cosines of `linear_parameters` at length 1, which leave no coordinate idle."""
    p, j = np.arange(EMBEDDED_P)[:, None], np.arange(1, d + 1)
    return math.sqrt(2 / EMBEDDED_P) * np.cos(math.pi * (p + 0.5) * j / EMBEDDED_P)


def sphere_10(n: int, seed: int) -> Synthetic:
    """A uniform point on the unit sphere S^2, in R^10 by the isometry Q, plus N(0, 0.1^2 I)."""
    random = np.random.RandomState(seed)
    direction = random.standard_normal((n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return Synthetic(
        direction @ embedding(3).T + SPHERE_NOISE * random.standard_normal((n, EMBEDDED_P)), sphere_10_log_density
    )


def sphere_10_log_density(x: Tensor) -> Tensor:
    """log p(Q^T x) + log N of what lies across: a rotation leaves the noise as it is."""
    inside = x.double() @ parameter(embedding(3), x)
    return sphere_log_density(inside) + across_log_density(x, inside)


def across_log_density(x: Tensor, inside: Tensor) -> Tensor:
    """log N(.; 0, s^2 I) of the EMBEDDED_P - d directions that are orthogonal to Q's columns."""
    squares = (x.double() - inside @ parameter(embedding(inside.shape[1]), x).T).square().sum(1)
    variance, directions = SPHERE_NOISE**2, EMBEDDED_P - inside.shape[1]
    return -squares / (2 * variance) - 0.5 * directions * math.log(2 * math.pi * variance)


def plane(n: int, seed: int) -> Synthetic:
    """x = Q z + 0.1 e, z ~ N(0, I_2), e ~ N(0, I_10): what a space without curvature can hold exactly."""
    random = np.random.RandomState(seed)
    z, e = random.standard_normal((n, 2)), random.standard_normal((n, EMBEDDED_P))
    return Synthetic(z @ embedding(2).T + SPHERE_NOISE * e, plane_log_density)


def plane_log_density(x: Tensor) -> Tensor:
    """log N(Q^T x; 0, (1 + s^2) I) + log N of what lies across."""
    inside, variance = x.double() @ parameter(embedding(2), x), 1 + SPHERE_NOISE**2
    along = -inside.square().sum(1) / (2 * variance) - math.log(2 * math.pi * variance)
    return along + across_log_density(x, inside)


# --- circles, in ten dimensions ------------------------------------------------------------------------------

CIRCLE_RADII = (1.0, 2.0)


def circles(n: int, seed: int) -> Synthetic:
    """A uniform point on one of two concentric circles, in R^10 by the isometry Q, plus N(0, 0.1^2 I); the label says which."""
    random = np.random.RandomState(seed)
    which, angle = random.randint(len(CIRCLE_RADII), size=n), 2 * math.pi * random.uniform(size=n)
    point = np.array(CIRCLE_RADII)[which, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = point @ embedding(2).T + SPHERE_NOISE * random.standard_normal((n, EMBEDDED_P))
    return Synthetic(x, circles_log_density, which, tuple(f"radius {r:g}" for r in CIRCLE_RADII))


def circles_log_density(x: Tensor) -> Tensor:
    """log 1/2 sum_r (2 pi s^2)^-1 exp(-(rho^2 + r^2)/(2 s^2)) I_0(rho r/s^2), rho = |Q^T x|, + log N of what lies across.

    I_0(t) = exp(t) i0e(t), and exp(t) joins the Gaussian factor, which leaves exp(-(rho - r)^2/(2 s^2)).
    """
    inside, variance = x.double() @ parameter(embedding(2), x), SPHERE_NOISE**2
    r, rho = parameter(np.array(CIRCLE_RADII), x), inside.norm(dim=1, keepdim=True)
    each = torch.special.i0e(rho * r / variance).log() - (rho - r).square() / (2 * variance)
    plane = torch.logsumexp(each, dim=1) - math.log(2 * math.pi * variance * len(r))
    return plane + across_log_density(x, inside)


# --- tree ---------------------------------------------------------------------------------------------------

TREE_DEPTH, TREE_P, TREE_VARIANCE = 6, 50, 0.2


def tree_nodes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(nodes (127, 50), depths (127,)): the root at 0, each node two children, each a step N(0, I) away."""
    random = np.random.RandomState(seed)
    levels = [np.zeros((1, TREE_P))]
    for _ in range(TREE_DEPTH):
        parents = np.repeat(levels[-1], 2, axis=0)
        levels.append(parents + random.standard_normal(parents.shape))
    return np.concatenate(levels), np.repeat(np.arange(TREE_DEPTH + 1), 2 ** np.arange(TREE_DEPTH + 1))


def tree(n: int, seed: int) -> Synthetic:
    """A binary tree of depth 6 that branches by Gaussian steps in R^50, after Mathieu et al. 2019
    (arXiv:1901.06033); a row is one of its 127 nodes plus N(0, I / 5). The label is the node's depth.
    """
    nodes, depth = tree_nodes(seed)
    random = np.random.RandomState([seed, 1])  # not the stream that placed the nodes
    node = random.randint(len(nodes), size=n)
    x = nodes[node] + math.sqrt(TREE_VARIANCE) * random.standard_normal((n, TREE_P))
    classes = tuple(f"depth {k}" for k in range(TREE_DEPTH + 1))
    return Synthetic(x, lambda x: mixture_log_density(x, nodes, TREE_VARIANCE), depth[node], classes)


# --- branching ----------------------------------------------------------------------------------------------


def branching(n: int, seed: int) -> Synthetic:
    """The rows of Mathieu et al. 2019, section 5.1: n/127 siblings of each node of `tree`, every column standardised.

    A sibling is its node plus N(0, I / 5). Mean and variance of a column are those of its law, given the nodes, and not
    of the rows as in the published code, so that the density of a row drawn at random stays exactly known.
    """
    nodes, depth = tree_nodes(seed)
    random = np.random.RandomState([seed, 2])  # neither the stream of the nodes nor that of the tree's rows
    node = np.arange(n) % len(nodes)
    mean, scale = nodes.mean(0), np.sqrt(nodes.var(0) + TREE_VARIANCE)
    x = (nodes[node] + math.sqrt(TREE_VARIANCE) * random.standard_normal((n, TREE_P)) - mean) / scale

    def log_density(x: Tensor) -> Tensor:
        raw = x.double() * parameter(scale, x) + parameter(mean, x)
        return mixture_log_density(raw, nodes, TREE_VARIANCE) + float(np.log(scale).sum())

    return Synthetic(x, log_density, depth[node], tuple(f"depth {k}" for k in range(TREE_DEPTH + 1)))


# --- by name ------------------------------------------------------------------------------------------------

MAKERS: dict[str, tuple[Callable[[int, int], Synthetic], str]] = {
    "linear-gaussian": (linear_gaussian, "x = W z + mu + noise, P = 10, D = 3: probabilistic PCA"),
    "mixture": (mixture, "eight Gaussians on a circle, P = 2"),
    "pinwheel": (pinwheel, "five spiral arms, P = 2"),
    "sphere": (sphere, "the unit sphere in three dimensions, with noise, P = 3"),
    "sphere-10": (sphere_10, "the unit sphere S^2 in ten dimensions, with noise, P = 10"),
    "plane": (plane, "a normal law on a plane in ten dimensions, with noise, P = 10"),
    "circles": (circles, "two concentric circles in ten dimensions, with noise, P = 10"),
    "tree": (tree, "a noisy binary tree of depth 6, P = 50"),
    "branching": (branching, "the same tree, five rows of each node, standardised, P = 50"),
}


def read(name: str, seed: int) -> Stored:
    """The named set as stored rows: 10,000 of them where `FEWER` has no other number, float32."""
    make, line = MAKERS[name]
    made = make(FEWER.get(name, ROWS), seed)
    return Stored(
        name=name,
        source=name,
        x=made.x.astype(np.float32),
        labels=made.labels,
        classes=made.classes,
        log_density=made.log_density,
        note=f"{line}; its density is known exactly",
    )
