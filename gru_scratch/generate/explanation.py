"""An HTML page that colours the tokens of texts by their influence on a classifier's decision."""

from __future__ import annotations

import html
from dataclasses import dataclass

from torch import Tensor

FOR, AGAINST = "0, 114, 178", "213, 94, 0"
"""Red, green and blue of tokens that speak for the label, and against it; the colour-blind can tell them apart."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.7 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }}
p.text {{ font-family: ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 0 1.5em; }}
p.label, p.text em {{ margin: 0; opacity: 0.75; }}
span {{ border-radius: 2px; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>Tokens <span style="background: rgba({support}, 0.6)">for</span> the label and
<span style="background: rgba({oppose}, 0.6)">against</span> it: by how much, to first order, the logarithm of its
probability would fall if the token became an average one. The strongest colour is the largest of a text; hold the
pointer over a token for its value.</p>
{texts}
</body>
</html>
"""


@dataclass(frozen=True)
class Explained:
    """A text, its predicted label, and the influence of each of its tokens on the prediction."""

    tokens: list[str]
    """Those that the model reads."""
    joint: str
    """The text between two tokens: a space between words, nothing between characters."""
    label: str
    probability: float
    influence: Tensor  # (T,)
    left_out: int
    """The number of further tokens, which the model does not read."""


def explanation_page(texts: list[Explained], title: str) -> str:
    """The page, complete in one file."""
    return PAGE.format(
        title=html.escape(title), support=FOR, oppose=AGAINST, texts="\n".join(_paragraph(each) for each in texts)
    )


def _paragraph(text: Explained) -> str:
    most = max(float(text.influence.abs().max()), 1e-12)
    spans = (
        f'<span style="background: rgba({FOR if value > 0 else AGAINST}, {0.85 * abs(value) / most:.2f})" '
        f'title="{value:+.3f}">{html.escape(token)}</span>'
        for token, value in zip(text.tokens, text.influence.tolist(), strict=True)
    )
    rest = f" <em>… {text.left_out:,} more, not read</em>" if text.left_out else ""
    label = f'<p class="label">{html.escape(text.label)}, probability {text.probability:.3f}</p>'
    return f'{label}\n<p class="text">{text.joint.join(spans)}{rest}</p>'
