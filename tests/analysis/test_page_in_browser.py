"""The page in a real headless browser: Chromium of the distribution, by selenium."""

import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from wnrepro.analysis import page
from wnrepro.analysis.claims.judgement import all_rows
from wnrepro.analysis.exhibit import Cells
from wnrepro.analysis.records import Records, load

RESULTS = Path(__file__).resolve().parents[2] / "results"
PICTURE = "<svg xmlns='http://www.w3.org/2000/svg' width='70' height='50'><rect fill='{}'/></svg>"
BROWSERS = ("chromium", "google-chrome")


@pytest.fixture(scope="module")
def records() -> Records:
    """The committed runs; of one, as if it had diverged, the test error is missing."""
    found = load(RESULTS)
    runs = found.runs.copy()
    runs.loc[runs.index[0], ["status", "test_error_percent"]] = ["diverged", math.nan]
    return replace(found, runs=runs)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, records: Records) -> str:
    """The page as a file, with every kind of part on it."""
    results = tmp_path_factory.mktemp("results")
    shutil.copytree(RESULTS / "mechanisms", results / "mechanisms")
    (results / "figures").mkdir()
    for name, colour in (("mnist_arms_errors", "white"), ("mnist_arms_errors-dark", "black")):
        (results / "figures" / f"{name}.svg").write_text(PICTURE.format(colour))
    wide = pd.DataFrame([["a cell"] * 9], columns=[f"column {k}, a long heading" for k in range(9)])
    tables = {"mnist_arms_errors": Cells(wide, wide)}
    page.write(results, records, all_rows(records, results), tables)
    return (results / page.PAGE).as_uri()


@pytest.fixture(scope="module")
def started() -> Iterator[Chrome]:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        reason = "no Chromium with chromedriver here; .ci/install_browser installs them"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    options = ChromeOptions()
    options.binary_location = browser
    # Neither a sandbox nor much shared memory is to be had in a container.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options, Service(driver))
    yield chrome
    chrome.quit()


@pytest.fixture
def chrome(started: Chrome, address: str) -> Chrome:
    """The page, opened anew on a wide light screen."""
    screen(started)
    started.get(address)
    return started


def screen(chrome: Chrome, width: int = 1280, scheme: str = "light", media: str = "screen") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [feature]})


def shown(chrome: Chrome) -> list[str]:
    """The arms of the runs that can be seen, from the top."""
    return chrome.execute_script(
        "return [...document.querySelectorAll('#run-table tbody tr')]"
        ".filter((row) => row.checkVisibility()).map((row) => row.cells[1].textContent)"
    )


def said(chrome: Chrome) -> str:
    return chrome.find_element(By.CSS_SELECTOR, "#filter output").text


def choose(chrome: Chrome, name: str, value: str) -> None:
    Select(chrome.find_element(By.CSS_SELECTOR, f"select[name={name}]")).select_by_visible_text(
        value
    )


def background(chrome: Chrome) -> str:
    return chrome.execute_script("return getComputedStyle(document.body).backgroundColor")


def test_it_opens_without_errors_and_asks_the_network_for_nothing(chrome: Chrome, address: str):
    assert "Weight Normalization" in chrome.title
    assert chrome.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in chrome.get_log("performance")]
    asked = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    assert address in asked
    assert {url for url in asked if not url.startswith("data:")} == {address}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_picture_is_there(chrome: Chrome, scheme: str):
    screen(chrome, scheme=scheme)
    chrome.execute_async_script(
        "const done = arguments[0];"
        "Promise.all([...document.images].map((i) => i.decode())).then(() => done(), done)"
    )
    images = chrome.find_elements(By.TAG_NAME, "img")
    assert len(images) == 1 + 7
    for image in images:
        assert image.get_property("naturalWidth")
    taken = images[0].get_property("currentSrc")
    source = chrome.find_element(By.TAG_NAME, "source").get_attribute("srcset")
    assert (taken == source) == (scheme == "dark")


def test_dark_and_light_and_paper(chrome: Chrome):
    assert background(chrome) == "rgb(255, 255, 255)"
    screen(chrome, scheme="dark")
    assert background(chrome) == "rgb(13, 17, 23)"
    screen(chrome, scheme="dark", media="print")
    assert background(chrome) == "rgb(255, 255, 255)"
    assert not chrome.find_element(By.ID, "filter").is_displayed()
    chrome.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert not chrome.find_elements(By.CSS_SELECTOR, "details:not([open])")
    chrome.execute_script("dispatchEvent(new Event('afterprint'))")
    assert not chrome.find_elements(By.CSS_SELECTOR, "details[open]")


def test_runs_are_filtered(chrome: Chrome, records: Records):
    arms, data = (records.runs[column].to_dict() for column in ("arm", "data"))
    assert len(shown(chrome)) == len(arms)
    assert said(chrome) == f"{len(arms)} runs"
    choose(chrome, "arm", "wn")
    expected = [identity for identity in arms if arms[identity] == "wn"]
    assert 0 < len(expected) < len(arms)
    assert shown(chrome) == ["wn"] * len(expected)
    assert said(chrome) == f"{len(expected)} of {len(arms)} runs"
    choose(chrome, "data", "mnist")
    expected = [identity for identity in expected if data[identity] == "mnist"]
    assert len(shown(chrome)) == len(expected)
    words = chrome.find_element(By.NAME, "words")
    optimizer = str(records.runs.loc[expected[0], "optimizer"])
    words.send_keys(f"{optimizer.upper()} {expected[0]}")
    assert shown(chrome) == ["wn"]
    words.send_keys(" nowhere", Keys.ENTER)  # Enter must not send the form
    assert shown(chrome) == []
    assert said(chrome) == f"0 of {len(arms)} runs"


def test_runs_are_sorted_and_what_is_missing_comes_last(chrome: Chrome):
    heads = chrome.find_elements(By.CSS_SELECTOR, "#run-table thead th")
    column = [head.text for head in heads].index("test error, %")
    button = heads[column].find_element(By.TAG_NAME, "button")

    def values() -> list[str]:
        return chrome.execute_script(
            "return [...document.querySelectorAll('#run-table tbody tr')]"
            ".map((row) => row.cells[arguments[0]].textContent)",
            column,
        )

    button.send_keys(Keys.ENTER)  # the keyboard will do
    rising = values()
    assert heads[column].get_attribute("aria-sort") == "ascending"
    assert rising[-1] == "–"
    assert rising[:-1] == sorted(rising[:-1], key=float)
    button.click()
    falling = values()
    assert heads[column].get_attribute("aria-sort") == "descending"
    assert falling[-1] == "–"
    assert falling[:-1] == sorted(falling[:-1], key=float, reverse=True)
    heads[1].find_element(By.TAG_NAME, "button").click()
    assert shown(chrome) == sorted(shown(chrome))
    sorted_by = chrome.find_elements(By.CSS_SELECTOR, "#run-table [aria-sort]")
    assert sorted_by == [heads[1]]


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_does_not_overflow_sideways(chrome: Chrome, width: int):
    screen(chrome, width)
    chrome.execute_script("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert chrome.execute_script("return document.documentElement.scrollWidth") <= width
    # What is wide scrolls in a box of its own.
    box = chrome.find_element(By.CSS_SELECTOR, ".wide.tall")
    assert box.get_property("scrollWidth") > box.get_property("clientWidth")


def test_a_claim_opens_and_shows_its_criterion(chrome: Chrome):
    more = chrome.find_element(By.CSS_SELECTOR, "#claim-4d + tr")
    assert "below −0.1 percentage points" not in more.text
    more.find_element(By.TAG_NAME, "summary").click()
    assert "it lies below −0.1 percentage points" in more.text
