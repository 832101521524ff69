"""What a method does before its first epoch: once in a fresh run, before anything is written, never on resuming."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from logpx import recipes
from logpx.data import Data, from_array
from logpx.errors import UserError
from logpx.model import VAE
from logpx.train import Method, fit

SETTINGS = {"batch_size": 16, "show": False}


def rows() -> Data:
    return from_array(torch.randn(40, 3, generator=torch.Generator().manual_seed(0)))


def counted(calls: list[int]) -> Method:
    def start(model: VAE, train: object) -> None:
        calls.append(1)
        next(model.encoder.parameters()).fill_(torch.randn(()).item())

    return replace(recipes.vae(rows(), latent=2, hidden=(4,)), start=start)


def test_it_runs_once_and_never_on_resuming(tmp_path: Path) -> None:
    calls: list[int] = []
    whole = fit(counted(calls), rows(), epochs=3, **SETTINGS)
    assert calls == [1]
    fit(counted(calls), rows(), epochs=1, out=tmp_path / "run", **SETTINGS)
    run = fit(counted(calls), rows(), epochs=3, out=tmp_path / "run", resume=True, **SETTINGS)
    assert calls == [1, 1]
    for key, weight in run.model.state_dict().items():
        assert torch.equal(weight, whole.model.state_dict()[key])


def test_what_it_refuses_is_refused_before_anything_is_written_or_replaced(tmp_path: Path) -> None:
    def refuse(model: VAE, train: object) -> None:
        raise UserError("No.")

    fit(counted([]), rows(), epochs=1, out=tmp_path / "run", **SETTINGS)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    refusing = replace(counted([]), start=refuse)
    for out, force in ((tmp_path / "run", True), (tmp_path / "new", False)):
        with pytest.raises(UserError, match="No"):
            fit(refusing, rows(), epochs=1, out=out, force=force, **SETTINGS)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_vampprior_resumes_to_the_same_bits(tmp_path: Path) -> None:
    def make() -> Method:
        return recipes.vamp_vae(rows(), pseudo_inputs=4, latent=2, hidden=(4,))

    whole = fit(make(), rows(), epochs=3, **SETTINGS)
    fit(make(), rows(), epochs=1, out=tmp_path / "run", **SETTINGS)
    run = fit(make(), rows(), epochs=3, out=tmp_path / "run", resume=True, **SETTINGS)
    again = recipes.load_run(tmp_path / "run")
    for key, weight in whole.model.state_dict().items():
        assert torch.equal(weight, run.model.state_dict()[key])
        assert torch.equal(weight, again.model.state_dict()[key])
