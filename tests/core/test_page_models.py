"""The weights that an executed notebook keeps for the site's pages, and the scripts that bring them there."""

import base64
import json
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from d2lrnn.data import Vocab
from d2lrnn.data.tokenizer import Tokenizer
from d2lrnn.errors import ArgumentError
from d2lrnn.page_models import MIME, PageModels
from d2lrnn.weights import read_header, read_weights, write_weights

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book"))
import page_models  # noqa: E402

sys.path.remove(str(ROOT / "book"))


class Model:
    def __init__(self, **weights):
        self.weights = {f"rnn.{name}": array for name, array in weights.items()}

    def save(self, path):
        write_weights(path, self.weights, activation="relu")


class Data:
    def __init__(self, letters="a-z"):
        self.vocab = Vocab("so it has", tokenizer=Tokenizer("char", letters))


def test_the_scripts_hold_the_numbers_of_the_models(tmp_path):
    """To the last bit of float32, with the activation and the vocabulary."""
    random = np.random.RandomState(0)
    models = {name: Model(W_hh=random.normal(size=(3, 5)).astype("f")) for name in ("a", "b")}
    data = Data()
    output = nbformat.v4.new_output(
        "execute_result", PageModels(data, **models)._repr_mimebundle_(), execution_count=1
    )
    cell = nbformat.v4.new_code_cell("PageModels(...)", id="9-6-model-weights", outputs=[output])
    metadata = {"d2lrnn": {"quick": True}}
    executed = nbformat.v4.new_notebook(cells=[cell], metadata=metadata)
    nbformat.validate(executed)
    left_out = nbformat.v4.new_notebook(cells=[{**cell, "outputs": []}])
    copies = {"torch": json.loads(nbformat.writes(executed)), "mxnet": left_out}

    page_models.write(left_out, copies, ["torch", "jax", "mxnet"], tmp_path)
    found = {}
    for path in tmp_path.glob("*.js"):
        call = re.fullmatch(r"d2lrnnModels\.take\((.*)\);\n", path.read_text())
        found[path.name] = json.loads(call[1])
    of_torch = found["9-6-torch.js"]
    assert (of_torch["model"], of_torch["framework"]) == ("9-6", "torch")
    assert of_torch["quick"] is True and of_torch["vocabs"] == [data.vocab.idx_to_token]
    for name, model in models.items():
        (tmp_path / "file").write_bytes(base64.b64decode(of_torch["files"][name]))
        (array,) = read_weights(tmp_path / "file").values()
        assert array.tobytes() == model.weights["rnn.W_hh"].tobytes()
        assert read_header(tmp_path / "file") == {"activation": "relu"}
    assert "not executed" in found["9-6-jax.js"]["missing"]
    assert "short run" in found["9-6-mxnet.js"]["missing"]


def test_what_a_page_cannot_read_is_refused():
    with pytest.raises(ArgumentError, match="at least one model"):
        PageModels(Data())
    with pytest.raises(ArgumentError, match=r"Received: .*letters='any'"):
        PageModels(Data("any"), trained=Model())


def test_both_ends_speak_of_the_same_output():
    assert page_models.MIME == MIME


def test_every_model_in_a_page_has_its_weights_and_its_picture():
    kept, asked = set(), []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.id.endswith(page_models.CELL):
                kept.add(cell.id.removesuffix(page_models.CELL))
            asked += [(cell, name) for name in re.findall(r'data-model="(.+?)"', cell.source)]
    assert len(asked) == 5
    for cell, model in asked:
        assert cell.id.endswith("-model-in-page") and model in kept
        # Blank lines around it, or it would be text of HTML and no picture.
        alt, picture = re.search(r">\n\n!\[(.+)\]\((.+)\)\n\n</div>$", cell.source).groups()
        assert len(alt) > 40 and (ROOT / "notebooks" / picture).exists()
