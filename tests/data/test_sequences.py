"""Rows of tokens: what ends them, how tables and text become codes, and the synthetic language's law."""

import itertools

import numpy as np
import pytest
import torch

from logpx.data import from_array, language, load, rows_like
from logpx.errors import UserError

ROWS = np.array([[3, 1, -1], [0, 2, 1], [2, -1, -1], [-1, -1, -1]] * 5)


def write(path, lines) -> str:
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def codes(data) -> set[tuple[int, ...]]:
    return {tuple(map(int, row)) for part in (data.train, data.held_out, data.test) for row in part.x().tolist()}


def test_minus_one_ends_a_row_of_an_array_and_becomes_the_last_code():
    data = from_array(ROWS, kind="sequence")
    assert data.spec[:3] == ((3,), "sequence", 5)
    assert codes(data) == {(3, 1, 4), (0, 2, 1), (2, 4, 4), (4, 4, 4)}
    assert "4 tokens and an end, 0 to 3 in a row" in data.note


def test_nan_does_the_same():
    x = ROWS.astype(np.float64)
    x[x < 0] = np.nan
    assert codes(from_array(x, kind="sequence")) == codes(from_array(ROWS, kind="sequence"))


def test_an_array_from_a_file_is_loaded_again_as_it_was(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    data = load(tmp_path / "x.npy", kind="sequence")
    about = data.describe()
    again = load(about["source"], protocol=about["protocol"], **about["asked"])
    assert (again.checksum, again.spec) == (data.checksum, data.spec)
    assert torch.equal(
        rows_like(tmp_path / "x.npy", about).x()[:4], torch.tensor([[3.0, 1, 4], [0, 2, 1], [2, 4, 4], [4, 4, 4]])
    )


def test_columns_of_a_table_share_one_list_of_names_and_empty_cells_end_a_row(tmp_path):
    path = write(tmp_path / "x.csv", ["first,second,third", *["b,a,", "c,c,a", "a,,", "b,b,b"] * 5])
    data = load(path, kind="sequence")
    assert data.categories == {"token": ("a", "b", "c")}
    assert codes(data) == {(1, 0, 3), (2, 2, 0), (0, 3, 3), (1, 1, 1)}
    assert data.columns is None


def test_columns_of_numbers_keep_their_codes(tmp_path):
    path = write(tmp_path / "x.csv", ["t0,t1", *["1,0", "2,", "0,2"] * 5])
    data = load(path, kind="sequence")
    assert (data.spec.levels, data.categories, codes(data)) == (4, {}, {(1, 0), (2, 3), (0, 2)})


def test_a_label_column_stays_a_label(tmp_path):
    path = write(tmp_path / "x.csv", ["t0,t1,topic", *["a,b,x", "b,,y"] * 6])
    data = load(path, kind="sequence", label="topic")
    assert data.spec.shape == (2,)
    assert data.classes == ("x", "y")


def test_lines_of_text_are_words_or_characters(tmp_path):
    words = load(write(tmp_path / "w.txt", ["the cat sat", "the dog", "", "sat"] * 5))
    assert words.spec[:3] == ((3,), "sequence", 5)
    assert words.categories == {"token": ("cat", "dog", "sat", "the")}
    assert codes(words) == {(3, 0, 2), (3, 1, 4), (2, 4, 4)}
    assert "sequences of words, 5 empty lines left out" in words.note
    letters = load(write(tmp_path / "c.txt", ["abc", "ba", "c"] * 5))
    assert codes(letters) == {(0, 1, 2), (1, 0, 3), (2, 3, 3)}


def test_other_rows_are_read_by_the_runs_tokens(tmp_path):
    about = load(write(tmp_path / "a.txt", ["abcd", "ba", "c"] * 5)).describe()
    assert rows_like(write(tmp_path / "b.txt", ["dc", "b"]), about).x().tolist() == [[3, 2, 4, 4], [1, 4, 4, 4]]
    np.save(tmp_path / "b.npy", np.array([[3, 2], [1, -1]]))
    assert rows_like(tmp_path / "b.npy", about).x().tolist() == [[3, 2, 4, 4], [1, 4, 4, 4]]
    assert rows_like(write(tmp_path / "b.csv", ["p,q", "d,c", "b,"]), about).x().tolist() == [
        [3, 2, 4, 4],
        [1, 4, 4, 4],
    ]


def refused(tmp_path, lines, match, kind="sequence", name="x.csv"):
    with pytest.raises(UserError, match=match):
        load(write(tmp_path / name, lines), kind=kind)


def test_rows_that_are_no_sequences_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"a token at row 1 \(counted from 0\), place 2, after the end of its sequence"):
        from_array([[1, 2, 3], [1, -1, 3]], kind="sequence")
    with pytest.raises(UserError, match=r"has 0\.5 at row 0"):
        from_array([[0.5, 1], [0, 1]], kind="sequence")
    with pytest.raises(UserError, match="has -2 at row 1"):
        from_array([[0, 1], [-2, 1]], kind="sequence")
    with pytest.raises(UserError, match="holds no token: every row is empty"):
        from_array([[-1, -1], [-1, -1]], kind="sequence")
    with pytest.raises(UserError, match="holds pictures"):
        from_array(np.zeros((4, 3, 3)), kind="sequence")
    with pytest.raises(UserError, match="leave columns and context out"):
        from_array(ROWS, kind="sequence", context="label", labels=np.arange(20))
    with pytest.raises(UserError, match="below 65536"):
        from_array([[70_000], [1]] * 5, kind="sequence")
    refused(tmp_path, ["a,b", "x,y", ",y", "x,"], r"a token at row 1 .*after the end")
    refused(tmp_path, [""], "is empty", None, "x.txt")


def test_other_rows_that_the_run_cannot_hold_are_refused_in_a_sentence(tmp_path):
    about = load(write(tmp_path / "a.txt", ["abcd", "ba", "c"] * 5)).describe()
    with pytest.raises(UserError, match=r"a sequence of 5 tokens at row 1 .*the longest that the run can hold has 4"):
        rows_like(write(tmp_path / "b.txt", ["ab", "abcda"]), about)
    with pytest.raises(UserError, match=r"'z' at row 0 .*a token that the run's data do not have"):
        rows_like(write(tmp_path / "b.txt", ["az"]), about)
    np.save(tmp_path / "b.npy", np.array([[4, 2]]))
    with pytest.raises(UserError, match=r"the code 4 at row 0 .*the run knows 0 to 3"):
        rows_like(tmp_path / "b.npy", about)
    numbers = from_array(ROWS, kind="sequence").describe()
    with pytest.raises(UserError, match="tokens of the run are numbers"):
        rows_like(write(tmp_path / "b.txt", ["ab"]), numbers)


# --- the language -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [1, 2, 3])
def test_the_languages_sentences_together_have_probability_one(places):
    rows = torch.tensor(list(itertools.product(range(language.WORDS + 1), repeat=places)))
    assert language.log_density(rows).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_the_languages_sentences_come_as_often_as_its_law_says():
    x, _ = language.sentences(40_000, seed=3, places=2)
    codes = torch.from_numpy(np.where(x < 0, language.WORDS, x))
    rows = torch.tensor(list(itertools.product(range(language.WORDS + 1), repeat=2)))
    found = torch.bincount(codes[:, 0] * 9 + codes[:, 1], minlength=81) / len(codes)
    p = language.log_density(rows).exp()
    assert bool(((found - p).abs() <= 5 * (p * (1 - p) / len(codes)).sqrt() + 1e-12).all())


def test_the_topic_is_what_the_steps_are():
    data = load("topics")
    assert data.spec[:3] == ((12,), "sequence", 9)
    x, topic = data.train.x(), data.train.labels
    both = (x[:, :-1] < 8) & (x[:, 1:] < 8)
    kept = ((x[:, 1:] - x[:, :-1]) % 8 == torch.tensor(language.STEPS)[topic][:, None]) & both
    share = kept.sum() / both.sum()
    assert share.item() == pytest.approx(language.KEEP + (1 - language.KEEP) / 8, abs=0.01)
    assert data.log_density is not None
    assert bool(data.log_density(data.test.x()).isfinite().all())
