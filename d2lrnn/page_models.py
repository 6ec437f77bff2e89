"""`PageModels`: models that stay in an executed notebook, for the site's pages (book/page_models.py)."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from d2lrnn.errors import ArgumentError

MIME = "application/vnd.d2lrnn.models+json"


class PageModels:
    """The last expression of a cell, whose output is then the weights of these models, as files.

    A page runs `trained` and, beside it, `untrained`. The files are those that `Module.save` writes, byte for
    byte. Where no page is made, the output is a line of text.

    Args:
        data: that they were trained on: a text of characters, or pairs of sentences.
        models: by name.
    """

    def __init__(self, data: Any, **models: Any) -> None:
        if not models:
            raise ArgumentError(
                "PageModels needs at least one model: PageModels(data, trained=model)."
            )
        if hasattr(data, "src_vocab"):
            vocabs, self.settings = [data.src_vocab, data.tgt_vocab], {"num_steps": data.num_steps}
        else:
            vocabs, self.settings = [data.vocab], {}
            read = data.vocab.tokenizer
            if (read.tokens, read.letters) != ("char", "a-z"):
                raise ArgumentError(
                    "A page reads a prompt as characters from a to z. Received: data of "
                    f"tokens={read.tokens!r} and letters={read.letters!r}."
                )
        self.vocabs = [list(vocab.idx_to_token) for vocab in vocabs]
        self.files = {name: content(model) for name, model in models.items()}

    def __repr__(self) -> str:
        return f"For the page: the weights of {', '.join(self.files)}"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        files = {name: base64.b64encode(file).decode() for name, file in self.files.items()}
        kept = {"vocabs": self.vocabs, "files": files, **self.settings}
        return {MIME: kept, "text/plain": repr(self)}


def content(model: Any) -> bytes:
    """The file that `model.save` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model.save(path)
        return path.read_bytes()
