"""What every command shares, as a user meets it: exit codes, streams, progress, interruption."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from jaxinv import cli
from jaxinv.errors import UserError
from jaxinv.progress import progress

# The package's own import takes seconds and is not what is tried here: this stands in for
# `import jaxinv`.
BARE = f"""
import sys, types
package = sys.modules["jaxinv"] = types.ModuleType("jaxinv")
package.__path__ = [{str(Path(cli.__file__).parent)!r}]
"""

DEMO = """
import time
from jaxinv.cli import *
from jaxinv.errors import UserError, unknown
from jaxinv.progress import progress

def main(argv):
    arguments = "[CONFIG] [key=value ...]"
    made = parser("demo", "Shows what commands share.", arguments=arguments, examples=["a.yaml x=1"])
    made.add_argument("--env", help="a preset")
    made.add_argument("--do", default="emit")
    args = made.parse_args(argv)
    positional, overrides = split_arguments(args.arguments)
    if args.do == "mistake":
        raise unknown("preset", "lost_sale", ["lost_sales", "backlog"])
    if args.do == "fault":
        raise RuntimeError("ours")
    if args.do == "long":
        for number in range(100_000):
            print(number)
    if args.do == "loop":
        with interruptible() as stop, progress(10_000, "training", quiet=args.json) as bar:
            note("ready")
            while not stop:
                time.sleep(0.02)
                bar.advance(1)
            raise Interrupted("saved; go on with --resume x")
    if args.do == "sleep":
        note("ready")
        time.sleep(20)
    if args.do == "full":
        raise OSError(28, "No space left on device", "a/file")
    if args.do == "stuck":
        with interruptible():
            note("ready")
            time.sleep(20)
            time.sleep(20)
    with progress(10, "training", quiet=args.json) as bar:
        bar.advance(5)
        bar.advance(5, "cost 3")
    note("a note")
    document = {"positional": positional, "overrides": overrides, "env": args.env, "seed": args.seed}
    rows = [{"policy": "[learned]", "cost": 1.23456}]
    emit(document | {"gap": float("nan")}, args.json, lambda: table(rows, {"policy": "policy", "cost":
    "cost"}))

if __name__ == "__main__":
    run_command(main)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    (folder / "demo.py").write_text(BARE + DEMO)
    return folder


def command(*arguments):
    return [sys.executable, "-m", "demo", *arguments]


def run(folder, *arguments):
    return subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, timeout=30
    )


def test_json_is_one_document_and_nothing_else(folder):
    done = run(
        folder,
        "a.yaml",
        "--env",
        "serial",
        "lead_time=4",
        "--json",
        "--seed",
        "3",
        "agent.x=1",
        "./a=b",
    )
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "positional": ["a.yaml", "./a=b"],
        "overrides": ["lead_time=4", "agent.x=1"],
        "env": "serial",
        "seed": 3,
        "gap": None,
    }
    assert done.stderr == "a note\n"


def test_without_json_the_result_is_a_table_and_the_rest_goes_to_standard_error(folder):
    done = run(folder)
    assert done.returncode == 0
    assert "[learned]" in done.stdout and "1.235" in done.stdout and "note" not in done.stdout
    training, said = done.stderr.splitlines()
    assert training.startswith("training 100%, ") and training.endswith(
        " steps/s, 0:00 left, cost 3"
    )
    assert said == "a note"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--do", "mistake"], "error: unknown preset 'lost_sale'; did you mean 'lost_sales'?"),
        (["--sede", "3"], "error: unknown option '--sede'; did you mean '--seed'?"),
        (["x=1", "--evn=serial", "y=2"], "error: unknown option '--evn'; did you mean '--env'?"),
        (["--see", "3"], "error: unknown option '--see'; did you mean '--seed'?"),
        (
            ["--seed", "x"],
            "error: argument --seed: invalid int value: 'x'; see python -m jaxinv.demo --help",
        ),
        (
            ["--seed", "-1"],
            (
                "error: argument --seed: -1 must be a whole number of 0 .. 4294967295; see python"
                " -m jaxinv.demo --help"
            ),
        ),
        (
            ["--env"],
            "error: argument --env: expected one argument; see python -m jaxinv.demo --help",
        ),
    ],
)
def test_a_mistake_is_one_line_and_code_2(folder, arguments, message):
    done = run(folder, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message + "\n")


def test_a_fault_of_ours_keeps_its_traceback(folder):
    done = run(folder, "--do", "fault")
    assert (
        done.returncode == 1 and "Traceback" in done.stderr and "RuntimeError: ours" in done.stderr
    )


def test_help_has_usage_flags_and_examples(folder):
    done = run(folder, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: python -m jaxinv.demo [CONFIG] [key=value ...] [options]")
    assert "--json" in done.stdout and "--seed" in done.stdout
    assert done.stdout.endswith("examples:\n  python -m jaxinv.demo a.yaml x=1\n")


@pytest.mark.parametrize("arguments", [["--do", "long"], ["--help"]])
def test_a_reader_that_has_gone_is_quiet(folder, arguments):
    read, write = os.pipe()
    os.close(read)
    child = subprocess.Popen(
        command(*arguments), cwd=folder, stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert child.communicate(timeout=30)[1] == "" and child.returncode in (0, 141)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_loop_save(folder, number):
    child = subprocess.Popen(command("--do", "loop"), cwd=folder, stderr=subprocess.PIPE, text=True)
    assert child.stderr.readline() == "ready\n"
    child.send_signal(number)
    said = child.communicate(timeout=30)[1]
    assert child.returncode == 130
    assert said.splitlines() == [
        "",
        "stopping after this chunk; Ctrl-C again stops at once",
        "interrupted: saved; go on with --resume x",
    ]


def test_the_second_signal_stops_at_once(folder):
    child = subprocess.Popen(
        command("--do", "stuck"), cwd=folder, stderr=subprocess.PIPE, text=True
    )
    child.stderr.readline()
    child.send_signal(signal.SIGINT)
    assert child.stderr.readline() == "\n" and "stopping" in child.stderr.readline()
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=10)[1] == "interrupted\n" and child.returncode == 130


def test_a_sigterm_anywhere_ends_with_one_line(folder):
    child = subprocess.Popen(
        command("--do", "sleep"), cwd=folder, stderr=subprocess.PIPE, text=True
    )
    assert child.stderr.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.communicate(timeout=10)[1] == "interrupted\n" and child.returncode == 130


def test_a_full_disk_is_one_line(folder):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(), cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[2:] == [
        "error: the result: cannot be written: No space left on device"
    ]
    done = run(folder, "--do", "full")
    assert (done.returncode, done.stderr) == (
        2,
        "error: a/file: cannot be written: No space left on device\n",
    )


HOSTILE = "sku\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202eevil\x08"


def test_what_acts_on_a_terminal_never_reaches_it(capsys):
    from rich.text import Text

    rows = [{"name": HOSTILE}]
    for show in (
        lambda: cli.table(rows, {"name": "name"}, title=HOSTILE),
        lambda: HOSTILE,
        lambda: Text(HOSTILE),
    ):
        cli.emit(None, False, show)
    cli.emit(rows, True, None)
    cli.note(f"error: {HOSTILE}")
    out, said = capsys.readouterr()
    assert "owned" in out and "evil" in out and "owned" in said
    assert not set("\x1b\x07\r\x9b\u202e\x08") & set(out + said)
    assert cli.printable("café\t日本\n") == "café\t日本\n"


def test_json_of_hostile_names_reads_back(capsys):
    cli.emit({"name": HOSTILE}, True, None)
    assert json.loads(capsys.readouterr().out) == {"name": HOSTILE}


def test_signals_are_as_before_afterwards_and_untouched_in_threads():
    before = signal.getsignal(signal.SIGINT)
    with cli.interruptible() as stop:
        assert not stop and signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    seen = []

    def work():
        with cli.interruptible() as inner:
            seen.append((bool(inner), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_a_terminal_gets_a_bar(folder):
    pty = pytest.importorskip("pty")
    main, terminal = pty.openpty()
    child = subprocess.Popen(
        command(),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(terminal)
    child.communicate(timeout=30)
    drawn = os.read(main, 100_000).decode()
    os.close(main)
    assert (
        "training" in drawn and "100%" in drawn and "steps/s, 0:00 left" in drawn and "━" in drawn
    )


def test_rate_and_time_left_leave_out_the_first_chunk_which_compiles():
    now = [0.0]
    with progress(4_000_000, "training", done=1_000_000, quiet=True, clock=lambda: now[0]) as bar:
        assert bar.pace() == ""
        now[0] = 60.0
        bar.advance(500_000)
        assert bar.rate is None
        now[0] = 62.0
        bar.advance(500_000)
        assert bar.rate == 250_000 and bar.done == 2_000_000
        assert bar.pace() == "250 k steps/s, 0:08 left"
        now[0] += 10_000
        assert bar.pace().endswith(", 11:06:48 left")


def test_lines_are_sparse_where_there_is_no_terminal(capsys):
    now = [0.0]
    with progress(100, "training", clock=lambda: now[0]) as bar:
        for _ in range(50):
            now[0] += 1.0
            bar.advance(2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5 and lines[0] == "training 20%, 2 steps/s, 0:40 left"


def test_cells_of_a_table(capsys):
    rows = [
        {
            "policy": "learned",
            "cost": np.float32(12.3456),
            "interval": (1.0, 2.5),
            "n": 1234567,
            "ok": True,
        },
        {"policy": "s_S", "cost": math.nan, "interval": None, "share": 0.123, "big": 12345.6},
    ]
    columns = {
        "policy": "policy",
        "cost": "cost",
        "interval": "95%",
        "n": "n",
        "ok": "ok",
        "share": "share",
        "big": "b",
    }
    made = cli.table(rows, columns, title="held out", formats={"share": "{:.0%}".format})
    cli.emit(rows, False, lambda: made)
    cells = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert cells[0] == ["held", "out"]
    assert cells[3] == ["learned", "12.35", "[1,", "2.5]", "1,234,567", "yes", "–", "–"]
    assert cells[4] == ["s_S", "–", "–", "–", "–", "12%", "12,346"]


def test_a_wide_table_in_a_file_is_not_cut(capsys):
    columns = {f"column_{index}": f"column_{index}" for index in range(30)}
    cli.emit([], False, lambda: cli.table([dict.fromkeys(columns, "x" * 8)], columns))
    assert "column_29" in capsys.readouterr().out


def test_arguments_that_parse_raise_no_exit():
    made = cli.parser("demo", "", arguments="")
    with pytest.raises(UserError, match="'--jsn'; did you mean '--json'"):
        made.parse_args(["--jsn"])


def test_importing_is_light():
    heavy = "{'jax', 'numpy', 'pandas', 'rich', 'omegaconf'}"
    code = BARE + f"import jaxinv.cli; print({heavy} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        == "set()\n"
    )


def test_many_runs_get_one_thread_although_jax_has_started_by_then():
    """Importing the package starts jax, and with it XLA's threads."""
    code = (
        "import os, jax, jax.numpy as jnp, jaxinv\n"
        "from jaxinv.cli import many_runs\n"
        "before = jax.devices()[0].client; many_runs()\n"
        "print(jax.devices()[0].client is before, os.environ['NPROC'], int(jnp.arange(3).sum()))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "NPROC"} | {
        "JAX_PLATFORMS": "cpu"
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("False 1 3\n", "")


def test_the_compilation_cache_is_filled_in_the_users_folder(tmp_path):
    code = (
        BARE + "from jaxinv.cli import enable_compilation_cache; enable_compilation_cache()\n"
        "import jax, jax.numpy as jnp\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)\n"
        "jax.jit(lambda x: jnp.sin(x) + 1)(1.0)"
    )
    home, chosen, file = tmp_path / "home", tmp_path / "chosen", tmp_path / "file"
    file.write_text("")
    base = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("JAX_COMPILATION", "XDG_"))
    }
    places = [
        ({"HOME": str(home)}, home / ".cache" / "jaxinv"),
        ({"HOME": str(home), "JAX_COMPILATION_CACHE_DIR": str(chosen)}, chosen),
        ({"HOME": str(file)}, None),
    ]
    for environment, place in places:
        done = subprocess.run(
            [sys.executable, "-c", code], env=base | environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert place is None or any(place.iterdir())
