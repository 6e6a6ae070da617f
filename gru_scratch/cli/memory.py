"""How far back does a cell remember? Accuracy against length for several cells, under the same budget."""

from __future__ import annotations

from tqdm import tqdm

from gru_scratch.studies.memory.draw_memory import draw_spans, table
from gru_scratch.studies.memory.memory_options import MemoryArguments, MemoryOptions
from gru_scratch.studies.memory.spans import Span, check_length, check_study, measure_spans, summarise
from gru_scratch.studies.results import claim_folder, save_study
from gru_scratch.studies.study_options import check_seeds, check_threads, part_of
from gru_scratch.training.threads import limit_threads


def main(given: MemoryArguments) -> int:
    check_threads(given.threads)
    check_seeds(given.seeds)
    lengths = given.preset.lengths if given.lengths is None else given.lengths
    updates = given.preset.updates if given.updates is None else given.updates
    options = part_of(given, MemoryOptions, updates=updates)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    check_study(given.task, given.cells, lengths, seeds)
    check_length(max(lengths), options)
    folder = claim_folder(given.out, f"memory-{given.task}")
    limit_threads(given.threads)
    settings = (
        f"{options.num_hiddens} units, at most {updates} updates of {options.batch_size}, Adam {options.lr:g}, "
        f"clip {options.clip:g}, weights {options.weights}, gate bias {options.gate_bias}"
    )
    print(f"{given.task}: {settings}", flush=True)
    spans: list[Span] = []
    name = f"memory-{given.task}"
    total = len(set(lengths)) * len(dict.fromkeys(given.cells)) * len(seeds) * updates
    try:
        with tqdm(total=total, unit="update", disable=None) as bar:
            for span in measure_spans(given.task, given.cells, lengths, seeds, options, bar.update):
                spans.append(span)
                bar.set_postfix_str(f"{span.cell} at {span.length}: {span.accuracy:.0%}", refresh=False)
                save_study(folder, name, numbers(given.task, options, spans), {})  # what ends a long study leaves this
    finally:
        if spans:
            summaries = summarise(spans)
            picture = draw_spans(given.task, summaries, settings)
            paths = save_study(folder, name, numbers(given.task, options, spans), {name: picture})
            print(table(summaries))
            print("accuracy on new sequences: median (lowest to highest), seeds solved within the budget")
            print(f"{sum(s.seconds for s in spans):.0f} s of processor time; wrote {', '.join(map(str, paths))}")
        else:
            folder.rmdir()
    return 0


def numbers(task: str, options: MemoryOptions, spans: list[Span]) -> dict[str, object]:
    return {"task": task, "options": options, "summary": summarise(spans), "runs": spans}
