"""What to try next (floor 8): values of the swept options, suggested by Optuna from how the runs so far stand."""

from typing import Any

from logpx.cli.over import Range, Values, name_of, plain
from logpx.errors import UserError

ROUND = 8  # runs that are trained at once before the next are chosen
TRIES = 200  # draws in search of a combination that has not been tried


def suggestions(
    over: Values, each: list[dict[str, Any]], rows: list[dict[str, Any]], wanted: int, seed: int
) -> list[Any]:
    """The next round of combinations, none of them in `each`, until there are as many as `wanted`.

    They depend on the rows alone (tree-structured Parzen estimator; Bergstra et al. 2011, NeurIPS 24), so that a search that
    was stopped goes on as it would have. Runs that stopped count as tried and teach nothing.
    """
    from logpx.train.standings import merit

    optuna = _optuna()
    sampler = optuna.samplers.TPESampler(seed=seed + len(each), constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    laws = {name: _law(optuna, values) for name, values in over.items()}
    values = {row["name"]: merit(row) for row in rows if row.get("status") != "stopped"}
    for its in each:
        if (value := values.get(name_of(its))) is not None:
            params = {name: plain(v) for name, v in its.items()}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=laws, value=value))
    tried, found = {name_of(its) for its in each}, list[dict[str, Any]]()
    for _ in range(TRIES):
        if len(found) >= min(ROUND, wanted - len(each)):
            break
        params = study.ask(laws).params
        its = {name: _as_given(values, params[name]) for name, values in over.items()}
        if name_of(its) not in tried:
            tried.add(name_of(its))
            found.append(its)
    return found


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UserError(
            "--search needs Optuna: install it with pip install 'logpx[search]', or list the values."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _law(optuna: Any, values: Any) -> Any:
    """The distribution of one option: whole numbers, numbers, or one of a list."""
    if not isinstance(values, Range):
        return optuna.distributions.CategoricalDistribution([plain(value) for value in values])
    kind = (
        optuna.distributions.IntDistribution if isinstance(values.low, int) and isinstance(values.high, int) else None
    )
    return (kind or optuna.distributions.FloatDistribution)(values.low, values.high, log=values.log)


def _as_given(values: Any, suggested: Any) -> Any:
    """A suggestion as a recipe takes it: of four digits, or the value of the list that it stands for."""
    if not isinstance(values, Range):
        return next(value for value in values if plain(value) == suggested)
    if isinstance(suggested, int):
        return suggested
    return min(max(float(f"{suggested:.4g}"), values.low), values.high)
