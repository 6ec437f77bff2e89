"""What the core decides of the command line: texts of one's own, names in errors, prefixes."""

import csv
import io
import re
import sys
from types import SimpleNamespace

import pytest

from d2lrnn import atomic, backend, cli, overview, run
from d2lrnn.models import MODELS
from d2lrnn.options import in_options
from d2lrnn.run import Run

TEXT = "The gulls, on the quay; 2 lamps!\nOver and over: the Tide and the clock, the gulls and the lamps."
TRAIN = ["train", "--text", "text.txt", "--max-epochs", "1", "--num-hiddens", "2", "--run", "run"]


@pytest.fixture
def call(tmp_path, monkeypatch, numpy_library, capfd):
    """Runs the command line in a folder with a text; returns the exit code and what it printed."""
    (tmp_path / "text.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "draw_perplexity", lambda _, folder, __: draw(folder))

    def draw(folder):
        for kind in ("svg", "png"):
            atomic.write(folder / f"perplexity.{kind}", b"drawn")

    def call(*arguments):
        capfd.readouterr()
        code = cli.main(arguments)
        out, err = capfd.readouterr()
        return code, out, err

    return call


# A text of one's own -------------------------------------------------------------------------------


def test_the_whole_text_is_used_in_minibatches_that_fit(call):
    code, out, err = call(*TRAIN, "--num-steps", "8")
    num_windows = len(re.sub("[^A-Za-z]+", " ", TEXT)) - 8  # one token apart
    num_train = num_windows * 9 // 10
    assert (code, err) == (0, "")  # nothing about a GPU that nobody asked for
    assert f"{num_windows + 8} tokens, a vocabulary of" in out
    validation = f"validation on {num_windows - num_train}"
    assert f"Training on {num_train} windows of 8 tokens, {validation}, in" in out
    assert f"in minibatches of {num_train // 10}, small ones" in out
    options = Run.open("run").config["options"]
    kept = [options[name] for name in ("num_train", "num_val", "batch_size", "num_gpus")]
    assert kept == [num_train, num_windows - num_train, num_train // 10, 0]
    assert call("train", "--resume", "run", "--max-epochs", "2")[0] == 0  # by the same split


def test_sizes_that_are_given_are_taken(call):
    assert call(*TRAIN, "--num-steps", "4", "--num-train", "30", "--batch-size", "7")[0] == 0
    options = Run.open("run").config["options"]
    assert [options[n] for n in ("num_train", "num_val", "batch_size")] == [30, 4, 7]


def test_the_prefix_is_the_beginning_of_the_text(call):
    out = call(*TRAIN)[1]
    assert "Before: the gulls...................." in out
    assert "--prefix 'the gulls' --num 200 --temperature 0.5 --seed 1\n" in out
    assert call("generate", "run", "--num", "1")[1].startswith("the gulls")  # if none is given


def test_case_and_punctuation_are_kept_and_a_prompt_is_read_likewise(call):
    assert call(*TRAIN, "--keep-case", "--keep-punctuation")[0] == 0
    found = Run.open("run")
    assert found.config["data"]["num_tokens"] == len(TEXT)
    assert set(found.vocab) == {"<unk>", *TEXT} and found.vocab["T"] != found.vocab["t"]
    assert found.vocab.split("The, 2") == list("The, 2")
    assert found.samples[0]["prefix"] == "The gulls,"


@pytest.mark.parametrize(
    "option, vocabulary", [("--keep-case", "T"), ("--keep-punctuation", ";2!\n")]
)
def test_one_of_them_alone(call, option, vocabulary):
    assert call(*TRAIN, option)[0] == 0
    found = set(Run.open("run").vocab) - {"<unk>"}
    kept = re.sub("[^A-Za-z]+", " ", TEXT) if option == "--keep-case" else TEXT.lower()
    assert found == set(kept) and found >= set(vocabulary)


# Prefixes ------------------------------------------------------------------------------------------


def test_prefixes_come_from_a_file_on_standard_input(call, tmp_path, monkeypatch):
    assert call(*TRAIN)[0] == 0
    (tmp_path / "prompts").write_text("the quay\n\nover\n")
    with (tmp_path / "prompts").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        code, out, err = call("generate", "run", "--num", "2")
    assert (code, [line[:-2] for line in out.splitlines()], err) == (0, ["the quay", "over"], "")
    monkeypatch.setattr("sys.stdin", io.StringIO("no file"))
    assert call("generate", "run", "--num", "2")[1].startswith("the gulls")


def test_one_run_must_be_named(call):
    for runs in [], ["a", "--run", "b"]:
        code, _, err = call("generate", *runs)
        assert code == 2 and "Name one RUN" in err


# Errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, told",
    [
        (["--num-train", "900"], "--num-train 900 and --num-val 0 ask for 900. Lower --num-train,"),
        (
            ["--num-steps", "90"],
            "a window takes --num-steps 90 and the one that follows. Lower --num-s",
        ),
        (
            ["--num-val", "0", "--patience", "2"],
            "--patience 2 waits for the validation loss to fall",
        ),
        (["--min-freq", "99"], "no token occurs --min-freq 99 times"),
    ],
)
def test_errors_name_the_options(call, given, told):
    code, _, err = call(*TRAIN, *given)
    assert code == 1 and told in err
    assert not re.search(r"num_|min_freq|patience=", err)


def test_only_names_of_options_are_replaced():
    said = (
        "lr=1 in a/lr.txt, clr, num_train_windows; Try a smaller lr, config['lr']; the seed; seed=2"
    )
    told = "--lr 1 in a/lr.txt, clr, num_train_windows; Try a smaller --lr, config['lr']; the seed; --seed 2"
    assert in_options(said, cli.train) == told


# Runs, models, options -----------------------------------------------------------------------------


def test_quiet_prints_the_folder_alone_and_config_repeats_a_run(call, monkeypatch):
    monkeypatch.setattr(backend, "entry_point", lambda name: None)  # of the backend of these tests
    options = [*TRAIN, "--num-steps", "5", "--lr", "0.5", "--quiet"]
    assert call(*options) == (0, "run\n", "")
    again = call("train", "--config", "run/config.json", "--num-hiddens", "3", "--run", "again")
    assert again[0] == 0, again
    first, second = (Run.open(name).config["options"] for name in ("run", "again"))
    differ = {name for name in first if first[name] != second[name]}
    assert differ == {"num_hiddens"}  # which was typed, and holds; nothing else


@pytest.mark.parametrize(
    "content, told",
    [
        ('{"options": {"lr": -1}}', "--lr"),
        ('{"options": {"learning_rate": 1}}', "has 'learning_rate', which is no option"),
        ("[1]", "is damaged"),
    ],
)
def test_a_configuration_is_checked(call, tmp_path, content, told):
    (tmp_path / "mine.json").write_text(content)
    code, _, err = call("train", "--config", "mine.json", "--run", "run")
    assert code in (1, 2) and told in err
    assert not (tmp_path / "run").exists()


def test_a_log_is_written_as_the_training_goes_and_is_whole_after_resuming(call, tmp_path):
    assert call(*TRAIN, "--log", "csv")[0] == 0
    assert call("train", "--resume", "run", "--max-epochs", "3")[0] == 0
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").read_text().splitlines()))
    found = [{name: float(value) for name, value in row.items()} for row in rows]
    assert found == Run.open("run").history and len(found) == 3


def test_what_writes_a_log_is_asked_for_before_the_training(call, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    code, _, err = call(*TRAIN, "--log", "tensorboard")
    assert code == 1 and "pip install tensorboardX. Without it there is --log csv." in err
    assert not (tmp_path / "run").exists()


def test_events_of_a_training(call, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder, purge_step):
            assert (folder, purge_step) == ("run", 0)

        def add_scalar(self, *event):
            written.append(event)

        def flush(self):
            pass

    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=Writer))
    assert call(*TRAIN, "--max-epochs", "2", "--log", "tensorboard")[0] == 0
    rows = Run.open("run").history
    assert sorted(written) == sorted(
        (name, row[name], row["epoch"]) for row in rows for name in row if name != "epoch"
    )


def test_runs_are_listed_in_whatever_state(call, make_run, tmp_path):
    (tmp_path / "runs").mkdir()
    assert call("runs")[1] == "There are no runs in runs.\n"
    make_run("runs/compared/good")
    make_run("runs/bad", config={"status": "failed", "error": "nan", "diverged": True})
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    code, out, _ = call("runs")
    assert code == 0
    (good,) = re.findall("^.*runs/compared/good .*$", out, re.M)
    last = Run.open("runs/compared/good").history[-1]
    assert "finished" in good and f"{last['val_ppl']:.2f}" in good
    assert re.search("runs/bad .* diverged", out) and "damaged" in out
    assert call("runs", "nowhere")[0] == 1


def test_no_table_cuts_a_word(monkeypatch, capsys):
    words = [*MODELS, "framework's", "--activation", "10.1.4", "2,876"]
    for width in range(60, 111):
        monkeypatch.setattr(overview, "WIDTH", width)
        cli.main(["models"])
        rows = capsys.readouterr().out.splitlines()[:-4]  # without what is said below
        assert max(map(len, rows)) <= width
        is_table = rows[0][0] == "\u250f"
        assert not is_table or all(row[-1] in "\u2503\u2502\u2513\u2529\u2518" for row in rows)
        assert {word for word in words if word not in "\n".join(rows)} == set()


def test_a_shell_completes_backends_and_models(monkeypatch, capsys):
    for begun, expected in (
        ("train --backend to", "torch"),
        ("notebooks --backend to", "torch"),
        ("train --model lstm-", "lstm-scratch"),
    ):
        monkeypatch.setenv("COMP_WORDS", f"d2lrnn {begun}")
        monkeypatch.setenv("COMP_CWORD", "3")
        monkeypatch.setenv("_D2LRNN_COMPLETE", "bash_complete")
        with pytest.raises(SystemExit) as ended:
            cli.main([])
        assert ended.value.code == 0
        assert capsys.readouterr().out == f"plain,{expected}\n"


def test_an_optimizer_brings_its_learning_rate_and_a_schedule_changes_the_training(call):
    assert call(*TRAIN, "--optimizer", "adam", "--max-epochs", "3")[0] == 0
    assert (
        call(*TRAIN[:-1], "other", *"--lr 0.01 --max-epochs 3 --lr-schedule cosine".split())[0] == 0
    )
    adam, other = Run.open("run"), Run.open("other")
    assert adam.config["options"]["lr"] == 0.01
    assert adam.model().optimizer_name == "adam" and other.model().optimizer_name == "sgd"
    losses = [[row["val_loss"] for row in found.history] for found in (adam, other)]
    assert (
        losses[0][0] == losses[1][0] and losses[0][1] != losses[1][1]
    )  # the first epoch is as ever
