"""Beam search and BLEU (sections 10.7 and 10.8), without a framework."""

import itertools
import math

import numpy as np
import pytest

from d2lrnn import cli
from d2lrnn.decoding import Kept, beam_search
from d2lrnn.errors import ArgumentError
from d2lrnn.translation import Translation, bleu, corpus_scores

V, END, BEGIN = 4, 0, 3


def tables(seed, num_examples=3, num_steps=4):
    """Logits (num_examples, V^num_steps, V) that depend on all tokens so far."""
    return np.random.RandomState(seed).normal(0, 2, (num_examples, V**num_steps, V))


def search(logits, beams, alpha=0.75, num_steps=4, end=END):
    """Beam search whose state is the sequence so far, as one number, of each row."""
    n = len(logits)

    def step(tokens, state):
        state = state * V + (tokens if (state > 0).any() or (tokens != BEGIN).any() else 0)
        example = np.repeat(np.arange(n), beams)
        return logits[example, state % logits.shape[1]], state

    return beam_search(
        step,
        np.zeros(n * beams, int),
        np.full(n, BEGIN),
        end,
        num_steps,
        beams,
        alpha,
        followed=lambda state, rows: state[rows],
    )


def exhaustive(logits, alpha, num_steps=4, end=END):
    """The best of all sequences, by the definition."""
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    found = {}
    for sequence in itertools.product(range(V), repeat=num_steps):
        tokens = sequence[: sequence.index(end) + 1] if end in sequence else sequence
        state = total = 0
        for token in tokens:
            total += log_p[state, token]
            state = (state * V + token) % len(logits)
        found[tokens] = total / len(tokens) ** alpha
    best = max(found, key=found.get)
    return [token for token in best if token != end], found[best] * len(best) ** alpha


@pytest.mark.parametrize(("alpha", "end"), [(0, END), (0.75, END), (1, END), (0.75, None)])
@pytest.mark.parametrize("seed", range(5))
def test_with_as_many_beams_as_sequences_it_is_exhaustive(seed, alpha, end):
    logits = tables(seed)
    for one, of_one in zip(search(logits, V**4, alpha, end=end), logits, strict=True):
        tokens, log_probability = exhaustive(of_one, alpha, end=end)
        assert one.tokens == tokens
        assert one.log_probability == pytest.approx(log_probability)


@pytest.mark.parametrize("seed", range(20))
def test_one_beam_is_greedy(seed):
    logits = tables(seed)
    for one, of_one in zip(search(logits, 1), logits, strict=True):
        state, tokens = 0, []
        for _ in range(4):
            token = int(of_one[state].argmax())
            if token == END:
                break
            tokens.append(token)
            state = (state * V + token) % len(of_one)
        assert one.tokens == tokens


def test_more_beams_find_better_sequences():
    scores = [
        [one.log_probability for seed in range(20) for one in search(tables(seed), k, alpha=0)]
        for k in (1, 4, V**4)
    ]
    means = np.mean(scores, axis=1)
    assert means[0] < means[1] <= means[2]


def test_logits_that_are_not_finite_are_told():
    with pytest.raises(ArgumentError, match="diverged"):
        search(np.full((1, V**4, V), math.nan), 2)


# Step by step: three tokens, of which 0 ends a sequence, and P of each after the tokens so far.
AFTER = {
    (): [0.1, 0.5, 0.4],
    (1,): [0.2, 0.5, 0.3],
    (2,): [0.7, 0.2, 0.1],
    (1, 1): [0.5, 0.3, 0.2],
}


def worked(beams, alpha, n=1, after=AFTER):
    """The search, by a step whose state is the tokens so far of each row."""

    def step(tokens, state):
        state = [
            (*one, int(t)) if t != BEGIN else one for t, one in zip(tokens, state, strict=True)
        ]
        return np.log([after.get(one, [0.8, 0.1, 0.1]) for one in state]), state

    def followed(state, rows):
        return [state[row] for row in rows]

    begin = [()] * (n * beams)
    return beam_search(step, begin, np.full(n, BEGIN), 0, 3, beams, alpha, followed)


def test_it_tells_what_it_kept():
    (found,) = worked(beams=2, alpha=0)
    expected = [
        [(0, 1, 0.5, False), (0, 2, 0.4, False)],
        [(1, 0, 0.28, True), (0, 1, 0.25, False)],  # 2 and the end, 1 and 1
        [(1, 0, 0.125, True), (1, 1, 0.075, False)],  # both after 1, 1
    ]
    assert [
        [(*k[:2], round(math.exp(k[2]), 9), k[3]) for k in step] for step in found.kept
    ] == expected
    assert found.tokens == [2]
    assert math.exp(found.log_probability) == pytest.approx(0.28)
    longer = worked(beams=2, alpha=2)[0]  # log(0.125) / 9 is above log(0.28) / 4
    assert (longer.tokens, longer.kept) == ([1, 1], found.kept)


def test_an_example_that_has_ended_keeps_no_more():
    after = {(): [0.6, 0.2, 0.2], (1,): [0.1, 0.1, 0.8]}
    found = worked(beams=1, alpha=0, n=2, after=after)
    assert [len(one.kept) for one in found] == [1, 1]


def test_the_command_line_draws_a_translation_without_attention_as_a_tree(tmp_path):
    kept = [
        [Kept(0, "va", -1.0, False)],
        [Kept(0, "!", -1.25, False), Kept(0, "<eos>", -2.0, True)],
    ]
    cli._draw(Translation(["go", "<eos>"], ["va", "!"], -1.25, None, kept), tmp_path / "tree.svg")
    svg = (tmp_path / "tree.svg").read_text(encoding="utf-8")
    assert all(f">{word}<" in svg for word in ("va", "!", "-1.25", "&lt;eos&gt;", "-2.00"))


# BLEU -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prediction", "label", "k", "expected"),
    [
        ("va !", "va !", 2, 1),
        ("il est calme .", "il est calme .", 4, 1),
        ("", "va !", 2, 0),
        ("non", "va !", 1, 0),
        # p_1 = 4/5, p_2 = 3/4: (4/5)^(1/2) (3/4)^(1/4)
        (
            "a b b c d",
            "a b c d e f"[:11],
            2,
            math.exp(1 - 6 / 5) * (4 / 5) ** 0.5 * (3 / 4) ** 0.25,
        ),
        # each of the label's counts once: p_1 = 1/3
        ("a a a", "a", 1, (1 / 3) ** 0.5),
        # shorter than the label: exp(1 - 4/2)
        ("a b", "a b c d", 2, math.exp(-1)),
        # no sequences of three in a prediction of two
        ("a b", "a b", 5, 1),
    ],
)
def test_bleu(prediction, label, k, expected):
    assert bleu(prediction, label, k) == pytest.approx(expected)


def test_the_scores_of_a_corpus():
    right = ["il est calme .", "je suis chez moi ."]
    assert corpus_scores(right, [[one] for one in right]) == pytest.approx((100, 100))
    # Any of several right translations will do.
    assert corpus_scores(right, [["il est serein .", right[0]], [right[1]]]).bleu == pytest.approx(
        100
    )
    # BLEU of the corpus: p_1 = 8/9, p_2 = 5/7, p_3 = 3/5, p_4 = 2/3, and no penalty.
    found = corpus_scores(["il est gai .", right[1]], [[one] for one in right])
    assert found.bleu == pytest.approx(100 * (8 / 9 * 5 / 7 * 3 / 5 * 2 / 3) ** 0.25)
    assert 0 < found.chrf < 100


@pytest.mark.parametrize("references", [[], [[]], ["va !"]])
def test_references_are_lists(references):
    with pytest.raises(ArgumentError, match=r"references|right translations"):
        corpus_scores(["va !"], references)
