"""What is shipped: a wheel and an sdist that hold the package, and work where they are installed.

Also what is said where a package that jaxinv needs is missing or too old.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import jaxinv
from jaxinv import cli, packages
from jaxinv.errors import UserError

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, built from a copy of the sources without git."""
    for name in ("build", "setuptools_scm"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'jaxinv[test]'")
    pytest.importorskip(
        "setuptools", "77", reason="setuptools is too old: pip install 'jaxinv[test]'"
    )
    source = tmp_path_factory.mktemp("source")
    for name in ("jaxinv", "tests", "notebooks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", cwd=source)
    (wheel,), (sdist,) = ((source / "dist").glob(kind) for kind in ("*.whl", "*.tar.gz"))
    return wheel, sdist


def test_the_wheel_holds_the_package_and_nothing_else(built):
    names = zipfile.ZipFile(built[0]).namelist()
    shipped = {name for name in names if ".dist-info/" not in name}
    package = ROOT / "jaxinv"
    wanted = {
        *package.rglob("*.py"),
        *(package / "report" / "templates").iterdir(),
        package / "policies" / "ready.npz",
        package / "py.typed",
    }
    assert shipped == {path.relative_to(ROOT).as_posix() for path in wanted}
    about = zipfile.ZipFile(built[0]).read(
        next(name for name in names if name.endswith("METADATA"))
    )
    assert b"License-Expression: Apache-2.0" in about and b"Requires-Python: >=3.11" in about
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_can_be_built_again(built):
    names = [name.partition("/")[2] for name in tarfile.open(built[1]).getnames()]
    assert {"pyproject.toml", "README.md", "LICENSE", "jaxinv/py.typed"} <= set(names)


def test_the_wheel_runs_where_it_is_installed(built, tmp_path):
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--target", str(site), str(built[0]))
    options = dict(cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)})
    says = "import jaxinv; print(jaxinv.__version__, jaxinv.__file__)"
    version, place = run(sys.executable, "-c", says, **options).split()
    assert Path(place).is_relative_to(site) and built[0].name.startswith(f"jaxinv-{version}-")
    solve = (sys.executable, "-m", "jaxinv.solve", "lost_sales", "lead_time=1", "--json")
    assert json.loads(run(*solve, **options))["average_cost"] == pytest.approx(4.04, abs=0.005)


def test_a_version_is_known_without_an_installation(monkeypatch):
    def nothing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nothing)
    assert jaxinv.__version__ == "0+unknown"


@pytest.mark.parametrize(
    "found, message",
    [
        ("0.4.30", "jax 0.4.30 is too old: jaxinv needs 0.10 or later; pip install -U 'jax>=0.10'"),
        (None, "jax is not installed: jaxinv needs 0.10 or later; pip install -U 'jax>=0.10'"),
    ],
)
def test_an_old_jax_is_one_line(monkeypatch, capsys, found, message):
    def version(name):
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(SystemExit) as end:
        cli.run_command(lambda argv: print("it ran"), [])
    said = capsys.readouterr()
    assert (end.value.code, said.out, said.err) == (2, "", f"error: {message}\n")


@pytest.mark.parametrize("found", ["0.10.0", "0.11.1rc1", "1.0"])
def test_a_jax_that_will_do_says_nothing(monkeypatch, found):
    monkeypatch.setattr(metadata, "version", lambda name: found)
    packages.check_jax()


def test_the_oldest_jax_is_that_of_the_dependencies():
    assert any(each.startswith(f"jax>={packages.OLDEST_JAX},") for each in PROJECT["dependencies"])


def test_a_missing_extra_is_named_with_its_command():
    with pytest.raises(
        UserError,
        match=r"^orders\.xlsx needs no_such; pip install 'jaxinv\[excel\]', or write CSV$",
    ):
        with packages.extra("excel", "orders.xlsx", "write CSV"):
            import no_such  # noqa: F401


def test_extras_that_messages_name_are_there():
    named = {
        word.split('extra("')[1].split('"')[0]
        for path in (ROOT / "jaxinv").rglob("*.py")
        for word in path.read_text().splitlines()
        if word.strip().startswith("with extra(") and path.name != "packages.py"
    }
    assert named == {"bench", "excel", "marl", "parquet"} and named <= set(
        PROJECT["optional-dependencies"]
    )
