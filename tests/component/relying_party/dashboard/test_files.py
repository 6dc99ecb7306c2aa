"""The dashboard's files that are not Python: they are in the wheel, as published, and contact no other server."""

import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from relying_party.dashboard.fleet import View
from relying_party.dashboard.page_texts import texts_js
from schemas.messages.handle_chain import Fit
from schemas.text.verdicts import CLAIM_TEXTS, FRESHNESS_TEXTS
from schemas.verdicts import Freshness, TrustClaim

ROOT = Path(__file__).resolve().parents[4]
STATIC = ROOT / "relying_party" / "dashboard" / "static"
VENDOR = STATIC / "vendor"


def lock() -> list[list[str]]:
    lines = (VENDOR / "lock.txt").read_text("utf-8").splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


def own_files() -> list[Path]:
    return [path for path in STATIC.iterdir() if path.is_file()]


def test_vendored_files_are_the_published_ones_with_their_licences() -> None:
    digests = {here: digest for _, _, _, here, digest in lock()}
    there = {path.name for path in VENDOR.iterdir()} - {"lock.txt"}
    assert there == set(digests)
    assert {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in there} == digests
    packages = {package for package, *_ in lock()}
    assert packages == {package for package, _, published, _, _ in lock() if published == "LICENSE"}


def test_the_wheel_has_every_file_of_the_page(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    files = {str(path.relative_to(ROOT)) for path in STATIC.rglob("*") if path.is_file()}
    assert files - packed == set()
    assert len(files) > 15


def test_our_own_files_name_no_other_host_and_make_no_markup() -> None:
    for path in own_files():
        text = path.read_text("utf-8")
        hosts = set(re.findall(r"https?://[^\s\"'`]+", text)) - {"http://www.w3.org/2000/svg"}
        assert hosts == set(), path.name
        for dangerous in (
            "innerHTML",
            "outerHTML",
            "dangerouslySetInnerHTML",
            "insertAdjacentHTML",
            "eval(",
            "Function(",
        ):
            assert dangerous not in text, path.name


def test_the_page_has_no_inline_script_or_style() -> None:
    page = (STATIC / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", page) == []


def test_every_module_that_is_imported_is_there() -> None:
    for path in own_files():
        if path.suffix == ".js":
            for imported in re.findall(r'from "(\./[^"]+)"', path.read_text("utf-8")):
                made_by_the_server = imported == "./texts.js"
                assert made_by_the_server or (STATIC / imported).is_file(), f"{path.name}: {imported}"


def test_the_page_explains_every_word_by_the_tables_of_the_terminal() -> None:
    texts = {
        name: json.loads(table)
        for name, table in re.findall(r"export const (\w+) = (\{.*?\});\n", texts_js(), re.DOTALL)
    }
    assert texts["CLAIM_TEXTS"] == {claim.label: CLAIM_TEXTS[claim] for claim in TrustClaim}
    assert texts["FRESHNESS_TEXTS"] == {freshness.value: FRESHNESS_TEXTS[freshness] for freshness in Freshness}
    assert set(texts["VIEW_TEXTS"]) == set(View)
    assert set(texts["FIT_TEXTS"]) == set(Fit)
    own = [path.name for path in own_files() for text in CLAIM_TEXTS.values() if text in path.read_text("utf-8")]
    assert own == []


def schemes() -> dict[str, dict[str, str]]:
    """The colours of the light scheme, and of each block for the dark one."""
    text = (STATIC / "app.css").read_text("utf-8")
    blocks = re.findall(r":root(?:[:\[][^{]*)? \{([^{}]*--bg[^{}]*)\}", text)
    return {
        f"block {number}": dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block))
        for number, block in enumerate(blocks)
    }


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_all_text_has_the_contrast_of_wcag_aa_in_light_and_dark() -> None:
    found = schemes()
    assert len(found) == 3
    assert found["block 1"] == found["block 2"], "dark by the system and dark by the switch are the same"
    tones = ("text", "muted", "accent", "affirming", "warning", "contraindicated", "stale", "none", "unverified")
    weak = {}
    for name, colours in found.items():
        for tone in tones:
            for ground in ("bg", "surface", "raised"):
                high, low = sorted((luminance(colours[tone]), luminance(colours[ground])), reverse=True)
                ratio = (high + 0.05) / (low + 0.05)
                if ratio < 4.5:
                    weak[name, tone, ground] = round(ratio, 2)
    assert weak == {}
