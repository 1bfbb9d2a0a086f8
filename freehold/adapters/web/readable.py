"""A program: HTML on standard input, its text as Markdown on standard output.

    python readable.py URL < page.html

It is a process of its own because a page is made by strangers: one that takes for ever, or all
memory, is killed, and the server never notices.
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import suppress
from urllib.parse import urljoin

from bs4 import BeautifulSoup
from markdownify import ATX, MarkdownConverter

MAX_MEMORY = 384 << 20
"""Enough for about 5 MiB of HTML. One at a time fits the function that runs them on AWS."""
MAX_CPU_SECONDS = 25
_NOISE = (
    "title",
    "script",
    "style",
    "noscript",
    "template",
    "svg",
    "iframe",
    "nav",
    "footer",
    "form",
)
_ENOUGH = 200
"""Characters of a `main` element that is taken for the page."""


def main() -> None:
    with suppress(ValueError, OSError):  # not every system has the limit
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS))
    page = sys.stdin.buffer.read().decode("utf-8", "replace")
    title, text = readable(page, sys.argv[1])
    sys.stdout.write(json.dumps({"title": title, "text": text}))


def readable(page: str, url: str) -> tuple[str, str]:
    """Title and text of a page at `url`; links in it are complete."""
    soup = BeautifulSoup(page, "html.parser")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    base = soup.find("base", href=True)
    if base is not None:
        with suppress(ValueError):
            url = urljoin(url, str(base["href"]))
    for link in soup.find_all("a", href=True):
        with suppress(ValueError):
            link["href"] = urljoin(url, str(link["href"]))
    for noise in soup.find_all(_NOISE):
        noise.decompose()
    found = soup.find("main") or soup.find(role="main")
    body = found if found is not None and len(found.get_text()) >= _ENOUGH else soup.body or soup
    try:
        converter = MarkdownConverter(
            heading_style=ATX,
            strip=["img"],
            escape_asterisks=False,
            escape_underscores=False,
            escape_misc=False,
        )
        text = converter.convert_soup(body)
    except RecursionError:
        text = body.get_text("\n")
    lines = (line.rstrip() for line in text.splitlines())
    return title, "\n".join(lines).strip()


if __name__ == "__main__":
    main()
