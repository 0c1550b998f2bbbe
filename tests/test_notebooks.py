"""Notebooks run from top to bottom as they are, and are committed without outputs."""

import importlib
from pathlib import Path

import pytest

nbformat = pytest.importorskip(
    "nbformat", reason="nbformat is not installed: pip install 'jaxinv[test]'"
)

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
"""They take half a minute or more each to run, which is `slow`."""

LONGEST = 600
"""Seconds that a cell may take on a busy machine."""


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def nbclient():
    """The package, where a kernel can be started."""
    for module in ("nbclient", "ipykernel"):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install 'jaxinv[test]'")
    from jupyter_client.manager import start_new_kernel

    try:
        manager, client = start_new_kernel(startup_timeout=120)
    except (OSError, RuntimeError) as error:
        pytest.skip(f"no Jupyter kernel can be started here: {error}")
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    return importlib.import_module("nbclient")


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


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_shows_a_picture(name, tmp_path, nbclient):
    notebook = read(name)
    nbclient.NotebookClient(
        notebook, timeout=LONGEST, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert any("image/png" in out.get("data", {}) for out in last.outputs)
    said = "".join(out.text for out in outputs if out.get("name") == "stderr")
    assert "Warning" not in said and "Error" not in said, said
