"""The texts of the page that explain a word: a JavaScript module, made of the same tables as the terminal's. Pure."""

import json
from collections.abc import Mapping
from typing import Final

from relying_party.dashboard.fleet import View
from schemas.messages.handle_chain import Fit
from schemas.text.verdicts import CLAIM_TEXTS, FRESHNESS_TEXTS, TIER_TEXTS
from schemas.verdicts import Tier

VIEW_TEXTS: Final[Mapping[View, str]] = {
    View.AFFIRMING: TIER_TEXTS[Tier.AFFIRMING],
    View.WARNING: TIER_TEXTS[Tier.WARNING],
    View.CONTRAINDICATED: f"{TIER_TEXTS[Tier.CONTRAINDICATED]}: do not rely on this device",
    View.STALE: "there is no recent result; late is not bad, but nothing is affirmed",
    View.NONE: f"{TIER_TEXTS[Tier.NONE]}; the reasons name what is missing",
    View.UNVERIFIED: "the newest message about it does not verify, or no trusted verifier has signed a result about it",
}
FIT_TEXTS: Final[Mapping[Fit, str]] = {
    Fit.FIRST: "first one seen",
    Fit.KNOWN: "seen before",
    Fit.LINKED: "follows the handle before",
    Fit.GAP: "gap: its predecessor was not seen",
    Fit.FORKED: "FORK: two handles claim this place",
}


def texts_js() -> str:
    """The module ``static/texts.js``: one constant for each table, by the words that the page receives."""
    tables = {
        "VIEW_TEXTS": {view.value: sentence(text) for view, text in VIEW_TEXTS.items()},
        "CLAIM_TEXTS": {claim.label: text for claim, text in CLAIM_TEXTS.items()},
        "FRESHNESS_TEXTS": {freshness.value: text for freshness, text in FRESHNESS_TEXTS.items()},
        "FIT_TEXTS": {fit.value: text for fit, text in FIT_TEXTS.items()},
    }
    return "".join(f"export const {name} = {json.dumps(table, indent=2)};\n" for name, table in tables.items())


def sentence(text: str) -> str:
    """A text of a table as a sentence."""
    return f"{text[0].upper()}{text[1:]}."
