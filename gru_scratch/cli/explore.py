"""Write a page that shows what the gates of a trained model do on a text."""

from __future__ import annotations

from tqdm import tqdm

from gru_scratch.studies.gates.exploration import NOUNS, check_length, check_text, count_steps, explore
from gru_scratch.studies.gates.explore_options import ExploreArguments
from gru_scratch.studies.gates.page import build_page, check_out, write_page
from gru_scratch.studies.gates.reading import find_own_text, tokens_of_files, tokens_of_text
from gru_scratch.text.reading import text_name
from gru_scratch.training.folder import LoadedRun, load_run
from gru_scratch.training.hardware import pick_device


def main(given: ExploreArguments) -> int:
    given.validate()
    device = pick_device(given.device)
    run = load_run(given.run, device, cell=given.cell)
    out = given.run / "gates.html" if given.out is None else given.out
    check_out(out)
    text, source = read_given(given, run)
    check_text(run.vocab, text, run.config.tokens)
    check_length(run.model, len(text))
    with tqdm(total=count_steps(run.model, len(text)), unit="step", disable=None) as bar:
        found = explore(run.model, run.vocab, text, kind=run.config.tokens, report=bar.update)
    layers, units = len(found.layers), run.model.num_hiddens
    title = f"{run.config.cell_name}, {layers} {'layer' if layers == 1 else 'layers'} of {units} units"
    page = build_page(found, title=title, source=source)
    write_page(out, page)
    tokens = f"{len(text):,} {NOUNS[found.kind]}{'' if len(text) == 1 else 's'}"
    print(f"{tokens}, {title}: {len(page.encode()) / 1e6:.1f} MB in {out}")
    return 0


def read_given(given: ExploreArguments, run: LoadedRun) -> tuple[list[str], str]:
    """The tokens to read, and the name of their text."""
    if given.text is not None:
        return tokens_of_text(run, given.text)[: given.characters], "a text"
    if given.file is not None:
        return tokens_of_files(run, given.file, given.characters), text_name(given.file)
    own = find_own_text(run)
    return tokens_of_files(run, own.path, given.characters or 1000), own.name
