"""A synthetic language whose entropy is known (floor 6): sequences of different lengths with a hidden topic.

A sentence has one of four topics, at even odds. Its first word is any of eight; each next word is, with probability
`KEEP`, the last one plus the topic's step, modulo eight, and else any of the eight; after each word the sentence ends with
probability `STOP`, and at `PLACES` words always. What a topic is can be read from few words, so an autoregressive model
reaches the entropy with or without a latent.
"""

import math

import numpy as np
import torch
from torch import Tensor

from logpx.data.base import Stored

NAME = "topics"
LINE = "sentences of eight words with a hidden topic, up to 12 long, an end included: sequences"
WORDS, STEPS, PLACES = 8, (1, 2, 3, 5), 12
KEEP, STOP = 0.8, 0.1
ROWS = 10_000


def read(seed: int) -> Stored:
    """10,000 sentences; the label is the topic."""
    x, topic = sentences(ROWS, seed)
    classes = tuple(f"step {step}" for step in STEPS)
    stored = Stored(NAME, NAME, x, labels=topic, classes=classes, log_density=log_density, kind="sequence")
    stored.note, stored.categories = f"{LINE}; its density is known exactly", {"token": tuple("abcdefgh")}
    return stored


def sentences(n: int, seed: int, places: int = PLACES) -> tuple[np.ndarray, np.ndarray]:
    """(words (n, places) with -1 after the end, topics (n,))."""
    random = np.random.RandomState(seed)
    topic = random.randint(len(STEPS), size=n)
    x = random.randint(WORDS, size=(n, places))
    keeps, goes_on = random.uniform(size=(n, places)) < KEEP, random.uniform(size=(n, places)) >= STOP
    for t in range(1, places):
        x[:, t] = np.where(keeps[:, t], (x[:, t - 1] + np.array(STEPS)[topic]) % WORDS, x[:, t])
        x[:, t] = np.where(goes_on[:, :t].all(1), x[:, t], -1)
    return x.astype(np.int32), topic


def log_density(x: Tensor) -> Tensor:
    """log p(x) of codes (B, T), 8 being the end: log 1/4 sum_k p(x | topic k), nats, float64; -inf for no sentence.

    A sentence of T words has no end among them: it stops there with probability one.
    """
    x = x.long()
    word, ended = x < WORDS, x == WORDS
    last, now = x[:, :-1], x[:, 1:]
    other = (1 - KEEP) / WORDS
    stop, go_on, hit, miss = torch.tensor(
        [STOP, 1 - STOP, KEEP + other, other], dtype=torch.float64, device=x.device
    ).log()
    stops = (torch.where(now == WORDS, stop, go_on) * word[:, :-1]).sum(1)
    hits = torch.stack([(torch.where(now == (last + k) % WORDS, hit, miss) * word[:, 1:]).sum(1) for k in STEPS])
    log_p = stops + torch.logsumexp(hits, 0) - math.log(len(STEPS) * WORDS)
    is_sentence = word[:, 0] & ~(ended[:, :-1] & word[:, 1:]).any(1)
    return log_p.masked_fill(~is_sentence, -torch.inf)
