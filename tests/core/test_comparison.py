"""Runs side by side, read from folders made by hand (d2lrnn/comparison)."""

import io
import json
import re
from itertools import combinations
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from safetensors.numpy import load_file

import d2lrnn as d2l
from d2lrnn import cli
from d2lrnn.comparison import plots, terminal
from d2lrnn.errors import ArgumentError, RunError
from d2lrnn.weights import write_weights


@pytest.fixture
def four(make_run):
    """Two runs from the same weights, two from their own."""
    return [
        make_run("one", "torch", ppl=(5.0, 4.0, 3.0), final=2),
        make_run("two", "jax", ppl=(5.0, 4.0, 3.1), final=3, after="a b abb abc"),
        make_run("three", "mxnet", initial=8, final=4),
        make_run("four", "tensorflow", initial=9, final=5),
    ]


def tables(path):
    """The tables of figures of a comparison, as {caption: {row: {column: cell}}}."""
    found = {}
    for section in d2l.compare(path).sections:
        for table in (*section.figures, *section.details):
            found[table.caption] = {
                row.head: dict(zip(table.columns[1:], row.cells, strict=True)) for row in table.rows
            }
    return found


# Reading -------------------------------------------------------------------------------------------


def test_every_folder_that_cannot_be_compared_is_named(make_run, tmp_path):
    good = make_run("good")
    running = make_run("running", config={"status": "running"})
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    half = make_run("half")
    (half / "weights.safetensors").unlink()
    missing = tmp_path / "missing"
    with pytest.raises(RunError) as caught:
        d2l.compare([good, running, foreign, half, missing])
    message = str(caught.value)
    for path in (running, foreign, half, missing):
        assert str(path) in message
    assert str(good) not in message


@pytest.mark.parametrize(
    "file, content",
    [
        ("config.json", "{"),
        ("history.json", "{}"),
        ("history.json", '[{"epoch": 1}]'),
        ("samples.json", "[1]"),
        ("vocab.json", "[]"),
        ("sources.json", '{"RNN": {}}'),
        ("versions.json", "{}"),
        ("initial.safetensors", "no weights"),
        ("weights.safetensors", "no weights"),
    ],
)
def test_a_damaged_file_is_named(make_run, file, content):
    broken = make_run("broken")
    (broken / file).write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=f"broken.*{re.escape(file)}|{re.escape(file)}.*broken"):
        d2l.compare([make_run("good"), broken])


def test_fewer_than_two_runs_or_one_twice_are_errors(make_run):
    run = make_run("one")
    with pytest.raises(ArgumentError, match="at least two"):
        d2l.compare([run])
    with pytest.raises(ArgumentError, match="to be a list"):
        d2l.compare(str(run))
    with pytest.raises(ArgumentError, match="2 times"):
        d2l.compare([run, run.parent / "." / "one"])


def test_runs_are_called_by_backend_then_by_folder_then_by_path(make_run):
    runs = [make_run("x", "jax"), make_run("a/y"), make_run("a/z"), make_run("b/y")]
    labels = [entry.label for entry in d2l.compare(runs).entries]
    assert labels == ["jax", str(runs[1]), "z", str(runs[3])]


def test_no_two_runs_are_called_the_same(make_run):
    runs = [make_run("jax"), make_run("y"), make_run("z", "jax")]
    labels = [entry.label for entry in d2l.compare(runs).entries]
    assert labels == [str(runs[0]), "y", "z"]


def test_inside_a_group_a_run_is_called_by_its_backend_where_its_name_begins_so(make_run):
    runs = [
        *(make_run(f"{name}-common", name, initial=1) for name in ("torch", "jax")),
        make_run("torch-own", "torch", initial=2),
        make_run("slow", "jax", initial=3),
    ]
    same, own = d2l.compare(runs).groups
    assert [entry.name for entry in same.entries] == ["torch", "jax"]
    assert [entry.name for entry in own.entries] == ["torch", "slow"]


def test_a_run_of_other_data_is_called_by_its_own_name(make_run):
    data = {"data": {"source": "other", "num_tokens": 9, "sha1": "1" * 40}}
    runs = [make_run("a", initial=1), make_run("b", initial=2), make_run("c", config=data)]
    found = d2l.compare(runs)
    assert [group.title for group in found.groups] == [
        "Data A: each from its own weights",
        "Data B: c alone",
    ]
    assert [line[:6] for line in found.warnings[1:]] == ["Data A", "Data B"]


def test_a_failed_run_is_shown_and_the_others_still_appear(make_run, four, tmp_path):
    failed = make_run("failed", "mlx", config={"status": "failed", "error": "the loss became nan"})
    never_began = tmp_path / "never"
    never_began.mkdir()
    told = {"backend": "paddle", "error": "No module named 'paddle'"}
    (never_began / "failed.json").write_text(json.dumps(told), encoding="utf-8")

    found = d2l.compare([*four, failed, never_began])
    assert [entry.backend for entry in found.entries] == ["torch", "jax", "mxnet", "tensorflow"]
    assert [(f.backend, f.error) for f in found.failures] == [
        ("mlx", "the loss became nan"),
        ("paddle", "No module named 'paddle'"),
    ]
    folder = found.write(tmp_path / "report").parent
    for name in ("report.html", "report.md", "report.json"):
        assert "the loss became nan" in (folder / name).read_text(encoding="utf-8")
    assert "the loss became nan" in repr(found)
    assert "the loss became nan" in found._repr_html_()


def test_a_report_of_nothing_but_failures_is_written(make_run, tmp_path):
    failed = {"status": "failed", "error": "broken"}
    runs = [make_run(name, name, config=failed) for name in ("torch", "jax")]
    page = d2l.compare(runs).write(tmp_path / "report")
    assert page.read_text(encoding="utf-8").count("broken") == 2


# What belongs into one plot ------------------------------------------------------------------------


def test_runs_of_the_same_start_are_put_together(four):
    same, own = d2l.compare(four).groups
    assert (same.same_start, [e.label for e in same.entries]) == (True, ["torch", "jax"])
    assert (own.same_start, [e.label for e in own.entries]) == (False, ["mxnet", "tensorflow"])


def test_a_negative_zero_is_the_same_start(make_run):
    runs = [make_run("one"), make_run("two", "jax")]
    for path, zero in zip(runs, (0.0, -0.0), strict=True):
        file = path / "initial.safetensors"
        weights = load_file(file)
        weights["rnn.b_h"][:] = zero
        write_weights(file, weights)
    (group,) = d2l.compare(runs).groups
    assert group.same_start


@pytest.mark.parametrize(
    "other",
    [
        {"config": {"data": {"source": "other", "num_tokens": 9, "sha1": "1" * 40}}},
        {"options": {"num_steps": 5}},
        {"options": {"num_train": 30}},
        {"options": {"num_val": 5}},
        {"vocab": ["<unk>", " ", "x", "y", "z"]},
    ],
)
def test_curves_of_different_data_are_never_mixed(make_run, other):
    found = d2l.compare([make_run("one"), make_run("two", "jax", **other)])
    assert [len(group.entries) for group in found.groups] == [1, 1]
    assert [{c.backend for c in plot.curves} for plot in found.plots] == [
        {"torch"},
        {"jax"},
    ]
    assert "different data" in found.warnings[0]
    assert "different data" in repr(found)


def test_the_settings_that_differ_are_told(make_run):
    runs = [make_run("one"), make_run("two", "jax", options={"lr": 0.5, "weights": "a file"})]
    found = d2l.compare(runs)
    assert found.to_dict()["settings_that_differ"] == {"lr": {"torch": 1.0, "jax": 0.5}}
    assert tables(runs)["Settings that differ"] == {"torch": {"lr": "1.0"}, "jax": {"lr": "0.5"}}
    assert any("lr" in warning for warning in found.warnings)


def test_other_minibatches_are_told(make_run):
    runs = [make_run("one"), make_run("two", "jax", options={"batch_size": 3})]
    section = d2l.compare(runs).sections[0]
    assert "different minibatches" in " ".join(section.paragraphs)


def test_an_interrupted_run_is_told(make_run):
    runs = [make_run("one"), make_run("two", "jax", config={"status": "interrupted"})]
    assert "Ctrl-C: jax" in d2l.compare(runs).warnings[-1]


# Different models ---------------------------------------------------------------------------------

RNN = "a recurrent network on the framework's own layer (section 9.6), 1 layer of 3 hidden units, tanh"
SCRATCH = "a recurrent network from scratch (section 9.5), 1 layer of 3 hidden units, tanh"
LSTM = "an LSTM on the framework's own layer (section 10.1), 1 layer of 3 hidden units"
OF_LSTM = {"model": "lstm", "activation": None, "num_layers": 1, "dropout": 0.0}


def test_different_models_are_named_everywhere(make_run, tmp_path, capsys):
    runs = [make_run("a"), make_run("b", "jax", initial=2, options=OF_LSTM)]
    found = d2l.compare(runs)
    said = f"The runs are of different models: torch rnn is {RNN}; jax lstm is {LSTM}."
    assert found.warnings == [said]  # and not that they differ in model and activation, too
    assert found.title == "Models side by side"
    assert found.sections[0].paragraphs[1] == f"Model: torch rnn is {RNN}; jax lstm is {LSTM}."
    assert [run["model"] for run in found.to_dict()["runs"]] == [RNN, LSTM]
    assert tables(runs)["Settings that differ"]["jax lstm"] == {
        "model": "lstm",
        "activation": "–",  # noqa: RUF001
    }
    folder = found.write(tmp_path / "report").parent
    for name in ("report.html", "report.md"):
        assert "The runs are of different models" in (folder / name).read_text(encoding="utf-8")
    assert "The runs are of different models" in found._repr_html_()
    assert cli.main(["compare", *map(str, runs), "--output", str(tmp_path / "again")]) == 0
    assert said in " ".join(capsys.readouterr().out.split())


def test_layers_and_sizes_make_different_models(make_run):
    runs = [
        make_run("one"),
        make_run("two", initial=2, options={"num_layers": 2, "dropout": 0.5}),
        make_run("three", initial=3, options={"num_hiddens": 4}),
    ]
    models, settings = d2l.compare(runs).warnings
    assert models == (
        f"The runs are of different models: one is {RNN}; "
        f"two is {RNN.replace('1 layer', '2 layers')}; three is {RNN.replace('3 hidden', '4 hidden')}."
    )
    assert settings == "The runs differ in dropout: see Settings."


def test_one_model_is_told_and_does_not_differ_from_that_of_an_older_run(make_run):
    """Runs of d2lrnn 0.1 tell neither num_layers nor dropout."""
    runs = [make_run("one"), make_run("two", "jax", options={"num_layers": 1, "dropout": 0.0})]
    found = d2l.compare(runs)
    assert found.warnings == []
    assert found.title == "Backends side by side"
    assert found.sections[0].paragraphs[1] == f"Model: {RNN}."
    assert found.to_dict()["settings_that_differ"] == {}


def test_a_model_of_a_newer_d2lrnn_is_called_by_its_name(make_run):
    runs = [make_run("a"), make_run("b", "jax", options={"model": "transformer"})]
    (warning,) = d2l.compare(runs).warnings
    assert f"torch rnn is {RNN}; jax transformer is transformer, 1 layer of 3" in warning


def test_one_run_of_each_model_is_called_by_it(make_run):
    runs = [make_run("x", options=OF_LSTM), make_run("y"), make_run("torch-z", "jax")]
    (group,) = d2l.compare(runs).groups[-1:]
    assert [entry.label for entry in d2l.compare(runs).entries] == [
        "torch lstm",
        "torch rnn",
        "jax rnn",
    ]
    assert group.same_start


def test_groups_of_different_models_are_called_by_these(make_run):
    of_rnn = [make_run("a"), make_run("b", "jax")]
    of_lstm = [make_run(name, name, initial=2, options=OF_LSTM) for name in ("torch", "jax")]
    groups = d2l.compare([*of_rnn, *of_lstm]).groups
    assert [group.title for group in groups] == [
        "From the same initial weights (rnn)",
        "From the same initial weights (lstm)",
    ]
    assert [group.name for group in groups] == ["same-weights-rnn", "same-weights-lstm"]
    more = [make_run(name, initial=3) for name in ("c", "d")]
    titles = [group.title[-3:] for group in d2l.compare([*of_rnn, *of_lstm, *more]).groups]
    assert titles == ["(1)", "(2)", "(3)"]


def test_the_same_equations_from_scratch_can_be_compared_in_all(make_run):
    ppl = (5.0, 4.0, 3.0)
    runs = [
        make_run("one", ppl=ppl),
        make_run(
            "two",
            ppl=tuple(p * (1 + 1e-7) for p in ppl),
            options={"model": "scratch", "sigma": 0.01},
        ),
    ]
    found = d2l.compare(runs)
    assert found.warnings[0] == (
        f"The runs are of different models: torch rnn is {RNN}; torch scratch is {SCRATCH}. The "
        "equations of all are the same."
    )
    assert "they compute the same" in found.plots[-1].notes[-1]
    assert found.to_dict()["groups"][0]["weights"]


@pytest.mark.parametrize(
    "options, compared",
    [
        ({}, True),
        ({"lr": 0.5}, True),
        ({"dropout": 0.5}, True),
        ({"model": "scratch"}, True),
        ({"activation": "relu"}, False),
        ({"num_layers": 2}, False),
        (OF_LSTM, False),
    ],
)
def test_weights_of_different_models_are_not_compared(make_run, options, compared):
    """Even where all their numbers are the same in the beginning."""
    (group,) = d2l.compare([make_run("a"), make_run("b", "jax", options=options)]).groups
    assert group.same_start
    assert group.same_equations == compared
    (section, *_) = d2l.compare([make_run("c"), make_run("d", "jax", options=options)]).sections
    captions = [table.caption for table in section.details]
    assert ("Largest difference of each weight between any two runs" in captions) == compared


# Figures -------------------------------------------------------------------------------------------


def test_perplexity_final_and_best(make_run):
    runs = [make_run("one", ppl=(5.0, 2.0, 3.0), val_ppl=(6.0, 4.0, 4.5)), make_run("two", "jax")]
    assert tables(runs)["Perplexity"]["torch"] == {
        "Epochs": "3",
        "Training, final": "3.0000",
        "Validation, final": "4.5000",
        "Training, best": "2.0000 (2)",
        "Validation, best": "4.0000 (2)",
    }


def test_time_and_memory(make_run):
    runs = [
        make_run("one", ppl=(3.0,) * 4, val_ppl=(3.0,) * 4, seconds=(2.0, 0.1, 0.2, 0.5)),
        make_run("two", "jax"),
    ]
    assert list(tables(runs)["Time and memory"]["torch"].values()) == [
        "1.80",  # 2.0 less the median 0.2
        "0.200",
        "0.150–0.350",  # noqa: RUF001
        "600",  # (20 + 10) windows of 4 in 0.2 seconds
        "300 MB",
        "47",
    ]
    run = d2l.compare(runs).to_dict()["runs"][0]
    assert run["num_parameters"] == 5 * 3 + 3 * 3 + 3 + 3 * 5 + 5
    assert run["compile_seconds"] == pytest.approx(1.8)
    assert run["tokens_per_second"] == pytest.approx(600)


@pytest.mark.parametrize("epochs", [0, 1])
def test_what_a_short_run_does_not_tell_is_left_out(make_run, tmp_path, epochs):
    values = {"ppl": (3.0,) * epochs, "val_ppl": (), "seconds": (1.0,) * epochs}
    runs = [make_run("one", **values), make_run("two", "jax", **values)]
    assert tables(runs)["Time and memory"]["torch"]["Epoch (s)"] == "–"  # noqa: RUF001
    assert tables(runs)["Perplexity"]["torch"]["Validation, final"] == "–"  # noqa: RUF001
    d2l.compare(runs).write(tmp_path / "report")


def test_the_distance_goes_as_far_as_the_shortest_run(make_run):
    short = make_run("two", "jax", ppl=(5.0,), val_ppl=(6.0,), seconds=(1.0,))
    (group,) = d2l.compare([make_run("one"), short]).to_dict()["groups"]
    assert group["spread"]["val_ppl"] == [0.0]


def chaotic(make_run, others=(1e-7, 1e-6, 1e-4, 3e-3, 2e-2), **settings):
    """Two runs from the same weights of which the second is further off by `others` each epoch."""
    ppl = (20.0, 10.0, 8.0, 7.0, 6.0)
    off = tuple(p * (1 + apart) for p, apart in zip(ppl, others, strict=True))
    runs = make_run("one", ppl=ppl, val_ppl=ppl, seconds=(1.0,) * 5)
    return [runs, make_run("two", "jax", ppl=off, val_ppl=ppl, seconds=(1.0,) * 5, **settings)]


def test_how_far_apart_the_runs_are_and_since_when(make_run):
    found = d2l.compare(chaotic(make_run))
    (group,) = found.to_dict()["groups"]
    expected = [d / (1 + d / 2) for d in (1e-7, 1e-6, 1e-4, 3e-3, 2e-2)]
    assert group["spread"]["train_ppl"] == pytest.approx(expected)
    assert group["spread"]["val_ppl"] == [0.0] * 5
    assert group["epochs_together"] == 3
    assert "Up to epoch 3 of 5 their perplexities are within 0.1 %" in repr(found).replace("\n", "")
    plot = found.plots[-1]
    assert plot.name == "spread-same-weights"
    assert [curve.split for curve in plot.curves] == ["training"]  # validation is the same


@pytest.mark.parametrize(
    "others, settings, said",
    [
        (
            (1e-7, 1e-6, 1e-4, 3e-3, 2e-2),
            {},
            "it is this training that makes much of small differences",
        ),
        ((1e-7, 1e-6, 1e-6, 1e-6, 1e-6), {}, "they compute the same"),
        ((1e-2, 1e-6, 1e-6, 1e-6, 1e-6), {}, "they do not compute the same"),
        ((1e-4, 1e-4, 1e-4, 3e-3, 2e-2), {}, "more than 0.1 % after epoch 3"),
        ((1e-7, 1e-6, 1e-6, 1e-6, 1e-6), {"options": {"lr": 0.5}}, "differ in lr, which sets"),
        ((1e-7, 1e-6, 1e-6, 1e-6, 1e-6), {"options": {"seed": 5}}, "differ in seed, which sets"),
    ],
)
def test_what_the_distance_tells_follows_from_the_figures(make_run, others, settings, said):
    plot = d2l.compare(chaotic(make_run, others, **settings)).plots[-1]
    conclusions = plot.notes[1:]
    assert len(conclusions) == 1
    assert said in conclusions[0]


def test_runs_that_never_differ_have_no_plot_of_their_distance(make_run):
    runs = chaotic(make_run, (0.0,) * 5)
    found = d2l.compare(runs)
    assert "Their final validation perplexities are the same, 6.0000." in found.sections[0].findings
    names = [plot.name for plot in found.plots]
    assert names == ["perplexity-same-weights"]


def test_an_overflow_counts_as_apart(make_run, tmp_path):
    runs = chaotic(make_run, (1e-7, np.inf, np.inf, np.nan, np.nan))
    (group,) = d2l.compare(runs).to_dict()["groups"]
    assert group["epochs_together"] == 1
    assert "jax is not finite in 4 of 5 epochs, first in epoch 2" in " ".join(
        d2l.compare(runs).warnings
    )
    assert tables(runs)["Perplexity"]["jax"]["Training, best"] == "20.0000 (1)"
    assert d2l.compare(runs).write(tmp_path / "report").is_file()


def test_a_run_that_diverged_is_drawn_up_to_there(make_run, tmp_path):
    """Its perplexities are finite, but so large that no axis can hold them."""
    huge = (5.0, 4.0, 1e308, 1.7e308)
    runs = [make_run("one"), make_run("two", "jax", ppl=huge, val_ppl=huge, seconds=(1.0,) * 4)]
    found = d2l.compare(runs)
    warning = found.warnings[-1]
    assert "jax is not finite or above 5,000,000 in 2 of 4 epochs" in warning
    assert "it diverged in epoch 3, and is drawn up to there" in warning
    assert "jax diverged in epoch 3." in found.sections[0].findings
    assert "Their final validation" not in found.sections[0].findings
    curve = next(c for c in found.plots[0].curves if c.backend == "jax")
    assert curve.values == (5.0, 4.0, np.inf, np.inf)
    assert found.to_dict()["runs"][1]["diverged"] == 3
    assert found.to_dict()["groups"][0]["epochs_together"] == 0
    assert tables(runs)["Perplexity"]["jax"]["Training, final"] == "1.70e+308"
    assert found.write(tmp_path / "report").is_file()


def test_a_run_that_came_back_has_not_diverged(make_run, tmp_path):
    runs = [make_run("one"), make_run("two", "jax", ppl=(np.inf, 4.0, 3.0))]
    found = d2l.compare(runs)
    (warning,) = found.warnings
    assert warning == "The perplexity of jax is not finite in 1 of 3 epochs, first in epoch 1."
    assert found.to_dict()["runs"][1]["diverged"] is None
    assert "diverged" not in found.sections[0].findings


@pytest.mark.parametrize("epochs", [0, 2])
def test_a_training_that_diverged_is_compared(make_run, tmp_path, epochs):
    """As `d2lrnn train` leaves it: with the epochs before, without weights and samples."""
    error = f"The training loss became nan in epoch {epochs + 1}, minibatch 2 of 3."
    failed = {"status": "failed", "error": error, "diverged": True}
    ppl = (5.0, 4.0)[:epochs]
    settings = {"config": failed, "options": {"num_val": 10}}
    run = make_run("two", "jax", ppl=ppl, val_ppl=ppl, seconds=ppl, **settings)
    for name in ("weights.safetensors", "samples.json"):
        (run / name).unlink()
    found = d2l.compare([make_run("one"), run])
    assert found.failures == []
    assert found.groups[0].same_start
    drawn = "is drawn up to there" if epochs else "nothing of it is drawn"
    assert found.warnings[-1] == (f"jax diverged in epoch {epochs + 1}, and {drawn}: {error}")
    assert f"jax diverged in epoch {epochs + 1}." in found.sections[0].findings
    assert "Their final" not in found.sections[0].findings
    assert sum(c.backend == "jax" for c in found.plots[0].curves) == (2 if epochs else 0)
    folder = found.write(tmp_path / "report").parent
    for name in ("report.html", "report.md"):
        assert "diverged" in (folder / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_report_that_breaks_off_leaves_no_folder(four, tmp_path, monkeypatch, error):
    def broken(*_):
        raise error

    monkeypatch.setattr(plots, "_draw", broken)
    with pytest.raises(error):
        d2l.compare(four).write(tmp_path / "reports" / "one")
    assert not (tmp_path / "reports").exists()
    monkeypatch.undo()
    assert d2l.compare(four).write(tmp_path / "reports" / "one").is_file()


def test_other_devices_and_platforms_are_told(make_run):
    runs = [make_run("one"), make_run("two", "jax", config={"device": "cuda:0"})]
    found = d2l.compare(runs)
    assert "different devices, torch on cpu and jax on cuda:0" in found.warnings[0]
    costs = found.sections[0].figures[1]
    assert costs.note.endswith("what jax held on cuda:0 is not counted.")
    found = d2l.compare([runs[0], make_run("three", "jax")])
    assert "not counted" not in found.sections[0].figures[1].note
    assert found.warnings == []

    versions = json.loads((runs[1] / "versions.json").read_text(encoding="utf-8"))
    (runs[1] / "versions.json").write_text(
        json.dumps({**versions, "platform": "Windows"}), encoding="utf-8"
    )
    assert any("different platforms" in line for line in d2l.compare(runs).warnings)


def test_versions_that_are_the_same_are_told_once(make_run):
    runs = [make_run("one"), make_run("two", "jax")]
    versions = json.loads((runs[1] / "versions.json").read_text(encoding="utf-8"))
    text = json.dumps({**versions, "numpy": "1.26"})
    (runs[1] / "versions.json").write_text(text, encoding="utf-8")
    (table,) = d2l.compare(runs).sections[-1].details
    assert table.columns == ("Run", "Framework", "NumPy", "Trained on")
    assert [row.cells for row in table.rows] == [
        ("torch 1.0", "2", "cpu"),
        ("jax 1.0", "1.26", "cpu"),
    ]
    for told in ("d2lrnn 0.1.0", "Python 3.11", "Devices CPU", "Platform Linux"):
        assert told in table.note


def test_the_largest_difference_of_each_weight(four):
    first, second = (load_file(path / "weights.safetensors") for path in four[:2])
    group = d2l.compare(four).to_dict()["groups"][0]
    for found in group["weights"]:
        name = found["name"]
        largest = np.abs(first[name].astype(float) - second[name].astype(float)).max()
        assert found["difference"] == pytest.approx(largest)
        assert found["between"] == ["torch", "jax"]
        assert found["shape"] == list(first[name].shape)


def test_weights_that_changed_their_shape_are_damaged(make_run):
    runs = [make_run("one"), make_run("two", "jax")]
    file = runs[1] / "weights.safetensors"
    write_weights(file, {**load_file(file), "rnn.b_h": np.zeros(9, np.float32)})
    with pytest.raises(RunError, match=r"two is damaged.*differ in name or shape"):
        d2l.compare(runs)


@pytest.mark.parametrize(
    "first, second, same, differ",
    [
        ("a b abc", "a b abc", 7, False),
        ("a b abc", "a b acc", 5, True),
        ("a b", "a b abc", 3, False),  # a shorter text, but no different one
        ("c", "a b", 0, True),
    ],
)
def test_the_place_where_texts_first_differ(make_run, first, second, same, differ):
    runs = [make_run("one", after=first), make_run("two", "jax", after=second)]
    found = d2l.compare(runs).to_dict()["groups"][0]["continuations"][0]
    assert found["texts"] == {"torch": first, "jax": second}
    assert (found["when"], found["same"], found["differ"]) == ("after", same, differ)


def test_a_text_that_all_write_is_shown_once(four, tmp_path):
    same, own = d2l.compare(four).sections[:2]
    before = same.details[1]
    assert before.note == "All texts are the same."
    assert [(row.head, row.cells[0].same) for row in before.rows] == [("all", "a bbbb")]
    captions = [[table.caption for table in section.details] for section in (same, own)]
    weights = "Largest difference of each weight between any two runs"
    assert (weights in captions[0], weights in captions[1]) == (True, False)  # units have no order


def test_the_place_is_marked(four, tmp_path):
    folder = d2l.compare(four).write(tmp_path / "report").parent
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<span class="same">a b ab</span><mark>c</mark> abc' in page
    assert '<span class="same">a b ab</span><mark>b</mark> abc' in page
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "| jax | `a b ab`**▸**`b abc` |" in text


def test_the_source_is_shown_once_for_each_backend(make_run):
    code = "class RNN:\n    pass  # another\n"
    runs = [make_run("one"), make_run("two"), make_run("three", "jax", source=code)]
    sources = d2l.compare(runs).sources
    assert [s.label for s in sources["RNN"]] == ["torch", "jax"]
    runs.append(make_run("four", source=code))
    sources = d2l.compare(runs).sources
    assert [s.label for s in sources["RNN"]] == ["one, two", "jax", "four"]
    assert [s.label for s in sources["RNNLM"]] == ["torch", "jax"]


# The report ----------------------------------------------------------------------------------------


def test_the_report_is_a_folder_with_all_of_it(four, tmp_path):
    folder = d2l.compare(four).write(tmp_path / "deep" / "report").parent
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "report.md", "report.json"} < names
    for plot in ("perplexity-same-weights", "perplexity-own-weights", "spread-same-weights"):
        assert {f"{plot}.svg", f"{plot}.png", f"{plot}-dark.svg"} < names
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "**How far apart the runs are**" in text
    for name in re.findall(r"\]\(([^)]+\.svg)\)", text):
        assert name in names
    found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert found["format"] == "d2lrnn comparison 2"
    assert [run["backend"] for run in found["runs"]] == ["torch", "jax", "mxnet", "tensorflow"]


def test_the_page_needs_nothing_else(four, tmp_path):
    page = d2l.compare(four).write(tmp_path / "report").read_text(encoding="utf-8")
    loaded = re.findall(r"""(?:src|srcset|url)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert loaded
    assert all(address.startswith("data:") for address in loaded)
    assert "http" not in re.sub(r"data:[^\"]+", "", page)
    assert "@import" not in page


def test_what_a_run_says_is_text_on_the_page(make_run, tmp_path):
    evil = "<script>alert(1)</script>|`x`"
    runs = [make_run("one", after=evil, source=evil), make_run("two", "jax", after=f"{evil}!")]
    folder = d2l.compare(runs).write(tmp_path / "report").parent
    assert evil not in (folder / "report.html").read_text(encoding="utf-8")
    row = r"| torch | `` <script>alert(1)</script>\|`x` `` |"
    assert row in (folder / "report.md").read_text(encoding="utf-8")


def test_a_report_is_the_same_each_time_and_never_overwritten(four, tmp_path):
    first = d2l.compare(four).write(tmp_path / "first").parent
    second = d2l.compare(four).write(tmp_path / "second").parent
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name
    with pytest.raises(RunError, match="already"):
        d2l.compare(four).write(first)


def test_each_plot_is_drawn_once(four, tmp_path, monkeypatch):
    drawn = []
    draw = plots._draw
    monkeypatch.setattr(plots, "_draw", lambda plot: drawn.append(plot) or draw(plot))
    found = d2l.compare(four)
    found._repr_html_()
    found.write(tmp_path / "first")
    found.write(tmp_path / "second")
    assert drawn == found.plots


def test_a_dark_plot_has_the_dark_colours_alone(four):
    for plot in d2l.compare(four).plots:
        colours = [set(re.findall(rb"#[0-9a-f]{6}", svg)) for svg in (plot.svg, plot.dark_svg)]
        allowed = [{*theme[:3], *theme.curves} for theme in plots.THEMES.values()]
        for found, of_theme in zip(colours, allowed, strict=True):
            assert {colour.decode() for colour in found} <= of_theme
        assert len(colours[0]) == len(colours[1]) >= 3


def test_a_backend_has_one_colour_everywhere():
    known = ["torch", "jax", "tensorflow", "mxnet"]
    for theme in ("light", "dark"):
        alone = [plots.colour(name, [name], theme) for name in known]
        together = [plots.colour(name, ["mlx", *known], theme) for name in known]
        assert alone == together
        assert len({*alone, plots.colour("mlx", ["mlx"], theme)}) == 5


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def as_seen(colour, kind):
    """The CIELAB coordinates of `colour`, to readers without red, green or blue cones."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[41.24, 35.76, 18.05], [21.26, 71.52, 7.22], [1.93, 11.92, 95.05]])
    x, y, z = np.cbrt(to_xyz @ np.clip(SIMULATED[kind] @ linear, 1e-3, 1) / (95.05, 100, 108.9))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# Machado, Oliveira and Fernandes (2009), at full severity.
SIMULATED = {
    "all cones": np.eye(3),
    "no red": np.array(
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]
    ),
    "no green": np.array(
        [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]
    ),
    "no blue": np.array(
        [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]
    ),
}


@pytest.mark.parametrize("kind", SIMULATED)
@pytest.mark.parametrize("theme", plots.THEMES.values(), ids=plots.THEMES)
def test_colours_of_the_four_can_be_told_apart(theme, kind):
    seen = [as_seen(colour, kind) for colour in theme.curves[:4]]
    # 2.3 is what an eye just notices in CIELAB; thin lines need much more.
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 20


@pytest.mark.parametrize("theme", plots.THEMES.values(), ids=plots.THEMES)
def test_colours_stand_out_from_the_paper(theme):
    for colour in theme.curves:
        light, dark = sorted((luminance(colour), luminance(theme.paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3  # WCAG 2, 1.4.11


def test_a_notebook_shows_tables_and_plots(four):
    html = d2l.compare(four)._repr_html_()
    assert html.count("<img") == 3  # of two groups, one of them from the same weights
    assert "Perplexity</span>" in html
    assert "Time and memory</span>" in html


@pytest.mark.filterwarnings("ignore")  # of the kernel's own
def test_a_kernel_shows_one_output_and_prints_the_text(four):
    cell = nbformat.v4.new_code_cell
    runs = [str(path) for path in four]
    code = f"import d2lrnn as d2l\nfound = d2l.compare({runs!r})\nfound"
    notebook = nbformat.v4.new_notebook(cells=[cell(code), cell("print(found)")])
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=100).execute()
    shown, printed = (cell.outputs for cell in notebook.cells)
    assert [output.output_type for output in shown] == ["execute_result"]
    assert "<img" in shown[0].data["text/html"]
    text = "".join(output.text for output in printed)
    assert text.count("Time and memory") == 2
    assert "\x1b" not in text


# The command ---------------------------------------------------------------------------------------


def test_the_command_prints_a_table_and_where_the_report_is(four, tmp_path, capsys):
    output = tmp_path / "report"
    assert cli.main(["compare", *map(str, four), "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "Time and memory" in said
    assert str(output / "report.html") in said.replace("\n", "")
    assert (output / "report.html").is_file()


@pytest.mark.parametrize("width", [40, 80, 140])
def test_a_terminal_of_any_width_shows_every_figure_whole(make_run, width):
    from rich.console import Console

    names = ["tensorflow-2026-11-24-152537", "tensorflow-2026-11-24-152612"]
    values = {"ppl": (5.0,) * 20, "val_ppl": (6.0,) * 20, "seconds": (1.25,) * 20}
    runs = [make_run(name, "tensorflow", initial=i, **values) for i, name in enumerate(names)]
    found = d2l.compare(runs)
    console = Console(file=io.StringIO(), width=width)
    terminal.show(found, console)
    said = console.file.getvalue()
    assert max(map(len, said.splitlines())) <= width
    assert "…" not in said
    for table in found.sections[0].figures:
        for cell in table.rows[0].cells:
            assert said.count(cell) >= 2
    if width > 40:
        assert all(name in said for name in names)


def test_the_command_takes_a_folder_of_its_own(four, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", *map(str, four)]) == 0
    (report,) = Path("runs").glob("compare-*/report.html")
    assert str(report) in capsys.readouterr().out


def test_the_command_names_what_it_refuses(make_run, tmp_path, capsys):
    run = make_run("one")
    assert cli.main(["compare", str(run), str(tmp_path)]) == 1
    assert f"{tmp_path} is no run" in capsys.readouterr().err
    assert cli.main(["compare", str(run)]) == 1
    assert cli.main(["compare"]) == 2


def test_initial_weights_for_all_backends(tmp_path, capsys):
    from d2lrnn.comparison import initial

    text = tmp_path / "text.txt"
    text.write_text("abc cba " * 30, encoding="utf-8")
    options = ["--text", str(text), "--num-train=20", "--num-val=5", "--num-steps=4"]
    files = [tmp_path / name for name in ("first", "again", "other")]
    assert initial.main([str(files[0]), *options, "--num-hiddens=6"]) == 0
    assert initial.main([str(files[1]), *options, "--num-hiddens=6", "--max-epochs=3"]) == 0
    assert initial.main([str(files[2]), *options, "--num-hiddens=6", "--seed=1"]) == 0
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()
    weights = load_file(files[0])
    assert weights["rnn.W_xh"].shape == (5, 6)
    assert not weights["rnn.b_h"].any()
    assert initial.main([str(files[0]), "--nonsense"]) == 2
    assert initial.main([str(files[0]), "--text", str(tmp_path / "none")]) == 1
    assert "Error" in capsys.readouterr().err
