"""The gate page in a real browser: what clicks and keys do, and that the numbers on the screen are the model's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.browser import open_browser
from support.page_cases import TEXT, explored
from torch import Tensor

from gru_scratch.layers import GRU
from gru_scratch.models.language import RNNModel
from gru_scratch.studies.gates.exploration import Exploration, explore
from gru_scratch.studies.gates.features import correlations
from gru_scratch.studies.gates.page import build_page, write_page
from gru_scratch.text.vocab import Vocab


@pytest.fixture(scope="module")
def found() -> Exploration:
    torch.manual_seed(3)
    return explored()


@pytest.fixture(scope="module")
def page(found: Exploration, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, build_page(found, title="a model", source="a text"))
    with open_browser() as browser:
        opened = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
        errors: list[str] = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.on("request", lambda request: request.url.startswith("file:") or errors.append(request.url))
        opened.goto(path.as_uri())
        yield opened
        assert errors == []


def colours(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all("#text > span", "all => all.map(x => x.style.backgroundColor)")
    return found


def shown_value(page: Any) -> float:
    return float(page.inner_text("#value").replace("−", "-"))


def quantity_of(found: Exploration, layer: int, name: str) -> Tensor:
    return next(quantity.values for quantity in found.layers[layer] if quantity.name == name)


def test_in_a_browser(page: Any, found: Exploration, tmp_path: Path) -> None:
    """One test, for one start of the browser: it skips, with the reason, where there is none."""
    assert page.title() == "What the gates do"
    check_colours_and_numbers(page, found)
    check_predictions(page, found)
    check_influence(page, found)
    check_own_range(page, found)
    check_keys(page, found)
    check_map(page, found)
    check_sorting(page, found)
    check_screen_readers(page)
    check_contrast(page)
    check_themes(page)
    check_narrow(page)
    check_words(page, tmp_path)
    check_hardly_trained(page, tmp_path)


def check_colours_and_numbers(page: Any, found: Exploration) -> None:
    """Clicks change the colours, and the numbers in the page are the model's."""
    assert page.inner_text("#text").replace("↵", "").replace("\n", "") == TEXT.replace("\n", "")
    seen = set()
    for layer, name, unit in [(0, "f", 0), (0, "f", 3), (1, "f", 3), (1, "c", 6), (1, "h", 6)]:
        page.get_by_role("group", name="Layer").get_by_text(str(layer + 1), exact=True).click()
        page.locator("#quantities label", has=page.locator(f"code:text-is('{name}')")).click()
        page.fill("#unit", str(unit))
        page.press("#unit", "Enter")
        page.click("#c7")
        seen.add(tuple(colours(page)))
        values = quantity_of(found, layer, name)
        assert abs(shown_value(page) - float(values[7, unit])) <= 0.005 + step_of(values, unit)
        for at in range(len(TEXT)):
            value = page.evaluate(f"valueOf(quantityNow(), state.unit, {at})")
            assert abs(value - float(values[at, unit])) <= step_of(values, unit)
    assert len(seen) == 5
    # Of equal values equal colours; the higher a gate's, the darker.
    page.evaluate("show({layer: 0, quantity: 1, unit: 0})")
    gate = quantity_of(found, 0, "f")[:, 0]
    shown = colours(page)
    reds = [int(re.findall(r"\d+", colour)[0]) for colour in shown]
    order = sorted(range(len(TEXT)), key=lambda at: float(gate[at]))
    assert [reds[at] for at in order] == sorted(reds, reverse=True)
    assert len(set(shown)) > 5


def step_of(values: Tensor, unit: int) -> float:
    return float(values[:, unit].max() - values[:, unit].min()) / 254


def check_predictions(page: Any, found: Exploration) -> None:
    for at in (0, 7, len(TEXT) - 1):
        page.click(f"#c{at}")
        shown = page.evaluate(f"expectedAt({at})")
        best = found.probabilities[at].topk(8)
        assert [each["token"] for each in shown[:8]] == best.indices.tolist()
        assert [each["part"] for each in shown[:8]] == pytest.approx(best.values.tolist(), abs=1 / 65535)
        came = [found.vocabulary[each["token"]] for each in shown if each["came"]]
        assert came == ([TEXT[at + 1]] if at + 1 < len(TEXT) else [])
        rows = page.locator("#expected tr")
        assert rows.count() == len(shown)
        assert rows.locator("text=comes").count() == len(came)


def check_influence(page: Any, found: Exploration) -> None:
    page.click("#c20")
    page.get_by_text("influence on the guess", exact=True).click()
    largest = float(found.influence[20].max())
    for back in range(21):
        share = page.evaluate(f"shareOf(20, {back})") / 255 * largest
        assert abs(share - float(found.influence[20, back])) <= largest / 255
    before = colours(page)
    assert len(set(before[:21])) > 3
    assert len(set(before[21:])) == 1  # what comes later moved nothing
    page.click("#c30")
    assert colours(page) != before
    assert page.locator("#moved span").count() == 31
    page.get_by_text("the unit's value", exact=True).click()
    assert colours(page) != before


def check_own_range(page: Any, found: Exploration) -> None:
    """Of a unit that hardly varies, too, all is to be seen: palest is its lowest value, darkest its highest."""
    page.evaluate("show({layer: 0, quantity: 1, unit: 2, sort: 'number'})")
    page.get_by_text("its own range", exact=True).click()
    gate = quantity_of(found, 0, "f")[:, 2]
    ends = page.evaluate("[0, STEPS].map(code => palettes.light.amount[code].css)")
    shown = [[int(part) for part in re.findall(r"\d+", colour)] for colour in (*ends, *colours(page))]
    assert shown[2 + int(gate.argmin())] == shown[0]
    assert shown[2 + int(gate.argmax())] == shown[1]
    name, low, high = page.inner_text("#legend").splitlines()
    assert name == "f of unit 2"
    assert float(low) == pytest.approx(float(gate.min()), abs=0.005 + step_of(quantity_of(found, 0, "f"), 2))
    assert float(high) == pytest.approx(float(gate.max()), abs=0.005 + step_of(quantity_of(found, 0, "f"), 2))
    of_map = page.evaluate(
        """at => {
          const places = [xOf(at) + view.wide / 2, yOf(2) + view.high / 2].map((x) => Math.round(x * devicePixelRatio));
          return [...pen.getImageData(...places, 1, 1).data];
        }""",
        int(gate[:20].argmin()),
    )
    assert of_map[:3] == shown[2 + int(gate[:20].argmin())]
    assert page.evaluate("placeIn([7, 7], 7)") == 0  # a unit that never varies
    page.get_by_text("the unit's value", exact=True).click()


def check_keys(page: Any, found: Exploration) -> None:
    page.click("#c3")
    page.locator("#text").focus()
    for key, at in [
        ("ArrowRight", 4),
        ("ArrowLeft", 3),
        ("End", len(TEXT) - 1),
        ("ArrowRight", len(TEXT) - 1),
        ("Home", 0),
    ]:
        page.keyboard.press(key)
        assert page.evaluate("state.at") == at
        assert page.get_attribute("#text", "aria-activedescendant") == f"c{at}"
        assert page.locator("#text [aria-selected=true]").count() == 1
    page.keyboard.press("ArrowDown")
    below = page.evaluate("state.at")
    assert TEXT[below - 1] == "\n" or page.evaluate(f"spans[{below}].offsetTop > spans[0].offsetTop")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("state.at") == 0
    page.evaluate("show({unit: 2})")
    page.keyboard.press("]")
    assert page.input_value("#unit") == "3"
    page.keyboard.press("[")
    assert page.input_value("#unit") == "2"
    for name in ("z", "9999", "-5", "1.4"):  # what is no unit is none
        page.evaluate(f"show({{unit: {json.dumps(name)}}})")
        assert 0 <= page.evaluate("state.unit") < 7


def check_map(page: Any, found: Exploration) -> None:
    page.evaluate("show({layer: 1, quantity: 0, unit: 0, at: 0, sort: 'number'})")
    page.locator("#map").scroll_into_view_if_needed()
    place = page.evaluate("({x: xOf(9) + view.wide / 2, y: yOf(5) + view.high / 2})")
    page.hover("#map", position=place)
    value = quantity_of(found, 1, "i")[9, 5]
    unit, number = re.findall(r"i of unit (\d+): ([−\d.]+)", page.inner_text("#tip"))[0]
    assert unit == "5"
    assert abs(float(number) - float(value)) <= 0.005 + 1 / 254
    pixel = page.evaluate(
        "p => [...pen.getImageData(Math.round(p.x * devicePixelRatio), Math.round(p.y * devicePixelRatio), 1, 1).data]",
        place,
    )
    assert pixel[:3] == page.evaluate("palette('part')[Math.round(254 * valueOf(quantityNow(), 5, 9))].colour")
    page.click("#map", position=place)
    assert page.evaluate("[state.unit, state.at]") == [5, 9]
    wide = page.evaluate("view.wide")
    page.get_by_role("button", name="zoom in").click()
    assert page.evaluate("view.wide") > wide
    page.locator("#map").focus()
    page.keyboard.press("-")
    assert page.evaluate("view.wide") == pytest.approx(wide)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("[state.unit, state.at]") == [6, 8]
    page.get_by_role("button", name="whole text").click()
    assert page.evaluate("xOf(length) <= map.clientWidth + 1")


def check_sorting(page: Any, found: Exploration) -> None:
    page.evaluate("show({layer: 0, quantity: 4})")
    for feature in (each for each in found.features if each.varies):
        page.select_option("#sort", feature.name)
        expected = correlations(quantity_of(found, 0, "h"), [feature])[0]
        shown = page.evaluate("rows.map(({unit, by}) => [unit, by])")
        assert [by for _, by in shown] == sorted((by for _, by in shown), reverse=True)
        for unit, by in shown:
            assert by == pytest.approx(float(expected[unit]), abs=1 / 65535)
    button = page.locator("#follow-lists ul button").nth(2)
    unit, name = re.findall(r"unit (\d+), correlation with ([\w ]+) ", button.get_attribute("aria-label"))[0]
    button.click()
    assert page.evaluate("[state.unit, state.sort]") == [int(unit), name]
    assert page.locator(f"#follow-lists button[data-unit='{unit}']").first.get_attribute("aria-pressed") == "true"


def check_screen_readers(page: Any) -> None:
    """What is on the page has a role and a name, and a choice is spoken."""
    assert page.get_by_role("listbox", name="The text").count() == 1
    assert page.locator("#text").get_by_role("option").count() == len(TEXT)
    assert page.get_by_role("application", name="All units").count() == 1
    assert page.get_by_role("spinbutton", name="Unit").count() == 1
    assert page.get_by_role("radio", name="f forget gate").count() == 1
    assert page.get_by_role("combobox", name="sorted by").count() == 1
    nameless = page.eval_on_selector_all(
        "button, select, input",
        "all => all.filter(x => !x.ariaLabel && !x.textContent && !x.labels?.length).map(x => x.outerHTML)",
    )
    assert nameless == []
    page.evaluate("show({layer: 0, quantity: 1, unit: 4})")
    page.click("#c2")
    assert re.match(r"space, character 3\. forget gate f, unit 4: \d\.\d\d\. Expected next: ", page.inner_text("#live"))


def check_contrast(page: Any) -> None:
    """Every letter on its colour, and every text on its ground, 4.5 to 1 or more, light and dark."""
    for name in ("light", "dark"):
        lowest = page.evaluate(
            """name => Math.min(...Object.values(palettes[name]).flat().map(({colour, ink}) => {
                const [a, b] = [luminance(colour), luminance(rgb(ink))].sort((x, y) => x - y);
                return (b + 0.05) / (a + 0.05);
            }))""",
            name,
        )
        assert lowest >= 4.5
        page.evaluate("name => { document.documentElement.dataset.theme = name; drawAll(); }", name)
        for selector in ("#about", ".note", "#gate-words", "#moment-value", "input:checked + span", "footer p", "#tip"):
            assert page.evaluate(CONTRAST, selector) >= 4.5, (name, selector)


CONTRAST = """selector => {
  const element = document.querySelector(selector);
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  let ground = element;
  while (parts(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor]
    .map((colour) => luminance(parts(colour).slice(0, 3))).sort((x, y) => x - y);
  return (b + 0.05) / (a + 0.05);
}"""


def check_themes(page: Any) -> None:
    page.evaluate("() => { delete document.documentElement.dataset.theme; drawAll(); }")
    ground = "getComputedStyle(document.body).backgroundColor"
    light, painted = page.evaluate(ground), colours(page)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert dark != light
    page.wait_for_function("old => spans[0].style.backgroundColor !== old", arg=painted[0])  # the page is told later
    page.get_by_role("button", name="use light colours").click()
    assert page.evaluate(ground) == light
    assert colours(page) == painted
    page.get_by_role("button", name="use dark colours").click()
    assert page.evaluate(ground) == dark


def check_narrow(page: Any) -> None:
    """On a telephone nothing is wider than the screen."""
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def check_words(page: Any, tmp_path: Path) -> None:
    """Of a model of words: spaces between them, and nothing of features, which are of characters."""
    words = ["time", "and", "time", "again"]
    model = RNNModel(GRU(len(vocab := Vocab(words)), 3), len(vocab))
    write_page(tmp_path / "words.html", build_page(explore(model, vocab, words, kind="word"), title="", source=""))
    page.goto((tmp_path / "words.html").as_uri())
    assert page.inner_text("#text").split() == words
    page.click("#c2")
    assert page.inner_text("#moment-title") == "After ‘time’, word 3 of 4"
    assert page.inner_text("#moved").split() == words[:3]
    assert not page.is_visible("#follows")
    assert "character" not in page.inner_text("body")
    assert "vowels" not in page.inner_text("body")
    assert page.locator("#sort option").all_inner_texts() == ["unit number", "mean value"]


def check_hardly_trained(page: Any, tmp_path: Path) -> None:
    """Units that hardly move open on their own range, with decimals that tell their values apart, and the page says so.

    On the gate's scale all would be one colour.
    """
    for scale_of_weights, mode in ((4.0, "unit"), (1.0, "range"), (0.01, "range")):
        torch.manual_seed(3)
        path = tmp_path / f"{scale_of_weights}.html"
        write_page(path, build_page(explored(scale=scale_of_weights), title="", source=""))
        page.goto(path.as_uri())
        assert page.evaluate("state.mode") == mode
        assert len(set(colours(page))) > 5
        assert ("as in a model that has hardly learnt" in page.inner_text("#gate-words")) == (scale_of_weights < 1)
        values = set()
        for at in range(9):
            page.click(f"#c{at}")
            values.add(page.inner_text("#value"))
        assert len(values) > 5
