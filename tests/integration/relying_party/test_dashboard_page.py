"""The dashboard in a real browser, with a real broker and results signed by the test's verifier."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from schemas.identifiers import ueid_text
from schemas.messages.result_token import ResultFormat, ResultSigner
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier
from tests.fakes.relying_party import STRANGERS_KEY
from tests.programs.dashboard_rig import (
    AFFIRMING_VECTOR,
    DESK,
    Dashboard,
    Look,
    chromium,
    contraindicated,
    device_hash,
    looking,
    result_now,
    running_dashboard,
    ueid_of,
)

pytestmark = pytest.mark.needs("mosquitto", "chromium")
PHONE = {"width": 390, "height": 844}
STRANGER = ResultSigner(STRANGERS_KEY, "tests", "1")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[Dashboard]:
    with running_dashboard(tmp_path) as dashboard:
        yield dashboard


@pytest.fixture
def look(browser: Browser, dashboard: Dashboard) -> Iterator[Look]:
    with looking(browser, viewport=DESK) as look:
        yield look
        look.assert_quiet(dashboard.url)


def tampered(token: bytes) -> bytes:
    """The token with another signature, still well-formed."""
    changed = bytearray(token)
    changed[-20] = ord("A") if changed[-20] != ord("A") else ord("B")
    return bytes(changed)


def view(page: Page, number: int, expected: str) -> None:
    expect(page.locator(f'.body .row[data-ueid="{ueid_text(ueid_of(number))}"]')).to_have_attribute(
        "data-view", expected
    )


def names(page: Page) -> list[str]:
    """The rows from top to bottom."""
    rows = page.locator(".body .row").all()
    ordered = sorted(rows, key=lambda each: int(each.get_attribute("aria-rowindex") or 0))
    return [each.locator(".device a").inner_text() for each in ordered]


def test_an_empty_fleet_says_what_to_do_next(look: Look, dashboard: Dashboard) -> None:
    look.page.goto(dashboard.url)
    expect(look.page.get_by_role("heading", name="No results yet")).to_be_visible()
    look.keep("empty")
    dashboard.publish(result_now(1))
    view(look.page, 1, "affirming")


def test_results_show_and_change_without_a_reload(look: Look, dashboard: Dashboard) -> None:
    dashboard.publish(*(result_now(number) for number in range(1, 31)))
    look.page.goto(dashboard.url)
    view(look.page, 7, "affirming")
    expect(look.page.locator(".tile[data-view=affirming] .count")).to_have_text("30")
    dashboard.publish(contraindicated(7))
    view(look.page, 7, "contraindicated")
    expect(look.page.locator(".tile[data-view=contraindicated] .count")).to_have_text("1")
    assert names(look.page)[0] == "sensor-0007", "what needs attention comes first"
    look.keep("fleet")
    navigations = [url for url in look.requests if url == dashboard.url]
    assert len(navigations) == 1


def test_search_filter_and_order_are_in_the_address(look: Look, dashboard: Dashboard, browser: Browser) -> None:
    dashboard.publish(*(result_now(number) for number in range(1, 31)), contraindicated(3), contraindicated(12))
    page = look.page
    page.goto(dashboard.url)
    page.locator(".tile[data-view=contraindicated]").click()
    expect(page.locator(".body .row")).to_have_count(2)
    page.locator(".sort select").select_option("name")
    page.get_by_role("columnheader", name="Device").get_by_role("button").click()
    expect(page.get_by_role("columnheader", name="Device")).to_have_attribute("aria-sort", "descending")
    assert names(page) == ["sensor-0012", "sensor-0003"]
    page.locator("#search").fill("0003")
    expect(page.locator(".body .row")).to_have_count(1)
    expect(page.locator(".shown")).to_have_text("1 of 30 devices")
    with looking(browser, viewport=DESK) as other:
        other.page.goto(page.url)
        expect(other.page.locator(".body .row")).to_have_count(1)
        expect(other.page.locator("#search")).to_have_value("0003")
    page.locator("#search").fill("no such thing")
    expect(page.get_by_role("heading", name="No device fits")).to_be_visible()


def test_the_keyboard_is_enough(look: Look, dashboard: Dashboard) -> None:
    dashboard.publish(*(result_now(number) for number in range(1, 101)))
    page = look.page
    page.goto(dashboard.url)
    view(page, 1, "affirming")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("sensor-00")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#list")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("ArrowDown")
    expect(page.locator(".row.active")).to_be_in_viewport()
    expect(page.locator(".row.active a")).to_have_text("sensor-0041")
    page.keyboard.press("Enter")
    expect(page.locator("#device-name")).to_have_text("sensor-0041")
    page.keyboard.press("Escape")
    expect(page.locator("#list")).to_be_focused()
    expect(page.locator(".row.active a")).to_have_text("sensor-0041")
    page.keyboard.press("End")
    expect(page.locator(".row.active a")).to_have_text("sensor-0099")


@pytest.mark.parametrize("form", [ResultFormat.JWT, ResultFormat.CWT])
def test_a_device_page_says_why_and_checks_the_signature_itself(
    look: Look, dashboard: Dashboard, form: ResultFormat
) -> None:
    dashboard.publish(result_now(4), form=form)
    dashboard.publish(contraindicated(4, "/opt/<b>evil</b>"), form=form)
    page = look.page
    page.goto(dashboard.url + device_hash(4))
    expect(page.locator("section.verdict")).to_have_attribute("data-view", "contraindicated")
    reasons = page.locator("section.verdict dl.reasons")
    expect(reasons).to_contain_text("A file was measured that no reference value approves.")
    expect(page.locator(".digests")).to_contain_text("/opt/<b>evil</b>")
    expect(page.locator(".digests")).to_contain_text("ab" * 32)
    expect(page.locator("[data-check]")).to_have_attribute("data-check", "verified")
    expect(page.locator("[data-check]")).to_contain_text(f"({form.upper()}): the status is contraindicated")
    expect(page.locator(".history li")).to_have_count(2)
    expect(page.locator("#claims")).to_be_visible()
    expect(page.locator(".plot canvas")).to_have_count(3)
    page.screenshot(path=look.path(f"device-{form}"), full_page=True)


@pytest.mark.parametrize("form", [ResultFormat.JWT, ResultFormat.CWT])
def test_a_tampered_result_is_unverified_and_never_affirming(
    look: Look, dashboard: Dashboard, form: ResultFormat
) -> None:
    dashboard.publish(result_now(1), result_now(2), contraindicated(3), form=form)
    signer = dashboard.signer if form is ResultFormat.JWT else dashboard.cwt
    page = look.page
    page.goto(dashboard.url)
    view(page, 1, "affirming")
    dashboard.inject(ueid_of(1), tampered(signer.sign(result_now(1))))
    dashboard.inject(ueid_of(3), STRANGER.sign(result_now(3)))
    dashboard.inject(ueid_of(9), STRANGER.sign(result_now(9)))  # about an unknown device
    dashboard.inject(ueid_of(2), signer.sign(result_now(8)))  # a genuine result about another device
    for number in (1, 2, 9):
        view(page, number, "unverified")
    expect(page.locator(f'[data-ueid="{ueid_text(ueid_of(1))}"]')).to_contain_text(Reason.RESULT_SIGNATURE_INVALID)
    expect(page.locator(f'[data-ueid="{ueid_text(ueid_of(2))}"]')).to_contain_text(Reason.RESULT_OF_ANOTHER_ATTESTER)
    for number in (1, 2, 9):
        expect(page.locator(f'[data-ueid="{ueid_text(ueid_of(number))}"]')).not_to_contain_text("affirming")
    view(page, 3, "contraindicated")  # a stranger must not be able to clear it from the screen
    expect(page.locator(f'[data-ueid="{ueid_text(ueid_of(3))}"] .mark')).to_contain_text("unverified")
    expect(page.locator(".tile[data-view=affirming] .count")).to_have_text("0")
    look.keep(f"tampered-{form}")
    page.goto(dashboard.url + device_hash(1))
    expect(page.locator("section.verdict")).to_have_attribute("data-view", "unverified")
    page.get_by_text("The refused message, checked in this browser").click()
    expect(page.locator(".inner [data-check]")).to_have_attribute("data-check", "unverified")
    page.screenshot(path=look.path(f"unverified-{form}"), full_page=True)
    page.goto(dashboard.url + device_hash(9))
    expect(page.locator("section.verdict")).to_have_attribute("data-view", "unverified")
    expect(page.locator("main .v-affirming")).to_have_count(0)
    dashboard.publish(result_now(1), form=form)
    page.goto(dashboard.url)
    view(page, 1, "affirming")  # the next genuine result ends it
    expect(page.locator(f'[data-ueid="{ueid_text(ueid_of(1))}"] .mark')).to_contain_text("unverified")


def test_a_result_ends_by_time_alone(look: Look, dashboard: Dashboard) -> None:
    dashboard.publish(result_now(2))
    started_s = time.time()
    look.page.goto(dashboard.url)
    view(look.page, 2, "affirming")
    drawn_s = time.time() - started_s
    expires_s = int(time.time() + 3 + 5 * drawn_s)  # however slow this machine draws, it has drawn before that
    dashboard.publish(result_now(1, expires_s=expires_s))
    view(look.page, 1, "affirming")
    view(look.page, 1, "stale")
    assert time.time() >= expires_s
    expect(look.page.locator(f'[data-ueid="{ueid_text(ueid_of(1))}"]')).to_contain_text(Reason.RESULT_EXPIRED)
    view(look.page, 2, "affirming")
    look.page.goto(dashboard.url + device_hash(1))
    expect(look.page.locator(".history")).to_contain_text(Reason.RESULT_EXPIRED)
    expect(look.page.locator("[data-check]")).to_contain_text("has expired")


def test_it_works_on_a_phone_in_the_dark(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.publish(*(result_now(number) for number in range(1, 41)), contraindicated(5))
    dashboard.publish(
        result_now(6, status=Tier.NONE, freshness=Freshness.STALE, vector={}, reasons=("evidence-overdue",))
    )
    with looking(browser, viewport=PHONE, color_scheme="dark", has_touch=True, is_mobile=True) as look:
        page = look.page
        page.goto(dashboard.url)
        view(page, 5, "contraindicated")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, re.findall(r"\d+", background))) < 120, background
        look.keep("phone-dark")
        page.locator(f'[data-ueid="{ueid_text(ueid_of(5))}"]').tap()
        expect(page.locator("#device-name")).to_have_text("sensor-0005")
        expect(page.locator("[data-check]")).to_have_attribute("data-check", "verified")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.screenshot(path=look.path("phone-device-dark"), full_page=True)
        page.get_by_role("button", name="Colours: auto").tap()
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, re.findall(r"\d+", background))) > 600, background
        look.assert_quiet(dashboard.url)


def test_no_word_about_the_connection_pushes_the_head_off_a_phone(browser: Browser, dashboard: Dashboard) -> None:
    with looking(browser, viewport=PHONE, has_touch=True, is_mobile=True) as look:
        look.page.route("**/api/**", lambda route: route.abort())
        look.page.goto(dashboard.url)
        expect(look.page.locator(".link")).to_have_text("reconnecting")  # the longest of them
        assert look.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        expect(look.page.get_by_role("button", name="Colours: auto")).to_be_in_viewport(ratio=1)


def test_results_by_a_key_that_is_not_believed_are_explained(look: Look, dashboard: Dashboard) -> None:
    for number in (1, 2):
        dashboard.inject(ueid_of(number), STRANGER.sign(result_now(number)))
    look.page.goto(dashboard.url)
    view(look.page, 1, "unverified")
    notice = look.page.locator(".notice.bad")
    expect(notice).to_contain_text("none could be verified")
    expect(notice).to_contain_text("verifier_keys")
    look.keep("unbelieved")


def test_a_lost_broker_is_said_and_found_again(look: Look, dashboard: Dashboard) -> None:
    dashboard.publish(result_now(1))
    look.page.goto(dashboard.url)
    view(look.page, 1, "affirming")
    dashboard.publisher.close()
    dashboard.broker.stop()
    expect(look.page.locator(".notice.bad")).to_contain_text("cannot be reached")
    dashboard.broker.start()
    expect(look.page.locator(".notice.bad")).to_have_count(0)


def test_ten_thousand_rows_are_a_few_in_the_document(look: Look, dashboard: Dashboard) -> None:
    dashboard.publish_many([result_now(number, vector=AFFIRMING_VECTOR) for number in range(1, 2001)])
    look.page.goto(dashboard.url)
    expect(look.page.locator(".tile[data-view=affirming] .count")).to_have_text("2,000")
    look.page.evaluate("scrollTo(0, 899 * 46)")
    expect(look.page.locator(".body .row a", has_text="sensor-0900")).to_be_attached()
    assert look.page.locator(".body .row").count() < 60
