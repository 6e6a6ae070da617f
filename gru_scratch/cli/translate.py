"""Translate sentences with a trained translator."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gru_scratch.cli.arguments import TranslateArguments
from gru_scratch.cli.given import given_sentences
from gru_scratch.cli.summary import score_lines
from gru_scratch.generate.sampling import check_whole
from gru_scratch.generate.translation import Translation, attention, translate
from gru_scratch.text.files import write_atomically
from gru_scratch.text.pairs import read_pairs, turned_round
from gru_scratch.training.hardware import check_memory, pick_device
from gru_scratch.training.heat_map import draw_heat_map, without_font
from gru_scratch.training.translation_task import LoadedTranslator, load_translator, score_pairs


def main(given: TranslateArguments) -> int:
    check_whole("beam", given.beam, least=1)
    if given.beam == 1 and given.alpha != TranslateArguments.alpha:
        raise ValueError("--alpha chooses among the hypotheses of a beam: expected --beam above 1, received 1")
    run = load_translator(given.run, pick_device(given.device), cell=given.cell)
    check_memory(f"a beam of {given.beam:,}", 4 * given.beam * len(run.target.vocab))
    if given.attention is not None and run.config.decoder == "none":
        raise ValueError(f"{given.run} has no attention to draw: its decoder is none; luong and bahdanau have it")
    if given.score is not None:
        return score(given, run)
    sentences = given_sentences(given.text, given.file)
    if given.attention is not None and len(sentences) > 1:
        raise ValueError(f"attention is drawn of one sentence, received {len(sentences)}")
    found = translated(given, run, sentences)
    for translations in found:
        show(translations)
    if given.attention is not None:
        picture, lacking = draw(run, sentences[0], found[0][0])
        write_atomically(given.attention, picture)
        if lacking:
            print(
                f"note: no font here has {lacking}, drawn as boxes: install one that has, such as Noto Sans CJK",
                file=sys.stderr,
            )
    return 0


def score(given: TranslateArguments, run: LoadedTranslator) -> int:
    """Print how the translations of a file's sources compare with its targets."""
    for option in ("text", "file", "attention"):
        if getattr(given, option) is not None:
            raise ValueError(f"expected --score or --{option}, received both")
    if given.n_best > 1:
        raise ValueError(f"--score takes the best translation alone: expected --n-best 1, received {given.n_best}")
    assert given.score is not None
    pairs = read_pairs(given.score)
    if run.config.reverse:
        pairs = turned_round(pairs)
    result = score_pairs(
        pairs,
        lambda sentences: [best.text for best, *_ in translated(given, run, sentences)],
        run.source,
        run.target,
    )
    print("\n".join(score_lines(result, run.source.kind)))
    return 0


def translated(given: TranslateArguments, run: LoadedTranslator, sentences: Sequence[str]) -> list[list[Translation]]:
    """The best translations of each sentence; what the vocabulary lacks is named."""
    unknown = list(dict.fromkeys(token for sentence in sentences for token in run.source.unknown(sentence)))
    if unknown:
        print(f"note: not in the vocabulary, read as <unk>: {', '.join(unknown)}", file=sys.stderr)
    return translate(
        run.model, run.source, run.target, sentences, beam=given.beam, n_best=given.n_best, alpha=given.alpha
    )


def show(translations: Sequence[Translation]) -> None:
    """Print the only translation as it is, several with their scores."""
    for each in translations:
        print(each.text if len(translations) == 1 else f"{each.score:.4f}\t{each.text}", flush=True)


def draw(run: LoadedTranslator, sentence: str, translation: Translation) -> tuple[bytes, str]:
    """The picture of attention, and the characters for which there is no font."""
    read, said, weights = attention(run.model, run.source, run.target, sentence, translation)
    picture = draw_heat_map(
        weights,
        said,
        read,
        across="source",
        down="translation",
        title=f"What attention of {run.config.decoder.capitalize()} reads",
    )
    return picture, without_font("".join([*read, *said]))
