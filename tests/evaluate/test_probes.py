"""Probes: chance and certainty, errors against repetition, the closed form of least squares, and what cannot be read."""

import math

import pytest
import torch

from logpx.errors import UserError
from logpx.evaluate.probes import probe


def table(n: int, seed: int, D: int = 3) -> torch.Tensor:
    return torch.randn(n, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("reader", ["linear", "nearest neighbours"])
def test_codes_that_say_it_all_and_codes_that_say_nothing(reader):
    y, y_test = torch.arange(600) % 3, torch.arange(300) % 3
    z, z_test = table(600, 0), table(300, 1)
    found = probe(z, y, z_test, y_test, reader=reader)
    assert found.chance == pytest.approx(1 / 3)
    assert abs(found.value - 1 / 3) < 4 * found.standard_error
    corners = 20 * torch.eye(3, dtype=torch.float64)
    sure = probe(z + corners[y], y, z_test + corners[y_test], y_test, reader=reader)
    assert (sure.value, sure.standard_error, sure.measure) == (1, 0, "accuracy")


def test_linear_r2_is_that_of_least_squares():
    """Of y = a.z + e the residual variance is s^2, so R^2 = |a|^2 / (|a|^2 + s^2), within its error; noise has about 0."""
    a = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    z, z_test = table(2000, 0), table(1000, 1)
    y, y_test = (rows @ a + 1.5 * table(len(rows), seed, 1)[:, 0] for rows, seed in ((z, 2), (z_test, 3)))
    found = probe(z, y, z_test, y_test, ordered=True)
    assert found.value == pytest.approx(5.25 / (5.25 + 2.25), abs=4 * found.standard_error)
    design = torch.cat([z, torch.ones(2000, 1)], 1)
    fit = torch.linalg.lstsq(design, y).solution
    residual = y_test - torch.cat([z_test, torch.ones(1000, 1)], 1) @ fit
    exact = 1 - residual.square().sum() / (y_test - y.mean()).square().sum()
    assert found.value == pytest.approx(exact.item(), abs=1e-6)
    useless = probe(z, table(2000, 4, 1)[:, 0], z_test, table(1000, 5, 1)[:, 0], ordered=True)
    assert abs(useless.value) < 4 * useless.standard_error + 4 * 3 / 2000  # three fitted numbers cost 3/N


def test_the_error_of_r2_is_its_spread_over_sets_of_test_rows():
    z = table(1000, 0, 1)
    y = z[:, 0] + table(1000, 1, 1)[:, 0]
    found = []
    for seed in range(60):
        z_test = table(200, 10 + 2 * seed, 1)
        found.append(probe(z, y, z_test, z_test[:, 0] + table(200, 11 + 2 * seed, 1)[:, 0], ordered=True))
    spread = torch.tensor([f.value for f in found]).std().item()
    said = sum(f.standard_error for f in found) / 60
    assert said == pytest.approx(spread, rel=4 / math.sqrt(2 * 60))


def test_a_rotation_changes_nothing_for_either_reader_of_equal_scales():
    z, z_test = table(600, 0), table(300, 1)
    turn = torch.linalg.qr(table(3, 7)).Q
    y, y_test = ((rows @ torch.tensor([1.0, 1.0, 0.0]).double() > 0).long() for rows in (z, z_test))
    for reader, slack in (("linear", 0.01), ("nearest neighbours", 0.0)):
        plain = probe(z, y, z_test, y_test, reader=reader)
        assert abs(probe(z @ turn, y, z_test @ turn, y_test, reader=reader).value - plain.value) <= slack
    plain = probe(z, z[:, 0], z_test, z_test[:, 0], ordered=True)
    assert probe(z @ turn, z[:, 0], z_test @ turn, z_test[:, 0], ordered=True).value == pytest.approx(
        plain.value, abs=1e-6
    )


def test_the_order_of_rows_does_not_matter():
    z, y = table(90, 0), torch.arange(90) % 2
    z[::3] = z[0]  # neighbours at equal distances
    rows, test = torch.randperm(90, generator=torch.Generator().manual_seed(0)), table(40, 1)
    for reader in ("linear", "nearest neighbours"):
        one = probe(z, y, test, y[:40], reader=reader)
        again = probe(z[rows], y[rows], test.flip(0), y[:40].flip(0), reader=reader)
        assert again.value == one.value


def test_fewer_rows_than_neighbours():
    assert probe(torch.eye(3), torch.arange(3), torch.eye(3), torch.arange(3), reader="nearest neighbours").rows == 3


def test_what_cannot_be_read_is_refused():
    z = table(10, 0)
    with pytest.raises(UserError, match="one and the same shape"):
        probe(z, torch.zeros(10), z, torch.zeros(10), name="shape")
    with pytest.raises(UserError, match="dimensions"):
        probe(z, torch.arange(10) % 2, z[:, :2], torch.arange(10) % 2)
    with pytest.raises(UserError, match="one target"):
        probe(z, torch.arange(9), z, torch.arange(10))
    with pytest.raises(UserError, match="not finite"):
        probe(z * math.inf, torch.arange(10) % 2, z, torch.arange(10))
