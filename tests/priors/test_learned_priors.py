"""Mixtures, the variational mixture of posteriors, flows, and a prior that is fitted last."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.mixture import GaussianMixture
from torch.distributions import Distribution, Independent, Normal

from logpx import likelihoods, posteriors, priors
from logpx.errors import UserError
from logpx.evaluate import evidence
from logpx.model import VAE, Batch
from logpx.networks import MLP
from logpx.objectives import ELBO


def vamp_model(shape=(5,), K=4, dim=2, **options):
    q = posteriors.DiagNormal(dim)
    encoder = MLP(shape, (8,), (q.size,))
    return VAE(
        encoder=encoder,
        posterior=q,
        prior=priors.Vamp(encoder, q, shape, K, **options),
        decoder=MLP((dim,), (8,), (1, *shape)),
        likelihood=likelihoods.Gaussian(shape),
    ).double()


# --- VampPrior --------------------------------------------------------------------------------------------------------


def test_with_the_row_itself_as_its_only_pseudo_input_the_kl_is_zero():
    model, x = vamp_model(K=1), torch.randn(1, 5).double()
    model.prior.u.data.copy_(x)
    kl = model.draw(Batch(x), 50).kl()
    assert kl.shape == (50, 1)
    torch.testing.assert_close(kl, torch.zeros_like(kl), rtol=0, atol=1e-12)
    other = model.draw(Batch(x + 1), 2000).kl(sampled=True).mean()
    assert other > 0


def test_with_all_rows_as_pseudo_inputs_it_is_the_aggregated_posterior():
    model, x, z = vamp_model(K=30), torch.randn(30, 5).double(), torch.randn(11, 2).double()
    model.prior.u.data.copy_(x)
    q = model.encode(Batch(x))
    brute = np.log(
        np.mean(
            [
                stats.norm.pdf(z.numpy(), m, s).prod(1)
                for m, s in zip(q.mean.detach().numpy(), q.stddev.detach().numpy(), strict=True)
            ],
            0,
        )
    )
    torch.testing.assert_close(model.prior().log_prob(z).detach(), torch.from_numpy(brute), rtol=1e-10, atol=1e-10)


def test_pseudo_inputs_and_the_shared_encoder_both_get_a_gradient_from_the_prior():
    model = vamp_model()
    (-model.prior().log_prob(torch.randn(3, 2).double()).sum()).backward()
    for name in ("prior.u", "encoder.net.0.weight", "encoder.net.2.weight"):
        assert model.get_parameter(name).grad.abs().sum() > 0, name


def test_the_encoder_is_kept_once():
    model = vamp_model()
    assert {k for k in model.state_dict() if k.startswith("prior.")} == {"prior.u", "prior.centre", "prior.scale"}
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert len(names) == len(set(names)) == len(list(model.parameters()))
    storages = [t.untyped_storage().data_ptr() for t in model.state_dict().values()]
    assert len(storages) == len(set(storages))


def test_a_deep_copy_shares_its_own_encoder():
    import copy

    model, z = vamp_model(), torch.randn(3, 2).double()
    other = copy.deepcopy(model)
    before = model.prior().log_prob(z)
    for p in other.encoder.parameters():
        p.data.zero_()
    assert torch.equal(model.prior().log_prob(z), before)
    assert not torch.allclose(other.prior().log_prob(z), before)


def test_pseudo_inputs_stay_within_the_range_of_pixels():
    prior = vamp_model(K=500, inside=(0.0, 1.0), centre=0.05, spread=0.01).prior
    assert prior.u.mean().item() == pytest.approx(0.05, abs=4 * 0.01 / 2500**0.5)
    assert prior.u.std().item() == pytest.approx(0.01, abs=4 * 0.01 / 5000**0.5)
    prior.u.data = torch.tensor([[-3.0, 0.2, 7.0, 0.0, 1.0]])
    assert prior.pseudo_inputs.tolist() == [[0.0, pytest.approx(0.2), 1.0, 0.0, 1.0]]


def test_pseudo_inputs_start_at_rows_each_as_often_as_the_other():
    prior, x = vamp_model(K=12).prior, torch.randn(4, 5).double() * 200 + 1000
    prior.start(x)
    spread = x.std(0, correction=0)
    apart = (prior.pseudo_inputs[:, None] - x).div(spread).abs().amax(2)  # (K, rows)
    assert apart.argmin(1).tolist() == [0, 1, 2, 3] * 3
    assert apart.amin(1).max() < 0.06  # six standard deviations of the noise
    assert apart.amin(1).min() > 0


def test_pseudo_inputs_of_pixels_start_inside_where_they_have_a_gradient():
    prior = vamp_model(K=30, inside=(0.0, 1.0)).prior
    prior.start(torch.rand(30, 5).double().round())
    assert ((prior.u >= 0) & (prior.u <= 1)).all()
    prior.pseudo_inputs.sum().backward()
    assert (prior.u.grad == 1).all()


def test_an_evaluation_leaves_the_mixture_as_it_was_trained():
    model, z = vamp_model(), torch.randn(7, 2).double()
    before, weights = model.prior().log_prob(z), {k: v.clone() for k, v in model.state_dict().items()}
    x = torch.randn(9, 5).double()
    alone, among = evidence(model, x[:1], samples=20), evidence(model, x, samples=20)
    torch.testing.assert_close(alone.per_point[0], among.per_point[0], rtol=1e-12, atol=0)  # it knows no test row
    assert torch.equal(model.prior().log_prob(z), before)
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())


def test_the_kl_to_it_is_said_to_be_by_one_sample():
    model, batch = vamp_model(), Batch(torch.randn(3, 5).double())
    ELBO()(model, batch)
    assert model.how_kl() == "one sample"


# --- mixtures ---------------------------------------------------------------------------------------------------------


def test_the_mixture_is_the_sum_of_its_parts():
    prior = priors.Mixture(2, 3).double()
    prior.logits.data, prior.log_variance.data = torch.randn(3).double(), torch.randn(3, 2).double()
    weight, sigma = prior.logits.softmax(0).detach().numpy(), (prior.log_variance / 2).exp().detach().numpy()
    z = torch.randn(9, 2).double()
    parts = [
        w * stats.norm.pdf(z.numpy(), m, s).prod(1) for w, m, s in zip(weight, prior.mu.detach(), sigma, strict=True)
    ]
    torch.testing.assert_close(
        prior().log_prob(z).detach(), torch.from_numpy(np.log(sum(parts))), rtol=1e-10, atol=1e-10
    )
    assert prior().sample((7,)).shape == (7, 2)


def test_one_standard_component_is_the_standard_normal():
    prior, z = priors.Mixture(3, 1).double(), torch.randn(9, 3).double()
    prior.mu.data.zero_()
    expected = priors.StandardNormal(3).double()().log_prob(z)
    torch.testing.assert_close(prior().log_prob(z).detach(), expected, rtol=1e-12, atol=1e-12)


def test_the_full_mixture_with_scikit_learns_numbers_gives_its_densities():
    z = np.random.default_rng(0).normal(size=(300, 3)) @ np.array([[1.0, 0.4, 0], [0, 1, 0.7], [0, 0, 0.2]])
    judge = GaussianMixture(2, random_state=0).fit(z)
    prior = priors.FullMixture(3, 2).double()
    prior.log_weights.copy_(torch.from_numpy(np.log(judge.weights_)))
    prior.mu.copy_(torch.from_numpy(judge.means_))
    prior.L.copy_(torch.linalg.cholesky(torch.from_numpy(judge.covariances_)))
    ours = prior().log_prob(torch.from_numpy(z))
    torch.testing.assert_close(ours, torch.from_numpy(judge.score_samples(z)), rtol=1e-9, atol=1e-9)
    assert not list(prior.parameters())


# --- flows ------------------------------------------------------------------------------------------------------------


def test_the_flow_prior_is_the_change_of_variables():
    prior = priors.Flow(3).double()
    prior.centre.copy_(torch.tensor([1.0, -2.0, 0.5]))
    prior.scale.copy_(torch.tensor([2.0, 0.5, 3.0]))
    p = prior()
    z = p.rsample((4,)).detach()

    def u(z):
        return p.go(z)[0]

    for row in z:
        J = torch.autograd.functional.jacobian(u, row)
        expected = Normal(0.0, 1.0).log_prob(u(row)).sum() + torch.linalg.slogdet(J).logabsdet
        assert p.log_prob(row).item() == pytest.approx(expected.item(), abs=1e-10)


def test_draws_of_the_flow_prior_come_back_to_the_base():
    p = priors.Flow(4).double()()
    torch.manual_seed(1)
    z = p.rsample((6,))
    torch.manual_seed(1)
    u = Independent(Normal(torch.zeros(4).double(), 1.0), 1).sample((6,))
    torch.testing.assert_close(p.go(z)[0], u, rtol=1e-9, atol=1e-9)


def test_importing_the_flow_library_leaves_the_checks_of_distributions_on():
    code = (
        "from torch.distributions import Distribution, Normal; from logpx import priors; before = Distribution._validate_args;"
        "import sys; assert 'zuko' not in sys.modules; priors.Flow(2); assert 'zuko' in sys.modules;"
        "assert Distribution._validate_args is before is True\n"
        "try: Normal(0.0, -1.0)\n"
        "except ValueError: print('checked')"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "checked"


@pytest.mark.parametrize("make", [lambda: priors.Flow(2), lambda: posteriors.Flow(2)], ids=["prior", "posterior"])
def test_without_the_library_the_user_is_told_what_to_install(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko", None)
    before = Distribution._validate_args
    with pytest.raises(UserError, match=r"pip install 'logpx\[flows\]'"):
        make()
    assert Distribution._validate_args is before


# --- fitted last ------------------------------------------------------------------------------------------------------


def test_before_the_fit_it_refuses_in_one_sentence_and_learns_nothing():
    prior = priors.Later(priors.Flow(2))
    for ask in (lambda p: p.sample((3,)), lambda p: p.log_prob(torch.zeros(2)), lambda p: p.rsample()):
        with pytest.raises(UserError, match="fitted when the training ends"):
            ask(prior())
    assert not any(p.requires_grad for p in prior.parameters())


def test_whether_it_is_fitted_is_kept_with_the_weights():
    fitted, fresh = priors.Later(priors.FullMixture(2, 3)), priors.Later(priors.FullMixture(2, 3))
    fitted.fitted = True
    fresh.load_state_dict(fitted.state_dict())
    assert fresh.fitted
    assert fresh().sample((4,)).shape == (4, 2)
    fresh.load_state_dict(priors.Later(priors.FullMixture(2, 3)).state_dict())
    assert not fresh.fitted
