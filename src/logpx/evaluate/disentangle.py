"""How codes z line up with known factors v (floor 5): scores of a table of codes (N, D) beside one of factors (N, F).

    score                1 where                                                 about 0, or chance, where
    mig                  one dimension knows a factor, no other knows of it      two know as much
    sap                  the same, by thresholds and lines                       two do as well
    dci.disentanglement  a dimension serves one factor                           it serves all alike
    dci.completeness     a factor needs one dimension                            it needs all alike
    dci.informativeness  a forest reads every factor                             chance: the commonest level
    modularity           a dimension knows of one factor                         it knows as much of each
    factor_vae_score     holding a factor still holds its dimension still        chance: 1/F
    beta_vae_score       the same, and a linear classifier sees which            chance: 1/F

All lie in [0, 1], and none depends on the order of rows, dimensions or factors: what draws at random puts them into an order of
their own first. A factor is known by its levels, any integers; every score wants all combinations of levels to be about equally
frequent, as they are in a full factorial design.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from logpx.errors import UserError

BINS = 20  # of each dimension, as in Locatello et al. 2019
ALIVE = 0.01  # least variance of a dimension that takes part where variances are compared
PAIRS, VOTES = 64, 2500  # rows of one vote; votes to learn from, and as many to score
BAG = 1000  # rows that a tree of a forest sees: more of them sharpen single trees, and cost in proportion

Score = Callable[[Tensor, Tensor], float]  # of codes and factors


def mutual_informations(
    codes: Tensor, factors: Tensor, *, scales: Tensor | None = None, bins: int = BINS, seed: int = 0
) -> Tensor:
    """I(z_d; v_f) in nats, (D, F).

    Without scales each z_d is cut into equal bins from its lowest to its highest value, and the information is that of the
    histogram: it is too high by about (bins - 1)(levels - 1)/2N, and no more than log bins can be seen. With scales (N, D),
    q(z_d|x_n) is normal about the codes and
        I = E log [ mean over n with v_n = v of q(z_d|x_n) ] - E log [ mean over all n of q(z_d|x_n) ],  z_d ~ q(z_d|x),
    from one draw for each row (Chen et al. 2018, arXiv:1802.04942, appendix C); it saturates where q is narrower than the
    distance between codes. Raises UserError for tables that do not fit.
    """
    z, v = _tables(codes, factors)
    if scales is None:
        return torch.from_numpy(_binned_informations(z, v, bins))
    s = np.asarray(torch.as_tensor(scales).detach().cpu().double())
    if s.shape != z.shape or not (s > 0).all():
        raise UserError(
            f"The scales of codes of shape {z.shape} are positive numbers of the same shape, not {s.shape}."
        )
    rows, dims, columns = _own_order(z, v)
    found = np.empty((z.shape[1], v.shape[1]))
    found[np.ix_(dims, columns)] = _normal_informations(z[rows][:, dims], s[rows][:, dims], v[rows][:, columns], seed)
    return torch.from_numpy(found)


def mig(codes: Tensor, factors: Tensor, *, scales: Tensor | None = None, bins: int = BINS, seed: int = 0) -> float:
    """Mutual information gap: mean over f of (I(z_d; v_f) - I(z_e; v_f)) / H(v_f), d and e the best two dimensions.

    (Chen, Li, Grosse & Duvenaud 2018, arXiv:1802.04942, eq. 6.) In [0, 1]; with bins, 1 needs no more levels than bins.
    """
    information = mutual_informations(codes, factors, scales=scales, bins=bins, seed=seed).numpy()
    return float((_gap(information) / _entropies(_tables(codes, factors)[1])).mean())


def modularity(codes: Tensor, factors: Tensor, *, bins: int = BINS) -> float:
    """Mean over d of 1 - sum_{f other than the best} I(z_d; v_f)^2 / ((F - 1) max_f I(z_d; v_f)^2).

    (Ridgeway & Mozer 2018, arXiv:1802.05312, section 3.) In [0, 1]; a dimension without information gives 0. One of pure noise
    counts like the others, and what little information it seems to have is rarely spread evenly: noise scores well above 0.
    One factor alone scores 1.
    """
    squares = mutual_informations(codes, factors, bins=bins).numpy() ** 2
    best = squares.max(1)
    others = (squares.sum(1) - best) / (np.where(best > 0, best, 1) * max(squares.shape[1] - 1, 1))
    return float(np.where(best > 1e-24, 1 - others, 0).mean())


def sap(codes: Tensor, factors: Tensor, *, ordered: Sequence[bool] | None = None) -> float:
    """Separated attribute predictability: mean over f of S_df - S_ef, d and e the best two dimensions.

    S is the squared correlation with an ordered factor; with any other the balanced accuracy, on the same rows, of a tree that
    cuts the line of z_d into as many pieces as there are levels (Kumar, Sattigeri & Balakrishnan 2018, arXiv:1711.00848,
    section 3). In [0, 1]: 1 for ordered factors that one dimension follows linearly, and 1 - 1/levels at best for others.
    `ordered` says which are; none, where it is not given.
    """
    z, v = _tables(codes, factors)
    kinds = _ordered(ordered, v)
    columns = [
        _squared_correlations(z, v[:, f]) if kinds[f] else _balanced_accuracies(z, v[:, f]) for f in range(len(kinds))
    ]
    return float(_gap(np.stack(columns, 1)).mean())


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness and informativeness, each in [0, 1], and the importances (D, F) they are made of."""

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Tensor


def dci(codes: Tensor, factors: Tensor, *, trees: int = 50, seed: int = 0) -> DCI:
    """Of the importances R (D, F) of a random forest for each factor, that classifies its levels:

        disentanglement  sum_d w_d (1 - H_F(R_d / sum_f R_df)),  w_d = sum_f R_df / sum R,  H_F the entropy to the base F,
        completeness     the same of columns, with the entropy to the base D,
        informativeness  accuracy on the rows that a tree has not seen (out of bag), the mean over factors.

    (Eastwood & Williams 2018, openreview By-7dz-AZ, section 2.) The trees see every dimension at each cut: one that leaves
    dimensions out would give importance to those that know nothing.
    """
    z, v = _tables(codes, factors)
    rows, dims, columns = _own_order(z, v)
    importance, accuracy = np.empty((z.shape[1], v.shape[1])), []
    for f in columns:
        shares, right = _forest(z[rows][:, dims], v[rows, f], trees, seed)
        importance[dims, f] = shares
        accuracy.append(right)
    return DCI(*dci_scores(importance), float(np.mean(accuracy)), torch.from_numpy(importance))


def dci_scores(importance: np.ndarray) -> tuple[float, float]:
    """(disentanglement, completeness) of importances (D, F); 0 where nothing is important."""
    return _evenness(importance), _evenness(importance.T)


def factor_vae_score(
    codes: Tensor, factors: Tensor, *, votes: int = VOTES, pairs: int = PAIRS, alive: float = ALIVE, seed: int = 0
) -> float:
    """Accuracy of guessing which factor was held still from the dimension that moved least.

    A vote takes `pairs` rows with one level of one factor and names argmin_d Var(z_d) / Var over all rows (z_d). Each dimension
    is given the factor of most of the votes for it, and as many new votes are scored (Kim & Mnih 2018, arXiv:1802.05983,
    section 4). In [0, 1]; chance is 1/F. Dimensions whose variance is below `alive` take no part; without any the score is 0.
    """
    z, v = _in_own_order(codes, factors)
    z = z[:, (z.var(0, ddof=1) >= alive) & (np.ptp(z, 0) > 0)]
    if not z.shape[1]:
        return 0.0
    random = np.random.RandomState(seed)
    held = random.randint(v.shape[1], size=2 * votes)
    still = np.empty_like(held)
    for f in range(v.shape[1]):
        rows = random.randint(len(z), size=(int((held == f).sum()), 1)).repeat(pairs, 1)
        still[held == f] = (z[_alike(rows, v[:, f], random)].var(1) / z.var(0)).argmin(1)
    counted = np.zeros((z.shape[1], v.shape[1]))
    np.add.at(counted, (still[:votes], held[:votes]), 1)
    return float((counted.argmax(1)[still[votes:]] == held[votes:]).mean())


def beta_vae_score(codes: Tensor, factors: Tensor, *, votes: int = VOTES, pairs: int = PAIRS, seed: int = 0) -> float:
    """Accuracy of a linear classifier that guesses which factor two rows share from the mean of |z_a - z_b| over `pairs` pairs.

    (Higgins et al. 2017, openreview Sy2fzU9gl, section 3; logistic regression on standardised means, scored on as many new
    votes.) In [0, 1]; chance is 1/F. It says less than the others: a rotation of the factors scores high too.
    """
    z, v = _in_own_order(codes, factors)
    random = np.random.RandomState(seed)
    shared = random.randint(v.shape[1], size=2 * votes)
    apart = np.empty((2 * votes, z.shape[1]))
    for f in range(v.shape[1]):
        a = random.randint(len(z), size=(int((shared == f).sum()), pairs))
        apart[shared == f] = abs(z[a] - z[_alike(a, v[:, f], random)]).mean(1)
    apart = (apart - apart[:votes].mean(0)) / np.maximum(apart[:votes].std(0), 1e-12)
    if v.shape[1] == 1:
        return 1.0
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression(max_iter=1000).fit(apart[:votes], shared[:votes])
    return float(classifier.score(apart[votes:], shared[votes:]))


def jackknife(score: Score, codes: Tensor, factors: Tensor, groups: int = 10) -> float:
    """Standard error that a score has from having N rows only: leaves out every tenth row in turn (Quenouille 1956).

    sqrt((g - 1)/g sum_i (s_i - mean s)^2), s_i the score without the i-th of g groups; nan where there are too few rows.
    """
    z, v = torch.as_tensor(codes), torch.as_tensor(factors)
    rows, _, _ = _own_order(*_tables(z, v))
    if len(rows) < 10 * groups:
        return float("nan")
    group = np.empty(len(rows), int)
    group[rows] = np.arange(len(rows)) % groups
    each = np.array([score(z[group != i], v[group != i]) for i in range(groups)])
    return float(np.sqrt((groups - 1) * each.var()))


# --- what they are made of -----------------------------------------------------------------------------------


def _tables(codes: Tensor, factors: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(codes (N, D) in float64, factors (N, F) counted from 0 without gaps)."""
    z = np.asarray(torch.as_tensor(codes).detach().cpu().double())
    v = np.asarray(torch.as_tensor(factors).cpu())
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v) or len(z) < 2 or not z.shape[1] or not v.shape[1]:
        raise UserError(
            f"Codes (N, D) and factors (N, F) of the same N >= 2 rows are compared, not {z.shape} and {v.shape}."
        )
    if not np.isfinite(z).all():
        raise UserError("A code is not finite: the model's weights or a row are broken.")
    if v.dtype.kind not in "biu":
        raise UserError("Factors are levels, that is integers: number the values of each.")
    v = np.stack([np.unique(column, return_inverse=True)[1].reshape(-1) for column in v.T], 1)
    if still := [f for f in range(v.shape[1]) if v[:, f].max() == 0]:
        raise UserError(f"Factor {still[0]} has one level in all rows, so nothing can be learned of it: leave it out.")
    return z, v


def _own_order(z: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, dimensions, factors) in an order that follows from the numbers alone, wherever they stood.

    Dimensions go by their sorted values, rows by their codes, factors by their levels in these rows.
    """
    dims = np.lexsort(np.sort(z, 0)[::-1])
    rows = np.lexsort([*v.T[::-1], *z[:, dims].T[::-1]])
    return rows, dims, np.lexsort(v[rows][::-1])


def _in_own_order(codes: Tensor, factors: Tensor) -> tuple[np.ndarray, np.ndarray]:
    z, v = _tables(codes, factors)
    rows, dims, columns = _own_order(z, v)
    return z[rows][:, dims], v[rows][:, columns]


def _binned_informations(z: np.ndarray, v: np.ndarray, bins: int) -> np.ndarray:
    low, high = z.min(0), z.max(0)
    place = ((z - low) / np.where(high > low, high - low, 1) * bins).astype(int).clip(0, bins - 1)
    return np.array([[_information(cut, level) for level in v.T] for cut in place.T])


def _information(a: np.ndarray, b: np.ndarray) -> float:
    """I(a; b) of two columns of codes, in nats."""
    joint = np.bincount(a * (b.max() + 1) + b, minlength=(a.max() + 1) * (b.max() + 1)).reshape(-1, b.max() + 1) / len(
        a
    )
    apart = joint.sum(1, keepdims=True) * joint.sum(0)
    met = joint > 0
    return float((joint[met] * np.log(joint[met] / apart[met])).sum())


def _normal_informations(mean: np.ndarray, scale: np.ndarray, v: np.ndarray, seed: int) -> np.ndarray:
    draws = mean + scale * np.random.RandomState(seed).standard_normal(mean.shape)
    of_level = [np.eye(column.max() + 1)[column] / np.bincount(column) for column in v.T]
    found = np.empty((mean.shape[1], v.shape[1]))
    for d, z in enumerate(draws.T):
        log_q = -0.5 * ((z[:, None] - mean[:, d]) / scale[:, d]) ** 2 - np.log(scale[:, d])  # (draws, rows)
        q = np.exp(log_q - log_q.max(1, keepdims=True))
        given = [(q @ weights)[np.arange(len(z)), level] for weights, level in zip(of_level, v.T, strict=True)]
        found[d] = [np.log(one).mean() - np.log(q.mean(1)).mean() for one in given]
    return found.clip(0)


def _entropies(v: np.ndarray) -> np.ndarray:
    return np.array([_information(level, level) for level in v.T])


def _gap(scores: np.ndarray) -> np.ndarray:
    """The best of (D, F) less the second best, (F,); less 0 where there is one dimension."""
    best = np.sort(scores, 0)[::-1]
    return best[0] - (best[1] if len(best) > 1 else 0)


def _ordered(ordered: Sequence[bool] | None, v: np.ndarray) -> Sequence[bool]:
    if ordered is not None and len(ordered) != v.shape[1]:
        raise UserError(f"`ordered` says of {len(ordered)} factors whether they are, and there are {v.shape[1]}.")
    return ordered if ordered is not None else [False] * v.shape[1]


def _squared_correlations(z: np.ndarray, level: np.ndarray) -> np.ndarray:
    z, level = z - z.mean(0), level - level.mean()
    spread = (z**2).sum(0) * (level**2).sum()
    return np.where(z.var(0) > 1e-12, (z * level[:, None]).sum(0) ** 2 / np.where(spread > 0, spread, 1), 0)


def _balanced_accuracies(z: np.ndarray, level: np.ndarray) -> np.ndarray:
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.tree import DecisionTreeClassifier

    scores = []
    for column in z.T:
        tree = DecisionTreeClassifier(max_leaf_nodes=int(level.max()) + 1, class_weight="balanced", random_state=0)
        scores.append(balanced_accuracy_score(level, tree.fit(column[:, None], level).predict(column[:, None])))
    return np.array(scores)


def _forest(z: np.ndarray, level: np.ndarray, trees: int, seed: int) -> tuple[np.ndarray, float]:
    """(importance of each dimension, which add up to 1 or are all 0, accuracy out of bag)."""
    from sklearn.ensemble import RandomForestClassifier

    how = {"max_features": None, "max_samples": min(BAG, len(z)), "oob_score": True, "random_state": seed}
    forest = RandomForestClassifier(trees, **how).fit(z, level)
    return forest.feature_importances_, float(forest.oob_score_)


def _evenness(importance: np.ndarray) -> float:
    """1 - the entropy of each row, to the base of its length, weighted by the rows' sums."""
    sums = importance.sum(1, keepdims=True)
    if not sums.any():
        return 0.0
    p = importance / np.where(sums > 0, sums, 1)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(1) / np.log(max(importance.shape[1], 2))
    return float(((1 - entropy) * sums[:, 0] / sums.sum()).sum())


def _alike(rows: np.ndarray, level: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """For each of `rows` another of its level, each at even odds; itself among them."""
    order = np.argsort(level, kind="stable")
    first, end = (np.searchsorted(level[order], level[rows], side) for side in ("left", "right"))
    return order[first + (random.random_sample(rows.shape) * (end - first)).astype(int)]
