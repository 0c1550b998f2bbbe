"""What all tests share: compiled programs are kept on disk, in the user's cache folder, for the
next test and the next run.
"""

import gc
import os
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jaxinv-tests"
# Before jax is imported; commands that tests start take them over.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
os.environ.setdefault("NPROC", "1")  # threads of XLA; tests run side by side


MEMORY_MAPS = 20_000
"""Each compiled program maps memory, and Linux gives a process 65,530 maps: beyond them XLA
crashes.
"""


def pytest_runtest_teardown():
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MEMORY_MAPS:
        import jax

        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="module")
def quick_compilation():
    """Compiles without most optimisations: in half the time, for tests that run a program once or
    twice.
    """
    import jax

    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # for commands
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    del os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"]
