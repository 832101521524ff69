"""The loop (floor 6): one `fit` for every method.

An epoch is a permutation and slices. Nothing is read back from the device inside it: the terms of every step are
kept there and read once at its end, when the run is also checked, scored on held-out rows and saved.
"""

import math
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from logpx.data import Data, from_array
from logpx.errors import UserError
from logpx.evaluate import at_rest, expected_terms, mutual_information
from logpx.model import Batch
from logpx.objectives import Terms
from logpx.train import state
from logpx.train.average import Average
from logpx.train.dry_run import dry_run
from logpx.train.engine import Bfloat16, Compile, Precision, arithmetic, dtype_of, find_device, should_compile
from logpx.train.feed import Feed
from logpx.train.log import Reporter, reporter
from logpx.train.method import Act, Method, Optimizer, Schedule, Training
from logpx.train.optimizer import (
    Decay,
    Together,
    adam,
    follow_cosine,
    half_cosine,
    moments_of,
    muon,
    paces,
    take_up,
)
from logpx.train.run import Folder, Row, Run, machine
from logpx.train.trace import Trace
from logpx.train.whole_step import WholeStep


def fit(
    method: Method,
    data: Data | Any,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    schedule: Schedule | None = None,
    optimizer: Optimizer | None = None,
    clip: float | None = None,
    average: float | None = None,
    encoder_decay: float | None = None,
    patience: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "float32",
    compile: Compile = "auto",
    threads: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    save_every: int = 1,
    moments: dict[str, Any] | None = None,
    show: Reporter | bool = True,
) -> Run:
    """Trains a method and leaves the weights of its best epoch in it: lowest held-out loss once every warm-up ended.

    data        a `logpx.data.Data`, or an array (N, ...) that `logpx.data.from_array` understands.
    epochs ...  settings that override the method's own `Training`.
    out         the run folder, saved after every `save_every` epochs; None keeps nothing. It must not exist, unless
                `resume` continues it (to the same bits as an unbroken run on the same machine) or `force` replaces it.
    moments     a dictionary in which the optimiser leaves its moments, and from which it takes up those that it holds: so a
                later `fit`, on other rows too, goes on as if it had not ended. Not for a run that is resumed.
    Raises UserError for parts, data or settings that do not fit, and for a loss that stops being finite: it names the
    step and the terms, and the last good state stays on disk.
    """
    check_settings(precision=precision, compile=compile, threads=threads, save_every=save_every)
    data = data if isinstance(data, Data) else from_array(data)
    given: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    given |= {"schedule": schedule, "optimizer": optimizer, "clip": clip, "average": average}
    given |= {"encoder_decay": encoder_decay, "patience": patience}
    method = method.with_training(**given)
    place, dtype = find_device(device), dtype_of(precision)
    method.model.to(place, dtype)
    method.objective.to(place)
    says = show if isinstance(show, Reporter) else reporter(quiet=not show)
    with arithmetic(place, precision, threads, seed):
        settings = {"seed": seed, "device": str(place), "precision": precision, "compile": compile}
        settings |= {"save_every": save_every}
        loop = Loop(method, data, settings, says)
        loop.open(out, resume=resume, force=force)
        try:
            if moments:
                loop.take_up(moments)
            run = loop.run_to_the_end()
            if moments is not None:
                moments.update(loop.moments())
            return run
        except UserError:
            loop.leave_nothing_unsaved()
            raise
        finally:
            says.stop()


def check_settings(*, precision: str, compile: str, threads: int | None, save_every: int) -> None:
    """Raises UserError for what a type checker would have refused."""
    for name, value, known in (("precision", precision, get_args(Precision)), ("compile", compile, get_args(Compile))):
        if value not in known:
            raise UserError(f"{name} is {value!r}: it must be one of {', '.join(known)}.")
    for name, count in (("threads", threads), ("save_every", save_every)):
        if count is not None and count < 1:
            raise UserError(f"{name} is {count}: it must be a positive number.")


class Loop:
    """The state of one run while it trains. `fit` runs one; `sweep` may run several whose steps it takes at once."""

    def __init__(self, method: Method, data: Data, settings: dict[str, Any], says: Reporter) -> None:
        self.method, self.model, self.objective = method, method.model, method.objective
        self.data, self.settings, self.says, self.training = data, settings, says, method.training
        if len(data.train) == 0:
            raise UserError("There are no rows to train on.")
        if self.training.patience and not len(data.held_out):
            raise UserError("patience counts epochs by the held-out loss: hold some rows out, or drop it.")
        if self.training.patience and not method.objective.compares_epochs:
            raise UserError(
                "The loss of this objective moves its own goal, so it cannot tell better epochs: drop patience."
            )
        if self.training.encoder_steps and len(data.held_out) < 2:
            raise UserError("Encoder-only steps go on while held-out rows gain mutual information: hold some rows out.")
        if self.training.encoder_steps and not self.model.has_evidence:
            raise UserError("Encoder-only steps need a posterior with a density and a prior: set encoder_steps to 0.")
        like = next(self.model.parameters())
        self.feed = Feed(
            data.train, self.training.batch_size, seed=settings["seed"], device=like.device, dtype=like.dtype
        )
        self.steps = len(self.feed) * self.training.epochs
        modules = [m for part in (self.model, self.objective) for m in part.modules()]
        self.after_step: list[Callable[[Terms], None]] = [m.after_step for m in modules if hasattr(m, "after_step")]  # type: ignore
        self.average = Average(self.model, self.training.average) if self.training.average else None
        if self.average:
            self.after_step.append(self.average.after_step)
        self.whole: WholeStep | None = None  # the step as one graph, where it is compiled
        self.narrow = Bfloat16(self.model.networks() if settings["precision"] == "bfloat16" else [], like.device)
        self.paces = paces((self.model, self.objective))
        self.players = [[p for p in part.parameters() if p in self.paces] for part in (self.model, self.objective)]
        self.decay = Decay.of(self.model.encoder, self.training.encoder_decay)
        if self.training.encoder_decay and (method.solve or not self.decay.weights):
            rate = self.training.encoder_decay
            raise UserError(
                f"encoder_decay is {rate}, and this method's encoder has no weights that decay: leave it out."
            )
        self.optimizer = self._optimizer()
        self.epoch, self.step, self.stale = 0, 0, 0
        self.lagging, self.information = bool(self.training.encoder_steps), 0.0  # whether the encoder still lags behind
        self.best, self.best_epoch, self.best_weights = math.inf, 0, self._weights()
        self.trace = Trace(self.model, data.held_out if len(data.held_out) else data.train, self.training.epochs)
        self.folder: Folder | None = None

    def _optimizer(self) -> torch.optim.Optimizer | Together | None:
        if self.method.solve:
            return None
        if not self.paces:
            raise UserError("This model has no parameter that training could move.")
        rate = self.training.learning_rate
        if self.training.optimizer == "muon":
            return muon(self.paces, rate, (self.model, self.objective), self.decay)
        return adam(self.paces, rate, self.decay)

    def take_up(self, moments: dict[str, Any]) -> None:
        """The optimiser goes on from those of another run of the same model."""
        if self.optimizer:
            take_up(self.optimizer, moments)

    def moments(self) -> dict[str, Any]:
        """Those of the optimiser; nothing where there is none."""
        if self.whole:
            self.whole.settle()
        return moments_of(self.optimizer) if self.optimizer else {}

    # --- the run as a whole -------------------------------------------------------------------------------------------

    def open(self, out: str | Path | None, *, resume: bool, force: bool, rows: bool = True) -> None:
        """Checks everything that can be checked before the first step, then makes or reopens the folder.

        `rows` False leaves out that each row has a probability: it was seen of another model of the same likelihood.
        """
        self.info: dict[str, Any] = {
            "recipe": self.method.recipe,
            "options": self.method.options,
            "data": self.data.describe(),
            "training": asdict(self.training),
            "settings": self.settings,
            "machine": machine(),
        }
        self.run = Run(self.method, self.info)
        self.info["kl"] = dry_run(self.method, self.data, rows=rows)
        if resume:
            if out is None:
                raise UserError("There is nothing to resume without a run folder: name it with `out`.")
            self._reopen(Folder.existing(out))
        if self.epoch == 0:
            self._act(self.method.start)
        if out is not None and not resume:
            self.folder = Folder.create(out, force=force)
        self._say_what_will_happen()
        if self.folder:
            self._write_info("running")
        self.run.folder = self.folder.path if self.folder else None

    def leave_nothing_unsaved(self) -> None:
        """Removes the folder of a run that failed before its first epoch ended: there is nothing in it."""
        if self.folder and not self.run.rows:
            shutil.rmtree(self.folder.path)

    def set_aside(self, why: str) -> None:
        """Writes down that this run goes no further, while others of a sweep do."""
        self.info |= {"status": "stopped", "why": why}
        if self.folder and self.folder.path.exists():
            self._write_info("stopped")

    def _say_what_will_happen(self) -> None:
        steps, ends = self.steps, self.objective.ends()
        self.says.note(self.data.note.rstrip(".") + ".")
        rows = min(self.training.batch_size, len(self.data.train))
        work = "no gradient" if self.method.solve else f"{steps:,} steps of {rows} rows"
        self.says.note(f"{work[0].upper()}{work[1:]}; KL: {self.info['kl']}.")
        if self.epoch:
            self.says.note(f"Resumed after epoch {self.epoch}.")
        if ends > steps:
            self.info["warning"] = (
                f"The warm-up takes {ends:,} steps and the run only {steps:,}, so it ends unfinished."
            )
            self.says.note(self.info["warning"] + " Train longer, or shorten the warm-up.")
        wish: Compile = "no" if self.method.solve else self.settings["compile"]
        compiled, why_not = should_compile(wish, self.feed.device, self.settings["precision"], steps)
        self.info["compiled"] = compiled
        if why_not:
            self.says.note(why_not)
        if compiled:
            self.whole = self.as_one_graph()

    def as_one_graph(self, backend: str = "inductor") -> WholeStep:
        """The step of this run, to be traced and compiled when it is first taken."""
        assert self.optimizer is not None
        players = [[p for p in part.parameters() if p.requires_grad] for part in (self.model, self.objective)]
        loss = partial(self.objective, self.model)
        return WholeStep(loss, self.optimizer, self.paces, players, self.training.clip, backend)

    def run_to_the_end(self) -> Run:
        """Epoch after epoch, from wherever the run stands; returns with the best weights in the model, at rest."""
        self.begin()
        for terms, seconds in self._solved() if self.method.solve else self._epochs():
            self.close_epoch(terms, seconds)
            if self.out_of_patience():
                break
        return self.end()

    def begin(self) -> None:
        """What comes before the first epoch, or before the first one after a resumption."""
        self.says.start(self.training.epochs, self.steps)
        self.says.step(self.step)
        if self.epoch == 0:
            self.trace.record(0)

    def end(self) -> Run:
        """What comes after the last epoch: the best weights into the model, the last act, the folder whole."""
        if self.out_of_patience():
            self.says.note(f"Stopped early: no better held-out loss for {self.stale} epochs.")
        if self.folder and self._saved_epoch < self.epoch:
            self._save()
        self.model.load_state_dict(self.best_weights)
        self.model.eval()  # what is trained is at rest: no noise, no dropout, until it is trained again
        self._finish()
        if self.folder:
            self._write_info("finished")
        self.run.best_epoch = self.best_epoch
        return self.run

    def _finish(self) -> None:
        """The method's last act on the trained model, such as a density for its codes; then the weights are saved again.

        It has noise of its own, and is done again, with the same result, where a finished run is resumed.
        """
        if self.method.finish is None:
            return
        with at_rest(self.model, self.settings["seed"]):
            self.method.finish(self.model, self.data, self._train_second)
        if self.folder:
            self.folder.save_weights(self._weights(), self.best_epoch)

    def _train_second(self, method: Method, data: Data) -> Run:
        """`fit` once more, as this run is trained. It goes on where it stood, unless this run has since made other data."""
        folder = self.folder.second if self.folder else None
        goes_on = folder is not None and folder.checksum() == data.checksum
        if folder and not goes_on:
            shutil.rmtree(folder.path, ignore_errors=True)
        self.says.stop()
        same = {name: self.settings[name] for name in ("seed", "device", "precision", "compile", "save_every")}
        with torch.enable_grad():
            run = fit(method, data, **same, out=folder.path if folder else None, resume=goes_on, show=self.says)
        self.run.second = run.rows
        return run

    def _act(self, act: Act | None) -> None:
        """What a method does on its own before the first epoch, with noise of its own."""
        if act:
            with at_rest(self.model, self.settings["seed"]):
                act(self.model, self.data.train)

    def out_of_patience(self) -> bool:
        return self.training.patience is not None and self.stale >= self.training.patience

    def close_epoch(self, terms: dict[str, float], seconds: float, held_out: dict[str, float] | None = None) -> None:
        """Held-out terms, unless they are given, the best weights so far, the row of the log, the state on disk."""
        self.epoch += 1
        self._look_at_the_encoder()
        row: Row = {"epoch": self.epoch, "step": self.step, "seconds": round(seconds, 4)} | self._rate()
        row["train"] = terms
        with self._averaged():
            if len(self.data.held_out):
                row["held_out"] = held_out or self.score_held_out()
            improved = self._compare(row.get("held_out", {}).get("loss"))
            self.trace.record(self.epoch)
        self.run.rows.append(row)
        if self.folder:
            self.folder.append_row(row)
            if self.epoch % self.settings["save_every"] == 0:
                self._save()
        with self._averaged():  # a reporter may look at the model too
            self.says.epoch(row, improved)

    def _rate(self) -> Row:
        """The learning rate of the last step; none where a solver takes them."""
        if self.method.solve:
            return {}
        falls = half_cosine((self.step - 1) / self.steps) if self.training.schedule == "cosine" else 1.0
        return {"learning_rate": self.training.learning_rate * falls}

    def _averaged(self) -> AbstractContextManager[None]:
        """Within, the model has the weights that are scored and kept: the averaged ones, where there are any."""
        return self.average.in_place() if self.average else nullcontext()

    def score_held_out(self) -> dict[str, float]:
        """Each term averaged over the held-out rows, with the same noise after every epoch."""
        return expected_terms(self.objective, self.model, self.data.held_out, seed=self.settings["seed"])

    def _compare(self, loss: float | None) -> bool:
        """Whether this epoch's weights are the ones to keep: the best held-out loss, or the latest without held-out rows."""
        if loss is not None and not math.isfinite(loss):
            raise self._stopped(f"The held-out loss became {loss} in epoch {self.epoch}.")
        if not self.objective.compares_epochs:
            loss = None
        warm = self.step >= self.objective.ends()
        self.stale = 0 if not warm or loss is None or loss < self.best else self.stale + 1
        if self.stale:
            return False
        self.best = loss if warm and loss is not None else math.inf
        self.best_epoch, self.best_weights = self.epoch, self._weights()
        return True

    def _weights(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self.model.state_dict().items()}

    # --- one epoch ----------------------------------------------------------------------------------------------------

    def _epochs(self) -> Iterable[tuple[dict[str, float], float]]:
        while self.epoch < self.training.epochs and not self.out_of_patience():
            start = time.perf_counter()
            yield self.descend(), time.perf_counter() - start

    def descend(self) -> dict[str, float]:
        """One pass over the data: the mean of each term, every point weighing the same."""
        self.model.train()
        names, recorded = [], []
        for batch in self.feed.epoch():
            terms = self._one_step(batch)
            names = list(terms)
            recorded.append(torch.stack([t.to(self.feed.dtype) for t in terms.values()]))
        return self.means(names, torch.stack(recorded).cpu().double())  # the only read-back of the epoch

    def means(self, names: list[str], table: Tensor) -> dict[str, float]:
        """The terms of an epoch from those of its steps (S, T); UserError for a loss or a weight that is not finite."""
        if not bool(table.isfinite().all()):
            bad = int((~table.isfinite()).any(1).nonzero()[0])
            values = ", ".join(f"{n} {v:.4g}" for n, v in zip(names, table[bad].tolist(), strict=True))
            raise self._stopped(f"The loss stopped being finite at step {self.step - len(table) + bad + 1} ({values}).")
        if not bool(torch.stack([p.isfinite().all() for p in self.model.parameters()]).all()):
            raise self._stopped(f"A weight stopped being finite at the end of epoch {self.epoch + 1}.")
        return dict(zip(names, (self.feed.weights() @ table).tolist(), strict=True))

    def _one_step(self, batch: Batch) -> Terms:
        assert self.optimizer is not None
        if self.training.schedule == "cosine":
            follow_cosine(self.optimizer, self.training.learning_rate, self.step / self.steps)
        if self.lagging:
            self._let_the_encoder_catch_up()
        terms = self._compiled(batch)
        if terms is None:
            terms = self._move(batch, but=self._inference() if self.lagging else [])
        for move in self.after_step:
            move(terms)
        self.step += 1
        self.says.step(self.step)
        return terms

    def _compiled(self, batch: Batch) -> Terms | None:
        """The step as one graph; None, and nothing has moved, where it is not taken so."""
        if self.whole is None or self.lagging or not self.whole.fits(batch):
            return None
        try:
            with self.narrow:
                return self.whole(batch)
        except UserError as why:
            self.says.note(str(why))
            self.whole, self.info["compiled"] = None, False
            return None

    def _move(self, batch: Batch, *, only: list[Tensor] | None = None, but: list[Tensor] | None = None) -> Terms:
        """One step of the optimiser: of all parameters, of `only` some, or of all `but` some."""
        assert self.optimizer is not None
        if self.whole:
            self.whole.settle()
        with self.narrow:
            loss, terms = self.objective(self.model, batch)
        for parameter in self.paces:
            parameter.grad = None  # what zero_grad does, without its bookkeeping
        loss.backward(inputs=only)
        for parameter in but or ():
            parameter.grad = None
        if self.training.clip:
            for player in self.players:  # each by itself: a critic's large gradient must not shorten the model's step
                torch.nn.utils.clip_grad_norm_(player, self.training.clip)
        self.optimizer.step()
        return terms

    # --- an encoder that lags behind (He et al. 2019) -----------------------------------------------------------------

    def _inference(self) -> list[Tensor]:
        """The learned parameters of q(z|x): the encoder's and those of the posterior family itself, if it has any."""
        parts = (self.model.encoder, self.model.posterior)
        return [p for part in parts for p in part.parameters() if p.requires_grad]

    def _let_the_encoder_catch_up(self) -> None:
        """Steps of the encoder alone on random batches until 15 of them lower the loss no more: algorithm 1, lines 5-9."""
        before = math.inf
        for start in range(0, self.training.encoder_steps, 15):
            steps = min(15, self.training.encoder_steps - start)
            inference = self._inference()
            losses = [self._move(self.feed.at_random(), only=inference)["loss"] for _ in range(steps)]
            if (now := torch.stack(losses).mean().item()) >= before:
                return
            before = now

    def _look_at_the_encoder(self) -> None:
        """Both move at once from the epoch on in which held-out rows gain no more mutual information."""
        if not self.lagging:
            return
        now = mutual_information(self.model, self.data.held_out, seed=self.settings["seed"])
        self.lagging, self.information = now > self.information, max(now, self.information)
        if not self.lagging:
            self.says.note(f"The encoder has caught up after epoch {self.epoch} (I(x; z) = {now:.2f} nats).")

    def _solved(self) -> Iterable[tuple[dict[str, float], float]]:
        """A solver's iterations as rows. It keeps no state on disk: a resumed one goes through its first steps again."""
        assert self.method.solve is not None
        x = self.data.train.x(generator=torch.Generator().manual_seed(self.settings["seed"] + 1))
        iterations = islice(self.method.solve(self.model, x), self.training.epochs)
        start = time.perf_counter()
        for terms in islice(iterations, self.epoch, None):
            self.step += 1
            yield terms, time.perf_counter() - start
            start = time.perf_counter()

    def _stopped(self, why: str) -> UserError:
        saved = self.folder and self._saved_epoch
        kept = f"; the state after epoch {saved} is kept in {self.folder.path}" if saved and self.folder else ""
        return UserError(f"{why[:-1]}{kept}: try a smaller learning rate, --clip, or data on a smaller scale.")

    # --- the folder ---------------------------------------------------------------------------------------------------

    _saved_epoch = 0

    def _save(self) -> None:
        """Weights first, state last: a crash in between only means that the last epoch is computed again."""
        assert self.folder is not None
        if self._saved_epoch <= self.best_epoch:
            self.folder.save_weights(self.best_weights, self.best_epoch)
        self.trace.save(self.folder.latents)
        if self.whole:
            self.whole.settle()
        names = ("epoch", "step", "stale", "best", "best_epoch", "lagging", "information")
        progress = {name: getattr(self, name) for name in names}
        state.save(
            self.folder.state,
            {
                "progress": progress,
                "model": self.model.state_dict(),
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict() if self.optimizer else None,
                "average": self.average.state() if self.average else None,
                "feed": self.feed.state(),
                "random": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state(self.feed.device) if self.feed.device.type == "cuda" else None,
            },
        )
        self._saved_epoch = self.epoch

    def _reopen(self, folder: Folder) -> None:
        """Puts everything back where the saved epoch ended. UserError where the folder holds another run."""
        before = folder.read_info()
        before["training"] = asdict(Training()) | before["training"]  # settings that came later stood at their defaults
        more = ("epochs",) if self.training.schedule == "constant" else ()  # a cosine is cut to the length of the run
        for name in ("recipe", "options", "training", "settings"):
            _same(name, before[name], self.info[name], but=more)
        if before["data"].get("checksum") != self.data.checksum:
            raise UserError(f"The data are not those that {folder.path} was trained on (their checksums differ).")
        _same_data(before["data"], self.info["data"], folder.path)
        if folder.state.exists() or before.get("status") not in ("running", "stopped"):  # else it ended before it saved
            try:
                self._restore(folder, state.load(folder.state))
            except UserError:
                raise
            except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
                raise UserError(f"{folder.state} is not the state of this run: restore it or train again.") from None
        self.run.rows = [row for row in folder.read_rows() if row["epoch"] <= self.epoch]
        folder.write_rows(self.run.rows)
        self.folder, self._saved_epoch = folder, self.epoch

    def _restore(self, folder: Folder, saved: dict[str, Any]) -> None:
        for name, value in saved["progress"].items():
            setattr(self, name, value)
        self.model.load_state_dict(saved["model"])
        self.objective.load_state_dict(saved["objective"])
        if self.optimizer:
            self.optimizer.load_state_dict(saved["optimizer"])
        if self.average:
            self.average.restore(saved["average"])
        self.feed.restore(saved["feed"])
        torch.set_rng_state(saved["random"])
        if saved["cuda"] is not None:
            torch.cuda.set_rng_state(saved["cuda"], self.feed.device)
        self.best_weights = state.load(folder.weights, self.feed.device)["weights"]
        self.trace.restore(folder.latents, self.epoch)

    def _write_info(self, status: str) -> None:
        assert self.folder is not None
        self.info |= {"status": status, "best_epoch": self.best_epoch or None}
        state.write_json(self.folder.info, self.info)


def _same(name: str, before: Any, now: Any, but: tuple[str, ...] = ()) -> None:
    """Raises UserError where a resumed run was given another setting; more epochs are the one welcome change."""
    before, now = state.as_json(before), state.as_json(now)
    if not isinstance(now, dict):
        before, now = {name: before}, {name: now}
    for key in sorted(before.keys() | now.keys()):
        if key not in but and before.get(key) != now.get(key):
            raise UserError(
                f"The run was started with {key} {before.get(key)} and is resumed with {now.get(key)}: "
                "resume it with the same settings, or start another."
            )


def _same_data(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Raises UserError where the same stored rows were read or divided otherwise; older runs do not say all of it."""
    told = [name for name in ("protocol", "kind", "counts", "seed", "label") if name in before]
    if "asked" in before:
        _same("asked", before["asked"], now.get("asked", {}))
    _same("data", {name: before[name] for name in told}, {name: now.get(name) for name in told})
    if before.get("division", now.get("division")) != now.get("division"):
        raise UserError(
            f"The rows are not divided into training, held-out and test rows as those of {path} were: give the split or the "
            "groups that it was trained with, or start another run."
        )
