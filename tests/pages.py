"""What is wrong with an HTML page, as headless Chromium shows it.

    problems = page_problems(browser, render(data))

A page has problems if it writes an error to the console, asks for anything but itself, is wider
than the window of a computer or of a phone, or has a picture without a text alternative. Chromium
is driven over its DevTools protocol on a pipe.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (1280, 400)  # pixels of a computer's and of a phone's window
PHONE = 600  # pixels below which a window is a phone's: it needs a viewport, has no scroll bar
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no request leaves this machine
    "--remote-debugging-pipe",
)
# Chromium reads commands from descriptor 3 and answers on 4
LAUNCHER = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3]]
for target, fd in zip((3, 4), ends):
    os.dup2(fd, target)
os.execv(sys.argv[3], sys.argv[3:])
"""
PICTURES = """
[...document.querySelectorAll('svg, img, canvas')].filter(e => {
  if (e.parentElement.closest('svg') || e.closest('[aria-hidden=true]')) return false;
  if (e.localName === 'img') return !e.alt.trim();
  const by = document.getElementById(e.getAttribute('aria-labelledby'));
  const text = e.getAttribute('aria-label') || (by && by.textContent) ||
    (e.querySelector(':scope > title') || {}).textContent;
  return e.getAttribute('role') !== 'img' || !(text || '').trim();
}).map(e => e.outerHTML.slice(0, 80))
"""
WIDEST = """
(() => {
  let widest = document.body;
  const descend = e => {
    if (e.getBoundingClientRect().right > widest.getBoundingClientRect().right) widest = e;
    if (getComputedStyle(e).overflowX === 'visible') [...e.children].forEach(descend);
  };
  descend(document.body);
  const root = document.documentElement;
  return [root.scrollWidth, root.clientWidth, widest.outerHTML.slice(0, 80)];
})()
"""
SETTLED = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 100)))"
TIMEOUT_S = 30.0


def browser_program() -> str | None:
    """Path of an installed Chromium that starts, None if there is none."""
    for path in filter(None, map(shutil.which, PROGRAMS)):
        if subprocess.run([path, "--version"], capture_output=True).returncode == 0:
            return path
    return None


class Browser:
    """One tab of a running Chromium.

    Attributes:
        events: what Chromium has reported since they were last cleared: (method, parameters).
    """

    def __init__(self, commands: int, answers: int) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._commands, self._answers = commands, answers
        self._buffer, self._count, self._session = b"", 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command of the DevTools protocol.

        Raises:
            RuntimeError: Chromium refuses the command, has ended, or does not answer.
        """
        self._count += 1
        command = {"id": self._count, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def open(self, page: Path, width: int) -> None:
        """Show a file in a window that is `width` pixels wide; returns once it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < PHONE,
        )
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            self._next()
        self.value(SETTLED)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, awaited if it is a promise."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def _next(self) -> dict[str, Any]:
        """The next message of Chromium; one that reports an event is also kept."""
        until = time.monotonic() + TIMEOUT_S
        while b"\0" not in self._buffer:
            if not select.select([self._answers], [], [], max(0.0, until - time.monotonic()))[0]:
                raise RuntimeError(f"Chromium has not answered for {TIMEOUT_S:.0f} s")
            part = os.read(self._answers, 1 << 16)
            if not part:
                raise RuntimeError("Chromium has ended")
            self._buffer += part
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append((message["method"], message["params"]))
        return message


@contextmanager
def open_browser(program: str, folder: Path) -> Iterator[Browser]:
    """A running Chromium with a fresh profile in `folder`; ended on leaving."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = [program, *FLAGS, f"--user-data-dir={folder}"]
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(theirs_in), str(theirs_out), *command],
        pass_fds=(theirs_in, theirs_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(ours_out, ours_in)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(ours_in)
        os.close(ours_out)


def page_problems(browser: Browser, page: Path) -> list[str]:
    """Sentences that say what is wrong with the page of a file, at each of `WIDTHS`."""
    problems: list[str] = []
    for width in WIDTHS:
        browser.open(page, width)
        reports = [_report(method, params, page) for method, params in browser.events]
        scroll, client, widest = browser.value(WIDEST)
        if width < PHONE and client != width:
            reports.append(f"has no viewport of the device's width: {client} pixels")
        elif scroll > client:
            reports.append(f"is {scroll} pixels wide: {widest}")
        reports += [
            f"has a picture without a text alternative: {p}" for p in browser.value(PICTURES)
        ]
        problems += [f"at {width} pixels: {report}" for report in reports if report]
    return problems


def _report(method: str, params: dict[str, Any], page: Path) -> str | None:
    """What an event says against the page."""
    if method == "Network.requestWillBeSent":
        url = params["request"]["url"]
        inside = url.startswith("data:") or url.split("#")[0] == page.as_uri()
        return None if inside else f"asks for {url}"
    if method == "Runtime.exceptionThrown":
        details = params["exceptionDetails"]
        return f"throws {details.get('exception', {}).get('description', details['text'])}"
    if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
        return f"writes to the console: {[a.get('value') for a in params['args']]}"
    if method == "Log.entryAdded" and params["entry"]["level"] == "error":
        return f"logs an error: {params['entry']['text']}"
    return None
