"""The login page. Pure. It consists of fixed texts: no input of a person comes back in it."""

from enum import StrEnum
from typing import Final


class Notice(StrEnum):
    """Why the last attempt failed, for people."""

    NONE = ""
    WRONG = "Name or password are wrong."
    TOO_OFTEN = "Too many tries. Wait five minutes, then try again."
    PROVIDER = "Logging in with the identity provider did not work. Try again; the server's log lines say why."
    NO_ROLE = "You are known, but you have no role here. Ask the operator of this dashboard."


_HEAD: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Log in · attestream</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/app.css">
</head>
<body><main class="login card"><h1><img src="/static/icon.svg" alt="" width="28" height="28">attestream</h1>
"""
_FORM: Final = """<form method="post" action="/login">
<label>Name <input name="name" autocomplete="username" required maxlength="64" autofocus></label>
<label>Password
<input name="password" type="password" autocomplete="current-password" required maxlength="1024"></label>
<button class="go">Log in</button></form>
"""
_PROVIDER: Final = """<p><a class="go" href="/login/oidc">Log in with your organisation</a></p>
"""
_TAIL: Final = """</main></body></html>
"""


def render(notice: Notice, *, with_password: bool, with_provider: bool) -> str:
    """The page as HTML."""
    alert = f'<p class="notice bad" role="alert">{notice}</p>\n' if notice else ""
    return "".join((_HEAD, alert, _FORM if with_password else "", _PROVIDER if with_provider else "", _TAIL))
