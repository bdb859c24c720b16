"""What passes between a browser and a dashboard, and what does not. Pure.

Both ways only what is listed passes. A browser's cookies and credentials, and those
that a hub's proxy adds for Jupyter, are not the dashboard's to read; nor may it set
cookies, lead elsewhere, or let other pages read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from urllib.parse import urljoin, urlsplit

TOKEN_HEADER = "x-ray-authorization"  # proxies on the way take Authorization for their own
OPEN = "/jupyter-kuberay-open"  # below a site's prefix: where a key is exchanged

_TO_DASHBOARD = (
    "accept, accept-encoding, accept-language, cache-control, content-encoding, content-language, content-length, content-type, if-match, "
    "if-modified-since, if-none-match, if-range, if-unmodified-since, pragma, range, "
    # By these Ray knows that a browser asks, which it lets read and not write.
    "origin, sec-fetch-dest, sec-fetch-mode, sec-fetch-site, user-agent"
)
_TO_BROWSER = (
    "accept-ranges, age, cache-control, content-disposition, content-encoding, content-language, content-length, content-range, "
    "content-type, date, etag, expires, last-modified, retry-after, vary, x-accel-buffering"
)
# Scripts and styles as Ray's page has them; asking is for its own origin alone, so that no page of a dashboard even
# sends Jupyter a request that it could not read. Frames are Grafana's.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-src 'self' http: https:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
GUARDS = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@cache
def _names(listed: str) -> frozenset[str]:
    return frozenset(listed.split(", "))


def to_dashboard(headers: Iterable[tuple[str, str]], token: str) -> list[tuple[str, str]]:
    """A request's headers as the dashboard gets them."""
    kept = [(name, value) for name, value in headers if name.lower() in _names(_TO_DASHBOARD)]
    return kept + ([(TOKEN_HEADER, f"Bearer {token}")] if token else [])


def to_browser(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """An answer's headers as the browser gets them, with `GUARDS`; ``Location`` is `led_to`'s."""
    return [(name, value) for name, value in headers if name.lower() in _names(_TO_BROWSER)] + [*GUARDS.items()]


def led_to(location: str, asked: str, here: str) -> str:
    """Where the browser is led by an answer of the dashboard to ``asked``; "" when that is another host.

    >>> led_to("/a?b#c", "http://10.0.0.1:8265/x", "http://ada.localhost:1/ada")
    'http://ada.localhost:1/ada/a?b#c'

    Parameters
    ----------
    location
        The header.
    asked
        The URL that the dashboard was asked for.
    here
        Where the dashboard's root is for the browser, without a slash at its end.
    """
    try:
        # Browsers take a backslash for a slash.
        to, at = urlsplit(urljoin(asked, location.strip().replace("\\", "/"))), urlsplit(asked)
    except ValueError:
        return ""
    if (to.scheme, to.netloc) != (at.scheme, at.netloc):
        return ""
    query = f"?{to.query}" if to.query else ""
    fragment = f"#{to.fragment}" if to.fragment else ""
    return f"{here}{to.path or '/'}{query}{fragment}"


def by_another_page(method: str, headers: Mapping[str, str], path: str, origin: str) -> bool:
    """Whether the browser was made to ask by a page of another origin, and for more than to show the front page.

    Parameters
    ----------
    path
        Below the site's prefix.
    origin
        The dashboard's, as the browser names it.
    """
    site = headers.get("Sec-Fetch-Site", "")
    if method not in ("GET", "HEAD"):
        return headers.get("Origin") != origin or site not in ("", "same-origin")
    if site in ("", "same-origin", "none"):
        return "Origin" in headers and headers["Origin"] != origin
    # Some of what Ray is asked by GET acts, such as /api/actors/kill.
    shown = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    return not (shown and path in ("/", OPEN))
