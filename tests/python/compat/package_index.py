"""Reads source distributions from the Python package index that the user has configured for pip.

pip itself cannot fetch a source distribution without running its build backend, so the index is read here: its pages
are the ones of PEP 503, in the HTML that every index serves; folders given as find-links or as file:// URLs work too.
"""

from __future__ import annotations

import ast
import hashlib
import html.parser
import os
import re
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from typing import Dict, Iterator, List, Tuple


def pip_output(*arguments: str) -> str:
    return subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=True).stdout


def pip_settings() -> Dict[str, str]:
    """pip's settings by name, without their section: those of the environment count last and most."""
    found = {}
    for line in pip_output("config", "list").splitlines():
        name, equals, value = line.partition("=")
        if equals and name.split(".")[0] in ("global", "install", "download", ":env:"):
            found[name.split(".", 1)[1]] = str(ast.literal_eval(value))
    return found


def index_urls(settings: Dict[str, str]) -> List[str]:
    """Base URLs of the indexes, and folders, in the order in which to look."""
    urls = []
    if settings.get("no-index", "").lower() not in ("1", "true", "yes", "on"):
        default = re.search(r"\(default\s+(\S+?)\)", pip_output("download", "--help"))  # the one pip was built with
        first = settings.get("index-url") or (default.group(1) if default else "")
        urls = [first] + settings.get("extra-index-url", "").split()
    return [url for url in urls if url] + settings.get("find-links", "").split()


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: List[str] = []

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.found.append(href)


def _read(url: str, settings: Dict[str, str]) -> bytes:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in ("", "file"):
        path = urllib.request.url2pathname(parts.path)
        if os.path.isdir(path):
            if os.path.isfile(os.path.join(path, "index.html")):
                path = os.path.join(path, "index.html")
            else:
                names = sorted(os.listdir(path))
                return "".join('<a href="%s">x</a>' % urllib.parse.quote(name) for name in names).encode()
        with open(path, "rb") as file:
            return file.read()
    request = urllib.request.Request(url, headers={"Accept": "text/html"})
    if parts.username:  # urllib does not take a name and password from the URL
        manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        password = urllib.parse.unquote(parts.password or "")
        manager.add_password(None, bare, urllib.parse.unquote(parts.username), password, is_authenticated=True)
        request = urllib.request.Request(bare, headers={"Accept": "text/html"})
        handlers: List[urllib.request.BaseHandler] = [urllib.request.HTTPBasicAuthHandler(manager)]
    else:
        handlers = []
    context = ssl.create_default_context(cafile=settings.get("cert") or None)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), *handlers)
    seconds = float(settings.get("timeout") or settings.get("default-timeout") or 60)
    with opener.open(request, timeout=seconds) as answer:
        return bytes(answer.read())


def _pages(project: str, settings: Dict[str, str]) -> Iterator[str]:
    for url in index_urls(settings):
        local = os.path.isdir(url)
        if local:
            url = "file://" + urllib.request.pathname2url(os.path.abspath(url))
        yield url.rstrip("/") + ("/" if local else "/%s/" % project)


def fetch_sdist(project: str, filename: str, sha256: str) -> bytes:
    """The content of a source distribution. LookupError when no index has it, ValueError for another content."""
    settings = pip_settings()
    reasons = []
    for page in _pages(project, settings):
        try:
            links = _Links()
            links.feed(_read(page, settings).decode("utf-8", "replace"))
            for link in links.found:
                target = urllib.parse.urljoin(page, link)
                if urllib.parse.unquote(urllib.parse.urlsplit(target).path).endswith("/" + filename):
                    content = _read(urllib.parse.urldefrag(target)[0], settings)
                    found = hashlib.sha256(content).hexdigest()
                    if found != sha256:
                        raise ValueError("%s has SHA-256 %s, expected %s" % (filename, found, sha256))
                    return content
            reasons.append("not listed")
        except OSError as error:
            reasons.append(str(error))
    raise LookupError("no configured index has %s (%s)" % (filename, "; ".join(reasons)))
