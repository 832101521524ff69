"""Variational autoencoders of token sequences, with a decoder that reads what it has written (floor 7)."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from logpx import likelihoods, networks, objectives, posteriors, priors
from logpx.data import Spec
from logpx.errors import UserError
from logpx.model import VAE
from logpx.recipes.base import recipe
from logpx.recipes.types import NonNegative, Share
from logpx.train import Method, Training


@recipe(kind="sequence")
def sequence_vae(
    data: Spec,
    *,
    latent: PositiveInt = 16,
    width: PositiveInt = 128,
    decoder: Literal["lstm", "transformer"] = "lstm",
    encoder: Literal["lstm", "transformer"] = "lstm",
    blocks: PositiveInt = 2,
    heads: PositiveInt = 4,
    word_dropout: Share = 0.25,
    free_bits: NonNegative = 0.0,
    warmup: NonNegativeInt = 0,
) -> Method:
    """VAE of token sequences (Bowman et al. 2016, arXiv:1511.06349, sections 3 and 3.1).
    A latent for a whole sequence, and a decoder that writes it token by token.

    max E_q log p(x|z) - KL(q(z|x) || p(z)),  log p(x|z) = sum_t log p(x_t | x_<t, z),  p(z) = N(0, I),

    the sum over a sequence and its end; what fills the places after the end is not scored. Rows are tokens: an array (N, T)
    with -1 after the end of a sequence, columns of a table with empty cells there, or lines of a text file. With --kind
    categorical all rows have T tokens and no end. A decoder that reads the tokens before can do without z: posterior
    collapse is the rule, and word dropout, free bits, the warm-up and --latent are what works against it. Samples are drawn
    token by token, with what the decoder remembers kept.

    When: rows are sequences that end, such as sentences or codes of events, and z is to hold what a whole one is about. Not
    without a look at the KL: it collapses unless free bits or word dropout prevent it, which may cost log p(x)
    (evidence/sequence_vae.json). Not for long texts: nothing is pretrained.

    width: of the embeddings and of every layer
    decoder: what reads the tokens before
    encoder: lstm, whose state at the end counts, or transformer, whose mean over the sequence does
    blocks: of a transformer
    heads: of a transformer's attention
    word_dropout: probability that a token before is hidden from the decoder while it trains
    free_bits: nats of KL that each latent dimension has for free (Kingma et al. 2016); 0 for none
    """
    if data.context:
        raise UserError("sequence_vae models p(x) alone: leave --context out.")
    if data.kind not in ("sequence", "categorical") or len(data.shape) != 1 or not data.levels:
        raise UserError(
            f"sequence_vae needs rows of tokens, and these are {data.kind} data of shape {data.shape}: say --kind sequence, or "
            "categorical where all have one length and no end."
        )
    (T,), levels, ends = data.shape, data.levels, data.kind == "sequence"
    q, sizes = posteriors.DiagNormal(latent), {"blocks": blocks, "heads": heads}
    if encoder == "lstm":
        seen: networks.LSTMEncoder | networks.TransformerEncoder
        seen = networks.LSTMEncoder(levels, q.size, width, end=levels - 1 if ends else None)
    else:
        seen = networks.TransformerEncoder(levels, q.size, T, width, end=levels - 1 if ends else None, **sizes)
    if decoder == "lstm":
        read: networks.LSTMDecoder | networks.TransformerDecoder
        read = networks.LSTMDecoder(levels, latent, width, word_dropout=word_dropout)
    else:
        read = networks.TransformerDecoder(levels, latent, T, width, word_dropout=word_dropout, **sizes)
    model = VAE(
        encoder=seen,
        posterior=q,
        prior=priors.StandardNormal(latent),
        decoder=networks.AtEveryPlace(T),
        likelihood=likelihoods.Tokens(read, data.shape, levels, latent, ends=ends),
    )
    beta = objectives.Warmup(warmup) if warmup else 1.0
    return Method(model, objectives.ELBO(beta, free_bits=free_bits), Training(clip=5.0))
