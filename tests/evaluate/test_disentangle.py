"""Scores of disentanglement: by hand, of perfect, useless and rotated codes, and in any order."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch import Tensor

from logpx.errors import UserError
from logpx.evaluate import disentangle as d

LEVELS = (3, 4, 6, 5)
ORDERED = [False, True, True, True]


def design(repeats: int = 5) -> Tensor:
    """Every combination of the levels, each five times, (1800, 4)."""
    each = torch.cartesian_prod(*[torch.arange(n) for n in LEVELS])
    return each.repeat(repeats, 1)


def perfect(factors: Tensor) -> Tensor:
    """A dimension for each factor, in another order and of other scales, one turned round."""
    return factors[:, [2, 0, 3, 1]].double() * torch.tensor([0.5, -1.0, 2.0, 1.3]) + torch.tensor([0.0, 3.0, -1.0, 0.2])


def rotated(codes: Tensor) -> Tensor:
    """Of standardised codes, by the same angle in two planes that share no axis, then in two others."""
    z = (codes - codes.mean(0)) / codes.std(0)
    turn = torch.tensor([[1.0, -1.0], [1.0, 1.0]]).double() / math.sqrt(2)
    one = torch.block_diag(turn, turn)
    return z @ one @ one[[0, 2, 1, 3]][:, [0, 2, 1, 3]]


def noise(n: int, D: int = 4) -> Tensor:
    return torch.randn(n, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


SCORES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "mig": d.mig,
    "mig of q": lambda z, v: d.mig(z, v, scales=torch.full_like(z, 0.02)),
    "modularity": d.modularity,
    "sap": d.sap,
    "dci disentanglement": lambda z, v: d.dci(z, v, trees=3).disentanglement,
    "dci completeness": lambda z, v: d.dci(z, v, trees=3).completeness,
    "factor_vae": lambda z, v: d.factor_vae_score(z, v, votes=200),
    "beta_vae": lambda z, v: d.beta_vae_score(z, v, votes=200),
}
each_score = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
pytestmark = pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores:UserWarning")  # three trees are few

# --- by hand -----------------------------------------------------------------------------------------------

#: four rows; z_0 is the factor, z_1 agrees with it in three rows of four
TINY_Z, TINY_V = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]]), torch.tensor([[0], [0], [1], [1]])
#: p(z_1, v): (0, 0) 1/4, (1, 0) 1/4, (1, 1) 1/2; p(z_1) = 1/4, 3/4; p(v) = 1/2, 1/2
#: I = 1/4 log(1/4 / 1/8) + 1/4 log(1/4 / 3/8) + 1/2 log(1/2 / 3/8) = 3/2 log 2 - 3/4 log 3
TINY_I = 1.5 * math.log(2) - 0.75 * math.log(3)


def test_mutual_informations_of_four_rows():
    expected = torch.tensor([[math.log(2)], [TINY_I]], dtype=torch.float64)
    torch.testing.assert_close(d.mutual_informations(TINY_Z, TINY_V), expected, rtol=0, atol=1e-15)


def test_binned_informations_are_those_of_numpys_bins_and_scikit_learns_counts():
    z, v = noise(500, 2).numpy(), design(1)[:300].repeat(2, 1)[:500]
    for k in range(2):
        cut = np.digitize(z[:, k], np.histogram(z[:, k], 20)[1][:-1])
        for f in range(4):
            if len(v[:, f].unique()) > 1:
                found = d.mutual_informations(torch.from_numpy(z[:, k : k + 1]), v[:, f : f + 1]).item()
                assert found == pytest.approx(mutual_info_score(cut, v[:, f]), abs=1e-12)


def test_mig_of_four_rows():
    """(log 2 - I(z_1; v)) / H(v), H = log 2."""
    assert d.mig(TINY_Z, TINY_V) == pytest.approx((math.log(2) - TINY_I) / math.log(2), abs=1e-15)


def test_sap_of_four_rows():
    """Ordered: correlation 1, and of z_1 cov = 1/8, var(z_1) = 3/16, var(v) = 1/4, squared 1/3. By thresholds: 1, and of z_1,
    cut between its two values, 1/2 of the zeros and all of the ones, 3/4 balanced."""
    assert d.sap(TINY_Z, TINY_V, ordered=[True]) == pytest.approx(1 - 1 / 3, abs=1e-12)
    assert d.sap(TINY_Z, TINY_V) == pytest.approx(1 - 3 / 4, abs=1e-12)


def test_modularity_of_four_rows():
    """Factors v and w = (0, 0, 0, 1): I(z_0; w) is TINY_I by symmetry; p(z_1, w) = (0, 0) 1/4, (1, 0) 1/2, (1, 1) 1/4."""
    factors = torch.cat([TINY_V, torch.tensor([[0], [0], [0], [1]])], 1)
    z_1 = 0.25 * math.log(4 / 3) + 0.5 * math.log(0.5 / (9 / 16)) + 0.25 * math.log(4 / 3)
    expected = (1 - TINY_I**2 / math.log(2) ** 2 + 1 - z_1**2 / TINY_I**2) / 2
    assert d.modularity(TINY_Z, factors) == pytest.approx(expected, abs=1e-14)


def test_disentanglement_and_completeness_of_four_importances():
    """R = [[.9, .1], [.3, .7]], entropies in bits: rows H(.9, .1) = .46900 and H(.3, .7) = .88129, of weight 1/2 each; columns
    H(3/4, 1/4) = .81128 of weight .6 and H(1/8, 7/8) = .54356 of weight .4."""
    found = d.dci_scores(np.array([[0.9, 0.1], [0.3, 0.7]]))
    assert found == pytest.approx((1 - (0.4689956 + 0.8812909) / 2, 1 - (0.6 * 0.8112781 + 0.4 * 0.5435644)), abs=1e-6)


def test_dci_of_rows_that_one_cut_sorts():
    """Every tree cuts z_0, and z_1 is constant: all importance is z_0's."""
    z = torch.cat([TINY_Z[:, :1], torch.ones(4, 1)], 1).repeat(10, 1)
    found = d.dci(z, TINY_V.repeat(10, 1))
    assert (found.disentanglement, found.completeness, found.informativeness) == (1, 1, 1)
    assert found.importance.tolist() == [[1.0], [0.0]]


def test_votes_of_two_factors_that_are_the_two_dimensions_and_of_one_that_no_dimension_shows():
    """Holding v_0 stills z_0 and holding v_1 stills z_1: always right. Where z shows only v_0, holding v_1 leaves z_0 the only
    dimension to vote for, z_0 is given to one of the two, and half of the votes are right."""
    v = torch.cartesian_prod(torch.arange(2), torch.arange(2)).repeat(20, 1)
    assert d.factor_vae_score(v.double(), v) == 1
    half = d.factor_vae_score(v[:, :1].double(), v)
    assert half == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(d.VOTES))
    assert d.beta_vae_score(v.double(), v) == 1
    # z_0 alone tells them apart for a threshold: |z_a - z_b| is 0 where v_0 is shared, and about 1/2 where it is not
    assert d.beta_vae_score(v[:, :1].double(), v) == 1


def test_information_of_a_normal_q_is_that_of_a_mixture_of_two():
    """q = N(+-m, 1) by the level: I = log 2 - E_z~N(m, 1) log(1 + exp(-2 m z)), by the trapezium rule on a fine grid."""
    m, n = 1.2, 2000
    v = torch.arange(n)[:, None] % 2
    z = m * (2 * v.double() - 1)
    grid = torch.linspace(m - 12, m + 12, 100_001, dtype=torch.float64)
    weight = torch.exp(-0.5 * (grid - m) ** 2) / math.sqrt(2 * math.pi)
    expected = math.log(2) - torch.trapezoid(weight * torch.log1p(torch.exp(-2 * m * grid)), grid).item()
    found = d.mutual_informations(z, v, scales=torch.ones_like(z)).item()
    # the spread of one draw's log ratio is below 1 nat: four standard errors
    assert found == pytest.approx(expected, abs=4 / math.sqrt(n))
    assert d.mutual_informations(z, v).item() == pytest.approx(math.log(2), abs=1e-12)  # the means alone tell all


# --- laws --------------------------------------------------------------------------------------------------


@each_score
def test_the_order_of_rows_dimensions_and_factors_does_not_matter(score):
    v = design(1)
    z = rotated(perfect(v)) + 0.1 * noise(len(v))
    rows = torch.randperm(len(v), generator=torch.Generator().manual_seed(1))
    first = score(z, v)
    assert score(z[rows], v[rows]) == pytest.approx(first, abs=1e-12)
    assert score(z[:, [3, 0, 2, 1]], v) == pytest.approx(first, abs=1e-12)
    assert score(z, v[:, [1, 3, 0, 2]]) == pytest.approx(first, abs=1e-12)
    assert 0 <= first <= 1


def test_importances_and_informations_follow_their_dimensions_and_factors():
    v = design(1)
    z = rotated(perfect(v)) + 0.1 * noise(len(v))
    for table in (
        lambda z, v: d.dci(z, v, trees=3).importance,
        lambda z, v: d.mutual_informations(z, v, scales=z * 0 + 1),
    ):
        torch.testing.assert_close(
            table(z[:, [3, 0, 2, 1]], v[:, [1, 3, 0, 2]]), table(z, v)[[3, 0, 2, 1]][:, [1, 3, 0, 2]]
        )


@pytest.mark.parametrize("name", [name for name in SCORES if name != "sap"])
def test_perfect_codes_score_one(name):
    v = design(1)
    assert SCORES[name](perfect(v), v) == pytest.approx(1, abs=1e-9)


def test_perfect_codes_reach_the_ceiling_of_sap():
    """Ordered factors 1; a factor of L levels 1 - 1/L, for a dimension that knows nothing has a balanced accuracy of 1/L."""
    v = design(1)
    assert d.sap(perfect(v), v, ordered=[True] * 4) == pytest.approx(1, abs=1e-12)
    ceiling = sum(1 - 1 / n for n in LEVELS) / 4
    assert d.sap(perfect(v), v) == pytest.approx(ceiling, abs=1e-12)


def test_noise_scores_nothing_or_chance():
    """Bounds are four standard errors of what chance does with 1,800 rows or 2,500 votes; modularity has no such law."""
    v = design()
    z = noise(len(v))
    assert d.mig(z, v) < 0.01
    assert d.sap(z, v, ordered=ORDERED) < 0.02
    found = d.dci(z, v, trees=10)
    assert max(found.disentanglement, found.completeness) < 0.01
    chance, error = sum(1 / n for n in LEVELS) / 4, math.sqrt(0.25 * 0.75 / len(v) / 4)
    assert abs(found.informativeness - chance) < 4 * error
    assert abs(d.factor_vae_score(z, v) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / d.VOTES)
    assert abs(d.beta_vae_score(z, v) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / d.VOTES)


@each_score
def test_a_rotation_takes_the_factors_off_the_axes(score):
    v = design(1)
    assert score(rotated(perfect(v)), v) < 0.8 * score(perfect(v), v)


@each_score
def test_collapsed_codes_score_nothing_or_chance(score):
    v = design(1)
    found = score(torch.ones(len(v), 3, dtype=torch.float64), v)
    assert found == pytest.approx(0, abs=1e-9) or found == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 200))


def test_votes_compare_variances_in_the_units_of_each_dimension():
    v = design(1)
    z = (perfect(v) - perfect(v).mean(0)) / perfect(v).std(0) + 0.1 * noise(len(v))
    for scales in ([1, 1, 1, 1], [1, 100, 1, 1], [1, 1, 0.2, 30]):
        assert d.factor_vae_score(z * torch.tensor(scales), v) > 0.99


def test_votes_are_those_of_the_metric_written_out_row_by_row():
    """As in the paper, one vote after the other with rows of its own; four standard errors of 1,000 votes."""
    v = design(1)
    z = rotated(perfect(v)) + 0.1 * noise(len(v))
    codes, factors, random = z.numpy(), v.numpy(), np.random.RandomState(7)

    def vote() -> tuple[int, int]:
        f = random.randint(4)
        rows = random.choice(np.flatnonzero(factors[:, f] == factors[random.randint(len(v)), f]), 64)
        return f, int((codes[rows].var(0) / codes.var(0)).argmin())

    counted = np.zeros((4, 4))
    for _ in range(1000):
        counted[vote()] += 1
    right = np.mean([counted.argmax(0)[still] == f for f, still in (vote() for _ in range(1000))])
    error = math.sqrt(right * (1 - right) * (1 / 1000 + 1 / d.VOTES))
    assert d.factor_vae_score(z, v) == pytest.approx(right, abs=4 * error)


def test_a_dimension_that_hardly_varies_has_no_vote_unless_asked():
    v = design(1)
    z = torch.cat([perfect(v)[:, :3], 1e-4 * perfect(v)[:, 3:]], 1)
    assert d.factor_vae_score(z, v) < 0.9
    assert d.factor_vae_score(z, v, alive=0.0) == 1


def test_noise_of_q_hides_what_its_means_would_tell():
    """A collapsed dimension: its means repeat a factor in a whisper, its q is the prior."""
    v = design(1)
    z = torch.cat([perfect(v), 1e-3 * perfect(v)], 1)
    scales = torch.cat([torch.full((len(v), 4), 0.02), torch.ones(len(v), 4)], 1)
    assert d.mig(z, v) == 0
    assert d.mig(z, v, scales=scales) == pytest.approx(1, abs=1e-3)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    z = noise(1000, 1)
    v = torch.arange(1000)[:, None] % 2
    found = d.jackknife(lambda z, v: z.mean().item(), z, v, groups=100)
    sizes = z[z[:, 0].argsort()].view(10, 100).mean(0)  # every hundredth row of the sorted ones
    assert found == pytest.approx(sizes.std().item() / 10, rel=1e-9)
    assert math.isnan(d.jackknife(lambda z, v: 0.0, z[:50], v[:50]))


@pytest.mark.parametrize(
    ("codes", "factors", "words"),
    [
        (torch.zeros(3, 2), torch.zeros(4, 1).long(), "same N"),
        (torch.full((4, 1), math.nan), TINY_V, "not finite"),
        (TINY_Z, torch.zeros(4, 1).long(), "one level"),
        (TINY_Z, TINY_V.double(), "levels"),
    ],
)
def test_tables_that_do_not_fit_are_refused(codes, factors, words):
    with pytest.raises(UserError, match=words):
        d.mig(codes, factors)


def test_wrong_scales_and_orders_are_refused():
    with pytest.raises(UserError, match="positive"):
        d.mig(TINY_Z, TINY_V, scales=torch.zeros(4, 2))
    with pytest.raises(UserError, match="ordered"):
        d.sap(TINY_Z, TINY_V, ordered=[True, False])
