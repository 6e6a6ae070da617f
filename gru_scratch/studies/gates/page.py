"""The gate page: what `explore` collected, as one HTML file that needs nothing else.

The values are bytes in base64. A value of a unit is ``least + code * (most - least) / 254``, where ``least`` and
``most`` are the unit's lowest and highest value in the text, so that the values of a gate that hardly moves are told
apart, too. Its colour lies between ``low`` and ``high``, the ends of the quantity's scale.
"""

from __future__ import annotations

import base64
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gru_scratch.studies.gates.collect import Quantity
from gru_scratch.studies.gates.exploration import NOUNS, Exploration
from gru_scratch.studies.gates.words import describe
from gru_scratch.text.files import write_atomically

STEPS = 254
"""From a unit's lowest value to its highest."""
SHARES = 65_535
"""Steps of a probability, and of a correlation, from end to end."""
LIKELIEST = 8
"""Predictions that a character shows."""

GENERATOR = '<meta name="generator" content="gru_scratch explore">'
STYLES = ("page.css", "parts.css")
SCRIPTS = ("data.js", "colours.js", "state.js", "text.js", "heatmap.js", "panels.js", "main.js")
"""The template's parts, in the order in which they stand in the page."""


def build_page(exploration: Exploration, *, title: str, source: str) -> str:
    """The page as HTML.

    Args:
        title: of the model, for a reader: "GRU, 256 units, trained on The Time Machine".
        source: of the text: a file's name, or "a text".
    """
    template = files("gru_scratch.studies.gates") / "template"
    read = {name: (template / name).read_text("utf-8") for name in ("page.html", *STYLES, *SCRIPTS)}
    data = json.dumps(page_data(exploration, title=title, source=source), separators=(",", ":"))
    page = read["page.html"].replace("<!--generator-->", GENERATOR)
    page = page.replace("/*styles*/", "".join(read[name] for name in STYLES))
    page = page.replace("/*scripts*/", "".join(read[name] for name in SCRIPTS))
    return page.replace("/*data*/", data.replace("<", "\\u003c"))  # no text ends the script


def check_out(path: Path) -> None:
    """Raise, in one sentence, unless a page can be written to `path`: it is free, or an older page is there.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it is a folder, or another file, which is not written over.
        PermissionError: the folder cannot be written to.
    """
    if path.is_dir():
        raise ValueError(f"expected a file to write the page to, received the folder {path}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    if path.exists() and GENERATOR.encode() not in _beginning(path):
        raise ValueError(f"{path} is there and is no page of this command: it is not written over")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"no permission to write into the folder {path.parent}")


def write_page(path: Path, page: str) -> None:
    """Write the page so that `path` holds all of it, or what it held before; raises as `check_out`, and OSError."""
    check_out(path)
    write_atomically(path, page.encode())


def page_data(exploration: Exploration, *, title: str, source: str) -> dict[str, Any]:
    """What the page's scripts read: JSON, with tensors packed."""
    probabilities = exploration.probabilities.cpu()
    likeliest = probabilities.topk(min(LIKELIEST, probabilities.shape[1]))
    of_target = probabilities.gather(1, exploration.targets.cpu().unsqueeze(1)).squeeze(1)
    varying = [k for k, feature in enumerate(exploration.features) if feature.varies]
    return {
        "title": title,
        "source": source,
        "cell": repr(exploration.collected.cell),
        "noun": NOUNS[exploration.kind],
        "vocabulary": [_shown(token, exploration.kind) for token in exploration.vocabulary],
        "tokens": _pack(exploration.tokens, np.uint32),
        "targets": _pack(exploration.targets, np.uint32),
        "features": [
            {"name": feature.name, "words": feature.words, "varies": feature.varies} for feature in exploration.features
        ],
        "layers": [
            [_pack_quantity(exploration, q, follows[varying]) for q, follows in zip(layer, of_layer, strict=True)]
            for layer, of_layer in zip(exploration.layers, exploration.follows, strict=True)
        ],
        "predictions": {
            "tokens": _pack(likeliest.indices, np.uint32),
            "probabilities": _pack_share(likeliest.values),
            "of_target": _pack_share(of_target),
            "each": likeliest.indices.shape[1],
        },
        "influence": _pack_influence(exploration.influence.cpu()),
    }


def _pack_quantity(exploration: Exploration, quantity: Quantity, follows: Tensor) -> dict[str, Any]:
    """One gate or state: a row a unit, so that a unit's values lie together."""
    values = quantity.values.detach().cpu().to(torch.float64).T  # (H, T)
    kind, low, high = scale(values)
    one = bool((low == low[0]).all() and (high == high[0]).all())
    least, most = (x.float().double() for x in torch.aminmax(values, dim=1, keepdim=True))  # as the page reads them
    span = torch.where(most > least, most - least, torch.ones_like(most))
    codes = ((values - least) / span * STEPS).round().clamp(0, STEPS)
    described = describe(exploration.collected.cell, quantity.name, quantity.is_state)
    return {
        "name": quantity.name,
        "state": quantity.is_state,
        "title": described.title,
        "equation": described.equation,
        "words": described.words,
        "units": len(values),
        "scale": kind,
        "low": (low[:1] if one else low).squeeze(1).tolist(),
        "high": (high[:1] if one else high).squeeze(1).tolist(),
        "least": _pack(least.squeeze(1), np.float32),
        "most": _pack(most.squeeze(1), np.float32),
        "codes": _pack(codes, np.uint8),
        "follows": _pack_share((follows + 1) / 2),
    }


def scale(values: Tensor) -> tuple[str, Tensor, Tensor]:
    """The scale of a quantity's colours, from its values (H, T): its kind, and its ends for each unit, (H, 1) each.

    "part": 0 to 1. "signed": -1 to 1. What goes further has for each unit a scale of its own, from 0 ("amount") or to
    both sides ("signed").
    """
    least, most = float(values.min()), float(values.max())
    size = values.abs().amax(1, keepdim=True)
    size = torch.where(size > 0, size, torch.ones_like(size))
    if least >= 0:
        return ("part", 0 * size, torch.ones_like(size)) if most <= 1 else ("amount", 0 * size, size)
    if max(-least, most) <= 1:
        return "signed", -torch.ones_like(size), torch.ones_like(size)
    return "signed", -size, size


def _pack_influence(found: Tensor) -> dict[str, Any]:
    """Each character's, as shares of its largest: 255 is that."""
    largest = found.amax(1)
    shares = found / torch.where(largest > 0, largest, torch.ones_like(largest)).unsqueeze(1)
    return {
        "span": found.shape[1],
        "largest": _pack(largest, np.float32),
        "shares": _pack((shares * 255).round(), np.uint8),
    }


def _pack_share(values: Tensor) -> str:
    """Numbers from 0 to 1 in 16 bits."""
    return _pack((values * SHARES).round(), np.uint16)


def _pack(values: Tensor, dtype: Any) -> str:
    """Little-endian bytes, in base64."""
    array = values.detach().cpu().numpy().astype(np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(array.tobytes()).decode()


def _shown(token: str, kind: str) -> str:
    """A byte that is no ASCII by its number: it is no character by itself."""
    return f"\\x{ord(token):02x}" if kind == "byte" and len(token) == 1 and ord(token) > 126 else token


def _beginning(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(1024)
