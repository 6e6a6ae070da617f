"""A language model as one C99 file that needs no library but libm: weights, vocabulary, equations and generation.

The equations are those that the engine "native" compiles, printed for single numbers instead of vectors.

Legend: ``V`` vocabulary, ``D`` input size, ``G`` gates, ``R`` gates with recurrent weights, ``H`` hidden size, ``L``
layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.engines.native.expressions import Node, leaf
from gru_scratch.engines.native.passes import Pass, Plan
from gru_scratch.engines.native.source import plan_of
from gru_scratch.engines.native.tracing import NotElementwiseError
from gru_scratch.engines.native.values import Function, Names
from gru_scratch.engines.weights import by_product
from gru_scratch.layers.stack import Parameters
from gru_scratch.models.language import RNNModel
from gru_scratch.text.vocab import Vocab

REALS = {torch.float32: ("float", "%.9g"), torch.float64: ("double", "%.17g")}
"""The name of a dtype in C, and the digits with which its numbers are read back exactly."""


def c_source(model: RNNModel, vocab: Vocab, *, kind: str = "char", cleaning: str = "raw", title: str = "model") -> str:
    """A C file: a program that continues a prefix, as ``gru-scratch generate`` does.

    Args:
        model: a model whose layer is one of this package, in one direction.
        vocab: its vocabulary.
        kind: the kind of the vocabulary's tokens: char, word or byte.
        cleaning: how a prefix is cleaned first: book or raw.
        title: the name of the model in the comment at the top.

    Raises:
        ValueError: the cell's step mixes the units of a row, or uses an operation that has no expression; or the layer
            has two directions or a projected state.
    """
    layer, cell = model.rnn, model.rnn.cell
    if layer.bidirectional or layer.proj_size:
        raise ValueError("a C file holds layers of one direction without a projected state, received another layer")
    if not cell.elementwise:
        raise ValueError(f"a C file holds elementwise cells, and {type(cell).__name__} mixes the units of a row")
    try:
        plan = plan_of(cell)
    except NotElementwiseError as error:
        raise ValueError(f"a C file cannot hold {type(cell).__name__}: its step {error}") from None
    with torch.no_grad():
        return "\n".join([*_head(title, model, kind, cleaning, plan), *_step(cell, plan), *_data(model, vocab, kind)])


def _head(title: str, model: RNNModel, kind: str, cleaning: str, plan: Plan) -> Iterator[str]:
    layer, cell = model.rnn, model.rnn.cell
    real, _ = REALS[model.linear.weight.dtype]
    sizes = {
        "VOCAB": model.vocab_size,
        "LAYERS": layer.num_layers,
        "HIDDEN": layer.hidden_size,
        "INPUT": layer.input_size,
        "GATES": len(cell.gates),
        "RECURRENT": max(1, len(cell.recurrence.gates)),
        "STATES": len(cell.states._fields),
        "SLOTS": max(1, plan.crossing),
        "PARAMS": len(cell.params),
        "EMBEDDED": int(model.embedding is not None),
        "WORDS": int(kind == "word"),
        "CHARACTERS": int(kind == "char"),
        "CLEANED": int(cleaning == "book"),
        "RESET_AT": -1 if model.reset_at is None else model.reset_at,
    }
    yield f"/* {title}: written by gru_scratch."
    yield ""
    yield "   cc FILE.c -O3 -lm && ./a.out PREFIX [LENGTH [TEMPERATURE [SEED]]]"
    yield ""
    yield "   Temperature 0, the default, takes the likeliest token each time. */"
    yield from ("", *(f"#include <{name}.h>" for name in ("stdint", "stdio", "stdlib", "string", "tgmath", "time")), "")
    yield f"typedef {real} REAL;"
    yield f"enum {{ {', '.join(f'{name} = {size}' for name, size in sizes.items())} }};"
    yield ""
    yield "typedef struct { const REAL *input, *input_bias, *recurrent, *recurrent_bias, *param; } Layer;"
    yield ""
    yield _shipped("numbers.h")


def _step(cell: Cell, plan: Plan) -> Iterator[str]:
    """One step of a layer, pass by pass: matrix products, then all equations that need no further ones."""
    names, kept = Names(cell, plan), dict[Node, str]()
    slots = {value: number for number, value in enumerate(plan.slots)}
    place = 0
    yield "/* A step of a layer: the input's pre-activations, and the states, which become the new ones. */"
    yield "static void step(const Layer *layer_, const REAL *x_, REAL *state_)"
    yield "{"
    yield "    static REAL product_[RECURRENT * HIDDEN], slot_[SLOTS * HIDDEN], next_[STATES * HIDDEN];"
    yield "    (void)product_, (void)slot_;"
    first = {}
    for product in cell.recurrence.products:
        first[product.vector], place = place, place + len(product.gates)
    for each in plan.forward:
        read = dict(kept)
        for product in each.products:
            begin = first[product.vector]
            read |= {leaf("product", gate): f"PRODUCT({begin + k})" for k, gate in enumerate(product.gates)}
            if product.vector in names.states:
                vector = f"state_ + {names.states.index(product.vector)} * HIDDEN"
            else:
                vector = f"slot_ + {slots[plan.equations.vectors[product.vector]]} * HIDDEN"
            yield f"    multiply(HIDDEN, {len(product.gates)} * HIDDEN, {vector},"
            yield f"             layer_->recurrent + {begin} * HIDDEN * HIDDEN,"
            yield f"             layer_->recurrent_bias + {begin} * HIDDEN, product_ + {begin} * HIDDEN);"
        outputs = [(kind, _place(names, kind, name), value) for kind, name, value in _needed(each, plan)]
        function = Function(names, read)
        yield "    for (int unit_ = 0; unit_ < HIDDEN; unit_++) {"
        yield from (f"    {line}" for line in function.lines(outputs))
        yield from (f"        {target} = {function.text(value)};" for _, target, value in outputs)
        yield "    }"
        kept.update({value: target for _, target, value in outputs})
    yield from ("    memcpy(state_, next_, sizeof next_);", "}", "")


def _needed(each: Pass, plan: Plan) -> list[tuple[str, str, Node]]:
    """The values that a pass stores if nothing is differentiated."""
    return [output for output in each.outputs if output[0] == "new" or int(output[1]) < plan.crossing]


def _place(names: Names, kind: str, name: str) -> str:
    return f"NEXT({names.number['state'][name]})" if kind == "new" else f"SLOT({name})"


def _data(model: RNNModel, vocab: Vocab, kind: str) -> Iterator[str]:
    layer, (_, form) = model.rnn, REALS[model.linear.weight.dtype]
    yield f"static const struct {{ int length; const char *text; }} vocabulary[VOCAB] = {{{_tokens(vocab, kind)}}};"
    names = []
    for depth, (parameters,) in enumerate(layer.layer_parameters()):
        arrays = _arrays(layer.cell, parameters, table=depth == 0 and model.embedding is None)
        yield from (_array(f"{name}_{depth}", value, form) for name, value in arrays.items())
        names.append(f"{{{', '.join(f'{name}_{depth}' for name in arrays)}}}")
    yield f"static const Layer layers[LAYERS] = {{{', '.join(names)}}};"
    yield _array("head", model.linear.weight.t(), form)
    yield _array("head_bias", model.linear.bias, form)
    if model.embedding is not None and model.embedding.weight is model.linear.weight:
        yield "#define embedding head"
    else:
        weight = model.linear.weight.new_zeros(1) if model.embedding is None else model.embedding.weight.t()
        yield _array("embedding", weight, form)
    start = layer.initial_state(1, dtype=model.linear.weight.dtype)
    rows = torch.stack(start if isinstance(start, tuple) else (start,), 1)  # (L, states, 1, H)
    yield _array("initial", rows, form)
    yield "static REAL state[LAYERS][STATES * HIDDEN];"
    yield from ("", _shipped("generate.h"))


def _arrays(cell: Cell, parameters: Parameters, table: bool) -> Mapping[str, Tensor]:
    """The arrays of a layer in the order of `Layer`; for tokens without an embedding the table contains the bias."""
    weights, H = parameters.weights, parameters.weights.hidden_size
    like = weights.weight_ih
    bias_ih = like.new_zeros(len(like)) if weights.bias_ih is None else weights.bias_ih
    rows = by_product(cell, weights.weight_hh)  # (gates * H, H) for each product
    bias_hh = like.new_zeros(len(weights.weight_hh)) if weights.bias_hh is None else weights.bias_hh
    masks = cell.draw_masks((1, 1, H), False, like) if cell.masks else {}
    own = [*(parameters.own[name] for name in cell.params), *(masks[name].reshape(-1) for name in cell.masks)]
    return {
        "input": like.t() + bias_ih if table else like.t(),  # (D, G * H)
        "input_bias": bias_ih,
        "recurrent": _joined([block.t() for block in rows], like),
        "recurrent_bias": _joined(by_product(cell, bias_hh), like),
        "param": _joined([value.expand(H) for value in own], like),
    }


def _joined(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    """All parts one after another; a zero if there are none, since C has no empty arrays."""
    return torch.cat([part.reshape(-1) for part in parts if part.numel()] or [like.new_zeros(1)])


def _array(name: str, values: Tensor, form: str) -> str:
    numbers = [form % value for value in values.detach().cpu().reshape(-1).tolist()]
    lines = (", ".join(numbers[k : k + 10]) for k in range(0, len(numbers), 10))
    return f"static const REAL {name}[] = {{\n" + ",\n".join(lines) + "};"


def _tokens(vocab: Vocab, kind: str) -> str:
    encoding = "latin-1" if kind == "byte" else "utf-8"
    encoded = [token.encode(encoding, "surrogatepass") for token in vocab.idx_to_token]
    return ",\n".join(f'{{{len(token)}, "{_quoted(token)}"}}' for token in encoded)


def _quoted(token: bytes) -> str:
    """A C string literal without its quotes: letters and digits, and all else in three octal digits."""
    return "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03o}" for byte in token)


def _shipped(name: str) -> str:
    return files("gru_scratch.export").joinpath("c", name).read_text("utf-8")
