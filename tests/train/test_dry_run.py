"""The dry run: a misfit is a sentence, said before the first step; nothing is moved by it."""

import pytest
import torch
from torch import Tensor, nn

from logpx import likelihoods, objectives, posteriors, priors, recipes
from logpx.data import Data, Spec, from_array
from logpx.errors import UserError
from logpx.model import VAE
from logpx.networks import MLP
from logpx.train import Method, fit, sweep
from logpx.train.dry_run import dry_run


def real(n: int = 20, P: int = 4) -> Data:
    return from_array(torch.randn(n, P))


def by_hand(*, encoder: nn.Module | None = None, decoder: nn.Module | None = None, **parts: nn.Module) -> Method:
    model = VAE(
        encoder=encoder or MLP((4,), (8,), (4,)),
        posterior=parts.get("posterior", posteriors.DiagNormal(2)),
        prior=priors.StandardNormal(2),
        decoder=decoder or MLP((2,), (8,), (1, 4)),
        likelihood=parts.get("likelihood", likelihoods.Gaussian((4,))),
    )
    return Method(model, objectives.ELBO())


def test_parts_that_fit() -> None:
    assert dry_run(by_hand(), real()) == "closed form"


@pytest.mark.parametrize(
    ("method", "match"),
    [
        (lambda: by_hand(encoder=MLP((5,), (8,), (4,))), r"encoder does not take data of shape \(4,\)"),
        (lambda: by_hand(encoder=MLP((4,), (8,), (3,))), r"encoder emits \(3,\) per point; DiagNormal needs \(4,\)"),
        (lambda: by_hand(decoder=MLP((3,), (8,), (1, 4))), r"decoder does not take latents of shape \(2,\)"),
        (lambda: by_hand(decoder=MLP((2,), (8,), (1, 5))), r"decoder emits \(1, 5\) per latent; Gaussian"),
        (lambda: by_hand(likelihood=likelihoods.Gaussian((4,), "pixel")), r"needs \(2, 4\)"),
    ],
)
def test_parts_that_do_not_fit(method, match: str) -> None:
    with pytest.raises(UserError, match=match):
        dry_run(method(), real())


def test_densities_on_different_spaces_are_refused() -> None:
    """A law on the sphere under a normal prior of as many numbers would train: its loss would be no number of nats."""
    q = posteriors.VonMisesFisher(1)
    method = by_hand(posterior=q, encoder=MLP((4,), (8,), (q.size,)))
    with pytest.raises(UserError, match="give posterior and prior the same space"):
        dry_run(method, real())


def test_channels_that_would_broadcast_are_refused() -> None:
    """A one-channel decoder on three-channel data would broadcast and train."""
    data = from_array(torch.rand(20, 3, 4, 4))
    encoder, decoder = MLP((3, 4, 4), (8,), (4,)), MLP((2,), (8,), (1, 1, 4, 4))
    with pytest.raises(UserError, match="decoder emits"):
        dry_run(by_hand(encoder=encoder, decoder=decoder, likelihood=likelihoods.Grey((3, 4, 4))), data)


@pytest.mark.parametrize("place", ["first", "last", "held_out", "test"])
def test_values_outside_the_support_are_found_in_every_split(place: str) -> None:
    x = torch.rand(60, 4).round()
    data = from_array(x, kind="real")
    split = getattr(data, "train" if place in ("first", "last") else place)
    split.rows[-1 if place == "last" else 0, 2] = 0.5
    method = by_hand(likelihood=likelihoods.Bernoulli((4,)))
    with pytest.raises(UserError, match="gives no probability"):
        dry_run(method, data)


def test_a_column_of_nan_is_refused() -> None:
    with pytest.raises(UserError, match="holds no value at all"):
        fit(by_hand(), torch.full((10, 4), float("nan")), epochs=1, show=False)


def test_a_loss_that_is_not_finite_from_the_start() -> None:
    method = by_hand()
    with torch.no_grad():
        next(method.model.decoder.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="before the first step"):
        dry_run(method, real())


def test_it_moves_nothing() -> None:
    method, data = recipes.vae(Spec((4,), "real"), latent=2, hidden=(8,)), real()
    weights = {k: v.clone() for k, v in method.model.state_dict().items()}
    random = torch.get_rng_state()
    dry_run(method, data)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(v, weights[k]) for k, v in method.model.state_dict().items())
    assert all(p.grad is None for p in method.model.parameters())
    assert method.model.training


def test_it_says_where_one_sample_stands_in() -> None:
    class HeavyTails(nn.Module):
        def forward(self, context: Tensor | None = None) -> torch.distributions.Distribution:
            return torch.distributions.Independent(torch.distributions.StudentT(torch.full((2,), 3.0)), 1)

    method = by_hand()
    method.model.prior = HeavyTails()
    assert dry_run(method, real()) == "one sample"


def test_a_data_set_of_one_training_row() -> None:
    data = from_array(torch.randn(3, 4), held_out=1, test=1)
    assert len(data.train) == 1
    assert dry_run(by_hand(), data) == "closed form"


# --- what a user's own modules do --------------------------------------------------------------------------------------


class Raises(nn.Linear):
    error: Exception = KeyError("inside")

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("inside"), "KeyError: 'inside'."),
        (RuntimeError(), "RuntimeError."),
        (RuntimeError("one\ntwo"), ": one."),
        (UserError("Mine."), "Mine."),
    ],
)
def test_whatever_a_network_raises_is_one_sentence(error: Exception, said: str) -> None:
    encoder, decoder = Raises(4, 4), Raises(2, 4)
    encoder.error = decoder.error = error
    for method in (by_hand(encoder=encoder), recipes.vae(real(), latent=2, network=(nn.Linear(4, 4), decoder))):
        with pytest.raises(UserError) as found:
            dry_run(method, real())
        assert str(found.value).endswith(said)
        assert isinstance(error, UserError) or "does not take" in str(found.value)


def normalised(between: nn.Module | None = None) -> Method:
    encoder = nn.Sequential(nn.Linear(4, 4), between or nn.BatchNorm1d(4))
    return recipes.vae(real(), latent=2, network=(encoder, nn.Linear(2, 4)))


@pytest.mark.parametrize(("size", "better"), [(53, 54), (1, 2), (3, 4)])
def test_batch_normalisation_of_a_last_batch_of_one_row(size: int, better: int) -> None:
    data = from_array(torch.randn(160, 4), held_out=0, test=0)
    told = f"With batch_size={size} the last batch of 160 rows is a single one.*: take batch_size={better}"
    with pytest.raises(UserError, match=told):
        fit(normalised(), data, epochs=1, batch_size=size, show=False)
    with pytest.raises(UserError, match=told):
        sweep([normalised(), normalised()], data, epochs=1, batch_size=size, show=False)
    fit(normalised(), data, epochs=1, batch_size=better, show=False)
    fit(normalised(nn.LayerNorm(4)), data, epochs=1, batch_size=53, show=False)


def test_batch_normalisation_of_one_row_and_of_the_pixels_of_one_picture() -> None:
    with pytest.raises(UserError, match="needs two rows, and one is there to train on"):
        dry_run(normalised(), from_array(torch.randn(3, 4), held_out=1, test=1))
    pictures = nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.BatchNorm2d(1), nn.Flatten())
    method, data = normalised(pictures), from_array(torch.randn(129, 4), held_out=0, test=0)
    before = {name: value.clone() for name, value in method.model.state_dict().items()}
    dry_run(method, data)
    assert all(torch.equal(value, before[name]) for name, value in method.model.state_dict().items())
    fit(method, data, epochs=1, show=False)
