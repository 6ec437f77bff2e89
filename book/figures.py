"""Draw the figures of the notebooks: `python book/figures.py` writes `notebooks/figures/*.svg`.

One function a figure. The same code gives the same bytes everywhere: it writes SVG itself, with text as
text. The background is transparent, and the colours are of a middle lightness, to be read on white and
on dark paper. In a label `_` and `^` lower and raise the letters in braces after them.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "figures"
NUMBERS = Path(__file__).with_name("model_numbers.json")  # of trained models, see model_numbers.py

LINE = "#7d8590"
MEMORY = "#c4741a"  # what is carried along: C, and the H of a GRU
GATE = "#2f7fc1"  # sigmoid
NODE = "#3a8f5c"  # tanh
STATE = "#8a63c9"  # H
TIMES, MINUS = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}"
BLANK = "\N{OPEN BOX}"  # a space that is seen
ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
PHI = "\N{GREEK SMALL LETTER PHI}"
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"
TAU = "\N{GREEK SMALL LETTER TAU}"
Point = tuple[float, float]


class Drawing:
    """An SVG of a given size, to which shapes are added one by one."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self.shapes: list[str] = []

    def line(self, *points: Point, color: str = LINE, arrow: bool = True, wide: float = 2) -> None:
        """A line with corners at `points`, and an arrow head at its end."""
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        head = f' marker-end="url(#head{color[1:]})"' if arrow else ""
        self.shapes.append(
            f'<path d="{path}" fill="none" stroke="{color}" stroke-width="{wide:g}"{head}/>'
        )

    def dot(self, x: float, y: float, color: str = LINE) -> None:
        """Where a line branches."""
        self.shapes.append(f'<circle cx="{x:g}" cy="{y:g}" r="4" fill="{color}"/>')

    def box(self, x: float, y: float, label: str, color: str, w: float = 76, h: float = 42) -> None:
        """A rounded box around (x, y), filled, with a white label."""
        self.shapes.append(
            f'<rect x="{x - w / 2:g}" y="{y - h / 2:g}" width="{w:g}" height="{h:g}" rx="7" '
            f'fill="{color}"/>'
        )
        self.text(x, y, label, "#ffffff")

    def frame(self, x: float, y: float, w: float, h: float, color: str = LINE) -> None:
        """A rounded frame around (x, y), not filled."""
        self.shapes.append(
            f'<rect x="{x - w / 2:g}" y="{y - h / 2:g}" width="{w:g}" height="{h:g}" rx="7" '
            f'fill="none" stroke="{color}" stroke-width="2"/>'
        )

    def circle(self, x: float, y: float, label: str, color: str = LINE) -> None:
        """An operation on each element."""
        self.shapes.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="14" fill="none" stroke="{color}" stroke-width="2"/>'
        )
        self.text(x, y, label, color)

    def cell(self, x: float, y: float, label: str = "", color: str = LINE, fill: str = "") -> None:
        """An entry of a matrix around (x, y), an outlined square; filled, its label is white."""
        self.shapes.append(
            f'<rect x="{x - 16:g}" y="{y - 16:g}" width="32" height="32" rx="3" '
            f'fill="{fill or "none"}" stroke="{color}" stroke-width="2"/>'
        )
        if label:
            self.text(x, y, label, "#ffffff" if fill else color, size=15)

    def text(
        self,
        x: float,
        y: float,
        label: str,
        color: str = LINE,
        anchor: str = "middle",
        size: int = 17,
    ) -> None:
        """A label whose middle is at the height y."""
        parts, shift = [], 0
        for sign, inside, plain in re.findall(r"([_^])\{([^}]*)\}|([^_^]+|[_^])", label):
            to = {"_": 5, "^": -7}.get(sign, 0)
            small = f' font-size="{size * 0.7:g}"' if sign else ""
            parts.append(f'<tspan dy="{to - shift}"{small}>{escape(inside or plain)}</tspan>')
            shift = to
        self.shapes.append(
            f'<text x="{x:g}" y="{y + size * 0.34:g}" fill="{color}" font-size="{size}" '
            f'text-anchor="{anchor}">{"".join(parts)}</text>'
        )

    def heat_map(self, x: float, y: float, columns: list[list[float]], w: float, h: float) -> None:
        """Fields of w by h, whose strength is that of numbers between -1 and 1, from the corner (x, y) on."""
        paths: dict[int, str] = {}
        for i, column in enumerate(columns):
            for j, value in enumerate(column):
                field = f"M{x + i * w:g} {y + j * h:g}h{w - 0.5:g}v{h - 0.5:g}h{0.5 - w:g}z"
                level = round(8 * value)
                paths[level] = paths.get(level, "") + field
        for level, path in sorted(paths.items()):
            color, strength = (MEMORY if level < 0 else GATE), abs(level) / 8
            if level:
                self.shapes.append(f'<path d="{path}" fill="{color}" fill-opacity="{strength:g}"/>')
        wide, high = w * len(columns), h * len(columns[0])
        frame = (
            f'width="{wide:g}" height="{high:g}" fill="none" stroke="{LINE}" stroke-opacity="0.5"'
        )
        self.shapes.append(f'<rect x="{x:g}" y="{y:g}" {frame}/>')

    def svg(self) -> str:
        colors = sorted(set(re.findall(r"url\(#head(\w+)\)", "".join(self.shapes))))
        heads = "".join(
            f'<marker id="head{color}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="6" '
            f'markerHeight="6" orient="auto"><path d="M0 0L10 5L0 10z" fill="#{color}"/></marker>\n'
            for color in colors
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" '
            'font-family="Helvetica, Arial, sans-serif">\n'
            f"<title>{escape(self.title)}</title>\n<defs>\n{heads}</defs>\n"
            + "\n".join(self.shapes)
            + "\n</svg>\n"
        )


def autoregression() -> Drawing:
    """Section 9.1: the next value from a window, and from a state that is carried along."""
    d = Drawing(740, 300, "Two ways to predict the next value: from a window, and from a state")
    # Left: a window of four values.
    xs = [40, 96, 152, 208, 264]
    for back, x in zip((5, 4, 3, 2, 1), xs, strict=True):
        color = STATE if back < 5 else LINE
        d.box(x, 210, f"x_{{t{MINUS}{back}}}", color, w=50, h=40)
    d.frame(180, 210, w=228, h=56, color=STATE)
    d.text(180, 258, f"window of {TAU} = 4 values", STATE, size=14)
    d.line((180, 182), (180, 141), color=STATE)
    d.box(180, 120, "f", NODE, w=60)
    d.line((210, 120), (272, 120), color=NODE)
    d.text(280, 120, "x̂_{t}", NODE, "start")
    d.text(180, 24, "a window", size=15)
    # Right: a state.
    xs = [450, 556, 662]
    d.text(396, 130, "…", MEMORY)
    for back, x, name in zip(
        (3, 2, 1), xs, (f"h_{{t{MINUS}2}}", f"h_{{t{MINUS}1}}", "h_{t}"), strict=True
    ):
        d.line((x - 46 if back == 3 else x - 76, 130), (x - 30, 130), color=MEMORY, wide=3)
        d.box(x, 130, name, MEMORY, w=60)
        d.text(x, 210, f"x_{{t{MINUS}{back}}}", STATE)
        d.line((x, 192), (x, 152), color=STATE)
        d.line((x, 109), (x, 76), color=NODE)
        hat = f"x̂_{{t{MINUS}{back - 1}}}" if back > 1 else "x̂_{t}"
        d.text(x, 58, hat, NODE)
    d.line((692, 130), (724, 130), color=MEMORY, wide=3)
    d.text(609, 150, "g", MEMORY, size=15)
    d.text(503, 150, "g", MEMORY, size=15)
    d.text(556, 258, "all values so far, in one state", MEMORY, size=14)
    d.text(556, 24, "a summary", size=15)
    return d


def k_step_ahead() -> Drawing:
    """Section 9.1: predictions return as inputs, until there is nothing else in the window."""
    d = Drawing(740, 330, "Windows of four values, in which predictions take the place of values")
    first = 601
    x_of = {t: 46 + 80 * (t - first) for t in range(first, first + 9)}
    for row in range(5):
        y = 40 + 60 * row
        to = first + 4 + row
        d.frame((x_of[to - 4] + x_of[to - 1]) / 2, y, w=312, h=46)
        for t in range(to - 4, to):
            known = t < first + 4
            d.box(
                x_of[t],
                y,
                f"x_{{{t}}}" if known else f"x̂_{{{t}}}",
                STATE if known else MEMORY,
                w=56,
                h=34,
            )
        d.line((x_of[to - 1] + 36, y), (x_of[to] - 28, y), color=NODE)
        d.text(x_of[to - 1] + 42, y - 14, "f", NODE, size=14)
        d.box(x_of[to], y, f"x̂_{{{to}}}", MEMORY, w=56, h=34)
    d.text(46, 310, "measured", STATE, "start", size=14)
    d.text(130, 310, "predicted", MEMORY, "start", size=14)
    return d


def text_to_indices() -> Drawing:
    """Section 9.2: the four steps from a text to indices, and back."""
    d = Drawing(740, 330, "From a text over its tokens to a sequence of indices, and back")
    raw, tokens = "The Time-", ["t", "h", "e", " ", "t", "i", "m", "e", " "]
    indices = (21, 9, 6, 0, 21, 10, 14, 6, 0)
    xs = [116 + 52 * i for i in range(9)]
    middle = xs[4]
    for y, name in ((36, "raw text"), (116, "text"), (196, "tokens"), (276, "indices")):
        d.text(8, y, name, anchor="start", size=15)
    d.frame(middle, 36, w=464, h=40)
    for x, letter in zip(xs, raw, strict=True):
        d.text(x, 36, letter)
    d.frame(middle, 116, w=464, h=40, color=GATE)
    for x, token, index in zip(xs, tokens, indices, strict=True):
        token = token.replace(" ", BLANK)
        d.text(x, 116, token, GATE)
        d.box(x, 196, token, STATE, w=42, h=40)
        d.box(x, 276, str(index), NODE, w=42, h=40)
    for y, label, color in ((56, "preprocess", GATE), (136, "tokenize", STATE)):
        d.line((middle, y), (middle, y + 38), color=color)
        d.text(middle + 12, y + 18, label, color, "start", size=14)
    d.line((570, 200), (570, 272), color=NODE)
    d.line((590, 272), (590, 200), color=STATE)
    d.text(604, 222, "vocab[tokens]", NODE, "start", size=13)
    d.text(604, 252, "to_tokens(indices)", STATE, "start", size=13)
    d.text(middle, 318, f"{BLANK} is a space", size=13)
    return d


def tokens() -> Drawing:
    """Section 9.2: one text in characters, in pieces and in words."""
    d = Drawing(740, 210, "The same words cut into characters, into pieces and into whole words")
    text = "unhappy travellers smiled"
    rows = (
        (40, "characters", list(text), STATE),
        (110, "pieces", ["un", "happy", " ", "travel", "lers", " ", "smile", "d"], GATE),
        (180, "words", ["unhappy", " ", "travellers", " ", "smiled"], NODE),
    )
    for y, name, parts, color in rows:
        d.text(8, y, name, anchor="start", size=15)
        left = 106.0
        for part in parts:
            wide = 25 * len(part)
            if part != " ":
                d.box(left + wide / 2, y, part, color, w=wide - 3, h=38)
            elif name == "characters":
                d.box(left + wide / 2, y, BLANK, color, w=wide - 3, h=38)
            left += wide
    return d


def n_grams() -> Drawing:
    """Section 9.3: what the factor of a token may look back at, in three models."""
    d = Drawing(740, 330, "Which earlier tokens a unigram, a bigram and a trigram model looks at")
    xs = [210, 350, 490, 630]
    words = ["deep", "learning", "is", "fun"]
    for y, name, context in ((50, "unigrams", 0), (150, "bigrams", 1), (270, "trigrams", 2)):
        d.text(8, y, name, anchor="start", size=15)
        for x, word in zip(xs, words, strict=True):
            d.box(x, y, word, NODE if word == "fun" else STATE, w=90)
        for i, x in enumerate(xs):
            if context >= 1 and i >= 1:
                color = NODE if i == 3 else LINE
                d.line((x - 95, y), (x - 45, y), color=color)
            if context >= 2 and i >= 2:
                color, top = (NODE, 46) if i == 3 else (LINE, 34)
                d.line(
                    (x - 280, y - 21),
                    (x - 280, y - top),
                    (x - 12, y - top),
                    (x - 12, y - 21),
                    color=color,
                )
    return d


def corpus_windows() -> Drawing:
    """Section 9.3: a corpus cut into pieces of five tokens, each with its targets."""
    d = Drawing(740, 230, "A text cut from its third token on into five inputs and their targets")
    text, n, drop = "the time machine by h g wells", 5, 2
    step, top = 25, 70
    for i, letter in enumerate(text[: drop + 5 * n + 1]):
        x = 20 + step * i
        d.text(x, 115, letter.replace(" ", BLANK), LINE if i < drop else STATE)
    d.text(32, 145, "d = 2", size=13)
    for k in range(5):
        left = 20 + step * (drop + k * n) - 9
        wide = step * (n - 1) + 18
        for y, color, shift in ((top, STATE, 0), (160, NODE, step)):
            side = 20 if y == top else -20
            a, b = left + shift, left + shift + wide
            d.line((a, y + side), (a, y), (b, y), (b, y + side), color=color, arrow=False)
        middle = left + wide / 2
        start = f"d+{k * n}" if k else "d"
        d.text(middle, top - 20, f"x_{{{start}}}", STATE, size=16)
        d.text(
            middle + step,
            182,
            f"x_{{{start}+1}}" if not k else f"x_{{d+{k * n + 1}}}",
            NODE,
            size=16,
        )
    d.text(370, 16, "inputs: n = 5 tokens each", STATE, size=14)
    d.text(370, 216, "targets: the same, one token later", NODE, size=14)
    return d


def rnn_cell() -> Drawing:
    """Section 9.4: from H_{t-1} and X_t to H_t and O_t."""
    d = Drawing(
        740, 300, "One step of a recurrent network: the new state and the output made from it"
    )
    d.text(8, 130, f"H_{{t{MINUS}1}}", STATE, "start")
    d.line((60, 130), (126, 130), color=STATE, wide=3)
    d.box(170, 130, "W_{hh}", GATE, w=86)
    d.line((213, 130), (281, 130), color=STATE)
    d.text(295, 272, "X_{t}")
    d.line((295, 254), (295, 221))
    d.box(295, 200, "W_{xh}", GATE, w=86)
    d.line((295, 179), (295, 144))
    d.circle(295, 130, "+")
    d.text(262, 92, "b_{h}", GATE)
    d.line((270, 106), (284, 119), color=GATE)
    d.line((309, 130), (366, 130))
    d.box(404, 130, PHI, NODE)
    d.line((442, 130), (686, 130), color=STATE, wide=3)
    d.text(692, 130, "H_{t}", STATE, "start")
    d.dot(500, 130, STATE)
    d.line((500, 130), (500, 60), (547, 60), color=STATE)
    d.box(590, 60, "W_{hq}", GATE, w=86)
    d.line((633, 60), (686, 60))
    d.text(660, 36, "+ b_{q}", GATE, size=14)
    d.text(692, 60, "O_{t}", LINE, "start")
    d.text(560, 156, "to the next step", STATE, size=14)
    d.text(404, 170, "activation", size=14)
    return d


def rnn_unrolled() -> Drawing:
    """Section 9.4: the loop, and the same over four steps."""
    d = Drawing(740, 330, "A recurrent network as a loop, and unrolled over four time steps")
    x = 80
    d.text(x, 286, "X_{t}")
    d.line((x, 268), (x, 191), color=GATE)
    d.box(x, 170, "H_{t}", STATE)
    d.line((x, 149), (x, 72), color=GATE)
    d.text(x, 52, "O_{t}")
    d.line(
        (x + 38, 170),
        (x + 72, 170),
        (x + 72, 118),
        (x - 18, 118),
        (x - 18, 149),
        color=STATE,
        wide=3,
    )
    d.text(x + 82, 138, "W_{hh}", STATE, "start", size=14)
    d.text(x + 10, 230, "W_{xh}", GATE, "start", size=14)
    d.text(x + 10, 92, "W_{hq}", GATE, "start", size=14)
    d.text(206, 170, "=", size=24)
    xs = [316, 430, 544, 658]
    d.text(232, 170, "H_{0}", STATE, "start")
    d.line((266, 170), (xs[0] - 27, 170), color=STATE, wide=3)
    for t, x in enumerate(xs, 1):
        d.text(x, 286, f"X_{{{t}}}")
        d.line((x, 268), (x, 191), color=GATE)
        d.box(x, 170, f"H_{{{t}}}", STATE, w=54)
        d.line((x, 149), (x, 72), color=GATE)
        d.text(x, 52, f"O_{{{t}}}")
        d.line((x + 27, 170), (x + 87 if t < 4 else x + 60, 170), color=STATE, wide=3)
        d.text(x + 8, 230, "W_{xh}", GATE, "start", size=14)
        d.text(x + 8, 92, "W_{hq}", GATE, "start", size=14)
        if t < 4:
            d.text(x + 54, 150, "W_{hh}", STATE, size=13)
    d.text(722, 170, "…", STATE, "start")
    d.text(446, 318, "time", LINE, size=14)
    d.line((470, 318), (536, 318))
    return d


def character_rnn() -> Drawing:
    """Section 9.4: the word "machine" through a recurrent network, and the losses."""
    d = Drawing(740, 420, "A character-level language model that reads machin and is to say achine")
    xs = [130 + 108 * i for i in range(6)]
    for y, name, color in (
        (392, "input", STATE),
        (290, "state", MEMORY),
        (196, "softmax", NODE),
        (116, "loss", GATE),
        (42, "target", LINE),
    ):
        d.text(8, y, name, color, "start", size=15)
    for t, (x, given, target) in enumerate(zip(xs, "machin", "achine", strict=True), 1):
        d.box(x, 392, given, STATE, w=44, h=36)
        d.line((x, 374), (x, 312), color=STATE)
        d.box(x, 290, f"H_{{{t}}}", MEMORY, w=60)
        d.line((x, 269), (x, 218), color=MEMORY)
        d.box(x, 196, f"O_{{{t}}}", NODE, w=60)
        d.line((x, 175), (x, 134), color=NODE)
        d.circle(x, 116, f"l_{{{t}}}", GATE)
        d.line((x, 62), (x, 100))
        d.frame(x, 42, w=44, h=36)
        d.text(x, 42, target)
        if t < 6:
            d.line((x + 30, 290), (x + 78, 290), color=MEMORY, wide=3)
    return d


def numbers_of(model: str) -> dict[str, Any]:
    """What a figure shows of a trained model."""
    numbers: dict[str, Any] = json.loads(NUMBERS.read_text(encoding="utf-8"))[model]
    return numbers


def model_in_page(model: str, what: str) -> Drawing:
    """Sections 9.5, 9.6, 10.1: `what` a layer holds after each character, and what may come next."""
    numbers = numbers_of(model)
    text, columns = numbers["text"], numbers["columns"]
    w, h = (17, 6) if len(text) < 30 else (12, 6)
    wide, high = w * len(columns), h * len(columns[0])
    d = Drawing(wide + 250, high + 66, f"{what} of a trained model, character by character")
    d.text(4, 14, what, anchor="start", size=14)
    d.heat_map(4, 28, columns, w, h)
    for i, character in enumerate(text):
        d.text(4 + (i + 0.5) * w, high + 42, character.replace(" ", "\N{OPEN BOX}"), size=13)
    left = wide + 34
    d.text(left - 14, 14, "next character", anchor="start", size=14)
    for i, (token, p) in enumerate(numbers["next"]):
        y = 44 + 24 * i
        d.text(left, y, token.replace(" ", "\N{OPEN BOX}"), size=14)
        bar = (left + 14, y), (left + 14 + 130 * p, y)
        d.line(*bar, color=GATE if i == 0 else LINE, arrow=False, wide=14)
        d.text(left + 22 + 130 * p, y, f"{100 * p:.0f} %", anchor="start", size=13)
    return d


def model_gradient() -> Drawing:
    """Section 9.7: how much the last state changes with each earlier one."""
    shown = numbers_of("9-6")["gradient"]
    text = shown["text"]
    d = Drawing(660, 270, "How far back a gradient reaches in a trained and an untrained network")
    d.text(
        4,
        14,
        "norm of the derivative of the last state by each earlier one",
        anchor="start",
        size=14,
    )
    lowest = min(math.floor(math.log10(min(shown[name]))) for name in ("trained", "untrained"))

    def at(t: int, norm: float) -> Point:
        return 70 + 24 * t, 36 + 190 * math.log10(norm) / lowest

    for power in range(0, lowest - 1, -2):
        _, y = at(0, 10.0**power)
        d.line((54, y), (660, y), arrow=False, wide=0.5)
        d.text(48, y, f"10^{{{power}}}".replace("-", MINUS), anchor="end", size=14)
    for name, color in (("trained", GATE), ("untrained", MEMORY)):
        points = [at(len(text) - 1 - back, norm) for back, norm in enumerate(shown[name])]
        d.line(*points, color=color, arrow=False)
        for x, y in points:
            d.dot(x, y, color)
        d.text(*at(4, shown[name][-8]), name, color, "end", size=14)
    for t, character in enumerate(text):
        d.text(70 + 24 * t, 254, character.replace(" ", "\N{OPEN BOX}"), size=14)
    return d


def model_attention() -> Drawing:
    """Section 11.4: where a translator looks for each word that it says."""
    shown = numbers_of("11-4")
    source, target = shown["source"], shown["target"]
    d = Drawing(140 + 56 * len(source), 70 + 24 * len(target), "Attention weights of a translation")
    d.text(
        76,
        14,
        "a row for each word that is said, a column for each that was read",
        anchor="start",
        size=14,
    )
    d.heat_map(76, 28, [[row[i] for row in shown["rows"]] for i in range(len(source))], 56, 24)
    for t, word in enumerate(target):
        d.text(68, 40 + 24 * t, word, anchor="end", size=14)
    for i, word in enumerate(source):
        d.text(104 + 56 * i, 44 + 24 * len(target), word, size=14)
    return d


def lstm_cell() -> Drawing:
    """Section 10.1: from C_{t-1}, H_{t-1} and X_t to C_t and H_t."""
    d = Drawing(740, 400, "An LSTM cell: three gates and an input node around a memory")
    # The memory runs through at the top.
    d.text(8, 90, f"C_{{t{MINUS}1}}", MEMORY, "start")
    d.line((58, 90), (176, 90), color=MEMORY, wide=3)
    d.line((204, 90), (356, 90), color=MEMORY, wide=3)
    d.line((384, 90), (686, 90), color=MEMORY, wide=3)
    d.text(692, 90, "C_{t}", MEMORY, "start")
    d.circle(190, 90, TIMES, MEMORY)
    d.circle(370, 90, "+", MEMORY)
    # What the four layers read, at the bottom.
    d.text(8, 330, f"H_{{t{MINUS}1}}", STATE, "start")
    d.line((58, 330), (560, 330), arrow=False)
    d.text(120, 388, "X_{t}")
    d.line((120, 374), (120, 330), arrow=False)
    d.dot(120, 330)
    for x, label, color, name in (
        (190, SIGMA, GATE, "F_{t}"),
        (310, SIGMA, GATE, "I_{t}"),
        (430, "tanh", NODE, "C̃_{t}"),
        (560, SIGMA, GATE, "O_{t}"),
    ):
        d.line((x, 330), (x, 271))
        if x < 560:
            d.dot(x, 330)
        d.box(x, 250, label, color)
        d.text(x - 10, 216, name, color, "end")
    d.line((190, 229), (190, 104), color=GATE)  # forget gate
    d.line((310, 229), (310, 160), (356, 160), color=GATE)  # input gate
    d.line((430, 229), (430, 160), (384, 160), color=NODE)  # input node
    d.circle(370, 160, TIMES)
    d.line((370, 146), (370, 104))
    d.dot(630, 90, MEMORY)
    d.line((630, 90), (630, 127), color=MEMORY)
    d.box(630, 145, "tanh", NODE, h=36)
    d.line((630, 163), (630, 186), color=NODE)
    d.circle(630, 200, TIMES, STATE)
    d.line((560, 229), (560, 200), (616, 200), color=GATE)  # output gate
    d.line((630, 214), (630, 330), (686, 330), color=STATE)
    d.text(692, 330, "H_{t}", STATE, "start")
    d.text(190, 56, "forget", LINE, size=14)
    d.text(370, 56, "write", LINE, size=14)
    d.text(652, 216, "read", LINE, "start", size=14)
    return d


def gru_cell() -> Drawing:
    """Section 10.2: from H_{t-1} and X_t to H_t."""
    d = Drawing(770, 390, "A GRU cell: a reset gate, an update gate and a candidate state")
    d.text(8, 80, f"H_{{t{MINUS}1}}", MEMORY, "start")
    d.line((58, 80), (526, 80), color=MEMORY, wide=3)
    d.line((554, 80), (616, 80), color=MEMORY, wide=3)
    d.line((644, 80), (716, 80), color=MEMORY, wide=3)
    d.text(722, 80, "H_{t}", MEMORY, "start")
    d.circle(540, 80, TIMES, MEMORY)
    d.circle(630, 80, "+", MEMORY)
    d.dot(90, 80, MEMORY)
    d.line((90, 80), (90, 310), (525, 310), (525, 261))
    d.dot(185, 310)
    d.line((185, 310), (185, 261))
    d.text(8, 350, "X_{t}", LINE, "start")
    d.line((50, 350), (555, 350), (555, 261))
    for x in (215, 380):
        d.dot(x, 350)
        d.line((x, 350), (x, 261))
    d.box(200, 240, SIGMA, GATE)
    d.box(380, 240, "tanh", NODE)
    d.box(540, 240, SIGMA, GATE)
    d.text(190, 206, "R_{t}", GATE, "end")
    d.text(370, 206, "H̃_{t}", NODE, "end")
    d.text(530, 206, "Z_{t}", GATE, "end")
    d.line((200, 219), (200, 174), color=GATE)  # reset gate
    d.circle(200, 160, TIMES)
    d.dot(90, 160)
    d.line((90, 160), (186, 160))
    d.line((214, 160), (290, 160), (290, 240), (341, 240))
    d.line((540, 219), (540, 94), color=GATE)  # update gate
    d.dot(540, 185, GATE)
    d.line((540, 185), (616, 185), color=GATE)
    d.circle(630, 185, f"1{MINUS}", GATE)
    d.line((630, 171), (630, 154), color=GATE)
    d.circle(630, 140, TIMES)
    d.line((380, 219), (380, 140), (616, 140), color=NODE)
    d.line((630, 126), (630, 94))
    d.text(200, 130, "reset", LINE, size=14)
    d.text(540, 48, "keep the old", LINE, size=14)
    d.text(654, 140, "take the new", LINE, "start", size=14)
    return d


def deep_rnn() -> Drawing:
    """Section 10.3: two layers, unrolled over four steps."""
    d = Drawing(700, 410, "A network of two recurrent layers, unrolled over four time steps")
    xs = [150, 290, 430, 570]
    for name, y, color in (("1", 250, STATE), ("2", 150, NODE)):
        d.text(8, y, f"H_{{0}}^{{({name})}}", color, "start")
        d.line((64, y), (xs[0] - 38, y), color=color)
        for x in xs:
            d.line((x + 38, y), (x + (102 if x < xs[-1] else 85), y), color=color)
        d.text(664, y, "…", color, "start")
    for t, x in enumerate(xs, 1):
        d.text(x, 360, f"X_{{{t}}}")
        d.line((x, 340), (x, 271))
        d.box(x, 250, f"H_{{{t}}}^{{(1)}}", STATE)
        d.line((x, 229), (x, 171), color=STATE)
        d.box(x, 150, f"H_{{{t}}}^{{(2)}}", NODE)
        d.line((x, 129), (x, 76), color=NODE)
        d.text(x, 52, f"O_{{{t}}}")
    d.text(360, 396, "time", LINE, size=14)
    d.line((384, 396), (450, 396))
    return d


def bi_rnn() -> Drawing:
    """Section 10.4: a layer in each direction, unrolled over four steps."""
    d = Drawing(700, 430, "A recurrent network in both directions, unrolled over four time steps")
    xs = [150, 290, 430, 570]
    forward, backward = 270, 180
    d.text(8, forward, "forward", STATE, "start", size=15)
    d.text(692, backward, "backward", NODE, "end", size=15)
    for x in xs[:-1]:
        d.line((x + 38, forward), (x + 102, forward), color=STATE)
        d.line((x + 102, backward), (x + 38, backward), color=NODE)
    for t, x in enumerate(xs, 1):
        d.text(x, 390, f"X_{{{t}}}")
        d.line((x - 18, 370), (x - 18, forward + 21))
        d.line((x + 18, 370), (x + 18, forward + 60), arrow=False)
        d.line((x + 18, forward + 60), (x + 52, forward + 40), (x + 52, backward + 40), arrow=False)
        d.line((x + 52, backward + 40), (x + 24, backward + 21))
        d.box(x, forward, f"→H_{{{t}}}", STATE)
        d.box(x, backward, f"←H_{{{t}}}", NODE)
        d.line(
            (x - 18, forward - 21),
            (x - 18, forward - 40),
            (x - 52, forward - 60),
            color=STATE,
            arrow=False,
        )
        d.line((x - 52, forward - 60), (x - 52, backward - 40), (x - 12, 113), color=STATE)
        d.line((x + 12, backward - 21), (x + 12, 113), color=NODE)
        d.box(x, 94, f"H_{{{t}}}", LINE, h=36)
        d.line((x, 76), (x, 48))
        d.text(x, 30, f"O_{{{t}}}")
    return d


def translation_arrays() -> Drawing:
    """Section 10.5: a pair of sentences as the rows of three arrays, and a length."""
    d = Drawing(
        720, 300, "A pair of sentences as source, decoder input and label, cut to six steps"
    )
    rows = (
        (50, "source", ["i", "lost", ".", "<eos>", "<pad>", "<pad>"], STATE),
        (150, "decoder input", ["<bos>", "j'ai", "perdu", ".", "<eos>", "<pad>"], NODE),
        (240, "label", ["j'ai", "perdu", ".", "<eos>", "<pad>", "<pad>"], NODE),
    )
    xs = [190 + 96 * i for i in range(6)]
    for y, name, tokens, color in rows:
        d.text(8, y, name, anchor="start", size=15)
        for x, token in zip(xs, tokens, strict=True):
            special = {"<pad>": LINE, "<bos>": GATE, "<eos>": GATE}
            d.box(x, y, token, special.get(token, color), w=80, h=36)
    d.line((150, 86), (518, 86), arrow=False)
    for x in (150, 518):
        d.line((x, 79), (x, 93), arrow=False)
    d.text(334, 104, "valid length 4", size=14)
    for x in xs:
        d.line((x, 168), (x, 222), color=NODE)
    d.text(430, 285, "from each token, and those before it, the one below it is predicted", size=14)
    return d


def encoder_decoder() -> Drawing:
    """Section 10.6: the two parts, and what goes between them."""
    d = Drawing(720, 260, "An encoder, the state that it leaves, and a decoder that writes")
    d.text(110, 230, "x_{1}, x_{2}, …, x_{T}")
    d.line((110, 212), (110, 149), color=STATE)
    d.box(110, 120, "Encoder", STATE, w=150, h=56)
    d.line((185, 120), (283, 120), color=MEMORY, wide=3)
    d.text(234, 96, "outputs", MEMORY, size=14)
    d.box(345, 120, "init_state", MEMORY, w=120, h=44)
    d.line((405, 120), (493, 120), color=MEMORY, wide=3)
    d.text(449, 96, "state s_{0}", MEMORY, size=14)
    d.box(570, 120, "Decoder", NODE, w=150, h=56)
    d.text(570, 230, "<bos>, y_{1}, y_{2}, …")
    d.line((570, 212), (570, 149), color=NODE)
    d.line((570, 92), (570, 49), color=NODE)
    d.text(570, 28, "y_{1}, y_{2}, y_{3}, …")
    d.line((645, 28), (696, 28), (696, 230), (650, 230), color=NODE)
    return d


def seq2seq(feeds_back: bool) -> Drawing:
    """Section 10.7: what is read and written at each step, in training and in prediction."""
    how = "its own last word" if feeds_back else "the right word before"
    d = Drawing(740, 340, f"Sequence to sequence: the decoder is given {how} at each step")
    xs = [52 + 84 * i for i in range(4)] + [400 + 92 * i for i in range(4)]
    source, target = ["i", "lost", ".", "<eos>"], ["j'ai", "perdu", ".", "<eos>"]
    for x, token in zip(xs, source, strict=False):
        d.text(x, 262, token, STATE, size=15)
        d.line((x, 246), (x, 191), color=STATE)
        d.box(x, 170, "", STATE, w=44)
    for before, after in itertools.pairwise(xs[:4]):
        d.line((before + 22, 170), (after - 22, 170), color=STATE)
    d.text(178, 316, "encoder", STATE, size=14)
    d.line((xs[3] + 22, 170), (xs[4] - 22, 170), color=MEMORY, wide=3)
    d.dot(343, 170, MEMORY)
    d.text(343, 148, "c", MEMORY)
    d.line((343, 170), (343, 216), (xs[7] - 14, 216), color=MEMORY, arrow=False)
    given = ["<bos>", *target[:3]]
    for i, (x, token, label) in enumerate(zip(xs[4:], given, target, strict=True)):
        d.text(x, 262, token, NODE, size=15)
        d.line((x + 6, 246), (x + 6, 191), color=NODE)
        d.line((x - 14, 216), (x - 14, 191), color=MEMORY)
        d.box(x, 170, "", NODE, w=44)
        d.line((x, 149), (x, 96), color=NODE)
        d.text(x, 78, label, NODE, size=15)
        if i < 3:
            d.line((x + 22, 170), (xs[i + 5] - 22, 170), color=NODE)
        if i < 3 and feeds_back:
            side = x + 46
            d.line((x + 30, 78), (side, 78), (side, 262), (xs[i + 5] - 28, 262), color=GATE)
    d.text(538, 316, "decoder", NODE, size=14)
    if not feeds_back:
        d.text(538, 36, "labels: compared with what the decoder finds likely", LINE, size=14)
        d.text(538, 290, "the target, one step late", LINE, size=14)
    else:
        d.text(538, 36, "the likeliest word at each step", LINE, size=14)
        d.text(538, 290, "the word just written", LINE, size=14)
    return d


def seq2seq_layers() -> Drawing:
    """Section 10.7: the layers of encoder and decoder, and what passes between them."""
    d = Drawing(640, 470, "The layers of an encoder and a decoder of two GRUs")
    left, right = 150, 450
    for x, color, labels in (
        (left, STATE, ["embedding", "GRU 1", "GRU 2"]),
        (right, NODE, ["embedding", "GRU 1", "GRU 2", "dense"]),
    ):
        for i, label in enumerate(labels):
            # In the decoder the context comes in between the embedding and the first GRU.
            y = 370 - 90 * i
            d.box(x, y, label, color, w=130)
            if i + 1 < len(labels):
                d.line((x, y - 21), (x, y - 69), color=color)
    d.text(left, 440, "source tokens", STATE, size=15)
    d.line((left, 424), (left, 391), color=STATE)
    d.text(right, 440, "tokens before", NODE, size=15)
    d.line((right, 424), (right, 391), color=NODE)
    d.line((right, 79), (right, 46), color=NODE)
    d.text(right, 28, "logits", NODE, size=15)
    for y in (280, 190):
        d.line((left + 65, y), (right - 65, y), color=MEMORY, wide=3)
    d.text(300, 264, "first state", MEMORY, size=14)
    d.text(300, 174, "first state", MEMORY, size=14)
    d.dot(240, 190, MEMORY)
    d.line((240, 190), (240, 326), (right - 10, 326), color=MEMORY)
    d.text(248, 308, "context c, at each step", MEMORY, "start", size=14)
    return d


def search_tree() -> Drawing:
    """Section 10.8: a tree of probabilities, the greedy path in it and the best one."""
    d = Drawing(740, 330, "A tree of words in which the greedy path is not the likeliest")
    xs = [60, 215, 370, 525, 680]
    end = "<eos>"
    paths = (
        (NODE, 90, ("0.38", "0.80", "0.90"), ("vin", "rouge", end), "0.219", "likeliest"),
        (MEMORY, 230, ("0.50", "0.45", "0.70"), ("rouge", "vin", end), "0.126", "greedy"),
    )
    d.line((66, 160), (xs[1] - 38, 160), arrow=False, wide=3)
    d.text((xs[0] + xs[1]) / 2 - 12, 146, "0.80", size=14)
    d.dot(xs[0] + 6, 160)
    for color, y, probabilities, words, product, name in paths:
        d.line((xs[1] + 38, 160), (xs[2] - 38, y), color=color, arrow=False, wide=3)
        middle = (160 + y) / 2 + (-14 if y < 160 else 18)
        d.text((xs[1] + xs[2]) / 2 - 6, middle, probabilities[0], color, size=14)
        for i in (2, 3):
            d.line((xs[i] + 38, y), (xs[i + 1] - 38, y), color=color, arrow=False, wide=3)
            d.text((xs[i] + xs[i + 1]) / 2, y - 14, probabilities[i - 1], color, size=14)
        for x, word in zip(xs[2:], words, strict=True):
            d.box(x, y, word, color)
        d.text(xs[4], y + 44, f"{name}: {product}", color, size=15)
    d.box(xs[1], 160, "du", LINE)
    for x, y, word, to in ((xs[1], 46, "vin", "0.10"), (xs[1], 284, "rouge", "0.06")):
        d.line((xs[0] + 6, 160), (x - 30, y), arrow=False, wide=1)
        d.text(x - 22, y, word, anchor="start", size=15)
        d.text((xs[0] + x) / 2 - 22, (160 + y) / 2 - (6 if y < 160 else -10), to, size=13)
    for (x, y), word, to in (
        (((xs[3]), 290), end, "0.40"),
        (((xs[3]), 30), end, "0.10"),
    ):
        start = 230 if y > 160 else 90
        d.line((xs[2] + 38, start), (x - 30, y), arrow=False, wide=1)
        d.text(x - 24, y, word, anchor="start", size=15)
        d.text((xs[2] + x) / 2 - 12, (start + y) / 2 - (14 if y < 160 else -14), to, size=13)
    for t, x in enumerate(xs[1:], 1):
        d.text(x, 318, f"step {t}", size=13)
    return d


def attention_pooling() -> Drawing:
    """Section 11.3: scores of a query and keys, their softmax, and the weighted sum of values."""
    d = Drawing(740, 350, "Attention pooling: a weighted mean of values, with weights from scores")
    xs = [200, 310, 420, 530]
    d.box(60, 170, "q", STATE, w=52)
    d.text(60, 210, "query", size=14)
    d.line((86, 170), (152, 170), color=STATE)
    d.frame(365, 170, w=422, h=40)
    for i, x in enumerate(xs, 1):
        d.box(x, 42, f"k_{{{i}}}", NODE, w=52, h=36)
        d.line((x, 60), (x, 150), color=NODE)
        d.text(x, 170, f"a(q, k_{{{i}}})", size=15)
        d.line((x, 190), (x, 216))
        d.circle(x, 268, TIMES, GATE)
        d.line((x, 240), (x, 254), color=GATE)
        d.text(x + 16, 246, f"{ALPHA}_{{{i}}}", GATE, "start", size=14)
        d.box(x, 326, f"v_{{{i}}}", MEMORY, w=52, h=36)
        d.line((x, 308), (x, 282), color=MEMORY)
    d.box(365, 227, "softmax", GATE, w=422, h=24)
    d.text(154, 42, "keys", LINE, "end", size=14)
    d.text(154, 326, "values", LINE, "end", size=14)
    d.text(590, 170, "scores", LINE, "start", size=14)
    d.text(590, 227, "weights", LINE, "start", size=14)
    for x, to in zip(xs, [*xs[1:], 625], strict=True):
        d.line((x + 14, 268), (to - 14, 268), color=MEMORY, arrow=to == 625)
    d.circle(625, 268, "+", MEMORY)
    d.line((639, 268), (670, 268), color=MEMORY)
    d.text(676, 268, "output", MEMORY, "start", size=15)
    return d


def bahdanau_attention() -> Drawing:
    """Section 11.4: an encoder, attention, and a step of the decoder."""
    d = Drawing(740, 400, "A decoder that attends: each step has a context of its own")
    xs = [70, 180, 290]
    for t, x in enumerate(xs, 1):
        d.text(x, 354, f"x_{{{t}}}")
        d.line((x, 336), (x, 301))
        d.box(x, 280, f"h_{{{t}}}", STATE, w=60)
        if t < 3:
            d.line((x + 30, 280), (x + 80, 280), color=STATE)
        d.line((x, 259), (x, 191), color=STATE)
    d.line((320, 280), (402, 280), color=STATE)
    d.text(235, 228, "keys, values", STATE, size=14)
    d.box(180, 168, "attention", GATE, w=280, h=44)
    d.text(180, 386, "encoder", size=14)
    # Two steps of the decoder.
    states = (("s_{0}", 430), ("s_{1}", 540), ("s_{2}", 650))
    for name, x in states:
        d.box(x, 280, name, NODE, w=56)
    for x, y_in, y_out in ((540, "y_{0}", "y_{1}"), (650, "y_{1}", "y_{2}")):
        d.line((x - 82, 280), (x - 28, 280), color=NODE)
        d.text(x + 14, 354, y_in)
        d.line((x + 14, 336), (x + 14, 301))
        d.line((x, 259), (x, 60), color=NODE)
        d.text(x, 40, y_out)
    d.text(600, 386, "decoder", size=14)
    d.line((430, 259), (430, 100), (240, 100), (240, 146), color=NODE)
    d.text(336, 84, "query s_{0}", NODE, size=14)
    d.line((320, 168), (482, 168), (482, 326), (524, 326), (524, 301), color=GATE)
    d.text(372, 152, "context c_{1}", GATE, size=14)
    d.text(694, 280, "…", NODE, "start")
    return d


def one_hot() -> Drawing:
    """Section 9.5: a one-hot vector times a matrix is a row of the matrix."""
    d = Drawing(740, 300, "A one-hot vector times the matrix W_xh picks a row of it")
    for i in range(6):
        chosen = i == 2
        d.cell(44 + 36 * i, 136, "1" if chosen else "0", fill=STATE if chosen else "")
        for j in range(4):
            d.cell(336 + 36 * j, 64 + 36 * i, fill=MEMORY if chosen else "")
    for j in range(4):
        d.cell(580 + 36 * j, 136, fill=MEMORY)
    d.circle(280, 136, TIMES)
    d.text(520, 136, "=", size=24)
    d.text(134, 176, "token 2 of 6", STATE, size=15)
    d.text(134, 198, f"1 {TIMES} d", size=14)
    d.text(390, 24, "W_{xh}")
    d.text(390, 286, f"d {TIMES} h", size=14)
    d.text(634, 176, "row 2 of W_{xh}", MEMORY, size=15)
    d.text(634, 198, f"1 {TIMES} h", size=14)
    d.text(304, 136, "2", MEMORY, size=14)
    return d


def gradient_clipping() -> Drawing:
    """Section 9.5: what is done to a gradient, and what that is good for."""
    d = Drawing(740, 330, "Gradient clipping: a long gradient is shortened, its direction kept")
    d.shapes.append(
        f'<circle cx="140" cy="180" r="88" fill="none" stroke="{LINE}" stroke-width="2"/>'
    )
    d.line((140, 180), (78, 242), arrow=False)
    d.text(96, 202, "\N{GREEK SMALL LETTER THETA}", size=16)
    d.line((140, 180), (104, 130), color=NODE, wide=3)
    d.text(112, 76, "short: kept", NODE, "end", size=14)
    d.line((140, 180), (290, 66), wide=2)
    d.text(296, 52, "g", size=17)
    d.line((140, 180), (210, 127), color=GATE, wide=4)
    d.text(226, 150, "clipped", GATE, "start", size=14)
    d.dot(140, 180)
    # A loss with a cliff.
    bottom = [(540 + 18 * i, 274 - 1.6 * i**2) for i in range(-10, 0)]
    wall = [(540, 274), (570, 268), (590, 240), (602, 180), (610, 90), (622, 56), (724, 48)]
    d.line((340, 96), *bottom, *wall, arrow=False)
    d.text(724, 30, "loss", anchor="end", size=14)
    d.line((604, 158), (376, 158), color=MEMORY)
    d.text(490, 140, "full step", MEMORY, size=14)
    d.line((604, 158), (578, 232), color=GATE, wide=4)
    d.text(566, 206, "clipped", GATE, "end", size=14)
    d.dot(604, 158)
    d.text(540, 312, "parameters", size=14)
    return d


def decoding() -> Drawing:
    """Section 9.5: a prefix is read, then every predicted character is fed back."""
    d = Drawing(740, 330, "Decoding: the prefix moves the state on, then predictions are fed back")
    xs = [60 + 118 * i for i in range(6)]
    given, said = ["t", "h", "e", BLANK, "t", "i"], [BLANK, "t", "i", "m"]
    for i, (x, token) in enumerate(zip(xs, given, strict=True)):
        color = STATE if i < 3 else NODE
        d.text(x, 262, token, color)
        d.line((x, 244), (x, 191), color=color)
        d.box(x, 170, f"H_{{{i + 1}}}", color, w=60)
        if i < 5:
            d.line((x + 30, 170), (x + 88, 170), color=STATE if i < 2 else NODE)
    for i, token in enumerate(said):
        x = xs[i + 2]
        d.line((x, 149), (x, 88), color=NODE)
        d.text(x, 68, token, NODE)
        if i < 3:
            d.line((x + 14, 68), (x + 59, 68), (x + 59, 262), (x + 104, 262), color=GATE)
    d.line((xs[5] + 30, 170), (xs[5] + 62, 170), color=NODE)
    d.text(xs[1], 310, "warm-up: the prefix", STATE, size=14)
    d.text(xs[4], 310, "what was written is read", NODE, size=14)
    d.text(xs[0] + 59, 68, "not asked", size=14)
    return d


def rnn_layer() -> Drawing:
    """Section 9.6: the shapes on the way from tokens to logits."""
    d = Drawing(764, 300, "From tokens to logits: the shapes before and after each layer")
    stages = (
        (122, "one-hot", LINE, "(n, T)"),
        (292, "RNN layer", STATE, "(T, n, d)"),
        (462, "dense", NODE, "(T, n, h)"),
        (632, "swap axes", LINE, "(T, n, q)"),
    )
    for x, name, color, shape in stages:
        d.line((x - 118, 130), (x - 50, 130))
        d.text(x - 86, 108, shape, size=13)
        d.box(x, 130, name, color, w=100)
    d.line((682, 130), (758, 130))
    d.text(720, 108, "(n, T, q)", size=13)
    d.text(28, 152, "tokens", size=13)
    d.text(720, 152, "logits", size=13)
    d.text(262, 262, "H_{0}", MEMORY, "end")
    d.line((270, 262), (270, 151), color=MEMORY)
    d.text(322, 262, "H_{T}", MEMORY, "start")
    d.line((314, 151), (314, 262), color=MEMORY)
    d.text(292, 288, "(1, n, h), the 1 counts layers", MEMORY, size=13)
    d.text(292, 44, "all T steps in one call", STATE, size=14)
    d.line((292, 58), (292, 106), color=STATE)
    return d


def bptt_graph() -> Drawing:
    """Section 9.7: the computational graph of three steps."""
    d = Drawing(740, 440, "The computational graph of a recurrent network over three time steps")
    xs = [210, 390, 570]
    for name, y, color in (("W_{hx}", 340, MEMORY), ("W_{qh}", 170, MEMORY)):
        d.box(60, y, name, color, h=34)
        d.line((98, y), (xs[-1] - 42, y), color=color, arrow=False)
        for x in xs:
            tap = x - 42
            if x < xs[-1]:
                d.dot(tap, y, color)
            d.line((tap, y), (tap, y - 24), (x - 14, y - 24), color=color)
    d.box(60, 212, "W_{hh}", MEMORY, h=34)
    d.line((98, 212), (xs[-1] - 88, 212), color=MEMORY, arrow=False)
    d.text(60, 256, "h_{0}", STATE)
    for t, x in enumerate(xs, 1):
        d.box(x, 412, f"x_{{{t}}}", LINE, w=52, h=36)
        d.line((x, 394), (x, 330))
        d.circle(x, 316, TIMES)
        d.line((x, 302), (x, 277))
        before = x - 88
        d.line((88 if t == 1 else xs[t - 2] + 28, 256), (before - 14, 256), color=STATE)
        if t < 3:
            d.dot(before, 212, MEMORY)
        d.line((before, 212), (before, 242), color=MEMORY)
        d.circle(before, 256, TIMES, STATE)
        d.line((before + 14, 256), (x - 28, 256), color=STATE)
        d.box(x, 256, f"h_{{{t}}}", STATE, w=56)
        d.line((x, 235), (x, 160), color=STATE)
        d.circle(x, 146, TIMES)
        d.line((x, 132), (x, 117))
        d.box(x, 98, f"o_{{{t}}}", NODE, w=56, h=36)
        d.line((x, 80), (x, 38) if t == 3 else (x, 30), color=NODE, arrow=False)
    d.line((xs[0], 30), (656, 30), color=NODE)
    d.line((570, 38), (570, 30), color=NODE, arrow=False)
    d.box(690, 30, "L", GATE, w=56, h=36)
    d.text(690, 98, "y_{1}, y_{2}, y_{3}")
    d.line((690, 84), (690, 49))
    return d


def bptt_truncation() -> Drawing:
    """Section 9.7: where gradients pass from step to step, in three strategies."""
    d = Drawing(740, 300, "Full, truncated and randomly truncated backpropagation through time")
    rows = (
        (50, "full", set(), MEMORY),
        (130, f"regular, {TAU} = 4", {4, 8}, MEMORY),
        (210, "randomised", {2, 3, 9}, GATE),
    )
    for y, name, cuts, color in rows:
        d.text(8, y, name, anchor="start", size=15)
        for t, token in enumerate(["t", "h", "e", BLANK, "t", "i", "m", "e", BLANK, "m", "a", "c"]):
            x = 164 + 50 * t
            d.box(x, y, token, STATE, w=26, h=34)
            if t and t not in cuts:
                d.line((x - 14, y), (x - 36, y), color=color)
            elif t:
                d.line((x - 25, y - 26), (x - 25, y + 26), arrow=False)
    d.text(442, 262, "arrows: the gradient goes back in time", size=14)
    weight = "1/\N{GREEK SMALL LETTER PI}"
    d.text(442, 284, f"blue: weighted by {weight}, for those that were cut", GATE, size=14)
    return d


FIGURES: dict[str, Callable[[], Drawing]] = {
    "autoregression": autoregression,
    "k-step-ahead": k_step_ahead,
    "text-to-indices": text_to_indices,
    "tokens": tokens,
    "n-grams": n_grams,
    "corpus-windows": corpus_windows,
    "rnn-cell": rnn_cell,
    "rnn-unrolled": rnn_unrolled,
    "character-rnn": character_rnn,
    "model-9-5": partial(model_in_page, "9-5", "hidden state"),
    "model-9-6": partial(model_in_page, "9-6", "hidden state"),
    "model-9-7": model_gradient,
    "model-10-1": partial(model_in_page, "10-1", "forget gate"),
    "model-11-4": model_attention,
    "lstm-cell": lstm_cell,
    "gru-cell": gru_cell,
    "deep-rnn": deep_rnn,
    "bi-rnn": bi_rnn,
    "translation-arrays": translation_arrays,
    "encoder-decoder": encoder_decoder,
    "seq2seq-training": partial(seq2seq, feeds_back=False),
    "seq2seq-prediction": partial(seq2seq, feeds_back=True),
    "seq2seq-layers": seq2seq_layers,
    "search-tree": search_tree,
    "attention-pooling": attention_pooling,
    "bahdanau-attention": bahdanau_attention,
    "one-hot": one_hot,
    "gradient-clipping": gradient_clipping,
    "decoding": decoding,
    "rnn-layer": rnn_layer,
    "bptt-graph": bptt_graph,
    "bptt-truncation": bptt_truncation,
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        (FOLDER / f"{name}.svg").write_text(draw().svg(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
