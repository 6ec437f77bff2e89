"""`d2lrnn generate` where no framework is installed."""

import json
import subprocess
import sys

import numpy as np
from safetensors.numpy import load_file

from d2lrnn.cli import main
from d2lrnn.run import Run


def test_it_writes_what_the_equations_say(make_run, capsys):
    path = make_run("run")
    assert main(["generate", "--run", str(path), "--prefix", "a b", "--num", "30"]) == 0
    W_xh, W_hh, b_h, W_hq, b_q = (
        load_file(path / "weights.safetensors")[name]
        for name in ("rnn.W_xh", "rnn.W_hh", "rnn.b_h", "linear.W_hq", "linear.b_q")
    )
    vocab = Run.open(path).vocab
    tokens, H = list(vocab[list("a b")]), np.zeros(len(b_h), np.float32)
    for t in range(len(tokens) + 29):
        H = np.tanh(W_xh[tokens[t]] + H @ W_hh + b_h)
        if t == len(tokens) - 1:
            logits = H @ W_hq + b_q
            logits[vocab.unk] = -np.inf
            tokens.append(int(logits.argmax()))
    assert capsys.readouterr().out == "".join(vocab.to_tokens(tokens)) + "\n"


def test_it_samples_by_a_seed(make_run, capsys):
    path = make_run("run")
    command = ["generate", "--run", str(path), "--prefix", "a b", "--num", "30", "--seed"]
    texts = []
    for seed in "1", "1", "2":
        assert main([*command, seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_no_framework_is_imported(make_run):
    code = (
        "import sys\n"
        "from d2lrnn.cli import main\n"
        f"main(['generate', {str(make_run('run'))!r}, '--prefix', 'a'])\n"
        "from d2lrnn import backend\n"
        "assert not backend.loaded()\n"
        "print([name for name in backend.DEFAULT_ORDER if name in sys.modules])\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.stdout.endswith("[]\n"), child.stderr


def test_weights_of_other_sizes_than_the_configuration_says(make_run, capsys):
    path = make_run("run")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    config["options"]["num_hiddens"] = 60000
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert main(["generate", "--run", str(path)]) == 1
    assert "wrong shape: rnn.W_xh" in capsys.readouterr().err
