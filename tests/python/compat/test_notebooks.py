"""The lesson of examples/, and a notebook written for llama-cpp-python with only its import changed, top to bottom."""

import copy
import os
import pathlib

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
LESSON = ROOT / "examples" / "llm_basics.ipynb"
THEIRS = pathlib.Path(__file__).parent / "llama_cpp_notebook.ipynb"


def run(notebook, model_path, monkeypatch, tmp_path, timeout=120):
    """Executes the notebook in a new kernel; a cell that raises, raises here."""
    paths = [str(ROOT / "python"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
    monkeypatch.setenv("PUNA_TEST_MODEL", model_path)
    cache = tmp_path / "cache" / "puna" / "models"
    cache.mkdir(parents=True)
    (cache / "SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(model_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    client = nbclient.NotebookClient(notebook, timeout=timeout, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
    return notebook


def printed(cell):
    return "".join(output["text"] for output in cell.outputs if output.output_type == "stream")


def result(cell):
    return "".join(output["data"]["text/plain"] for output in cell.outputs if output.output_type == "execute_result")


def cells_with(notebook, text):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and text in cell.source]


@pytest.mark.parametrize("path", [LESSON, THEIRS])
def test_no_output_is_kept_in_the_file(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)


def test_the_lesson(model_path, monkeypatch, tmp_path):
    notebook = nbformat.read(LESSON, as_version=4)
    check = "assert [m['role'] for m in history][:5] == ['system', 'user', 'assistant', 'user', 'assistant'], history"
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    run(notebook, model_path, monkeypatch, tmp_path)

    draws = printed(cells_with(notebook, "for temperature, seed in")[0]).splitlines()
    texts = [line.split(": ", 1)[1] for line in draws]
    assert texts[0] == texts[1] and texts[3] == texts[4] and len(set(texts)) == 3
    assert "Paris" in result(cells_with(notebook, "capital of France")[0])
    for streamed in cells_with(notebook, "stream=True"):
        if "def " not in streamed.source:
            assert printed(streamed).strip(), streamed.source
    city = result(cells_with(notebook, "response_format")[0])
    assert set(eval(city)) == {"city", "country", "population_in_millions"}


def test_a_notebook_written_for_llama_cpp_python(model_path, monkeypatch, tmp_path):
    original = nbformat.read(THEIRS, as_version=4)
    notebook = copy.deepcopy(original)
    for cell in notebook.cells:
        cell.source = cell.source.replace("from llama_cpp", "from puna")
    changed = [line for cell in notebook.cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    before = [line for cell in original.cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    assert [line for line, was in zip(changed, before) if line != was] == [
        line for line in changed if line.startswith("from puna")
    ]
    run(notebook, model_path, monkeypatch, tmp_path)
