"""What is known in closed form about codes: denoising, sparsity, contraction, and what a density of them cannot give."""

import math

import pytest
import torch
from torch import nn

from logpx import likelihoods, posteriors, priors
from logpx.data import Column, from_array
from logpx.errors import UserError
from logpx.evaluate import at_rest
from logpx.model import VAE, Batch
from logpx.networks import MLP, Corrupted, GaussianNoise, LevelFeatures, Seeing, TableFeatures
from logpx.objectives import ELBO, IWAE, L1, Contraction, KLRho, Reconstruction
from logpx.objectives.codes import jacobian_norm, kl_rho
from logpx.train import Method, dry_run

COUNTS = [Column(f"c{j}", "integer", None, 4.0, 2.0) for j in range(4)]


class Same(nn.Module):
    """(..., P) -> (..., 1, P): a decoder that hands the code on."""

    def forward(self, z):
        return z.unsqueeze(-2)


def plain(encoder, dim, P, prior=None, decoder=None):
    return VAE(
        encoder=encoder,
        posterior=posteriors.Deterministic(dim),
        prior=prior,
        decoder=decoder or MLP((dim,), (), (1, P)),
        likelihood=likelihoods.Gaussian((P,), sigma=1.0),
    ).double()


def given(z):
    """A model whose code is z, (B, D), whatever x."""
    return plain(nn.Identity(), z.shape[1], z.shape[1], decoder=Same()).draw(Batch(z))


# --- reconstruction ---------------------------------------------------------------------------------------------------


def test_the_reconstruction_is_minus_log_p_of_x_given_the_code_with_its_constant():
    model, x = plain(MLP((4,), (), (2,)), 2, 4), torch.randn(9, 4).double()
    step = Reconstruction()(model, Batch(x))
    m = model.decoder(model.encoder(x)).squeeze(-2)
    expected = ((x - m).square().sum(1) / 2 + 2 * math.log(2 * math.pi)).mean()
    assert step.loss.item() == pytest.approx(expected.item(), abs=1e-12)
    assert step.terms.keys() == {"loss", "reconstruction"}
    assert model.how_kl() == "none"


@pytest.mark.parametrize("objective", [ELBO(), IWAE(3)])
@pytest.mark.parametrize("prior", [None, priors.StandardNormal(2)])
def test_a_bound_on_a_deterministic_code_is_one_sentence_before_training(objective, prior):
    data = from_array(torch.randn(40, 4).numpy())
    method = Method(plain(MLP((4,), (), (2,)), 2, 4, prior).float(), objective)
    with pytest.raises(UserError) as error:
        dry_run.dry_run(method, data)
    assert str(error.value).count(". ") == 0
    assert "no density" in str(error.value) or "no prior" in str(error.value)


# --- denoising --------------------------------------------------------------------------------------------------------


class Numbers(nn.Module):
    """An encoder that is a table over the line: piecewise constant, so the optimum in each cell can be read off."""

    def __init__(self, low, high, cells):
        super().__init__()
        self.low, self.width, self.cells = low, (high - low) / cells, cells
        self.table = nn.Parameter(torch.zeros(cells, dtype=torch.float64))

    def forward(self, x):
        return self.table[((x - self.low) / self.width).long().clamp(0, self.cells - 1)]


def denoised(x, s, cells=40, low=-3.0, high=3.0):
    """The minimiser of the loss over all tables, and where each cell's noisy points lie on average."""
    table = Numbers(low, high, cells)
    model = plain(Corrupted(table, GaussianNoise(s)), 1, 1, decoder=Same()).train()
    optimizer = torch.optim.SGD(model.encoder.parameters(), 0.0)
    noisy = []
    model.encoder.noise.register_forward_hook(lambda module, seen, out: noisy.append(out.detach()))
    loss = Reconstruction()(model, Batch(x)).loss  # quadratic in each entry: one Newton step is the optimum
    optimizer.zero_grad()
    loss.backward()
    cell = ((noisy[0] - low) / table.width).long().clamp(0, cells - 1).flatten()
    count = torch.bincount(cell, minlength=cells).double()
    best = -table.table.grad * len(x) / count
    return best, noisy[0].flatten(), cell, count


def test_the_best_denoiser_of_two_deltas_is_tanh():
    """x = +-1, x' = x + s eps: E[x|x'] = tanh(x'/s^2), averaged over each cell's own noisy points."""
    s, n = 0.8, 400_000
    x = torch.randint(2, (n, 1)).double() * 2 - 1
    best, noisy, cell, count = denoised(x, s)
    truth = torch.zeros_like(best).index_add(0, cell, torch.tanh(noisy / s**2)) / count
    kept = count > 200
    error = ((1 - truth.square()) / count).clamp_min(1e-12).sqrt()  # the spread of x = +-1 about its mean
    assert kept.sum() > 30
    assert ((best - truth).abs() <= 4.5 * error + 1e-6)[kept].all()  # 4.5: forty cells are looked at
    without = torch.zeros_like(best).index_add(0, cell, noisy.tanh()) / count
    assert (best - without)[kept].abs().max() > 0.05  # tanh(x') would have been seen


def test_the_best_linear_denoiser_of_a_normal_has_its_slope():
    """x ~ N(0, tau^2): r(x') = tau^2/(tau^2 + s^2) x', which is x' + s^2 times the score of x' (Tweedie)."""
    tau, s, n = 1.5, 0.9, 200_000
    x = tau * torch.randn(n, 1).double()
    linear = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(linear.weight)
    model = plain(Corrupted(linear, GaussianNoise(s)), 1, 1, decoder=Same()).train()
    Reconstruction()(model, Batch(x)).loss.backward()  # at W = 0: minus E x x', and E x'^2 is known
    slope = -linear.weight.grad.item() / (tau**2 + s**2)
    spread = tau * math.sqrt(2 * tau**2 + s**2) / math.sqrt(n) / (tau**2 + s**2)  # of the mean of x x'
    assert slope == pytest.approx(tau**2 / (tau**2 + s**2), abs=4 * spread)


class Cross(nn.Module):
    """Noise s eps whose 2 P values +- sqrt(P) e_j have mean 0 and covariance I exactly, one for each copy of x."""

    def __init__(self, s, P):
        super().__init__()
        eye = math.sqrt(P) * torch.eye(P, dtype=torch.float64)
        self.s, self.eps = s, torch.cat([eye, -eye])

    def forward(self, x):
        return x + self.s * self.eps.repeat_interleave(len(x) // len(self.eps), 0)


def linear_denoiser(S, s):
    """G(W), the gradient of the loss at a linear denoiser W of rows whose covariance is exactly S."""
    P = len(S)
    x = math.sqrt(P) * torch.linalg.cholesky(S).T  # P rows with x^T x / P = S
    x = torch.cat([x, -x]).repeat(2 * P, 1)
    layer = nn.Linear(P, P, bias=False).double()
    model = plain(Corrupted(layer, Cross(s, P)), P, P, decoder=Same()).train()

    def gradient(W):
        layer.weight.data.copy_(W)
        return torch.autograd.grad(Reconstruction()(model, Batch(x)).loss, layer.weight)[0]

    return gradient


def test_the_best_linear_denoiser_is_s_over_s_plus_noise_and_moves_along_the_score():
    """W = S (S + s^2 I)^-1, and W x' - x' = s^2 grad log N(x'; 0, S + s^2 I) (Tweedie)."""
    P, s = 4, 0.7
    A = torch.randn(P, P).double()
    S, one = A @ A.T + 0.1 * torch.eye(P).double(), torch.eye(P).double()
    G = linear_denoiser(S, s)
    at_0 = G(torch.zeros(P, P).double())
    best = torch.linalg.solve(G(one) - at_0, -at_0, left=False)  # G is affine: W A - B
    torch.testing.assert_close(best, S @ torch.linalg.inv(S + s**2 * one), rtol=1e-10, atol=1e-12)
    noisy = torch.randn(5, P).double().requires_grad_()
    law = torch.distributions.MultivariateNormal(torch.zeros(P).double(), S + s**2 * one)
    (score,) = torch.autograd.grad(law.log_prob(noisy).sum(), noisy)
    torch.testing.assert_close(noisy @ best.T - noisy, s**2 * score, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("s", [1.0, 1e-2, 1e-4])
def test_without_noise_the_best_denoiser_is_the_identity(s):
    """Half the squared error has the gradient W (S + s^2 I) - S: s^2 I at the identity."""
    A = torch.randn(3, 3).double()
    S, one = A @ A.T + torch.eye(3).double(), torch.eye(3).double()
    torch.testing.assert_close(linear_denoiser(S, s)(one), s**2 * one, rtol=1e-9, atol=1e-13)


def test_the_target_is_clean_and_the_evaluation_without_noise():
    x = torch.randn(20, 3).double()
    model = plain(Corrupted(nn.Identity(), GaussianNoise(2.0)), 3, 3, decoder=Same()).train()
    constant = 1.5 * math.log(2 * math.pi)
    assert Reconstruction()(model, Batch(x)).loss.item() > constant + 1  # the noise itself is what is missed
    with at_rest(nn.ModuleList([model, nn.Linear(1, 1)])):
        assert Reconstruction()(model, Batch(x)).loss.item() == pytest.approx(constant, abs=1e-12)


# --- sparsity ---------------------------------------------------------------------------------------------------------


def test_kl_rho_is_zero_with_zero_gradient_at_rho():
    p = torch.full((5,), 0.05, dtype=torch.float64, requires_grad=True)
    value = kl_rho(0.05, p)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-15)
    assert p.grad.abs().max() < 1e-14


def test_the_derivative_of_kl_rho():
    p = torch.tensor([0.01, 0.2, 0.9], dtype=torch.float64, requires_grad=True)
    kl_rho(0.3, p).backward()
    torch.testing.assert_close(p.grad, (0.7 / (1 - p) - 0.3 / p).detach(), rtol=1e-13, atol=0)


def test_kl_rho_is_that_of_bernoulli_laws_over_the_batch_mean():
    z = torch.rand(50, 4).double()
    q, p = (torch.distributions.Bernoulli(v) for v in (torch.full((4,), 0.1, dtype=torch.float64), z.mean(0)))
    expected = torch.distributions.kl_divergence(q, p).sum().item()
    assert KLRho(0.1).value(given(z))[0].item() == pytest.approx(expected, rel=1e-12)
    per_row = torch.distributions.kl_divergence(
        torch.distributions.Bernoulli(torch.full_like(z, 0.1)), torch.distributions.Bernoulli(z)
    )
    assert abs(per_row.sum(1).mean().item() - expected) > 0.1  # the mean of the KLs is something else


@pytest.mark.parametrize("stuck", [0.0, 1.0])
def test_a_unit_that_is_always_off_or_on_costs_much_and_not_infinitely(stuck):
    value = kl_rho(0.05, torch.tensor([stuck], dtype=torch.float64))
    assert value.isfinite()
    assert value > 0.4


@pytest.mark.parametrize("rho", [0.0, 1.0, -0.1])
def test_rho_lies_between_0_and_1(rho):
    with pytest.raises(UserError, match="between 0 and 1"):
        KLRho(rho)


def test_l1_with_an_orthonormal_decoder_is_soft_thresholding():
    """min_z |x - W z|^2 / 2 + lam |z|_1 at W^T W = I: z = sign(W^T x) max(|W^T x| - lam, 0). (Twice the loss has lam/2.)"""
    lam = 0.75
    W = torch.linalg.qr(torch.randn(6, 6).double())[0][:, :4]
    x = torch.randn(30, 6).double() * 2
    codes = nn.Parameter(torch.zeros(30, 4).double())

    class Free(nn.Module):
        def __init__(self):
            super().__init__()
            self.z = codes

        def forward(self, x):
            return self.z

    class Atoms(nn.Module):
        def forward(self, z):
            return (z @ W.T).unsqueeze(-2)

    model = plain(Free(), 4, 6, decoder=Atoms())
    objective = Reconstruction() + lam * L1()
    found = x @ W
    soft = found.sign() * (found.abs() - lam).clamp_min(0)
    codes.data.copy_(soft)
    (g,) = torch.autograd.grad(objective(model, Batch(x)).loss * 30, [codes])
    on = soft != 0
    assert on.any()
    assert not on.all()
    assert g[on].abs().max() < 1e-12  # stationary where it is on
    smooth = soft - found  # the gradient of the quadratic part where z = 0
    assert (smooth[~on].abs() <= lam + 1e-12).all()  # and no subgradient there points downhill
    best = objective(model, Batch(x)).loss.item()
    for _ in range(20):
        codes.data.copy_(soft + 0.05 * torch.randn_like(soft))
        assert objective(model, Batch(x)).loss.item() > best


# --- contraction ------------------------------------------------------------------------------------------------------


def by_autograd(model, x):
    J = torch.autograd.functional.jacobian(lambda row: model.encode(Batch(row[None])).mean[0], x)
    return J.square().sum()


@pytest.mark.parametrize("hidden", [(), (7,), (7, 5)], ids=str)
def test_the_contraction_is_autograds_jacobian(hidden):
    model, x = plain(MLP((4,), hidden, (3,), activation=nn.Tanh), 3, 4), torch.randn(6, 4).double()
    expected = torch.stack([by_autograd(model, row) for row in x])
    torch.testing.assert_close(jacobian_norm(model, model.draw(Batch(x))), expected, rtol=1e-12, atol=1e-14)
    assert Contraction()(model, Batch(x)).loss.item() == pytest.approx(expected.mean().item(), rel=1e-12)


def test_the_contraction_of_one_sigmoid_layer_is_the_papers_formula():
    """sum_j (h_j (1 - h_j))^2 |W_j|^2 (Rifai et al. 2011, eq. 7)."""
    layer = nn.Linear(4, 3).double()
    model, x = plain(nn.Sequential(layer, nn.Sigmoid()), 3, 4), torch.randn(6, 4).double()
    h = torch.sigmoid(layer(x))
    expected = ((h * (1 - h)).square() @ layer.weight.square().sum(1)).mean()
    loss = Contraction()(model, Batch(x)).loss
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    ours, theirs = (torch.autograd.grad(v, layer.weight, retain_graph=True)[0] for v in (loss, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)


def test_the_contraction_is_there_without_gradients_and_takes_a_context():
    model = plain(MLP((4,), (7,), (3,), context=2), 3, 4, decoder=MLP((3,), (), (1, 4), context=2))
    batch = Batch(torch.randn(6, 4).double(), torch.randn(6, 2).double())
    with_tape = Contraction()(model, batch).loss.item()
    with at_rest(model):
        assert Contraction()(model, batch).loss.item() == pytest.approx(with_tape, rel=1e-13)


def test_a_normal_posterior_is_contracted_in_its_mean():
    encoder = MLP((4,), (5,), (6,))
    model = VAE(
        encoder=encoder,
        posterior=posteriors.DiagNormal(3),
        prior=priors.StandardNormal(3),
        decoder=MLP((3,), (), (1, 4)),
        likelihood=likelihoods.Gaussian((4,), sigma=1.0),
    ).double()
    x = torch.randn(5, 4).double()
    expected = torch.stack([by_autograd(model, row) for row in x]).mean().item()
    assert Contraction()(model, Batch(x)).loss.item() == pytest.approx(expected, rel=1e-12)


def test_only_what_was_observed_is_contracted():
    """An encoder that is shown 0 in a hole has a derivative there, by a number that nobody knows."""
    model, x = plain(MLP((4,), (7,), (3,), activation=nn.Tanh), 3, 4), torch.randn(6, 4).double()
    observed = torch.rand(6, 4) < 0.6
    batch = Batch(x.where(observed, 0), None, observed)
    J = torch.stack([torch.autograd.functional.jacobian(lambda r: model.encoder(r[None])[0], row) for row in batch.x])
    expected = (J.square() * observed[:, None]).sum((1, 2))
    torch.testing.assert_close(jacobian_norm(model, model.draw(batch)), expected, rtol=1e-12, atol=1e-14)
    assert (expected < J.square().sum((1, 2)) - 1e-6).any()


@pytest.mark.parametrize("features", [LevelFeatures((4,), None), LevelFeatures((4,), 9), TableFeatures(COUNTS)])
def test_holes_in_counts_leave_the_contraction_its_gradient(features):
    """The gradient of a gradient of log(1 + nan) is nan, times 0 too."""
    encoder = Seeing(features, MLP((4,), (5,), (3,), activation=nn.Tanh))
    x = torch.randint(9, (6, 4)).double()
    x[:, 2] = torch.nan
    loss = Contraction()(plain(encoder, 3, 4), Batch.of(x)).loss
    weight, bias, last = list(encoder.parameters())[:3]
    found = torch.autograd.grad(loss, [weight, bias, last])
    assert all(g.isfinite().all() and g.abs().sum() > 0 for g in found)


def test_shares_of_time_need_codes_between_0_and_1():
    """Said before training: of a normal posterior, whose codes are any numbers, and of a code that leaves (0, 1)."""
    data = from_array(torch.randn(40, 4).numpy())
    normal = VAE(
        encoder=MLP((4,), (), (4,)),
        posterior=posteriors.DiagNormal(2),
        prior=priors.StandardNormal(2),
        decoder=MLP((2,), (), (1, 4)),
        likelihood=likelihoods.Gaussian((4,), sigma=1.0),
    )
    linear, sigmoid = (
        plain(nn.Sequential(MLP((4,), (), (2,)), last), 2, 4).float() for last in (nn.Identity(), nn.Sigmoid())
    )
    nn.init.constant_(linear.encoder[0].net[0].bias, 3.0)
    for model in (normal, linear):
        with pytest.raises(UserError, match="end the encoder in a sigmoid") as error:
            dry_run.dry_run(Method(model, Reconstruction() + KLRho()), data)
        assert str(error.value).count(". ") == 0
    dry_run.dry_run(Method(sigmoid, Reconstruction() + KLRho()), data)
