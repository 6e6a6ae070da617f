"""Which earlier characters moved a prediction: the gradient of its log-probability with respect to each of them.

Source: Madsen, "Visualizing memorization in RNNs", Distill 2019 (connectivity).

Legend: ``T`` characters, ``S`` span, ``N`` windows, ``D`` input size, ``V`` vocabulary, ``L`` layers, ``H`` hidden
size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.studies.gates.collect import Collected, InPlaceOfLayer, Report, layered

SPAN = 100
"""Characters before a prediction that are looked at."""

NUMBERS_AT_A_TIME = 8_000_000
"""How many numbers of one kind the windows of a batch may take: some 32 MB each."""


class _Windows(InPlaceOfLayer):
    """The layer on many windows at once, each from a state of its own; it gives out only a window's last output."""

    def __init__(self, layer: Any, lengths: Tensor) -> None:
        super().__init__(layer)
        self.lengths = lengths
        self.read: Tensor | None = None

    def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        self.read = self.vectors(inputs).detach().requires_grad_()  # (S, N, D)
        outputs, state = self.layer(self.read, state)
        last = outputs[self.lengths - 1, torch.arange(len(self.lengths), device=outputs.device)]
        return last.unsqueeze(0), state  # (1, N, H)


def influence(
    model: Any,
    tokens: Tensor,
    targets: Tensor,
    collected: Collected,
    span: int = SPAN,
    report: Report = lambda steps: None,
) -> Tensor:
    """‖∂ log p(targets[t] | tokens[0..t]) / ∂ x[t - k]‖ for k = 0 ... span - 1: Euclidean, over the input vector x.

    Each prediction is differentiated through a window of `span` characters, which starts from the state that the model
    had there; many windows are one batch.

    Args:
        model: as for `gates.layered`.
        tokens: (T,), the text.
        targets: (T,), for each position the character whose log-probability is differentiated.
        collected: what `gates.collect` found for this model and text.
        report: called after each batch with the number of its windows.

    Returns:
        (T, span); 0 where there is no character, before the text's start.
    """
    model = layered(model)
    layer: Any = model.rnn
    steps, span = len(tokens), min(span, len(tokens))
    widest = max(layer.input_size, layer.num_layers * layer.hidden_size)
    batch = max(1, min(256, NUMBERS_AT_A_TIME // (span * widest)))
    found = torch.zeros(steps, span, dtype=collected.logits.dtype, device=tokens.device)
    for first in range(0, steps, batch):
        ends = torch.arange(first, min(first + batch, steps), device=tokens.device)  # (N,)
        starts = (ends + 1 - span).clamp(min=0)
        places = (starts.unsqueeze(1) + torch.arange(span, device=tokens.device)).clamp(max=steps - 1)  # (N, S)
        lengths = ends + 1 - starts
        windows = _Windows(layer, lengths)
        model.rnn = windows
        logits, _ = model(tokens[places], _states_at(collected, starts))  # (N, V)
        chosen = F.log_softmax(logits, -1).gather(1, targets[ends].unsqueeze(1)).sum()
        assert windows.read is not None
        (gradient,) = torch.autograd.grad(chosen, windows.read)  # (S, N, D)
        norms = gradient.norm(dim=-1).T  # (N, S), the window's first character first
        back = lengths.unsqueeze(1) - 1 - torch.arange(span, device=tokens.device)  # (N, S), the place k steps before
        found[ends] = norms.gather(1, back.clamp(min=0)).masked_fill(back < 0, 0)
        report(len(ends))
    return found


def _states_at(collected: Collected, starts: Tensor) -> Any:
    """The states after `starts` characters, (L, N, H) each, as a layer takes them."""
    count = len(collected.states[0])
    states = [torch.stack([layer[k][starts] for layer in collected.states]) for k in range(count)]
    return states[0] if count == 1 else tuple(states)
