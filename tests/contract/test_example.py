"""`examples/section_9_6.py` runs as it stands, on the backend of the suite."""

import os
import re
import subprocess
import sys
from pathlib import Path

import d2lrnn as d2l

SCRIPT = Path(__file__).parents[2] / "examples" / "section_9_6.py"


def test_section_9_6(tmp_path):
    child = subprocess.run(
        [sys.executable, str(SCRIPT), "--epochs", "5"],
        env={**os.environ, "D2LRNN_BACKEND": d2l.backend.name(), "MPLBACKEND": "agg"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert child.returncode == 0, child.stderr
    before, after = re.findall(r"^(?:before|after): (it has.{20})$", child.stdout, re.MULTILINE)
    assert before != after
    train, val = map(
        float, re.search(r"perplexity: (\S+) in training, (\S+)", child.stdout).groups()
    )
    assert 6 < train < 18 and 6 < val < 18  # of 28 tokens; after 100 epochs about 6 and 7
    assert list(tmp_path.iterdir()) == []  # a script leaves nothing behind
