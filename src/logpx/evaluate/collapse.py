"""What the latent space does (floor 5): collapse curves, the parts of the KL, what the decoder answers, what samples look like.

Everything is about one model and some rows, in nats per data point where it is an information. N rows, D latent dimensions.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from logpx.distributions import is_euclidean
from logpx.errors import UserError
from logpx.evaluate.rows import Points, at_rest, batch_of, check_rows, count, pair_bytes, placed
from logpx.model import VAE

PAIRS = 2**20  # numbers (draw, row, dimension) whose densities are held at once: what a cache holds


# --- who has collapsed --------------------------------------------------------------------------------------------------


def collapsed_share(kl: Tensor, eps: Tensor, delta: float = 0.01) -> Tensor:
    """The share of dimensions that are (eps, delta)-collapsed, (E,) for eps (E,) (Lucas et al. 2019, arXiv:1911.02469, def. 1).

    Dimension i of kl (N, D) is where KL(q(z_i|x) || p(z_i)) < eps for at least 1 - delta of the rows x. Raises UserError for
    a delta outside [0, 1).
    """
    return (collapse_thresholds(kl, delta) < eps.to(kl)[:, None]).double().mean(1)


def collapse_thresholds(kl: Tensor, delta: float = 0.01) -> Tensor:
    """(D,), the eps above which each dimension of kl (N, D) is collapsed: the least KL that 1 - delta of the rows keep to."""
    if not 0 <= delta < 1:
        raise UserError(f"delta is {delta}: it is the share of rows that may differ, from 0 to below 1.")
    rank = max(1, math.ceil((1 - delta) * len(kl) - 1e-9))
    return kl.kthvalue(rank, 0).values


# --- the parts of the KL ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decomposition:
    """E_x KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || p(z)), and KL(q(z) || p(z)) = TC + sum_i KL(q(z_i) || p(z_i)).

    Hoffman & Johnson 2016; the second of Chen et al. 2018 (arXiv:1802.04942, eq. 2). q(z) is the mixture of q(z|x) over the N
    rows at hand, one draw of each: for these rows every number is unbiased. Each is followed by its standard error.
    I is at most log N, however much z knows: `saturated` says that it came within a nat of that, so that it is no more than
    a lower bound for rows beyond these. total_correlation and dimension_wise are None where q or p is no product over
    dimensions.
    """

    rows: int
    rate: tuple[float, float]
    mutual_information: tuple[float, float]
    marginal_kl: tuple[float, float]
    total_correlation: tuple[float, float] | None
    dimension_wise: tuple[float, float] | None

    @property
    def limit(self) -> float:
        """log N, the most that the mutual information can be seen to be."""
        return math.log(self.rows)

    @property
    def saturated(self) -> bool:
        return self.mutual_information[0] > self.limit - 1


def decomposition(model: VAE, data: Points, *, rows: int = 1000, seed: int = 0) -> Decomposition:
    """The parts of the KL over the first `rows` rows. Raises UserError for fewer than two rows, and without a prior."""
    if min(count(data), rows) < 2:
        raise UserError("The parts of the KL compare rows: at least two are needed.")
    with at_rest(model, seed):
        batch = placed(batch_of(data, slice(0, rows)), model)
        q = model.encode(batch)
        draw = model.at(batch, q, q.rsample((1,)))
        log_q, log_p = draw.log_q()[0].double(), draw.log_pz()[0].double()  # (N,)
        whole, each = _aggregated(q, draw.z[0])
        N = len(whole)
        rate, information, marginal = log_q - log_p, log_q - whole, whole - log_p
        correlation = wise = None
        if each is not None and (alone := _by_dimension(draw.prior, draw.z[0])) is not None:
            correlation, wise = whole - each.sum(1), (each - alone.double()).sum(1)
    found = [None if part is None else _with_error(part) for part in (rate, information, marginal, correlation, wise)]
    return Decomposition(N, *found)  # type: ignore[arg-type]


def mutual_information(model: VAE, data: Points, *, rows: int = 1000, seed: int = 0) -> float:
    """I_q(x; z) = E_x E_q(z|x) [log q(z|x) - log 1/N sum_n q(z|x_n)] over the first N = `rows` rows, one draw each.

    It saturates: no more than log N nats can be seen with N rows. (Hoffman & Johnson 2016; He et al. 2019, section 3.2.) No
    prior is asked for; `decomposition` gives it with its error.
    """
    if min(count(data), rows) < 2:
        raise UserError("Mutual information compares rows: at least two are needed.")
    with at_rest(model, seed):
        q = model.encode(placed(batch_of(data, slice(0, rows)), model))
        z = q.rsample()
        return (q.log_prob(z).double() - _aggregated(q, z)[0]).mean().item()


def _aggregated(q: Distribution, z: Tensor) -> tuple[Tensor, Tensor | None]:
    """log q(z_n) (N,) and log q(z_ni) (N, D), q(z) = 1/N sum_m q(z | x_m); the latter None where q is no product."""
    N, D = z.shape
    step, whole, each = max(1, PAIRS // (N * D)), [], []
    for piece in z.split(step):
        by_dim = _by_dimension(q, piece[:, None])
        log_q = q.log_prob(piece[:, None]).double() if by_dim is None else by_dim.double().sum(-1)
        whole.append(log_q.logsumexp(1) - math.log(N))
        if by_dim is not None:
            each.append(by_dim.double().logsumexp(1) - math.log(N))
    return torch.cat(whole), torch.cat(each) if each else None


def _by_dimension(law: Distribution | None, z: Tensor) -> Tensor | None:
    """log-densities of single dimensions, (..., D), of a law that is a product over them."""
    is_product = isinstance(law, Independent) and law.reinterpreted_batch_ndims == 1
    return law.base_dist.log_prob(z) if is_product else None  # type: ignore[union-attr]


def _with_error(values: Tensor) -> tuple[float, float]:
    return values.mean().item(), (values.std() / math.sqrt(len(values))).item()


# --- what the decoder answers -------------------------------------------------------------------------------------------


def decoder_motion(model: VAE, data: Points, *, rows: int = 100, seed: int = 0) -> Tensor | None:
    """How far E[x|z] moves with one standard deviation of each latent, in units of x, (D,): sqrt E |m(z+) - m(z-)|^2 / 2.

    z is a draw of q(z|x) for each of the first `rows` rows, z+ and z- the same with z_i one standard deviation of the prior
    above and below its mean, from 4,096 draws of a prior that has no closed ones. Of a linear decoder the norm of column i of
    W. None where E[x|z] is not known. Raises UserError for a latent that is curved, discrete or has no prior.
    """
    check_rows(data)
    if not model.has_mean:
        return None
    with at_rest(model, seed):
        batch = placed(batch_of(data, slice(0, rows)), model)
        q, p = model.encode(batch), None if model.prior is None else model.prior(batch.context)
        if p is None or not is_euclidean(q):
            raise UserError("Standard deviations of a latent need a prior and a flat latent space.")
        z, D = q.rsample(), q.event_shape[0]
        P = max(1, batch.x[0].numel())
        each = max(1, 2**28 // (2 * len(z) * pair_bytes(model, P)))
        ends = _ends(p)
        moved = [_moved(model, batch.context, z, ends, dims) for dims in torch.arange(D).split(each)]
    return torch.cat(moved).cpu()


def _ends(p: Distribution) -> Tensor:
    """One standard deviation above the mean of each dimension and below it, (2, D) or (2, N, D)."""
    try:
        mean, spread = p.mean, p.stddev
    except NotImplementedError:
        z = p.sample((4096,))
        mean, spread = z.mean(0), z.std(0)
    return torch.stack([mean + spread, mean - spread])


def _moved(model: VAE, context: Tensor | None, z: Tensor, ends: Tensor, dims: Tensor) -> Tensor:
    """The same for some of the dimensions, decoded together: (d,)."""
    both = z.expand(2, len(dims), *z.shape).clone()  # (2, d, N, D)
    at = ends.unsqueeze(1).expand(2, len(dims), *ends.shape[1:])
    for place, i in enumerate(dims.tolist()):
        both[:, place, :, i] = at[:, place, ..., i].reshape(2, -1)
    high, low = model.decode(both, context).mean
    return ((high - low).flatten(2).square().sum(2).mean(1) / 4).sqrt()


# --- what samples look like ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resemblance:
    """Whether the model's own samples look like the data to its encoder: a two-sample test by nearest neighbours.

    Of the codes E[z|x] of n rows and n samples, the share whose nearest neighbour is of their own kind: 1/2 if both have one
    law, 1 if they have nothing in common (Schilling 1986, J. Amer. Statist. Assoc. 81; Henze 1988). `z_score` is the distance
    from 1/2 in standard errors of independent neighbours.
    """

    same: float
    n: int

    @property
    def z_score(self) -> float:
        return (self.same - 0.5) * 2 * math.sqrt(2 * self.n)


def resemblance(model: VAE, data: Points, *, rows: int = 1000, seed: int = 0) -> Resemblance:
    """The test over the first `rows` rows and as many samples x ~ p(x|z), z ~ p(z).

    Raises UserError for fewer than two rows, a conditional model, rows with missing values, a score in the place of a density,
    and a model without a prior.
    """
    n = min(count(data), rows)
    if n < 2:
        raise UserError("Samples are compared with rows: at least two are needed.")
    with at_rest(model, seed):
        batch = placed(batch_of(data, slice(0, n)), model)
        if batch.context is not None or batch.observed is not None:
            raise UserError("Samples can be compared with complete rows of a model without a context only.")
        _, px = model.sample(n)
        codes = torch.cat([model.encode(batch).mean, model.encode(batch._replace(x=px.sample())).mean]).double()
    kind, nearest = torch.arange(2 * n, device=codes.device) < n, []
    for some in torch.arange(2 * n, device=codes.device).split(500):
        distance = torch.cdist(codes[some], codes)
        nearest.append(distance.scatter_(1, some[:, None], math.inf).argmin(1))  # no row is its own neighbour
    return Resemblance((kind[torch.cat(nearest)] == kind).double().mean().item(), n)
