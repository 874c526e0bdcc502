"""The page in a real headless browser: Chromium of the distribution, by selenium."""

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import torch
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from wnrepro import equations
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
    """The page, opened anew on a wide light screen, and drawn: it may be loaded before it is."""
    screen(started)
    started.get(address)
    WebDriverWait(started, 60).until(shown)
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
    known = sorted((value for value in rising if value != "–"), key=float)
    missing = ["–"] * (len(rising) - len(known))
    assert missing
    assert rising == known + missing
    button.click()
    falling = values()
    assert heads[column].get_attribute("aria-sort") == "descending"
    assert falling == known[::-1] + missing
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


def numbers(chrome: Chrome, **sliders: float) -> dict[str, list[float]]:
    """The step's numbers, by what they are, with the sliders there."""
    cells = chrome.execute_script(
        "const form = document.querySelector('.step form');"
        "for (const [name, value] of Object.entries(arguments[0]))"
        "  form.elements[name].value = value;"
        "form.elements.v.dispatchEvent(new Event('input', {bubbles: true}));"
        "return [...document.querySelectorAll('.step td')]"
        "  .map((cell) => [cell.dataset.number, cell.innerText])",
        sliders,
    )
    return {
        name: [float(each) for each in text.replace("−", "-").rstrip("°").split(", ")]
        for name, text in cells
    }


def arrow(chrome: Chrome, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Where it begins and ends in the picture, y upwards."""
    path = chrome.find_element(By.CSS_SELECTOR, f".step path.{name}").get_attribute("d") or ""
    ends = [[float(each) for each in end.split()] for end in re.findall(r"[ML] ([^ML]+)", path)]
    begin, end = torch.tensor(ends[:2], dtype=torch.float64) * torch.tensor([1, -1])
    return begin, end


def test_the_step_is_that_of_the_equations(chrome: Chrome):
    positions = [(60, 1.2, 0.6), (90, 0.6, 1), (0, 2, 1), (135, 0.8, 0.35), (180, 1, 0.5)]
    for angle, length, rate in [*positions, (45, 1.5, 0)]:
        shown = numbers(chrome, angle=angle, v=length, rate=rate)
        v = torch.tensor([[length, 0]], dtype=torch.float64)
        g = torch.ones(1, dtype=torch.float64)
        turn = math.radians(angle)
        gradient = torch.tensor([[math.cos(turn), math.sin(turn)]], dtype=torch.float64)
        w, gradient_v = equations.weight(v, g), equations.gradient_v(v, g, gradient)
        step = -rate * gradient_v
        longer = equations.norm_growth(v, step).item()
        c = step.norm().item() / length
        expected = {
            "projected": [(equations.projection(w[0]) @ gradient[0]).norm().item()],
            "gradient": [gradient_v.norm().item()],
            "product": [0],
            "c": [c],
            "length": [longer],
            "turn": [math.degrees(math.atan(c))],
            "factors": [1 / length, 1 / longer],
            "next": [c / (1 + c**2)],
            "g": [equations.gradient_g(v, gradient).item()],
        }
        assert list(shown) == list(expected)
        for name, values in expected.items():
            assert shown[name] == pytest.approx(values, abs=0.051 if name == "turn" else 0.00051), (
                name
            )
        origin = torch.zeros(2, dtype=torch.float64)
        for name, begin, end in [
            ("v", origin, v[0]),
            ("w", origin, w[0]),
            ("gradient", origin, gradient[0]),
            ("projected", origin, gradient_v[0] * length),
            ("gradient-v", v[0], (v + gradient_v)[0]),
            ("step-v", v[0], (v + step)[0]),
            ("next", origin, (v + step)[0]),
        ]:
            drawn = arrow(chrome, name)
            torch.testing.assert_close(drawn, (begin, end), atol=1e-4, rtol=0, msg=name)
    assert chrome.get_log("browser") == []


def test_the_step_is_moved_by_the_keyboard(chrome: Chrome):
    slider = chrome.find_element(By.NAME, "rate")
    before = numbers(chrome)
    slider.send_keys(Keys.ARROW_RIGHT)
    assert slider.find_element(By.XPATH, "..").text.endswith("0.65")
    assert numbers(chrome)["length"] > before["length"]
    slider.send_keys(Keys.HOME)
    assert numbers(chrome)["length"] == [1.2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_step_is_legible_on_a_phone(chrome: Chrome, scheme: str):
    screen(chrome, 375, scheme)
    for angle, length in product((0, 60, 180), (0.6, 2)):
        numbers(chrome, angle=angle, v=length, rate=1)
        assert chrome.execute_script("return document.documentElement.scrollWidth") <= 375
        words, picture = chrome.execute_script(
            "const box = (each) => ({...each.getBoundingClientRect().toJSON()});"
            "return [[...document.querySelectorAll('.step text')].map(box),"
            "  box(document.querySelector('.step svg'))]"
        )
        assert len(words) >= 5
        for word in words:
            assert word["height"] >= 12  # pixels
            assert picture["left"] <= word["left"]
            assert word["right"] <= picture["right"]
    ink, ground = chrome.execute_script(
        "const style = (name) => getComputedStyle(document.querySelector(name));"
        "return [style('.step text').fill, style('.step svg').backgroundColor]"
    )
    assert (ink, ground) == {
        "light": ("rgb(28, 33, 40)", "rgb(243, 245, 248)"),
        "dark": ("rgb(216, 222, 230)", "rgb(26, 33, 43)"),
    }[scheme]
