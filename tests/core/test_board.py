"""The progress board: its points, its files, and what it shows where."""

import copy
import os
import re
import signal
import subprocess
import sys
import time
from types import ModuleType, SimpleNamespace

import pytest

from d2lrnn import board as board_module
from d2lrnn.board import ProgressBoard
from d2lrnn.errors import ArgumentError


def row(epoch, **others):
    return {"train_loss": 2.0, "train_ppl": 5 + 1 / epoch, "val_loss": 2.5, "val_ppl": 7.0} | others


def train(board, num_epochs, initial_epoch=0, last=None, **others):
    for epoch in range(initial_epoch + 1, (last or num_epochs) + 1):
        board.update(epoch, row(epoch, seconds=0.5, **others))


# Points -----------------------------------------------------------------------------------------


def test_a_line_gets_the_means_of_every_n_points():
    board = ProgressBoard()
    for i in range(5):
        board.draw(i, 10 * i, "a", every_n=2)
        board.draw(i, -i, "b")
    assert board.data == {
        "b": [(0, 0), (1, -1), (2, -2), (3, -3), (4, -4)],
        "a": [(0.5, 5), (2.5, 25)],
    }


@pytest.mark.parametrize("every_n", [0, -1, 1])
def test_every_n_below_one_is_one(every_n):
    board = ProgressBoard()
    board.draw(1, 2, "a", every_n=every_n)
    assert board.data == {"a": [(1, 2)]}


def test_points_are_plain_floats():
    class Tensor:
        def __float__(self):
            return 3.0

    board = ProgressBoard()
    board.draw(Tensor(), Tensor(), "a")
    assert [type(value) for value in board.data["a"][0]] == [float, float]


def test_a_bare_draw_prints_nothing(capfd):
    ProgressBoard().draw(1, 2, "a")
    assert capfd.readouterr() == ("", "")


def test_a_new_training_starts_with_no_points_and_a_continued_one_keeps_them():
    board = ProgressBoard(display=False)
    board.draw(1, 2, "a")
    board.begin(4, initial_epoch=2)
    assert board.data == {"a": [(1, 2)]}
    board.begin(4)
    assert board.data == {}


def test_a_board_can_be_copied():
    board = ProgressBoard()
    board.draw(1, 2, "a")
    assert copy.deepcopy(board).data == board.data


# Files ------------------------------------------------------------------------------------------


def drawn(**arguments):
    board = ProgressBoard(**arguments)
    for epoch in range(1, 4):
        board.draw(epoch, 9 - epoch, "train_ppl")
        board.draw(epoch, 11 - epoch, "val_ppl")
    return board


def test_an_svg_keeps_its_text_and_is_the_same_every_time(tmp_path):
    paths = [tmp_path / "new" / "folder" / "a.svg", tmp_path / "b.SVG"]
    for path in paths:
        drawn(xlabel="epoch", ylabel="perplexity").save(path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    for text in ("epoch", "perplexity", "train_ppl", "val_ppl"):
        assert re.search(rf"<text[^>]*>{text}</text>", first.decode())


def test_a_png_is_the_same_every_time(tmp_path):
    for name in ("a.png", "b.png"):
        drawn().save(str(tmp_path / name))
    first, second = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first.startswith(b"\x89PNG") and first == second


@pytest.mark.parametrize(
    "changed",
    [
        {"xlabel": "epoch"}, {"ylabel": "loss"}, {"xlim": (0, 9)}, {"ylim": (0, 99)},
        {"xscale": "log"}, {"yscale": "log"}, {"ls": ("-.",)}, {"colors": ("red",)},
        {"figsize": (9, 2)},
    ],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_every_argument_shows(tmp_path, changed):
    drawn().save(tmp_path / "plain.svg")
    drawn(**changed).save(tmp_path / "changed.svg")
    assert (tmp_path / "plain.svg").read_bytes() != (tmp_path / "changed.svg").read_bytes()


def test_it_draws_into_a_given_figure_or_axes(tmp_path):
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subplots(1, 2)
    drawn(axes=right).save(tmp_path / "a.svg")
    assert (len(left.lines), len(right.lines)) == (0, 2)
    figure = Figure()
    drawn(fig=figure).save(tmp_path / "b.svg")
    assert len(figure.gca().lines) == 2


def test_the_limits_are_the_epochs_of_the_training(tmp_path):
    board = ProgressBoard(display=False)
    board.begin(7)
    board.draw(1, 2, "a")
    board.save(tmp_path / "a.png")
    assert board.axes.get_xlim() == (0, 7)


def test_the_axis_is_named_for_the_epochs_of_a_training(tmp_path):
    def text_of(board):
        board.draw(1, 2, "a")
        board.save(tmp_path / "plot.svg")
        return (tmp_path / "plot.svg").read_text(encoding="utf-8")

    assert ">epoch<" not in text_of(ProgressBoard())
    trained, named = ProgressBoard(display=False), ProgressBoard(xlabel="time", display=False)
    for board in (trained, named):
        board.begin(4)
    assert ">epoch<" in text_of(trained)
    assert ">epoch<" not in text_of(named)


@pytest.mark.parametrize("name", ["plot.jpg", "plot", "svg"])
def test_another_suffix_is_refused(tmp_path, name):
    with pytest.raises(ArgumentError, match=r"end the path in \.svg or \.png"):
        drawn().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# Lines ------------------------------------------------------------------------------------------


@pytest.fixture
def lines(capsys):
    return lambda: capsys.readouterr().out.splitlines()


def test_without_a_terminal_there_are_a_few_plain_lines(lines):
    board = ProgressBoard()
    assert board.begin(100) == "lines"
    train(board, 100)
    board.end("The end.")
    out = lines()
    assert out[0] == "epoch   1/100  ppl train 6.00 val 7.00  0.5 s/epoch  0:50 left"
    assert out[-2].startswith("epoch 100/100  ppl train 5.01 val 7.00  0.5 s/epoch  in 0:00")
    assert out[-1] == "The end."
    assert 8 <= len(out) <= 13
    assert all(line.isprintable() for line in out)


def test_lines_of_a_short_and_of_a_continued_training(lines):
    board = ProgressBoard()
    board.begin(3)
    train(board, 3)
    board.end()
    assert [line.split()[1] for line in lines()] == ["1/3", "2/3", "3/3"]
    board.begin(50, initial_epoch=47)
    train(board, 50, initial_epoch=47)
    board.end()
    assert [line.split()[1] for line in lines()] == ["48/50", "49/50", "50/50"]


def test_a_training_that_breaks_off_shows_its_last_epoch(lines):
    board = ProgressBoard()
    board.begin(100)
    train(board, 100, last=17)
    board.end()
    assert lines()[-1].startswith("epoch  17/100")


@pytest.mark.parametrize(
    ("measured", "shown"),
    [
        ({"train_loss": 0.5, "val_loss": 0.01234}, "loss train 0.5 val 0.0123"),
        ({"train_loss": 1.5}, "loss train 1.50"),
        ({"train_ppl": 6.0, "train_loss": 2.0}, "ppl train 6.00"),
        ({"train_ppl": 12345.6, "val_ppl": float("inf")}, "ppl train 1.23e+04 val inf"),
    ],
)
def test_what_an_epoch_measured(lines, measured, shown):
    board = ProgressBoard()
    board.begin(2)
    board.update(1, measured | {"seconds": 3700.0})
    assert lines() == [f"epoch 1/2  {shown}  3.7e+03 s/epoch  1:01:40 left"]


def test_seconds_are_measured_if_the_row_has_none(lines):
    board = ProgressBoard()
    board.begin(2)
    time.sleep(0.01)
    board.update(1, {"train_loss": 1.0})
    assert 0.005 < float(re.search(r"(\S+) s/epoch", lines()[0])[1]) < 1


def test_an_epoch_that_is_compiled_tells_nothing_of_the_others(lines):
    board = ProgressBoard()
    board.begin(9, compiling=True)
    board.update(1, {"train_loss": 1.0, "seconds": 30.0})
    board.update(2, {"train_loss": 1.0, "seconds": 0.5})
    told = ["epoch 1/9  loss train 1.00", "epoch 2/9  loss train 1.00  0.5 s/epoch  0:04 left"]
    assert lines() == told


@pytest.mark.parametrize(("display", "progress"), [(False, True), (True, False)])
def test_off_prints_nothing(lines, display, progress):
    board = ProgressBoard(display=display)
    assert board.begin(3, progress=progress) == "off"
    train(board, 3)
    board.end("The end.")
    assert lines() == []


# Terminal ---------------------------------------------------------------------------------------

TRAINING = """
import sys, time
from d2lrnn.board import ProgressBoard
board = ProgressBoard()
print(board.begin(100), flush=True)
{body}
"""


def in_terminal(body, columns=80, interrupt_at=None, **environment):
    """What the training prints into a terminal; Ctrl-C is typed once `interrupt_at` appears."""
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    import fcntl
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    hidden = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING.format(body=body)],
        stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        env=kept | {"TERM": "xterm"} | environment,
        # A shell lets jobs in the background, such as CI, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    os.close(follower)
    output = b""
    while True:
        try:
            output += os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if interrupt_at is not None and interrupt_at.encode() in output:
            process.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(leader)
    process.wait(10)
    return output.decode()


HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"

EPOCHS = """
for epoch in range(1, 101):
    time.sleep(0.005)
    board.update(epoch, {"train_ppl": 5.5, "val_ppl": 7.25, "seconds": 0.005})
"""


def test_in_a_terminal_there_is_a_bar():
    output = in_terminal(EPOCHS + "board.end('The end.')")
    assert output.startswith(HIDE) and "terminal\r\n" in output
    last = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", output).split("\r")[-3].strip()
    assert re.fullmatch(
        r"epoch 100/100 \u2501+ ppl train 5\.50 val 7\.25 0\.005 s/epoch in 0:0\d", last
    )
    assert output.index(SHOW) < output.index("The end.")
    assert output.count("epoch 100/100") <= 3  # frames, not one line an epoch


def test_the_bar_says_that_it_is_compiled():
    compiled = (
        "board.begin(3, compiling=True)\ntime.sleep(0.6)\nboard.update(1, {'train_loss': 1.0})\n"
    )
    output = in_terminal(compiled + "time.sleep(0.6)\nboard.end()")
    assert "compiling" in output.partition("loss train 1.00")[0]
    assert "compiling" not in output.partition("loss train 1.00")[2] and " left" not in output


def test_the_bar_fits_a_narrow_terminal():
    output = in_terminal(EPOCHS + "board.end()", columns=60)
    frames = re.split(r"[\r\n]+", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", output))
    assert max(map(len, frames)) <= 60
    assert re.search(r"ppl train 5\.50 val 7\.25 in 0:0\d", frames[-2])


def test_no_color():
    short = "board.update(1, {'train_loss': 1.0})\nboard.end()"
    colours = re.compile(r"\x1b\[[\d;]*[349]\d")
    assert colours.search(in_terminal(short))
    assert not colours.search(in_terminal(short, NO_COLOR="1"))


def test_a_dumb_terminal_gets_lines():
    output = in_terminal(EPOCHS + "board.end()", TERM="dumb")
    assert output.startswith("lines\r\n") and "\x1b" not in output


@pytest.mark.parametrize("end", ["", "finally: board.end()"], ids=["no end", "end"])
def test_ctrl_c_gives_the_cursor_back(end):
    body = """
try:
    board.update(1, {"train_ppl": 5.5, "seconds": 0.005})
    print("working", flush=True)
    time.sleep(20)
""" + (end or "except ZeroDivisionError: pass")
    output = in_terminal(body, interrupt_at="working")
    assert "KeyboardInterrupt" in output
    assert output.rindex(SHOW) > output.rindex(HIDE)


def test_an_update_costs_next_to_nothing():
    output = in_terminal(
        """
row = {"train_ppl": 5.5, "val_ppl": 7.25, "seconds": 0.005}
times = []
for epoch in range(1, 101):
    start = time.perf_counter(); board.update(epoch, row); times.append(time.perf_counter() - start)
board.end(f"median {sorted(times)[50] * 1e6:.1f} us")
"""
    )
    assert float(re.search(r"median (\S+) us", output)[1]) < 100


# Notebook ---------------------------------------------------------------------------------------


class Notebook:
    """A stand-in for IPython in a kernel: keeps the frames each cell's output was given."""

    def __init__(self):
        self.cells, self.callbacks = [[]], []
        self.kernel = object()
        self.events = self

    def register(self, event, callback):
        assert event == "post_run_cell"
        self.callbacks.append(callback)

    def unregister(self, event, callback):
        self.callbacks.remove(callback)

    def end_cell(self):
        for callback in list(self.callbacks):
            callback(None)
        self.cells.append([])

    def display(self, bundle, raw, display_id):
        assert raw and display_id
        outputs = self.cells[-1]
        outputs.append([bundle["image/svg+xml"]])
        return SimpleNamespace(
            update=lambda bundle, raw: outputs[-1].append(bundle["image/svg+xml"])
        )


@pytest.fixture
def notebook(monkeypatch):
    notebook = Notebook()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: notebook
    ipython.version_info = (9, 0)  # Matplotlib asks
    display.display = notebook.display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return notebook


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(board_module, "time", clock)
    return clock


def test_in_a_notebook_the_plot_is_live_and_throttled(notebook, clock):
    board = ProgressBoard()
    for i in range(100):
        clock.now = i / 50
        board.draw(i, i, "a")
    ((frames,),) = notebook.cells
    assert 7 <= len(frames) <= 9  # 2 seconds at 4 frames a second
    assert frames[0].startswith("<?xml") and frames[0] != frames[-1]


def test_the_last_frame_is_shown_when_the_cell_ends(notebook, clock, tmp_path):
    board = ProgressBoard()
    for i in range(3):
        board.draw(i, i, "a")
    notebook.end_cell()
    board.save(tmp_path / "a.svg")
    assert notebook.cells[0][0][-1] == (tmp_path / "a.svg").read_text()
    assert notebook.callbacks == []


def test_the_next_cell_has_an_output_of_its_own(notebook, clock):
    board = ProgressBoard()
    board.draw(0, 0, "a")
    notebook.end_cell()
    board.draw(1, 1, "a")
    notebook.end_cell()
    assert [len(outputs) for outputs in notebook.cells] == [1, 1, 0]


def test_a_training_in_a_notebook(notebook, clock, capsys):
    board = ProgressBoard()
    assert board.begin(2) == "notebook"
    for epoch in (1, 2):
        board.draw(epoch, 9 - epoch, "train_ppl")
        board.update(epoch, row(epoch))
    board.end("The end.")
    assert len(notebook.cells[0][0]) == 2  # the first and the last
    assert capsys.readouterr().out == "The end.\n"


def test_a_training_without_progress_shows_no_plot(notebook, clock):
    board = ProgressBoard()
    assert board.begin(1, progress=False) == "off"
    board.draw(1, 5.0, "train_ppl")
    board.end()
    notebook.end_cell()
    assert notebook.cells[0] == []
    board.draw(2, 4.0, "train_ppl")  # after it, drawing shows again
    assert len(notebook.cells[-1]) == 1


def test_display_false_shows_no_plot(notebook):
    board = ProgressBoard(display=False)
    assert board.begin(2) == "off"
    board.draw(1, 2, "a")
    assert notebook.cells == [[]]
