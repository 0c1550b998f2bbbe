"""Run folders: exact resume, and checkpoints that survive being killed at any moment."""

import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxinv.errors import UserError
from jaxinv.runs import Run, json_text


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "runs", "first", config_text="env: lost_sales\n")


def state(seed=0):
    """One leaf of every kind that a training state has."""
    key = jax.random.key(seed)
    params = {
        "Dense_0": {
            "kernel": jax.random.normal(key, (8, 4)),
            "bias": jnp.array([math.nan, -0.0, math.inf]),
        }
    }
    return {
        "params": params,
        "optimizer": optax.adam(1e-3).init(params),
        "half": jnp.full(3, 1 / 3, jnp.bfloat16),
        "count": jnp.uint32(7),
        "mask": jnp.array([True, False]),
        "unused": jnp.zeros((0, 3)),
        "absent": None,
        "host": np.arange(3, dtype=np.int64) + 2**40,
        "key": key,
        "keys": jax.random.split(jax.random.key(seed, impl="rbg"), (2, 3)),
    }


def same(left, right):
    def bits(leaf):
        data = (
            jax.random.key_data(leaf)
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else leaf
        )
        return str(leaf.dtype), leaf.shape, np.asarray(data).tobytes()

    return jax.tree.structure(left) == jax.tree.structure(right) and all(
        bits(a) == bits(b)
        for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    )


def newest(run):
    return run.checkpoints_path / f"{run.updates()[-1]:08d}"


def test_a_checkpoint_comes_back_bit_for_bit(run):
    run.save_checkpoint(40, state())
    shapes = jax.tree.map(
        lambda leaf: (
            leaf if isinstance(leaf, np.ndarray) else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        ),
        state(),
    )
    for template in (state(seed=1), shapes):
        update, restored = Run.open("first", run.path.parent).restore(template)
        assert update == 40 and same(restored, state())
        assert isinstance(restored["host"], np.ndarray) and isinstance(restored["half"], jax.Array)
    assert jax.random.uniform(restored["key"]) == jax.random.uniform(jax.random.key(0))
    assert not [*run.path.rglob("*.pkl")] and not [*run.path.rglob(".partial*")]


def test_a_restored_array_takes_the_templates_sharding(run):
    run.save_checkpoint(1, {"a": jnp.ones(4), "key": jax.random.key(0)})
    sharding = jax.sharding.NamedSharding(
        jax.make_mesh((1,), ("batch",)), jax.sharding.PartitionSpec("batch")
    )
    template = {
        "a": jax.ShapeDtypeStruct((4,), jnp.float32, sharding=sharding),
        "key": jax.random.key(1),
    }
    assert run.restore(template)[1]["a"].sharding == sharding


def test_a_state_without_arrays(run):
    run.save_checkpoint(1, {})
    assert run.restore({}) == (1, {})


def test_the_last_two_are_kept(run):
    for update in (2, 10, 100):
        run.save_checkpoint(update, {"a": jnp.full(2, update)})
    assert run.updates() == [10, 100]
    assert run.restore({"a": jnp.zeros(2, int)})[0] == 100


def test_an_update_saved_twice_stays_unless_it_was_damaged(run):
    for value in (1, 2):
        run.save_checkpoint(5, {"a": jnp.float32(value)})
    assert run.restore({"a": jnp.float32(0)})[1]["a"] == 1
    (newest(run) / "listing.json").unlink()
    run.save_checkpoint(5, {"a": jnp.float32(2)})
    assert run.restore({"a": jnp.float32(0)})[1]["a"] == 2


def test_a_flipped_truncated_or_missing_file_falls_back_to_the_checkpoint_before(
    run, caplog, capfd
):
    for update in (1, 2):
        run.save_checkpoint(update, {"a": jax.random.normal(jax.random.key(update), (64, 64))})
    good = run.path.parent / "good"
    shutil.copytree(newest(run), good)
    template = {"a": jnp.zeros((64, 64))}
    for file in sorted(path.relative_to(good) for path in good.rglob("*") if path.is_file()):
        for harm in ("flip", "cut", "gone", "empty"):
            victim = newest(run) / file
            data = victim.read_bytes()
            if harm == "gone":
                victim.unlink()
            elif harm == "flip" and file.name != "listing.json":
                victim.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
            else:
                victim.write_bytes(data[: len(data) // 2] if harm == "cut" else b"")
            caplog.clear()
            assert run.restore(template)[0] == 1, (file, harm)
            assert "is damaged" in caplog.text and file.name in caplog.text
            victim.write_bytes(data)
    assert run.restore(template)[0] == 2
    assert "Traceback" not in capfd.readouterr().err


def test_no_whole_checkpoint_is_one_message(run):
    with pytest.raises(
        UserError,
        match="run 'first' stopped before its first checkpoint; begin with --resume first",
    ):
        run.restore({})
    run.save_checkpoint(1, {"a": jnp.ones(2)})
    (newest(run) / "arrays" / "manifest.ocdbt").write_bytes(b"")
    with pytest.raises(
        UserError,
        match=r"every checkpoint is damaged \(the last: .*manifest.ocdbt has 0 of \d+ bytes",
    ):
        run.restore({"a": jnp.ones(2)})


def test_a_checkpoint_of_another_configuration_is_told(run):
    run.save_checkpoint(1, {"params": {"kernel": jnp.ones((2, 3))}})
    with pytest.raises(
        UserError, match=r"params.kernel is float32\[2,3\] there, .*params.kernel is float32\[4,3\]"
    ):
        run.restore({"params": {"kernel": jnp.ones((4, 3))}})
    with pytest.raises(UserError, match=r"params.kernel is int32\[2,3\] here"):
        run.restore({"params": {"kernel": jnp.ones((2, 3), int)}})
    with pytest.raises(UserError, match="it has 1 arrays, 2 are wanted"):
        run.restore({"params": {"kernel": jnp.ones((2, 3)), "z": 1.0 * jnp.ones(3)}})


def test_what_a_killed_writer_left_is_ignored_and_removed(run):
    run.save_checkpoint(1, {"a": jnp.ones(2)})
    leftover = run.checkpoints_path / ".partial-2"
    shutil.copytree(newest(run), leftover)
    (leftover / "listing.json").unlink()
    assert run.updates() == [1] and run.restore({"a": jnp.ones(2)})[0] == 1
    assert leftover.exists()  # reading changes nothing
    run.save_checkpoint(2, {"a": jnp.ones(2)})
    assert not leftover.exists() and run.updates() == [1, 2]


def test_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    program = (
        "import itertools, jax.numpy as jnp; from jaxinv.runs import Run\nrun ="
        f" Run.create({str(tmp_path)!r}, 'killed', config_text='')\nfor i in itertools.count(1):\n "
        "   run.log(i, {'a': i}); run.save_checkpoint(i, {'a': jnp.full(1000, i)}); print(i,"
        " flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    time.sleep(0.47)
    child.send_signal(signal.SIGKILL)
    said = child.stdout.read().split()
    child.wait()
    run = Run.open("killed", tmp_path)
    update, tree = run.restore({"a": jnp.zeros(1000, int)})
    assert update >= int(said[-1] if said else 1)
    assert (tree["a"] == update).all()
    run.rewind(update)
    assert run.metrics_path.read_text().splitlines() == [
        "update,a",
        *(f"{i},{i}" for i in range(1, update + 1)),
    ]


def test_a_full_disk_is_one_message_and_keeps_the_last_checkpoint(run, capfd):
    run.save_checkpoint(1, {"a": np.zeros(90_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UserError, match="the checkpoint cannot be written: File too large"):
            run.save_checkpoint(2, {"a": np.random.default_rng(0).normal(size=90_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert run.restore({"a": np.zeros(90_000)})[0] == 1
    assert run.updates() == [1]
    assert "Traceback" not in capfd.readouterr().err


def test_metrics_of_a_resumed_run_equal_those_of_an_uninterrupted_one(tmp_path):
    def train(run, start, stop):
        for update in range(start + 1, stop + 1):
            for seed in range(2):
                run.log(
                    update,
                    {
                        "seed": seed,
                        "cost": np.float32(0.1 * update),
                        "loss": jnp.array([update / 3]),
                    },
                )
            if update % 3 == 0:
                run.save_checkpoint(update, {"update": jnp.int32(update)})

    whole = Run.create(tmp_path, "whole", config_text="")
    train(whole, 0, 10)
    broken = Run.create(tmp_path, "broken", config_text="")
    train(broken, 0, 8)
    with broken.metrics_path.open("a") as file:
        file.write("9,0,0.")  # killed while writing a row
    again = Run.open(broken.path)
    update, _ = again.restore({"update": jnp.int32(0)})
    again.rewind(update)
    assert update == 6
    train(again, update, 10)
    assert again.metrics_path.read_bytes() == whole.metrics_path.read_bytes()
    assert whole.metrics_path.read_text().startswith("update,seed,cost,loss\n1,0,0.1,0.33333334\n")


def test_rewind_drops_later_checkpoints_and_a_torn_header(run):
    for update in (1, 2):
        run.save_checkpoint(update, {"a": jnp.ones(2)})
    run.metrics_path.write_text("update,co")
    run.rewind(1)
    assert run.updates() == [1] and not run.metrics_path.exists()


def test_the_first_row_fixes_the_columns(run):
    run.log(1, {"cost": 1.5, "note": 'a, "b"', "loss": math.nan})
    run.log(2, {"loss": 3})
    assert run.metrics_path.read_text() == 'update,cost,note,loss\n1,1.5,"a, ""b""",nan\n2,,,3\n'
    with pytest.raises(ValueError, match="new: gain"):
        Run.open(run.path).log(3, {"gain": 1})


def test_the_summary_is_valid_json(run):
    run.write_summary(
        {
            "cost": np.float32(0.5),
            "gap": math.nan,
            "interval": jnp.array([1.0, math.inf]),
            "run": run.path,
        }
    )
    summary = json.loads(run.summary_path.read_text(), parse_constant=pytest.fail)
    assert summary == {"cost": 0.5, "gap": None, "interval": [1.0, None], "run": str(run.path)}
    assert json_text([(True, np.bool_(False), None, {1: np.int64(3)})]).split() == (
        ["[", "[", "true,", "false,", "null,", "{", '"1":', "3", "}", "]", "]"]
    )


def test_a_new_run_has_a_readable_unique_name_and_never_overwrites(tmp_path):
    root = tmp_path / "deep" / "runs"
    names = {Run.create(root, config_text="a: 1\n").name for _ in range(5)}
    assert len(names) == 5 and all(name[:2] == "20" and len(name) == 21 for name in names)
    run = Run.create(root, "mine", config_text="a: 1\n")
    assert run.config_path.read_text() == "a: 1\n"
    with pytest.raises(
        UserError, match=f"run 'mine' is being written by process {os.getpid()}; wait"
    ):
        Run.create(root, "mine", config_text="a: 2\n")
    run.save_checkpoint(1, {"a": jnp.ones(1)})
    run.release()
    with pytest.raises(
        UserError, match="run 'mine' exists already in .*; resume it with --resume mine or"
    ):
        Run.create(root, "mine", config_text="a: 2\n")
    assert run.config_path.read_text() == "a: 1\n"


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a b", ".hidden"])
def test_a_name_that_is_no_folders_name(tmp_path, name):
    with pytest.raises(UserError, match="run name"):
        Run.create(tmp_path / "runs", name, config_text="")
    assert not (tmp_path / "runs").exists()


def test_a_place_where_no_run_can_be_made(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="is a file; runs need a folder"):
        Run.create(file, "a", config_text="")
    with pytest.raises(UserError, match="no run folder can be made here"):
        Run.create(file / "runs", "a", config_text="")


def test_opening_what_is_no_run(run):
    root = run.path.parent
    assert Run.open("first", root).path == Run.open(run.path).path == run.path
    with pytest.raises(UserError, match="unknown run in .*/runs 'frist'; did you mean 'first'"):
        Run.open("frist", root)
    with pytest.raises(UserError, match="no run 'x': .*nowhere has no runs yet"):
        Run.open("x", root / "nowhere")
    (root / "empty").mkdir()
    with pytest.raises(UserError, match="is not a run folder: it has no config.yaml"):
        Run.open("empty", root)
    with pytest.raises(UserError, match="is not a run folder: it is a file"):
        Run.open(run.config_path)


def test_only_a_run_that_never_got_going_is_discarded(run):
    other = Run.create(run.path.parent, "other", config_text="")
    other.log(1, {"a": 1})
    other.discard()
    assert not other.path.exists()
    run.save_checkpoint(0, {"a": jnp.ones(1)})
    run.discard()
    assert run.path.exists()


# --- runs that were cut short, and runs that someone works on -------------------------------------


def test_a_run_killed_before_its_first_checkpoint_is_taken_over_by_a_new_one_of_its_name(run):
    run.write_data("/sales.csv", "0123")
    run.write_dropped([("LATE", "first sold after training ends")])
    run.log(1, {"a": 1})
    (run.checkpoints_path / ".partial-3" / "arrays").mkdir(parents=True)
    run.release()  # as the system does when a process is killed
    again = Run.create(run.path.parent, "first", config_text="a: 2\n")
    assert again.config_path.read_text() == "a: 2\n" and again.updates() == []
    assert {path.name for path in again.path.iterdir()} == {".lock", "config.yaml"}


def test_a_folder_with_files_of_someone_else_is_never_taken_over(run):
    (run.path / "notes.txt").write_text("mine")
    run.release()
    with pytest.raises(UserError, match="exists already"):
        Run.create(run.path.parent, "first", config_text="")
    assert (run.path / "notes.txt").read_text() == "mine"


def test_a_lock_dies_with_its_process(tmp_path):
    program = (
        f"from jaxinv.runs import Run\nrun = Run.create({str(tmp_path)!r}, 'live', config_text='a:"
        " 1'); print('ready', flush=True); input()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child.stdout.readline()
    run = Run.open("live", tmp_path)
    for attempt in (run.hold, lambda: Run.create(tmp_path, "live", config_text="")):
        with pytest.raises(
            UserError,
            match=f"run 'live' is being written by process {child.pid}; wait for it or stop",
        ):
            attempt()
    assert run.config_path.read_text() == "a: 1"
    child.kill()
    child.communicate()
    run.hold()
    run.release()


@pytest.mark.parametrize(
    "harm",
    [
        "\n\n",
        "\n",
        "nonsense\n",
        "2\n",
        "\0\0\n",
        "x,2\n",
        "9" * 5000 + ",1\n",
        "x" * 200_000 + ",1\n",
    ],
)
def test_rows_of_metrics_that_cannot_be_read_are_dropped_with_a_warning(run, caplog, harm):
    for update in (1, 2, 3):
        run.log(update, {"a": update})
    lines = run.metrics_path.read_text().splitlines(keepends=True)
    run.metrics_path.write_text("".join([*lines[:2], harm, *lines[2:]]))
    run.rewind(2)
    assert run.metrics_path.read_text() == "update,a\n1,1\n2,2\n" and "is damaged" in caplog.text


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\n\n", b"cost\n3\n"])
def test_metrics_without_a_heading_begin_anew(run, caplog, content):
    run.metrics_path.write_bytes(content + b"\n")
    run.rewind(2)
    assert "is damaged" in caplog.text and not run.metrics_path.exists()
    run.log(3, {"a": 1})


@pytest.mark.parametrize(
    "listing", ["null", "[]", "3", "{}", '{"files": {}, "leaves": {}, "keys": {}}', '{"files": 1}']
)
def test_a_listing_that_is_json_and_no_listing_falls_back(run, listing):
    for update in (1, 2):
        run.save_checkpoint(update, {"a": jnp.ones(2)})
    (newest(run) / "listing.json").write_text(listing)
    assert run.restore({"a": jnp.ones(2)})[0] == 1


def test_any_flipped_byte_of_a_listing_is_noticed(run):
    for update in (1, 2):
        run.save_checkpoint(update, {"a": jnp.ones(2)})
    listing = newest(run) / "listing.json"
    data = listing.read_bytes()
    for place in range(0, len(data), 7):
        if data[place : place + 1].isalnum():
            listing.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            assert run.restore({"a": jnp.ones(2)})[0] == 1, data[place - 20 : place + 20]


def test_a_checkpoint_that_is_a_file_is_passed_over_and_replaced(run):
    run.save_checkpoint(1, {"a": jnp.ones(2)})
    (run.checkpoints_path / "00000002").write_text("")
    (run.checkpoints_path / ".partial-9").write_text("")
    assert run.restore({"a": jnp.ones(2)})[0] == 1
    run.rewind(1)
    (run.checkpoints_path / "00000002").write_text("")
    run.save_checkpoint(2, {"a": 2 * jnp.ones(2)})
    assert run.restore({"a": jnp.ones(2)})[0] == 2
    shutil.rmtree(run.checkpoints_path)
    run.checkpoints_path.write_text("")
    run.rewind(0)
    run.save_checkpoint(1, {"a": jnp.ones(2)})
    assert run.updates() == [1]


def test_a_row_that_does_not_fit_on_the_disk_is_one_message(run):
    run.log(1, {"a": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len("update,a\n1,1\n"), limits[1]))
    try:
        with pytest.raises(UserError, match="metrics.csv: cannot be written: File too large"):
            run.log(2, {"a": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
