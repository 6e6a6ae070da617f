"""Both kinds of sampling: equal to the book's, restorable, and whole numbers of the right shape."""

from __future__ import annotations

import random
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.book_package import import_book

from gru_scratch.text.batches import Batch, SequenceLoader, seq_data_iter_random, seq_data_iter_sequential
from gru_scratch.text.corpus import Text
from gru_scratch.text.vocab import Vocab

NAMES = ("seq_data_iter_random", "seq_data_iter_sequential")
OURS = {"seq_data_iter_random": seq_data_iter_random, "seq_data_iter_sequential": seq_data_iter_sequential}

sizes = {
    "length": st.integers(0, 60),
    "batch_size": st.integers(1, 6),
    "num_steps": st.integers(1, 9),
    "seed": st.integers(0, 9),
}


def assert_equal(ours: list[Batch], theirs: list[Batch]) -> None:
    for (X, Y), (expected_X, expected_Y) in zip(ours, theirs, strict=True):
        assert X.dtype == Y.dtype == torch.int64
        assert torch.equal(X, expected_X)
        assert torch.equal(Y, expected_Y)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("as_tensor", [False, True])
@given(**sizes)
def test_batches_are_the_books(
    name: str, as_tensor: bool, length: int, batch_size: int, num_steps: int, seed: int
) -> None:
    row = list(range(length))
    # The book's sequential partitioning cannot divide what is left when nothing is: then there are no batches.
    random.seed(seed)
    offset = random.randint(0, num_steps)
    nothing_left = name == "seq_data_iter_sequential" and length - offset - 1 < batch_size
    random.seed(seed)
    theirs = [] if nothing_left else list(getattr(import_book(), name)(row, batch_size, num_steps))
    random.seed(seed)
    ours = list(OURS[name](torch.tensor(row) if as_tensor else row, batch_size, num_steps))
    assert_equal(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_text_gives_the_books_epochs(book: ModuleType, text: Text, name: str) -> None:
    book_corpus, vocab = book.load_corpus_time_machine(10_000)
    corpus = Vocab(text.tokens()).encode(text.tokens())[:10_000]
    assert len(vocab) == int(corpus.max()) + 1
    random.seed(7)
    theirs = [batch for _ in range(2) for batch in getattr(book, name)(book_corpus, 32, 35)]
    random.seed(7)
    ours = [batch for _ in range(2) for batch in OURS[name](corpus, 32, 35)]
    assert len(theirs) > 10
    assert_equal(ours, theirs)


@pytest.mark.parametrize("use_random_iter", [False, True])
def test_nothing_is_drawn_before_the_first_batch_is_taken(use_random_iter: bool) -> None:
    """As in the book: an iterator that is made and not used leaves the generator as it was."""
    make = seq_data_iter_random if use_random_iter else seq_data_iter_sequential
    before = random.getstate()
    batches = make(range(100), 2, 5)
    assert random.getstate() == before
    next(batches)
    assert random.getstate() != before


@pytest.mark.parametrize("use_random_iter", [False, True])
def test_a_generator_of_ones_own_leaves_the_global_one_alone(use_random_iter: bool) -> None:
    corpus = torch.arange(500)
    random.seed(3)
    expected = list(SequenceLoader(corpus, 4, 5, use_random_iter=use_random_iter))
    before = random.getstate()
    loader = SequenceLoader(corpus, 4, 5, use_random_iter=use_random_iter, generator=random.Random(3))
    assert_equal(list(loader), expected)
    assert random.getstate() == before


@pytest.mark.parametrize("use_random_iter", [False, True])
def test_a_place_in_the_data_is_a_generator_state_and_a_number(use_random_iter: bool) -> None:
    generator = random.Random(5)
    loader = SequenceLoader(torch.arange(3000), 4, 5, use_random_iter=use_random_iter, generator=generator)
    list(loader)
    start = generator.getstate()
    whole = list(loader.epoch())
    generator.setstate(start)
    again = loader.epoch()
    assert len(again) == len(whole)
    some = (len(whole) - 1, 3, 0)
    assert_equal([again[i] for i in some], [whole[i] for i in some])
    for i in (-1, len(whole)):
        with pytest.raises(IndexError, match=f"received {i}"):
            again[i]


def test_a_sequential_batch_goes_on_where_the_one_before_ended() -> None:
    epoch = SequenceLoader(torch.arange(200), 3, 7).epoch()
    for i in range(len(epoch) - 1):
        assert torch.equal(epoch[i][1][:, -1], epoch[i + 1][0][:, 0])


def test_sequential_batches_are_views_of_the_text() -> None:
    corpus = torch.arange(200)
    for X, Y in SequenceLoader(corpus, 3, 7):
        assert X.untyped_storage().data_ptr() == Y.untyped_storage().data_ptr() == corpus.untyped_storage().data_ptr()


@pytest.mark.parametrize("use_random_iter", [False, True])
def test_a_text_kept_in_bytes_gives_the_same_batches(use_random_iter: bool) -> None:
    corpus = torch.randint(0, 256, (400,))
    loaders = [
        SequenceLoader(row, 4, 5, use_random_iter=use_random_iter, generator=random.Random(0))
        for row in (corpus, corpus.to(torch.uint8))
    ]
    assert_equal(*map(list, loaders))


class Fixed:
    """A generator that always draws the largest offset, the one that leaves the least text."""

    def randint(self, a: int, b: int) -> int:
        return b

    def shuffle(self, x: object) -> None:
        pass


@pytest.mark.parametrize(("use_random_iter", "needed"), [(False, 3 * 7 + 7 + 1), (True, 3 * 7 + 7)])
def test_a_text_shorter_than_one_batch_is_refused_with_both_lengths(use_random_iter: bool, needed: int) -> None:
    loader = SequenceLoader(range(needed), 3, 7, use_random_iter=use_random_iter, generator=Fixed())
    assert len(loader.epoch()) == 1
    message = f"it has {needed - 1} tokens, and one batch of 3 sequences of 7 steps needs {needed}"
    with pytest.raises(ValueError, match=message):
        SequenceLoader(range(needed - 1), 3, 7, use_random_iter=use_random_iter)


@pytest.mark.parametrize("name", ["batch_size", "num_steps"])
@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_sizes_that_are_no_sizes(name: str, size: float) -> None:
    options = {"batch_size": 2, "num_steps": 5, name: size}
    with pytest.raises(ValueError, match=f"expected {name} as a whole number of at least 1, received {size}"):
        SequenceLoader(range(100), **options)


def test_a_corpus_of_two_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a corpus of one dimension, received shape \(2, 50\)"):
        SequenceLoader(torch.zeros(2, 50, dtype=torch.int64), 2, 5)
