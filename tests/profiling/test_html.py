"""The page, in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiling import records, reports
from profiling.records import Failure, Results
from profiling.reports import columns

needs_browser = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")), reason="chromium or chromedriver is not installed"
)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)></script><!--<script>{{ 7 * 7 }}]]>&amp;"


def test_page_is_one_file(varied_results):
    page = reports.render("html", varied_results)
    assert page.startswith("<!doctype html>") and 'lang="en"' in page
    links = re.findall(r'(?:src|href|action|data|srcset|poster)\s*=\s*"([^"]*)"', page)
    assert links and all(link.startswith(("#", "data:,")) for link in links)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", page) and page.count("<svg ") >= 3


def test_identifiers_are_unique_and_links_lead_somewhere(varied_results):
    page = reports.render("html", varied_results)
    identifiers = re.findall(r'\sid="([^"]*)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(identifiers)


def test_cards_name_the_best(varied_results):
    page = reports.render("html", varied_results)
    cards = dict(re.findall(r'<article>\s*<h2>(.*?)</h2>\s*<p class="figure">([^ ]*) ', page))
    told = varied_results.records
    assert cards["Fastest encode"] == columns.number(min(r.stages["total"]["p50"] for r in told), 3)
    assert cards["Smallest payload"] == columns.number(min(r.payload_bytes["mean"] for r in told), 4)
    assert cards["Best accuracy"] == "80.00" and cards["Smallest encoder"] == "1,054,720"
    assert cards["Least energy"] == "0.0125"
    unknown = Results([replace(record, task=None, energy=None) for record in told])
    assert not re.search("Best accuracy|Least energy", reports.render("html", unknown))


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    profile = tmp_path_factory.mktemp("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(executable_path=shutil.which("chromedriver")))
    yield started
    started.quit()


class Page:
    """A report as a person has it open."""

    def __init__(self, driver: Any, path: Path, results: Results) -> None:
        self.driver, self.path, self.results = driver, path, results
        path.write_text(reports.render("html", results), encoding="utf-8")
        self.cdp("Emulation.setEmulatedMedia", media="", features=[])
        self.cdp("Network.enable")
        nothing = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self.cdp("Network.emulateNetworkConditions", offline=True, **nothing)
        self.width(1280)
        driver.get_log("browser"), driver.get_log("performance")
        driver.get(path.as_uri())

    def cdp(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def width(self, pixels: int) -> None:
        size = {"width": pixels, "height": 800, "deviceScaleFactor": 1, "mobile": pixels < 500}
        self.cdp("Emulation.setDeviceMetricsOverride", **size)

    def button(self, name: str, table: str = "comparison") -> Any:
        (found,) = (
            each
            for each in self.driver.find_elements("css selector", f"#{table}-table th button")
            if (each.get_attribute("aria-label") or each.text.replace("\n", " ")) == name
        )
        return found

    def values(self, column: columns.Column, table: str = "comparison") -> list[columns.Value]:
        """What the records have in that column, in the order of the rows; of failures no more than their names."""
        links = self.run(f"return [...document.querySelectorAll('#{table}-table tbody th')].map(h => h.innerHTML)")
        found = [re.search("#record-([0-9]+)", link) for link in links]
        failed = columns.failed(self.results.failures[0])[column.name] if column.name in ("model", "threads") else None
        return [column.value(self.results.records[int(each[1]) - 1]) if each else failed for each in found]


@pytest.fixture
def open_page(driver, tmp_path):
    def opened(results: Results) -> Page:
        return Page(driver, tmp_path / "report.html", results)

    return opened


@pytest.fixture
def page(open_page, varied_results) -> Page:
    return open_page(varied_results)


@needs_browser
def test_nothing_is_fetched_and_nothing_is_complained_of(page):
    asked = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    urls = {each["params"]["request"]["url"] for each in asked if each["method"] == "Network.requestWillBeSent"}
    assert {url for url in urls if not url.startswith("data:,")} == {page.path.as_uri()}
    assert page.run("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert page.driver.get_log("browser") == []


@needs_browser
@pytest.mark.parametrize("name", ["latency ms", "payload B", "encoder bits", "top-1 %", "model", "threads"])
def test_headings_sort(page, name):
    column = next(column for column in columns.SUMMARY if column.name == name)
    before = page.values(column)
    known = sorted(value for value in before if value is not None)
    empty = [None] * (len(before) - len(known))
    widths = "return [...document.querySelectorAll('#comparison-table th[data-index]')].map(h => h.offsetWidth)"
    wide = page.run(widths)
    page.button(name).click()
    assert page.values(column) == known + empty
    page.button(name).click()
    assert page.values(column) == known[::-1] + empty
    sorted_by = page.run("return [...document.querySelectorAll('[aria-sort]')].map(h => h.getAttribute('aria-sort'))")
    assert sorted_by.count("descending") == 1 and "ascending" not in sorted_by
    assert page.run(widths) == wide, "nothing jumps"


@needs_browser
def test_numbers_sort_as_numbers(open_page, measured):
    """As text 1,054,720 comes before 996."""
    bits = (1_054_720, 996, 20_000_000, 3)
    page = open_page(Results([replace(measured[0], encoder_bits=n, bundle_sha256=f"{n:064x}") for n in bits]))
    page.button("encoder bits").click()
    assert page.values(next(c for c in columns.SUMMARY if c.name == "encoder bits")) == sorted(bits)


@needs_browser
def test_stages_sort_below_their_groups(page):
    for stage, statistic in (("network", 1), ("decode", 2)):
        column = columns.TIMES[stage][statistic]
        page.button(column.name, "stages").click()
        values = page.values(column, "stages")
        assert values == sorted(values)


@needs_browser
def test_keyboard_sorts(page):
    from selenium.webdriver import Keys

    page.run("document.querySelector('#comparison .box').focus()")
    for _ in range(5):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
    button = page.driver.switch_to.active_element
    assert button.text.split() == ["latency", "ms"]
    assert page.run("return getComputedStyle(arguments[0]).outlineStyle", button) == "solid", "one sees where one is"
    button.send_keys(Keys.ENTER)
    latency = next(column for column in columns.SUMMARY if column.name == "latency ms")
    known = [value for value in page.values(latency) if value is not None]
    assert known == sorted(known) and page.values(latency)[-1] is None
    button.send_keys(Keys.SPACE)
    assert page.values(latency)[:-1] == known[::-1]


_SMALL = """
return [...document.body.querySelectorAll("*")].filter(e => !e.closest("svg") && e.checkVisibility()
    && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
  .map(e => [e.tagName, e.textContent.slice(0, 40), parseFloat(getComputedStyle(e).fontSize)])
  .filter(([tag, text, size]) => size < 12)
"""


@needs_browser
def test_a_phone_shows_all_of_it(page):
    page.width(360)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.run("return innerWidth") == 360
    assert page.run("return document.documentElement.scrollWidth") <= 360
    assert page.run(_SMALL) == []
    script = "return [...document.querySelectorAll('.box:has(table)')].map(b => [b.scrollWidth, b.clientWidth])"
    boxes = page.run(script)
    assert len(boxes) == 2 and all(wide > room for wide, room in boxes), "tables scroll in boxes of their own"
    script = "const b = document.querySelector('#comparison .box'); b.scrollLeft = 9999; return b.scrollLeft"
    assert page.run(script) > 0


@needs_browser
def test_hostile_names_stay_text(open_page, varied_results):
    names = {"model": HOSTILE, "weights": HOSTILE, "doubts": [HOSTILE]}
    hostile = [
        replace(record, device={**record.device, "name": HOSTILE, "cpu": HOSTILE}, **names)
        for record in varied_results.records
    ]
    failure = Failure(HOSTILE, replace(hostile[0].subject, target=HOSTILE), "2000-01-01")
    page = open_page(Results(hostile, [failure], [HOSTILE]))
    assert page.driver.get_log("browser") == []
    assert page.run("return [document.scripts.length, document.images.length]") == [2, 0]
    assert page.run("return document.querySelector('h1').textContent") == HOSTILE
    assert page.run("return document.querySelector('#comparison-table tbody a').textContent") == HOSTILE
    assert HOSTILE in page.run("return document.querySelector('.failed td[colspan]').textContent")
    assert page.run("return [...document.querySelectorAll('.notice li')].at(-1).textContent") == HOSTILE
    told = page.run("return JSON.parse(document.getElementById('records').textContent)[0]")
    assert told["model"] == HOSTILE == told["device"]["name"]


@needs_browser
def test_injected_scripts_would_not_run(open_page, varied_results):
    """Should something ever slip through, the page's own policy stops it."""
    page = open_page(varied_results)
    text = page.path.read_text().replace("</main>", "<script>document.title = 'taken'</script></main>")
    page.path.write_text(text)
    page.driver.get(page.path.as_uri())
    assert page.driver.title != "taken"
    assert "Content Security Policy" in page.driver.get_log("browser")[0]["message"]


@needs_browser
def test_half_a_character_does_not_stop_the_page(open_page, measured):
    odd = replace(measured[0], model="half \ud800 of one")
    page = open_page(Results([odd]))
    assert page.run("return document.querySelector('h1').textContent") == "half ? of one"


@needs_browser
def test_records_can_be_taken_along(page, tmp_path):
    folder = tmp_path / "downloads"
    page.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.driver.find_element("id", "download").click()
    file = folder / "records.jsonl"
    for _ in range(100):
        if file.exists() and file.stat().st_size:
            break
        time.sleep(0.1)
    taken = records.read(file)
    assert taken.records == page.results.records and taken.failures == page.results.failures and not taken.notes


@needs_browser
def test_links_open_records(page):
    page.driver.find_element("css selector", "#comparison-table tbody tr:nth-child(4) a").click()
    open_ones = page.run("return [...document.querySelectorAll('details[open]')].map(d => d.id)")
    assert open_ones == ["record-4"]
    told = page.driver.find_element("id", "record-4").text
    for column in columns.ALL:
        assert column.name in told
    assert page.results.records[3].bundle_sha256 in told and "made-up sensor" in told


@needs_browser
def test_failures_doubts_and_notes_are_in_sight(page):
    text = page.driver.find_element("tag name", "main").text
    assert "not measured: engine executorch is not installed" in text
    assert "shared its core" in text and "line 9 passed over" in text
    marked = page.driver.find_elements("css selector", "#comparison-table .mark")
    assert [each.text for each in marked] == ["doubtful" for record in page.results.records if record.doubts]


@needs_browser
def test_print_has_it_all_on_the_sheet(page):
    page.cdp("Emulation.setEmulatedMedia", media="print")
    page.width(1032)  # A4 across, less its margins
    assert page.run("return getComputedStyle(document.querySelector('nav')).display") == "none"
    wide = "return [...document.querySelectorAll('table')].map(t => t.getBoundingClientRect().right - innerWidth)"
    assert all(beyond <= 0 for beyond in page.run(wide))
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


_CONTRAST = """
function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
const colour = text => text.match(/[\\d.]+/g).map(Number);
function behind(e) {
  for (; e; e = e.parentElement) {
    const found = colour(getComputedStyle(e).backgroundColor);
    if (found.length === 3 || found[3] === 1) return found;
  }
  return [255, 255, 255];
}
return [...document.body.querySelectorAll("*")].filter(e => !e.closest("svg") && e.checkVisibility()
    && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
  const [a, b] = [colour(getComputedStyle(e).color), behind(e)].map(luminance).sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), e.tagName, e.textContent.slice(0, 30)];
})
"""


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_plots_are_legible_by_day_and_night(page, scheme):
    page.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    contrasts = page.run(_CONTRAST)
    assert len(contrasts) > 100 and min(contrasts)[0] >= 4.5, min(contrasts)
    colours = "return [...document.querySelectorAll(arguments[0])].map(e => getComputedStyle(e).backgroundColor)"
    assert set(page.run(colours, "figure")) == {"rgb(255, 255, 255)"}, "plots are drawn for white paper"
    assert (page.run(colours, "body") == ["rgb(252, 252, 251)"]) == (scheme == "light")


@needs_browser
def test_page_is_accessible(page):
    assert page.run("return [...document.querySelectorAll('table')].every(t => t.caption.textContent.trim())")
    assert page.run("return document.querySelectorAll('h1').length") == 1
    levels = page.run("return [...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1]))")
    assert all(deeper <= level + 1 for level, deeper in zip(levels, levels[1:], strict=False))
    tree = page.cdp("Accessibility.getFullAXTree")["nodes"]
    for role in ("button", "link", "region", "table"):
        nodes = [node for node in tree if node.get("role", {}).get("value") == role and not node["ignored"]]
        assert nodes and all(node["name"]["value"].strip() for node in nodes), role
