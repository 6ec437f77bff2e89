"""`%%tab` in a real IPython shell, with a backend that is not there."""

from types import ModuleType

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from d2lrnn import backend


@pytest.fixture
def found(monkeypatch):
    """The backends that there are, one of them a stranger's; the kernel runs the first."""
    points = dict.fromkeys(["torch", "jax", "mxnet", "mlx"])
    monkeypatch.setattr(backend, "found", lambda: points)
    monkeypatch.setattr(backend, "_active", ("torch", ModuleType("d2lrnn_torch")))
    monkeypatch.delenv("D2LRNN_BACKEND", raising=False)
    return points


@pytest.fixture
def shell(found, monkeypatch, tmp_path):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    result = shell.run_cell("%load_ext d2lrnn.tab")
    assert result.success
    yield shell
    InteractiveShell.clear_instance()


def run(shell, cell):
    return shell.run_cell(cell, store_history=True)


@pytest.mark.parametrize("names", ["torch", "torch, mxnet", "mxnet,torch", "mxnet torch", "all"])
def test_runs_where_a_name_is_the_active_backend(shell, capsys, names):
    result = run(shell, f"%%tab {names}\nx = 1\nx + 1")
    assert result.success and result.result == 2
    assert shell.user_ns["x"] == 1
    assert "Skipped" not in capsys.readouterr().out


def test_is_skipped_elsewhere_with_one_line(shell, capsys):
    result = run(shell, "%%tab jax, mxnet\nx = 1 / 0\nnot even Python")
    assert result.success and result.result is None
    assert "x" not in shell.user_ns
    out, err = capsys.readouterr()
    assert out == "Skipped: this cell is for jax and mxnet; the kernel runs torch.\n"
    assert err == ""


def test_a_third_party_backend_counts(shell, monkeypatch):
    assert run(shell, "%%tab mlx\n1").result is None
    monkeypatch.setattr(backend, "_active", ("mlx", ModuleType("d2lrnn_mlx")))
    assert run(shell, "%%tab mlx\n1").result == 1


@pytest.mark.parametrize(
    "line, said",
    [
        ("pytorch", "Unknown backend 'pytorch': expected one of torch, jax, mxnet, mlx."),
        ("pytorch", "Did you mean 'torch'?"),
        ("torch, mxnte", "Unknown backend 'mxnte'"),
        ("torch, mxnte", "Did you mean 'mxnet'?"),
        ("", "%%tab needs names after it: of torch, jax, mxnet, mlx, or all."),
    ],
)
def test_a_wrong_name_is_an_error_and_nothing_runs(shell, capsys, line, said):
    result = run(shell, f"%%tab {line}\nx = 1")
    assert not result.success and type(result.error_in_exec).__name__ == "UsageError"
    assert said in str(result.error_in_exec)
    assert "x" not in shell.user_ns
    assert said in capsys.readouterr().err  # one line, no traceback


def test_a_backend_that_cannot_be_loaded_is_an_error(shell, monkeypatch):
    def broken():
        raise backend.BackendError("The backend 'torch' needs 'torch', which is not installed.")

    monkeypatch.setattr(backend, "name", broken)
    result = run(shell, "%%tab torch\nx = 1")
    assert "not installed" in str(result.error_in_exec) and "x" not in shell.user_ns


def test_the_traceback_has_the_lines_of_the_cell(shell, capsys):
    result = run(shell, "%%tab torch\nx = 1\n\nraise ValueError(x)")
    assert isinstance(result.error_in_exec, ValueError)
    out = capsys.readouterr().out
    assert "line 4" in out and "4 raise ValueError(x)" in out
    assert "tab.py" not in out


def test_a_syntax_error_has_the_line_of_the_cell(shell, capsys):
    result = run(shell, "%%tab torch\nx = 1\ndef f(:\n")
    assert result.error_before_exec.lineno == 3
    assert "def f(:" in capsys.readouterr().out


def test_magics_and_await_work_inside(shell, capsys):
    cell = "%%tab torch\nimport asyncio\n%env D2LRNN_SOMETHING=1\nawait asyncio.sleep(0)\n6 * 7"
    assert run(shell, cell).result == 42
    assert "D2LRNN_SOMETHING" in capsys.readouterr().out
    assert run(shell, "%%tab torch\n%%capture said\nprint('hi')").success
    assert shell.user_ns["said"].stdout == "hi\n"


def test_the_history_has_the_cell_as_it_was_typed(shell):
    shell.history_manager.enabled = True
    cell = "%%tab torch\nx = 1"
    run(shell, cell)
    assert shell.history_manager.input_hist_raw[-1] == cell


def test_checking_whether_a_cell_is_complete_does_not_load_a_backend(shell, monkeypatch):
    monkeypatch.setattr(backend, "name", lambda: pytest.fail("loaded"))
    assert shell.check_complete("%%tab torch\nx = 1")[0] in ("complete", "incomplete")


def test_other_cells_are_left_alone(shell):
    assert run(shell, "1 + 1").result == 2
    assert run(shell, "x = '''\n%%tab jax\n'''\nlen(x)").result == 11
    assert not run(shell, "%%tabs torch\n1").success
    assert run(shell, "").success


def test_unloading_takes_it_away(shell):
    assert run(shell, "%reload_ext d2lrnn.tab").success
    assert run(shell, "%%tab torch\n1").result == 1
    run(shell, "%unload_ext d2lrnn.tab")
    assert not run(shell, "%%tab torch\n1").success
