"""Configurations: what a user may write, and what is said about everything else."""

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal

import pytest

import jaxinv
from jaxinv.agents.registry import AGENTS
from jaxinv.config import chosen, parse_sweep, resolve, to_yaml
from jaxinv.envs.registry import PRESETS
from jaxinv.errors import UserError
from jaxinv.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Encoder:
    width: int = 64
    heads: int = 4
    layers: tuple[int, ...] = (64, 64)


@dataclasses.dataclass(frozen=True)
class Critic:
    depth: int = 2
    gain: float = 1.0


@dataclasses.dataclass(frozen=True)
class Agent:
    learning_rate: float = 3e-4
    form: Literal["none", "base", "both"] = "base"
    clip: float | None = None
    encoder: Encoder = Encoder()
    critic: Critic | None = None

    def __post_init__(self):
        if self.learning_rate <= 0:
            raise UserError(f"learning_rate must be above zero, not {self.learning_rate}")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    width: float = 0.95
    periods: int = 1000
    bounds: tuple[int, float] = (1, 2.0)


@dataclasses.dataclass(frozen=True)
class Config:
    env: str = "lost_sales"
    data: str | None = None
    instance: dict[str, Any] = dataclasses.field(default_factory=dict)
    agent: Agent = Agent()
    evaluation: Evaluation = Evaluation()
    integer: bool = False
    skus: tuple[str, ...] = ()


def write(tmp_path, text, name="run.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def fails(*overrides, file=None, schema=Config, names=None):
    with pytest.raises(UserError) as caught:
        resolve(schema, file=file, overrides=overrides, names=names)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_then_file_then_overrides(tmp_path):
    file = write(
        tmp_path,
        "env: serial\nagent:\n  learning_rate: 1e-3\n  encoder:\n    heads: 8\nevaluation:\n",
    )
    config = resolve(Config, file=file, overrides=["heads=2", "agent.clip=0.2"])
    expected = Agent(learning_rate=1e-3, clip=0.2, encoder=Encoder(heads=2))
    assert config == Config(env="serial", agent=expected)
    assert resolve(Config) == Config()
    assert resolve(Config, file=write(tmp_path, "")) == Config()


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("learning_rate=1e-3", "agent.learning_rate", 1e-3),
        ("encoder.width=8", "agent.encoder.width", 8),
        ("evaluation.width=1", "evaluation.width", 1.0),
        ("periods=1e6", "evaluation.periods", 1_000_000),
        ("clip=null", "agent.clip", None),
        ("clip=inf", "agent.clip", math.inf),
        ("form=none", "agent.form", "none"),
        ("env=no", "env", "no"),
        ("env=1e5", "env", "1e5"),
        ("data=sales: a [1], b.csv", "data", "sales: a [1], b.csv"),
        ("data=null", "data", None),
        ("integer=yes", "integer", True),
        ("agent.encoder.layers=32,16", "agent.encoder.layers", (32, 16)),
        ("agent.encoder.layers=[32, 1e2]", "agent.encoder.layers", (32, 100)),
        ("agent.encoder.layers=8", "agent.encoder.layers", (8,)),
        ("agent.encoder.layers=[]", "agent.encoder.layers", ()),
        ("bounds=3,4", "evaluation.bounds", (3, 4.0)),
        ("skus=a1,no,007", "skus", ("a1", "no", "007")),
        ("agent.critic={depth: 3}", "agent.critic", Critic(depth=3)),
        ("depth=3", "agent.critic", Critic(depth=3)),
        ("agent.encoder={width: 3}", "agent.encoder", Encoder(width=3)),
        ("instance.lead_time=4", "instance", {"lead_time": 4}),
        ("instance={lead_time: [1, 2]}", "instance", {"lead_time": [1, 2]}),
    ],
)
def test_an_override_reaches_its_place_with_its_type(override, place, value):
    found = resolve(Config, overrides=[override])
    for name in place.split("."):
        found = getattr(found, name)
    assert found == value and type(found) is type(value)


def test_the_later_override_wins():
    assert resolve(Config, overrides=["heads=1", "agent.encoder.heads=2"]).agent.encoder.heads == 2


def test_the_files_top_level_takes_the_names_of_overrides(tmp_path):
    file = write(
        tmp_path,
        "learning_rate: 0.01\nagent.encoder.heads: 1\nlead_time: 3\ninstance: {price: 2}\n",
    )
    config = resolve(Config, file=file, names={"instance": ["lead_time", "price"]})
    assert config.agent == Agent(learning_rate=0.01, encoder=Encoder(heads=1))
    assert config.instance == {"lead_time": 3, "price": 2}
    twice = write(tmp_path, "learning_rate: 0.01\nagent: {learning_rate: 0.02}\n")
    assert fails(file=twice) == f"{twice}, line 2: agent.learning_rate is given twice in this file"


def test_yaml_round_trip(tmp_path):
    config = resolve(
        Config,
        overrides=[
            "env=1e5",
            "data=no",
            "clip=inf",
            "learning_rate=1e-8",
            "agent.encoder.layers=1",
            "skus=a,1",
        ]
        + ["gain=2", "instance.costs=[1, 2.5]", "instance.law=null", "integer=true"],
    )
    assert resolve(Config, file=write(tmp_path, to_yaml(config))) == config
    assert resolve(Config, file=write(tmp_path, to_yaml(Config()))) == Config()


def test_named_keys_of_a_free_form_dict():
    names = {"instance": ["lead_time", "shortage_cost"]}
    config = resolve(Config, overrides=["lead_time=4", "instance.shortage_cost=null"], names=names)
    assert config.instance == {"lead_time": 4, "shortage_cost": None}
    expected = "lead_tme=4: unknown key 'lead_tme'; did you mean 'lead_time'?"
    assert fails("lead_tme=4", names=names) == expected
    assert "did you mean 'lead_time'" in fails("instance.lead_tme=4", names=names)
    assert "did you mean 'lead_time'" in fails("instance={lead_tme: 4}", names=names)


def test_unknown_keys_name_the_nearest_and_the_place(tmp_path):
    assert (
        fails("learing_rate=1")
        == "learing_rate=1: unknown key 'learing_rate'; did you mean 'learning_rate'?"
    )
    assert "did you mean 'agent.encoder.heads'" in fails("agent.encoder.head=1")
    file = write(tmp_path, "env: serial\nagent:\n  # comment\n  encoder: {heds: 3}\n")
    assert (
        fails(file=file)
        == f"{file}, line 4: unknown key 'heds'; did you mean 'heads'? (in agent.encoder)"
    )
    file = write(tmp_path, "agnt:\n  form: base\n")
    assert fails(file=file) == f"{file}, line 1: unknown key 'agnt'; did you mean 'agent'?"
    assert "unknown key '1'" in fails(file=write(tmp_path, "1: 2\n"))
    assert "known: data, " not in fails("learing_rate=1")
    assert "known: " in fails("zzzzzzzz=1")


def test_an_ambiguous_name_lists_its_places():
    expected = "could be agent.encoder.width or evaluation.width; write one of them in full"
    assert expected in fails("width=3")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("heads=abc", "agent.encoder.heads must be a whole number, not 'abc'"),
        ("heads=1.5", "agent.encoder.heads must be a whole number, not 1.5"),
        ("heads=true", "must be a whole number, not true"),
        ("heads=", "must be a whole number, not empty"),
        ("learning_rate=.nan", "must be a number, not nan"),
        ("learning_rate=fast", "must be a number, not 'fast'"),
        ("clip=x", "must be a number, or null, not 'x'"),
        ("integer=maybe", "must be true or false, not 'maybe'"),
        ("form=bas", "unknown value of agent.form 'bas'; did you mean 'base'?"),
        ("agent.encoder.layers=a", "must be a whole number, not 'a'"),
        ("bounds=1", "must be a list of 2 values, not [1]"),
        (
            "agent=ppo",
            "agent is a section with the keys learning_rate, form, clip, encoder, critic",
        ),
        ("instance=3", "instance must be keys with values, not 3"),
        ("heads=[1", "cannot read the value '[1'"),
        ("heads=${nothing}", "Interpolation key 'nothing' not found"),
        ("heads", "an override is written key=value"),
        ("=3", "an override is written key=value"),
        ("agent.learning_rate=-1", "learning_rate must be above zero, not -1.0"),
    ],
)
def test_a_wrong_value_is_told_with_the_override(override, message):
    told = fails(override)
    assert told.startswith(f"{override}: ") and message in told


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("agent:\n  learning_rate: -1\n", 2, "learning_rate must be above zero"),
        ("agent:\n  learning_rate: fast\n", 2, "agent.learning_rate must be a number, not 'fast'"),
        ("env: no\n", 1, "env must be text, not false"),
        ("agent:\n  form: [base]\n", 2, "unknown value of agent.form"),
        ("env: serial\nagent: 3\n", 2, "agent is a section"),
        (
            "agent:\n  encoder: {layers: 3}\n",
            2,
            "agent.encoder.layers must be a list, each a whole number, not 3",
        ),
        ("env: a\nenv: b\n", 2, "is not valid YAML: found duplicate key env"),
        ("env: a\nagent: [1\n", 3, "is not valid YAML"),
        ("env: !!python/name:os.system\n", 1, "is not valid YAML"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(tmp_path, text, line, message):
    file = write(tmp_path, text)
    told = fails(file=file)
    assert told.startswith(f"{file}, line {line}: ") and message in told


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "just words\n", "3\n"])
def test_a_file_that_is_not_a_mapping(tmp_path, text):
    assert "a configuration is lines of `key: value`" in fails(file=write(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path):
    write(tmp_path, "env: serial\n", "retail.yaml")
    assert f"did you mean '{tmp_path / 'retail.yaml'}'?" in fails(file=tmp_path / "retial.yaml")
    assert "no configuration file" in fails(file=tmp_path / "none" / "x.yaml")
    assert "is a directory, not a configuration file" in fails(file=tmp_path)
    binary = tmp_path / "binary.yaml"
    for content in (b"\xff\xfe\x00\x01", b"a: \x00"):
        binary.write_bytes(content)
        assert (
            fails(file=binary) == f"{binary}: is not a text file; a configuration is YAML in UTF-8"
        )
    assert "nested too deeply" in fails(file=write(tmp_path, "a: " + "[" * 5000 + "]" * 5000))
    assert "nested too deeply" in fails(file=write(tmp_path, "agent: &a\n  encoder: *a\n"))
    assert fails(file=write(tmp_path, "env: ${nothing}\n")).endswith(
        "Interpolation key 'nothing' not found"
    )


def test_a_few_lines_of_aliases_that_stand_for_millions_are_refused_before_they_are_written_out(
    tmp_path,
):
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [
        f"{new}: &{new} [{', '.join(9 * [f'*{old}'])}]"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    file = write(tmp_path, "\n".join(lines))
    assert "aliases (*name) stand for more than 100,000 values" in fails(file=file)
    few = write(tmp_path, "agent: {encoder: {layers: &a [8, 8]}}\nskus: [x]\n")
    assert resolve(Config, file=few).agent.encoder.layers == (8, 8)


def test_tuples_of_tuples_read_back_equal(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Network:
        rows: tuple[tuple[int, ...], ...] = ((1, 2), (3,), ())
        pair: tuple[str, tuple[float, float]] = ("a", (1.0, 2.0))

    assert resolve(Network, file=write(tmp_path, to_yaml(Network()))) == Network()


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_configuration_of_every_preset_reads_back_equal(tmp_path, name):
    kind = PRESETS[name]
    assert resolve(kind, file=write(tmp_path, to_yaml(kind()))) == kind()


@pytest.mark.parametrize("agent", sorted(AGENTS))
@pytest.mark.parametrize(
    "file",
    sorted((Path(__file__).parents[1] / "configs").glob("*.yaml")),
    ids=lambda file: file.stem,
)
def test_every_configuration_that_comes_with_the_package_takes_every_agent(caplog, file, agent):
    own = Experiment.load(file).config
    config = Experiment.load(file, [f"agent={agent}"]).config
    assert config.agent == agent and config.instance == own.instance
    if agent == own.agent:
        assert config.learner == own.learner and not caplog.text
    else:  # what is right for one learner is no advice for another
        assert config.learner == AGENTS[agent].Config.suited(own.env, type(own.instance)().history)
        assert ("not used" in caplog.text) == ("learner:" in file.read_text())


def test_what_is_given_beside_a_file_counts_with_another_agent():
    file = Path(__file__).parents[1] / "configs" / "retail.yaml"
    assert Experiment.load(file, ["agent=diffsim", "updates=7"]).config.learner.updates == 7


NUMBERS = [
    ("lost_sales shortage_cost=inf", "shortage_cost=inf must be a number of at most 1e"),
    ("lost_sales shortage_cost=1e38", "shortage_cost=1e.38 must be a number of at most"),
    ("lost_sales weights.holding=1e39", "weights.holding=1e.39 must be a number of at most"),
    ("lost_sales mean=1e30", "mean=1e.30 must be a number of at most"),
    (
        "lost_sales demand=negative_binomial dispersion=inf",
        "dispersion=inf must be a number of at most",
    ),
    ("lost_sales holding_cost=1e-40", "holding_cost=1e-40 must be 0, or a number of at least"),
    ("serial holding_costs=1,2,3,1e38", "holding_costs=1e.38 must be a number"),
    ("lost_sales learning_rate=1e-50", "learning_rate=1e-50 must be 0, or"),
    ("lost_sales learning_rate=-inf", "learning_rate=-inf must be a number"),
    ("lost_sales lead_time=1e10", "lead_time=10000000000 must be at most 2147483647"),
    ("lost_sales agent=sac capacity=1e12", "capacity=1000000000000 must be at most 2147483647"),
    (
        "lost_sales seed=99999999999999999999999",
        "seed=9+ must be a whole number of 0 .. 4294967295",
    ),
    ("lost_sales seed=-1", "seed=-1 must be a whole number of 0"),
    ("lost_sales tune_periods=1e300", "tune_periods=100000... .301 digits. must be at most"),
    ("cross_border instance_seed=-1", "instance_seed=-1 must be a whole number of 0"),
]


@pytest.mark.parametrize("text, message", NUMBERS)
def test_a_number_that_32_bits_cannot_hold_is_refused_with_its_name_and_range(text, message):
    env, *overrides = text.split()
    with pytest.raises(UserError, match=message):
        Experiment.load(None, [f"env={env}", *overrides])


WORLDS = [
    ("lost_sales lead_time=1e6", "a lead time of 1000000 periods is too long"),
    (
        "lost_sales learner.envs=1e9 minibatches=1",
        r"mostly its episodes, would take .* TB|GB .* free; lower envs",
    ),
    (
        "lost_sales hidden=1000000,1000000",
        "the state of a training, mostly its optimiser, would take 24 TB .*; lower hidden",
    ),
    (
        "lost_sales agent=sac envs=1 rollout=1 capacity=2e9",
        "mostly its replay, would take .* GB .*; lower capacity",
    ),
    (
        "lost_sales history=1e9",
        (
            "a history of 1,000,000,000 periods in 256 environments would take 1.02 TB .* free;"
            " lower history"
        ),
    ),
    (
        "lost_sales mean=1e10",
        r"a table of demand up to 10,000,\d+,\d+ units would take 400 GB .*; lower the mean",
    ),
    ("lost_sales demand=gamma mean=1e11", "a table of demand up to .* lower the mean"),
    (
        "cross_border skus=1e9",
        "1,000,000,000 SKUs would take 10 TB of memory and .* free; lower skus",
    ),
    (
        "one_warehouse_many_stores stores=1e7",
        "a network of 10,000,000 stores would take .*; lower stores",
    ),
    (
        "deepstock testing=2e9",
        "2,000,000,000 trajectories of 29 days would take .*; lower training",
    ),
    ("causal_store room=2e9", "lead times of up to .*; lower room"),
    (
        "lost_sales demand=normal mean=1e8 shortage_cost=1e11 weights.shortage=10",
        "shortage of 1e.11, times quantities and weights",
    ),
]


@pytest.mark.parametrize("text, message", WORLDS)
def test_a_world_that_cannot_fit_is_refused_before_it_is_made(text, message):
    env, *overrides = text.split()
    with pytest.raises(UserError, match=message):
        _ = Experiment.load(None, [f"env={env}", *overrides]).trainer


def test_numbers_are_checked_for_library_callers_too():
    with pytest.raises(UserError, match="shortage_cost=inf must be a number"):
        jaxinv.make("lost_sales", shortage_cost=math.inf)
    with pytest.raises(UserError, match="learning_rate=1e.30 must be a number"):
        AGENTS["diffsim"].Config(learning_rate=1e30)


def test_a_value_without_default_is_asked_for():
    @dataclasses.dataclass(frozen=True)
    class Needs:
        rule: str
        size: int = 1

    assert fails(schema=Needs) == "rule has no default; give rule=VALUE"
    assert resolve(Needs, overrides=["rule=s_S"]) == Needs("s_S")


def test_impossible_values_across_sections_are_told_once():
    @dataclasses.dataclass(frozen=True)
    class Pair:
        low: int = 0
        high: int = 1

        def __post_init__(self):
            if self.low > self.high:
                raise UserError("the range is empty")

    @dataclasses.dataclass(frozen=True)
    class Outer:
        pair: Pair = Pair()

    assert fails("low=3", schema=Outer) == "pair: the range is empty"
    assert fails("low=3", schema=Pair) == "the range is empty"


def test_a_message_that_begins_with_the_override_stands_alone():
    @dataclasses.dataclass(frozen=True)
    class Counted:
        count: int = 1

        def __post_init__(self):
            if self.count < 1:
                raise UserError(f"count={self.count} must be at least 1")

    assert fails("count=0", schema=Counted) == "count=0 must be at least 1"


def test_a_choice_is_read_before_the_schema(tmp_path):
    file = write(tmp_path, "agent: ddpg\nenv: {name: serial}\n")
    assert chosen("agent", "ppo") == "ppo"
    assert chosen("agent", "ppo", file=file) == "ddpg"
    assert chosen("agent", "ppo", file=file, overrides=["agent=a", "x=1", "agent=sac"]) == "sac"
    assert chosen("env.name", "x", file=file) == "serial"
    assert chosen("agent.name", "x", file=file) == "x"


def test_sweeps_are_every_combination():
    points = parse_sweep(["lr=1e-3,1e-4", "hidden=[64,64],[128]"])
    assert points == [
        {"lr": "1e-3", "hidden": "[64,64]"},
        {"lr": "1e-3", "hidden": "[128]"},
        {"lr": "1e-4", "hidden": "[64,64]"},
        {"lr": "1e-4", "hidden": "[128]"},
    ]
    assert parse_sweep([]) == [{}]


@pytest.mark.parametrize("sweeps", [["lr"], ["lr="], ["lr=1,,2"], ["=1,2"], ["lr=1", "lr=2"]])
def test_a_wrong_sweep_is_told(sweeps):
    with pytest.raises(UserError, match="sweep"):
        parse_sweep(sweeps)


@dataclasses.dataclass(frozen=True)
class Table:
    columns: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Shop:
    table: Table = dataclasses.field(default_factory=Table)


def test_keys_of_a_free_form_section_by_its_own_name(tmp_path):
    """Text stays what was typed, also where it looks like a number or a truth."""
    given = {"sales": "Units Sold", "sku": "007", "date": "no"}
    shop = resolve(Shop, overrides=[f"columns.{name}={column}" for name, column in given.items()])
    assert shop.table.columns == given
    assert resolve(Shop, overrides=["table.columns.sku=product"]).table.columns == {
        "sku": "product"
    }
    assert resolve(Shop, file=write(tmp_path, to_yaml(shop))) == shop
    assert resolve(Shop, file=write(tmp_path, "columns:\n  sku: product\n")).table.columns == {
        "sku": "product"
    }
    assert "table.columns.sku must be text, not 7" in fails(
        file=write(tmp_path, "columns:\n  sku: 7\n"), schema=Shop
    )
