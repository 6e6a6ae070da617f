"""The data of a gate page, read back without the page's own scripts."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def read_page(page: str) -> dict[str, Any]:
    """The data of a page, as any reader of HTML finds it."""
    (found,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    data: dict[str, Any] = json.loads(found)
    return data


def unpack(packed: str, dtype: str, *shape: int) -> Array:
    return np.frombuffer(base64.b64decode(packed), dtype).reshape(shape)
