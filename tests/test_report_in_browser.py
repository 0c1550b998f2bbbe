"""The report as a browser shows it: what is seen, sorting and search, phone width, print, and a
silent console.
"""

import base64
import re
import shutil

import pytest
from pages import ODD, by_sku, order_folder, run_folder

from jaxinv.report.page import write_report

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)

WIDE, PHONE = 1280, 390


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--window-size={WIDE},900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield made
    made.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The report on a run, and that on an order list with the evidence of its run."""
    folder = tmp_path_factory.mktemp("pages")
    run = run_folder(folder / "spring", 60)
    orders = order_folder(folder / "orders")
    (orders / "about.json").write_text('{"date": "2024-11-04", "run": "../spring"}')
    return {"run": write_report(run).as_uri(), "orders": write_report(orders).as_uri()}


@pytest.fixture(params=["run", "orders"])
def page(request, browser, pages):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.get(pages[request.param])
    return browser


def ask(page, script, *arguments):
    return page.execute_script(f"return {script}", *arguments)


def column(page, table, place):
    """What is seen in a column of a table, hidden rows left out; small texts below cells too."""
    rows = f"[...document.querySelectorAll('#{table}-rows tbody tr')].filter(row => !row.hidden)"
    return ask(page, f"{rows}.map(row => row.cells[{place}].firstChild.textContent)")


def narrow(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        dict(width=PHONE, height=844, deviceScaleFactor=1, mobile=True),
    )


def wider_than(page, width):
    """Elements that stick out of the page, but for what scrolls inside a box of its own."""
    script = """[...document.body.querySelectorAll('*')].filter(one => !one.closest('.scroll') && !one.closest('caption')
        && one.getBoundingClientRect().right > arguments[0] + 1).map(one => one.outerHTML.slice(0, 80))"""
    return ask(page, script, width)


def test_numbers_are_seen_and_nothing_runs_that_is_not_ours(page):
    said = ask(page, "document.body.innerText")
    assert "8.2% less than the best rule" in said and "95% interval" in said
    assert all(name in said for name in ODD)
    assert ask(page, "document.scripts.length") == 1
    assert ask(
        page,
        "[...document.querySelectorAll('svg')].every(one => one.getBoundingClientRect().height >"
        " 100)",
    )
    assert page.get_log("browser") == []
    page.execute_script("location.hash = 'caveats'")
    assert ask(page, "document.querySelector('#caveats').getBoundingClientRect().top") < 900


def test_a_script_from_elsewhere_does_not_run(page):
    page.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        " document.body.append(s)"
    )
    assert ask(page, "window.ran") is None
    page.get_log("browser")  # it complains, rightly


def test_a_click_on_a_heading_sorts(page):
    skus = by_sku(60).query("policy == 'diffsim'")
    page.execute_script("document.querySelector('#skus-rows th button').click()")
    by_name = column(page, "skus", 0)
    assert sorted(by_name) == sorted(skus["sku"]) and by_name.index("SKU-00009") < by_name.index(
        "SKU-00010"
    )
    fill = "document.querySelectorAll('#skus-rows th')[3]"
    page.execute_script(f"{fill}.querySelector('button').click()")
    assert ask(page, f"{fill}.getAttribute('aria-sort')") == "ascending"
    assert column(page, "skus", 0) == list(skus.sort_values("fill_rate")["sku"])
    page.execute_script(f"{fill}.querySelector('button').click()")
    assert ask(page, f"{fill}.getAttribute('aria-sort')") == "descending"
    assert column(page, "skus", 0) == list(skus.sort_values("fill_rate", ascending=False)["sku"])
    assert page.get_log("browser") == []


def test_search_finds_by_any_part_of_a_row(page):
    box = page.find_element("css selector", "input[data-table='skus-rows']")
    box.send_keys("sku-0001")
    assert column(page, "skus", 0) and all(
        name.startswith("SKU-0001") for name in column(page, "skus", 0)
    )
    assert ask(page, "document.querySelector('#skus output').textContent") == "10 of 60 rows"
    box.clear()
    box.send_keys("<script")
    assert column(page, "skus", 0) == [ODD[1]]
    box.clear()
    box.send_keys("nothing like it")
    assert column(page, "skus", 0) == []
    box.clear()
    box.send_keys(" ")
    assert len(column(page, "skus", 0)) == 60 and page.get_log("browser") == []


def test_a_phone_scrolls_the_page_in_one_direction_only(page):
    narrow(page)
    assert (
        ask(page, "document.documentElement.scrollWidth") <= PHONE and wider_than(page, PHONE) == []
    )
    assert (
        ask(page, "parseFloat(getComputedStyle(document.querySelector('.verdict p')).fontSize)")
        >= 16
    )


def test_without_scripts_all_is_there_but_sort_and_search(page):
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    page.refresh()
    assert page.find_element("css selector", ".verdict p").is_displayed()
    assert not page.find_element("css selector", "label.search").is_displayed()
    assert page.find_elements("css selector", "#skus-rows tbody tr")[0].is_displayed()
    assert page.find_elements("css selector", "#skus-rows th button") == []


def test_print(page):
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert ask(page, "getComputedStyle(document.querySelector('nav')).display") == "none"
    assert ask(page, "getComputedStyle(document.querySelector('.search')).display") == "none"
    printed = page.execute_cdp_cmd(
        "Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True}
    )
    pdf = base64.b64decode(printed["data"])
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert pdf.startswith(b"%PDF") and 3 <= pages <= 12
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        dict(width=703, height=1000, deviceScaleFactor=1, mobile=False),
    )
    assert wider_than(page, 703) == []  # A4 less its margins
    assert page.get_log("browser") == []


def test_for_those_who_cannot_see_it(page):
    assert ask(page, "document.documentElement.lang") == "en" and ask(page, "document.title")
    assert ask(
        page,
        "[...document.querySelectorAll('svg')].every(one => one.getAttribute('aria-label').length"
        " > 20)",
    )
    assert ask(page, "[...document.querySelectorAll('th')].every(one => one.scope)")
    assert ask(page, "[...document.querySelectorAll('input')].every(one => one.labels.length)")
    assert ask(page, "document.querySelectorAll('h1').length") == 1
    levels = ask(
        page, "[...document.querySelectorAll('h1, h2, h3')].map(one => Number(one.tagName[1]))"
    )
    assert all(
        after <= before + 1 or (before, after) == (1, 3)
        for before, after in zip(levels, levels[1:])
    )
    assert ask(
        page, "new Set([...document.querySelectorAll('[id]')].map(one => one.id)).size"
    ) == ask(page, "document.querySelectorAll('[id]').length")
