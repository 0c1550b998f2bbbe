"""The report as text: its numbers are those of the documents, names stay names, and it stays
small.
"""

import html
import json
import re

import matplotlib
import numpy as np
import pandas as pd
import pytest
from pages import ODD, PERIODS, by_sku, document, order_folder, orders, row, rows, run_folder, worst

from jaxinv.cli import run_command
from jaxinv.envs.costs import COSTS
from jaxinv.errors import UserError
from jaxinv.policies.registry import RULES
from jaxinv.report import __main__ as report
from jaxinv.report import pictures
from jaxinv.report.drawing import save_figure, svg
from jaxinv.report.findings import find
from jaxinv.report.numbers import number, percent, rough, signed, signed_percent, whole, written_day
from jaxinv.report.page import MOST_BYTES, render_page, write_report
from jaxinv.report.results import acts
from jaxinv.report.words import COST_PARTS, FOLLOWING, explained, full_name
from jaxinv.sheets import write_table


def text_of(page: str) -> str:
    """What a reader sees, spaces made one."""
    body = page[page.index("<body>") :]
    body = re.sub(r"<(script|style|title)>.*?</\1>", "", body, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def table_of(page: str, name: str) -> list[list[str]]:
    """Cells of a table, what is small in them apart by " / "."""
    body = re.search(rf'<table id="{name}-rows".*?<tbody>(.*?)</tbody>', page, re.DOTALL)[1]
    cells = [
        re.findall(r"<td[^>]*>(.*?)</td>", line, re.DOTALL)
        for line in re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    ]
    return [
        [html.unescape(re.sub(r"<[^>]+>", "", cell.replace("<small>", " / "))) for cell in line]
        for line in cells
    ]


def test_ends_of_intervals_stay_where_figures_can_be(tmp_path):
    """Weeks drawn anew can carry the ends of an interval past a fill rate of 100%."""
    made = run_folder(tmp_path / "spring")
    found = json.loads((made / "summary.json").read_text())
    for one in found["evaluation"]:
        one["fill_rate_interval"] = [0.25, 1.05]
    (made / "summary.json").write_text(json.dumps(found))
    said = text_of(write_report(made).read_text(encoding="utf-8"))
    assert "25.0% to 100.0%" in said and "105.0%" not in said


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "spring")


@pytest.fixture(scope="module")
def page(folder):
    return write_report(folder).read_text(encoding="utf-8")


def test_first_page_is_for_a_manager(page):
    said = text_of(page)
    assert (
        "What if you had followed this for the last 26 weeks?" in said
        and "6 May 2024 to 28 Oct 2024" in said
    )
    gain = 0.82 * PERIODS * 12
    assert (
        f"The learned policy would have cost 8.2% less than the best rule: {gain:.1f} EUR over 26"
        " weeks." in said
    )
    assert (
        "95% interval: 11.2% less to 5.2% less. That is more than chance. The best rule: min-max."
        in said
    )
    own = 2.3 * PERIODS * 12
    assert (
        f"The learned policy would have cost 20.0% less than your own orders: {own:.1f} EUR over 26"
        " weeks." in said
    )
    assert "95% interval: 31.0% less to 10.0% less." in said and "proven cheaper" in said
    assert f"{9.18 * PERIODS * 12:,.0f} EUR" in said and "3,600 EUR" in said and "89.9%" in said
    assert not re.search(r"base_stock|s_S|newsvendor_|own_orders|per_instance", said)


def test_policies_are_those_of_the_document_the_cheapest_first(page):
    found = table_of(page, "policies")
    assert [line[1].split(" / ")[0] for line in found] == [
        "the learned policy", "min-max", "forecast and safety stock, on a smoothed forecast",
        "order up to a level", "your own orders",
    ]  # fmt: skip
    for line, told in zip(found, sorted(rows(), key=lambda one: one["cost"])):
        times = PERIODS * 12
        assert (
            line[2] == number(told["cost"] * times)
            and line[3]
            == f"{rough(0.9 * told['cost'] * times)} to {rough(1.1 * told['cost'] * times)}"
        )
        if told["policy"] != "s_S":
            low, high = told["relative_difference_interval"]
            ends = f"{signed_percent(low)} to {signed_percent(high)}"
            assert line[4] == f"{signed_percent(told['relative_difference'])} / {ends}"
        assert line[5:] == [percent(told["fill_rate"]), number(300.0 * 12), "8.25"]
    parts = {line[0]: line[1:] for line in table_of(page, "parts")}
    assert parts["holding stock"][0] == number(0.6 * 9.18 * PERIODS * 12, "EUR")
    assert parts["all together"][1] == number(10.0 * PERIODS * 12, "EUR")


def test_skus_are_those_of_the_table(page):
    table = by_sku(12).query("policy == 'diffsim'")
    ranked = table.sort_values("cost", ascending=False)
    found = table_of(page, "skus")
    assert [line[0] for line in found] == list(ranked["sku"])
    for line, (_, told) in zip(found, ranked.iterrows()):
        ends = [
            signed(PERIODS * told[name], digits=3) for name in ("difference_low", "difference_high")
        ]
        assert line[1:3] == [
            number(told["cost"]),
            f"{signed(PERIODS * told['difference'])} / {' to '.join(ends)}",
        ]
        assert line[3:6] == [
            percent(told["fill_rate"]),
            number(told["stock"]),
            number(told["stock_value"]),
        ]
    gain, lose = (table_of(page, name) for name in ("gain", "lose"))
    assert [line[0] for line in gain] == list(
        table[table["difference"] < 0].sort_values("difference")["sku"][:10]
    )
    assert [line[0] for line in lose] == list(
        table[table["difference"] > 0].sort_values("difference", ascending=False)["sku"][:10]
    )


def test_names_are_text_everywhere(page, tmp_path):
    order_page = render_page(find(order_folder(tmp_path / "orders")))
    for made in (page, order_page):
        said = text_of(made)
        assert all(name in said for name in ODD) and "'=1+1" not in said
        assert made.count("<script") == 1 and "<script>alert" not in made and "secret" not in made
    assert 'aria-label="&lt;script&gt;alert(1)&lt;/script&gt;' in page


def test_what_a_referee_asks_is_said(page):
    said = text_of(page)
    assert "4 blocks of 6.5 weeks and 12 items" in said and "They began 6 weeks earlier" in said
    assert "The best rule is the one of 3 tuned rules that was cheapest" in said
    assert "2 series of the data were left out: 1 never sold; 1 discontinued" in said
    assert (
        " sales.csv: the column colour is not used" in said
        and "Stock is valued at its cost." in said
    )


def test_other_ends(tmp_path):
    """A rule that is followed, nothing proven, dearer than the rule, profits, no intervals, costs
    that are no money, no rule.
    """

    def said(found, **about):
        run_folder(tmp_path / "run")
        (tmp_path / "run" / "worst.csv").unlink()
        (tmp_path / "run" / "summary.json").write_text(
            json.dumps(document(found, 12, **about)), encoding="utf-8"
        )
        return text_of(render_page(find(tmp_path / "run")))

    rule = row("s_S", "rule", 10.0, 0.0)
    assert "What is followed is the best rule: min-max." in said(
        [row("diffsim", "policy", 11, 1.0), rule], acts="s_S"
    )
    even = row("diffsim", "policy", 9.9, -0.1)
    assert "95% interval: 4.0% less to 2.0% more. So no difference is proven." in said([even, rule])
    assert "would have cost 10.0% more than the best rule" in said(
        [row("diffsim", "policy", 11.0, 1.0), rule]
    )
    assert "proven dearer" in said([row("diffsim", "policy", 11.0, 1.0), rule])
    share = dict(relative_difference=None, relative_difference_interval=None)
    earns = said(
        [row("diffsim", "policy", -12.0, -2.0, **share), row("s_S", "rule", -10.0, 0.0, **share)]
    )
    assert (
        "would have earned 624.0 EUR more than the best rule." in earns
        and "95% interval: +530.4 to +717.6." in earns
    )
    assert "Profit" in earns and "3,744 EUR" in earns
    bare = {
        "difference_interval": None,
        "relative_difference_interval": None,
        "cost_interval": None,
    }
    assert "There are too few numbers for an interval" in said(
        [row("diffsim", "policy", 9.0, -1.0, **bare), rule]
    )
    relative = said([row("diffsim", "policy", 9.0, -1.0), rule], money=False, currency="")
    assert (
        "Cost (best rule = 100)" in relative
        and "90.0" in relative
        and "Costs are not money" in relative
        and "EUR" not in relative
    )
    alone = row("diffsim", "policy", 9.0, 0.0, best_rule=None, **share) | {
        "difference": None,
        "difference_interval": None,
    }
    assert "It was compared with no rule." in said([alone])


def test_one_folder_gives_one_page_byte_for_byte(folder, page, tmp_path):
    assert write_report(folder, tmp_path / "a" / "again.html").read_text(encoding="utf-8") == page
    assert "http" not in re.sub(
        r"http://www\.w3\.org/\S+|http-equiv", "", page
    )  # nothing is fetched
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert all(target in ids for target in re.findall(r'href="#([^"]+)"', page))


def test_small_for_any_number_of_skus(tmp_path):
    folder = run_folder(tmp_path / "many", 20_000)
    long_names = by_sku(20_000)
    long_names["sku"] = "a rather long name of an article " * 3 + long_names["sku"]
    write_table(folder / "by_sku.csv", long_names)
    write_table(
        folder / "worst.csv", worst([f"{number} {'x' * 60}" for number in range(10)], periods=730)
    )
    write_table(folder / "orders.csv", orders(5_000))
    (folder / "dropped.csv").write_text(
        "series,reason\n" + "".join(f"sku {n},never sold\n" for n in range(9_000)), encoding="utf-8"
    )
    page = write_report(folder)
    assert 100_000 < page.stat().st_size < MOST_BYTES
    said = page.read_text(encoding="utf-8")
    assert (
        "300 of 20,000 SKUs are shown; all of them are in" in said
        and "150 of 5,000 lines are shown" in said
    )
    assert len(table_of(said, "skus")) == 300 and '<svg role="img"' in said


def test_orders_and_exceptions(tmp_path):
    folder = order_folder(tmp_path / "2024-11-04")
    page = render_page(find(folder))
    said, told = text_of(page), orders(12)
    assert (
        "What to order on 4 Nov 2024" in said
        and f"12 lines to be placed on 4 Nov 2024 for {number(told['cost'].sum())} EUR, from 3 sources."
        in said
    )
    ranked = told.sort_values("risk_without", ascending=False, kind="stable")
    found = table_of(page, "orders")
    assert [line[0] for line in found] == list(ranked["sku"])
    for line, (_, order) in zip(found, ranked.iterrows()):
        assert (
            line[2]
            == f"{whole(order['quantity'])} / {order['packs']} pack{'s' * (order['packs'] != 1)}"
        )
        assert line[4] == "13 Nov 2024 / 11 Nov 2024 to 18 Nov 2024".replace(" Nov ", "\xa0Nov\xa0")
        assert (
            line[7] == f"{percent(order['risk_without'], 0)} / 4% with it"
            and line[9] == order["reason"]
        )
    assert [line[1] for line in table_of(page, "exceptions")] == [f"{ODD[1]} / shop", "007 / shop"]
    assert "a lead time of 7 days was taken for 3 SKUs" in said and "Policies and rules" not in said
    write_table(folder / "orders.csv", orders(12).iloc[:0])
    assert "Nothing has to be ordered." in text_of(render_page(find(folder)))


def test_of_many_exceptions_some_of_each_kind_are_shown(tmp_path):
    folder = order_folder(tmp_path / "2024-11-04")
    odd = pd.read_csv(folder / "exceptions.csv", dtype=str).iloc[[0]]
    many = [
        odd.assign(kind=kind)
        for kind, count in (("late order", 900), ("surplus", 3))
        for _ in range(count)
    ]
    write_table(folder / "exceptions.csv", pd.concat(many))
    page = render_page(find(folder))
    kinds = [line[0] for line in table_of(page, "exceptions")]
    assert kinds == ["late order"] * 50 + ["surplus"] * 3
    assert (
        "53 of 903 exceptions are shown (900 late order, 3 surplus); all of them are in"
        in text_of(page)
    )


def test_an_order_list_tells_the_evidence_of_its_run(tmp_path, folder):
    lists = order_folder(tmp_path / "orders")
    (lists / "about.json").write_text(
        json.dumps({"date": "2024-11-04", "run": str(folder)}), encoding="utf-8"
    )
    said = text_of(render_page(find(lists)))
    assert (
        "What to order on 4 Nov 2024" in said
        and "What if you had followed this for the last 26 weeks?" in said
    )


def test_as_a_command(folder, tmp_path, capsys, monkeypatch):
    report.main([str(folder), "--out", str(tmp_path / "page.html"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "report": str(tmp_path / "page.html"),
        "bytes": (tmp_path / "page.html").stat().st_size,
    }
    monkeypatch.chdir(folder.parent.parent)
    report.main(["spring", "--runs", folder.parent.name])
    assert "spring/report.html" in capsys.readouterr().out

    def mistake(*arguments):
        with pytest.raises(SystemExit) as end:
            run_command(report.main, list(arguments))
        said = capsys.readouterr()
        assert end.value.code == 2 and said.out == "" and said.err.count("\n") == 1
        return said.err

    assert "name one run" in mistake() and "name one run" in mistake("a", "b")
    assert "spring" in mistake("sprin", "--runs", str(folder.parent))
    empty = tmp_path / "nothing"
    empty.mkdir()
    assert "there is nothing to report on" in mistake(str(empty))
    (empty / "config.yaml").write_text("")
    assert "this run is not finished" in mistake(str(empty))
    broken = run_folder(tmp_path / "broken")
    (broken / "summary.json").write_text("{")
    assert "is damaged" in mistake(str(broken)) and not (broken / "report.html").exists()
    (tmp_path / "file").write_text("")
    assert "cannot be written" in mistake(
        str(folder), "--out", str(tmp_path / "file" / "page.html")
    )
    with pytest.raises(UserError, match="no such folder"):
        find(tmp_path / "none")


def test_runs_from_before_have_a_report_too(tmp_path):
    """Of a document without what was added since: the blocks whose data is there."""
    old = [
        {
            key: value
            for key, value in one.items()
            if key not in ("kind", "best_rule", "stock", "stock_interval", "fill_rate_interval")
        }
        for one in rows()[:3]
    ]
    (tmp_path / "summary.json").write_text(
        json.dumps({"run": "old", "env": "retail", "agent": "diffsim", "evaluation": old})
    )
    said = text_of(render_page(find(tmp_path)))
    assert (
        "The learned policy would have cost 8.2% less than the best rule" in said
        and "SKU by SKU" not in said
    )


def test_everything_has_a_name_and_a_sentence():
    assert set(COST_PARTS) == set(COSTS)
    for name in RULES:
        for policy in (name, f"{name} per instance"):
            assert (
                "_" not in full_name(policy)
                and full_name(policy) != policy
                and explained(policy).endswith(".")
            )
    assert len({full_name(name) for name in RULES}) == len(RULES) and set(FOLLOWING) == {
        "smoothing",
        "seasonal",
        "regression",
    }
    assert full_name("ppo seed 1", "policy", "ppo") == "the learned policy (seed 1)"
    assert (
        full_name("spring (s_S per instance)", "policy")
        == "min-max, set for each SKU, which run spring ended with"
    )
    assert (
        full_name("spring", "policy") == "the learned policy (spring)"
        and full_name("mine", "rule") == "mine"
    )


def test_what_acts():
    found = rows()
    assert acts(found) == "diffsim"
    found[2]["chosen"] = True
    assert acts(found) == "s_S" and acts(rows()[1:]) == "s_S"


@pytest.mark.parametrize(
    "written, told",
    [
        (number(12_432.4), "12,430"),
        (number(1_234.4, "EUR"), "1,234\xa0EUR"),
        (number(86.44), "86.4"),
        (number(0.3124), "0.312"),
        (number(-3.0), "\N{MINUS SIGN}3.00"),
        (number(-0.0001), "0.000"),
        (number(None), "–"),
        (number(float("nan")), "–"),
        (whole(12_345.0), "12,345"),
        (whole(0.5), "0.5"),
        (rough(987_654), "988,000"),
        (signed(12.0), "+12.0"),
        (percent(0.9634), "96.3%"),
        (signed_percent(0.0001), "0.0%"),
        (written_day("2025-03-03"), "3\xa0Mar\xa02025"),
        (written_day("soon"), "soon"),
    ],
)
def test_numbers_as_people_write_them(written, told):
    assert written == told


def test_pictures_leave_matplotlib_as_the_caller_has_it(tmp_path):
    """A notebook shows its own pictures, in its own style, after a training drew those of a run."""
    before = matplotlib.get_backend()
    matplotlib.use("svg")
    style = dict(matplotlib.rcParams)
    figure = pictures.learning({"mine": ([1, 2], [3.0, 2.0])})
    assert figure.axes[0].spines["top"].get_visible() is False
    save_figure(figure, tmp_path / "one.png")
    svg(figure, "one", "learning")
    assert dict(matplotlib.rcParams) == style and matplotlib.get_backend() == "svg"
    matplotlib.use(before)


def test_pictures_are_figures_and_say_what_they_show():
    figure = pictures.history(
        {
            "stock": worst(["a"], 12).query("policy == 'diffsim'"),
            "rule": worst(["a"], 12).query("policy == 's_S'"),
        }
    )
    drawn = svg(figure, "one", 'stock of "a" <b>')
    assert (
        'aria-label="stock of &quot;a&quot; &lt;b&gt;"' in drawn
        and "forecast of the best rule" in drawn
        and ">not all served<" in drawn
    )
    periods = (
        worst(["a"], 12)
        .query("policy == 's_S'")
        .assign(period=[str(number) for number in range(1, 13)])
    )
    assert ">period<" in svg(pictures.history({"stock": periods}), "two", "by number")
    points = [
        dict(name="a", kind="acts", fill_rate=95.0, cost=3.0, low=2.5, high=3.5),
        dict(name="b", kind="rule", fill_rate=90.0, cost=4.0, low=None, high=None),
    ]
    axes = pictures.cost_and_service(points, "Cost, EUR").axes[0]
    assert {text.get_text() for text in axes.texts} == {"1", "2"}
    at = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(sorted(map(tuple, at)), [(90.0, 4.0), (95.0, 3.0)])
    assert pd.isna(by_sku(3)["cost"]).sum() == 0
