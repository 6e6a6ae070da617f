"""Translate sentences with a trained translator."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gru_scratch.cli.arguments import TranslateArguments
from gru_scratch.cli.given import given_sentences
from gru_scratch.generate.sampling import check_whole
from gru_scratch.generate.translation import Translation, attention, translate
from gru_scratch.text.files import write_atomically
from gru_scratch.training.hardware import check_memory, pick_device
from gru_scratch.training.heat_map import draw_heat_map, without_font
from gru_scratch.training.translation_task import LoadedTranslator, load_translator


def main(given: TranslateArguments) -> int:
    check_whole("beam", given.beam, least=1)
    run = load_translator(given.run, pick_device(given.device), cell=given.cell)
    check_memory(f"a beam of {given.beam:,}", 4 * given.beam * len(run.target.vocab))
    if given.attention is not None and run.config.decoder == "none":
        raise ValueError(f"{given.run} has no attention to draw: its decoder is none; luong and bahdanau have it")
    sentences = given_sentences(given.text, given.file)
    if given.attention is not None and len(sentences) > 1:
        raise ValueError(f"attention is drawn of one sentence, received {len(sentences)}")
    unknown = list(dict.fromkeys(token for sentence in sentences for token in run.source.unknown(sentence)))
    if unknown:
        print(f"note: not in the vocabulary, read as <unk>: {', '.join(unknown)}", file=sys.stderr)
    found = translate(
        run.model, run.source, run.target, sentences, beam=given.beam, n_best=given.n_best, alpha=given.alpha
    )
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


def show(translations: Sequence[Translation]) -> None:
    """Print the only translation as it is, several with their scores."""
    for each in translations:
        print(each.text if len(translations) == 1 else f"{each.score:.4f}\t{each.text}", flush=True)


def draw(run: LoadedTranslator, sentence: str, translation: Translation) -> tuple[bytes, str]:
    """The picture of attention, and the characters for which there is no font."""
    read, said, weights = attention(run.model, run.source, run.target, sentence, translation)
    picture = draw_heat_map(
        weights, said, read, across="source", down="translation", title=f"What {run.config.decoder} attention reads"
    )
    return picture, without_font("".join([*read, *said]))
