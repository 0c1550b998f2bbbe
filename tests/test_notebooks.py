"""Notebooks run from top to bottom as they are, and are committed without outputs."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip(
    "nbformat", reason="nbformat is not installed: pip install 'jaxinv[test]'"
)

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
QUICK = {"quick_start"}
"""Those of the default suite; the others take half a minute or more each, and are `slow`."""

LONGEST = 600
"""Seconds that a cell may take on a busy machine."""


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_there_are_notebooks():
    assert set(NOTEBOOKS) > QUICK


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_committed_without_outputs(name):
    notebook = read(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert not any(cell.metadata for cell in notebook.cells)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_installs_nothing_where_jaxinv_is_and_looks_for_a_gpu(name):
    first = next(cell.source for cell in read(name).cells if cell.cell_type == "code")
    guard, install, rest = first.partition("    %pip install")
    assert guard.endswith('if importlib.util.find_spec("jaxinv") is None:\n')
    assert install and "GPU found" in rest and "%" not in rest


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NOTEBOOKS],
)
def test_a_notebook_runs_and_shows_a_picture(name, tmp_path):
    nbclient = pytest.importorskip(
        "nbclient", reason="nbclient is not installed: pip install 'jaxinv[test]'"
    )
    pytest.importorskip(
        "ipykernel", reason="ipykernel is not installed: pip install 'jaxinv[test]'"
    )
    notebook = read(name)
    resources = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(notebook, timeout=LONGEST, resources=resources)
    try:
        client.execute()
    except (OSError, RuntimeError) as error:  # a cell that fails is a CellExecutionError
        if isinstance(error, nbclient.exceptions.CellExecutionError):
            raise
        pytest.skip(f"no kernel can be started here: {error}")
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert any("image/png" in out.get("data", {}) for out in last.outputs)
    assert not [out.text for out in outputs if out.get("name") == "stderr"]
