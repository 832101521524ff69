"""The terms of an objective, averaged over rows (floor 5)."""

import torch

from logpx.evaluate.rows import Points, at_rest, batch_of, check_rows, count, placed
from logpx.model import VAE
from logpx.objectives import Objective


def expected_terms(
    objective: Objective, model: VAE, data: Points, *, batch_size: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Each term of the objective averaged over all rows, every row weighing the same, with the noise of `seed`.

    It is the function that a training epoch runs, without gradients: equal data and noise give equal numbers.
    """
    check_rows(data)
    names, recorded, sizes = [], [], []
    with at_rest(model, seed):
        for start in range(0, count(data), batch_size):
            batch = placed(batch_of(data, slice(start, start + batch_size)), model)
            terms = objective(model, batch).terms
            names = list(terms)
            recorded.append(torch.stack(list(terms.values())))
            sizes.append(len(batch.x))
    weights = torch.tensor(sizes, dtype=torch.float64) / count(data)
    return dict(zip(names, (weights @ torch.stack(recorded).cpu().double()).tolist(), strict=True))
