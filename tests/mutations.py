"""Files as strangers send them: strategies of Hypothesis that damage bytes, JSON and safetensors files."""

import json

from hypothesis import strategies as st

# What stands in place of a value, as JSON text: edges of numbers, odd letters, other types, depth.
NUMBERS = [
    *("0", "-0", "-1", "1", "2", "7", "1.0", "1.5", "-2.5", "1e-320", "1e308", "1e999", "-1e999"),
    *("9007199254740993", "2147483648", "4294967296", "9223372036854775808", "1000000", "60000"),
    *("9" * 40, "9" * 5000, "NaN", "Infinity", "-Infinity", '"NaN"', '"Infinity"', '"-Infinity"'),
]
TEXTS = [
    *('""', '" "', '"x"', '"rnn"', '"seq2seq"', '"scratch"', '"deep-scratch"', '"lstm"', '"relu"'),
    *(
        '"word"',
        '"failed"',
        '"interrupted"',
        '"F32"',
        '"BF16"',
        '"I64"',
        '"BOOL"',
        '"../../x"',
        '"1"',
    ),
    *(
        r'"\ud800"',
        r'"\u0000\u001b[31m\u202e"',
        r'"a\nb\r\tc"',
        '"\N{PILE OF POO}\u0301"',
        '"$x^{$"',
    ),
    *('"<script>alert(1)</script>"', '"a|b`c](d)*_#\\n\\n# x"', '"{{ 7*7 }}"', f'"{"x" * 9999}"'),
]
OTHERS = [
    *("null", "true", "false", "[]", "{}", "[[]]", '[{"a": [1]}]', '{"": {"": null}}', "[0, 0]"),
    *("[" * 200 + "]" * 200, "[" * 50_000 + "]" * 50_000, '{"a":' * 20_000 + "1" + "}" * 20_000),
    *("tru", "", "'a'", "[1,]", '{"a" 1}', "/* */ 1", "0x10", "+1", "01", "\ufeff1"),
]
EVIL = [*NUMBERS, *TEXTS, *OTHERS]
PLACE = "@@ here @@"


def paths(value, path=()):
    """The path of each value inside a JSON value, itself included."""
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(item, (*path, key))


def replaced(value, path, new):
    """A copy of a JSON value with `new(value)` at `path`."""
    if not path:
        return new(value)
    copy = dict(value) if isinstance(value, dict) else list(value)
    old = value.get(path[0]) if isinstance(value, dict) else value[path[0]]
    copy[path[0]] = replaced(old, path[1:], new)
    return copy


def like(value):
    """What may stand in place of `value` and is not told from it at once."""
    if isinstance(value, str):
        return TEXTS
    return NUMBERS if isinstance(value, int | float) else EVIL


@st.composite
def json_texts(draw, value):
    """The JSON text of `value` with one to three values replaced, removed, added or written twice."""
    texts = []

    def mark(evil):
        texts.append(evil)
        return f"{PLACE}{len(texts)}"

    def change(old):
        what = draw(st.sampled_from(("like", "like", "replace", "remove", "add", "twice")))
        if what in ("like", "replace") or not isinstance(old, dict | list) or not old:
            return mark(draw(st.sampled_from(like(old) if what == "like" else EVIL)))
        keys = list(old) if isinstance(old, dict) else range(len(old))
        copy, key, evil = old.copy(), draw(st.sampled_from(keys)), draw(st.sampled_from(EVIL))
        if what == "remove":
            copy.pop(key)
        elif isinstance(old, list):
            copy.append(mark(evil) if what == "add" else old[key])
        elif what == "add":
            copy[draw(st.sampled_from(("", "x", "error", "val_ppl", "bias/x", "\u202e")))] = mark(
                evil
            )
        else:
            copy[key] = mark(f"0, {json.dumps(key)}: {evil}")
        return copy

    for _ in range(draw(st.sampled_from((1, 1, 2, 3)))):
        path = draw(st.sampled_from(list(paths(value))))
        value = replaced(value, path, change)
    text = json.dumps(value)
    for number, evil in enumerate(texts, 1):
        text = text.replace(json.dumps(f"{PLACE}{number}"), evil, 1)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw, content):
    """`content` with bytes changed, cut off, put in or written twice."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        what = draw(st.sampled_from(("flip", "flip", "flip", "cut", "insert", "repeat", "drop")))
        if what == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif what == "cut":
            del data[at:]
        elif what == "insert":
            data[at:at] = draw(
                st.sampled_from((b"\0", b"\xff\xfe", b"\n\t\n", b"[[", b"\xed\xa0\x80"))
            )
        elif what == "repeat":
            data[at:at] = data[: draw(st.integers(0, 64))]
        else:
            del data[at : at + draw(st.integers(1, 16))]
    return bytes(data)


@st.composite
def safetensors(draw, content):
    """A safetensors file, changed in its header or in its bytes."""
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged(content))
    end = 8 + int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8:end]), content[end:]
    own = header.get("__metadata__", {}).get("d2lrnn")
    if own is not None and draw(st.booleans()):
        inside = draw(json_texts(json.loads(own))).decode("utf-8", "replace")
        header["__metadata__"]["d2lrnn"] = inside
        text = json.dumps(header).encode()
    elif draw(st.booleans()):  # a file that is whole, and has other arrays
        return draw(resized(header, data))
    else:
        text = draw(json_texts(header))
    length = len(text) + draw(st.sampled_from((0, 0, 0, 0, -1, 1, 2**20, 2**62)))
    return max(length, 0).to_bytes(8, "little") + text + data


@st.composite
def resized(draw, header, data):
    """A whole file whose arrays are left out, named otherwise, or of another shape or type."""
    import numpy as np
    from safetensors.numpy import load, save

    whole = json.dumps(header).encode()
    arrays = load(len(whole).to_bytes(8, "little") + whole + data)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(arrays) or ["x"]))
        array = arrays.pop(name, np.zeros(1, np.float32))
        what = draw(st.sampled_from(("drop", "name", "shape", "type", "value")))
        if what == "name":
            name = draw(
                st.sampled_from(("", "x", "model/x", "optimizer/x", "bias/x", "optimizer/a/b/c"))
            )
        elif what == "shape":
            array = draw(
                st.sampled_from(
                    (array[None], array.ravel()[:0], array.ravel()[:1], array.T[..., None])
                )
            )
        elif what == "type":
            with np.errstate(all="ignore"):
                array = array.astype(draw(st.sampled_from(("f2", "f8", "i1", "i8", "u1", "?"))))
        elif what == "value":
            fill = draw(st.sampled_from((np.nan, np.inf, -1e30, 1e-40)))
            with np.errstate(all="ignore"):
                array = np.full(array.shape, fill).astype(array.dtype)
        if what != "drop":
            arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
    return save(arrays, metadata=header.get("__metadata__"))
