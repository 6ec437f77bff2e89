"""Text files: UTF-8, read whole or by blocks, and checked."""

import codecs
import os
import re
from collections.abc import Iterator
from pathlib import Path

from d2lrnn.data.tokenizer import BLOCK
from d2lrnn.errors import DataError

BYTES = 1 << 22  # of a file, read at a time


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a UTF-8 file; `DataError` if it cannot be read, is empty, or is not UTF-8."""
    return "".join(text_blocks(path))


def text_blocks(path: str | os.PathLike[str]) -> Iterator[str]:
    """The text of a UTF-8 file, block by block, however large it is; it raises what `read_text` does.

    That it is empty, or has characters that stand in no text, is raised behind the last block.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_first = is_blank = True
    start, control = b"", ""
    num_bytes = num_characters = num_lines = 0
    for content in _byte_blocks(path):
        start += content[: BLOCK - len(start)]
        is_blank = is_blank and not content.strip()
        offset = num_bytes - len(decoder.getstate()[0])  # of what is decoded now
        num_bytes += len(content)
        try:
            text = decoder.decode(content, final=not content)
        except UnicodeDecodeError as error:
            line = num_lines + error.object.count(10, 0, error.start) + 1
            raise DataError(
                f"The file {path} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset "
                f"{offset + error.start}, line {line}. {_way_to_utf8(start)}"
            ) from None
        if text and is_first:
            text, is_first = text.removeprefix("\ufeff"), False  # a byte order mark is no text
        if not control and (found := NO_TEXT.search(text)):
            line = num_lines + text.count("\n", 0, found.start()) + 1
            at = num_characters + found.start()
            control = f"U+{ord(found[0]):04X} at character {at}, line {line}"
        num_characters += len(text)
        num_lines += text.count("\n")
        yield text
    if is_blank:
        raise DataError(f"The file {path} is empty ({num_bytes} bytes).")
    if control:
        raise DataError(
            f"The file {path} is no text: it is UTF-8, but has the control character {control}. "
            f"{_way_to_utf8(start)}"
        )


def _byte_blocks(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The bytes of a file, and at its end a block of none."""
    try:
        with Path(path).expanduser().open("rb") as file:
            content = b"..."
            while content:
                content = file.read(BYTES)
                yield content
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; name a text file in it.") from None
    except (OSError, ValueError) as error:  # a path that holds a null character
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"The file {path!r} cannot be read: {reason}.") from error


# Control characters that stand in no text: all but tab, line feed, form feed and carriage return.
NO_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def _way_to_utf8(content: bytes) -> str:
    """What to type to make a text in another encoding UTF-8, if these bytes are one."""
    found = _encodings(content)
    if not found:
        return (
            "These are the bytes of no text (a picture, an archive, a document?): name a text file."
        )
    first, *others = found
    or_else = f" (or, since this is a guess, {', '.join(others)})" if others else ""
    return (
        f"It looks like {first}{or_else}; save it as UTF-8, for instance with: "
        f"iconv -f {first} -t UTF-8 FILE > NEWFILE"
    )


def _encodings(content: bytes) -> list[str]:
    """What these bytes, which are no UTF-8, may be encoded in, likeliest first, by the names of iconv."""
    from charset_normalizer import from_bytes

    for mark, name in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return [name]
    start = content[:BLOCK]
    for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):  # without a mark
        whole = len(start) // 4 * 4 if "32" in name else len(start) // 2 * 2
        try:
            text = start[:whole].decode(name)
        except UnicodeDecodeError:
            continue
        if text.isascii() and not NO_TEXT.search(text):
            return [re.sub("-([LB]E)", r"\1", name.upper())]
    if b"\0" in start:
        return []
    names = [match.encoding.upper().replace("_", "-") for match in from_bytes(start)]
    return [re.sub("^ISO8859", "ISO-8859", name) for name in names[:3]]
