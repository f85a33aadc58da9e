"""Headless Chromium for tests of pages: the DevTools protocol over a pipe, without a package or a port.

References
----------
https://chromedevtools.github.io/devtools-protocol
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
OPTIONS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-gpu", "--hide-scrollbars",
    "--force-color-profile=srgb", "--disable-dev-shm-usage",
)  # fmt: skip
DEADLINE_S = 30
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "Escape": 27}


class Browser:
    """One Chromium with one tab; what the pages of a test said is in `errors` and `requests`.

    Attributes
    ----------
    errors
        Exceptions and messages of the console that are errors, since the last `open`.
    requests
        Addresses that the page asked for, since the last `open`.
    """

    def __init__(self, profile: Path):
        executable = next(filter(None, map(shutil.which, NAMES)), None)
        if executable is None or os.name != "posix":
            pytest.skip(f"no Chromium here; install one of {', '.join(NAMES)}")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # The protocol reads from descriptor 3 and writes to 4.
        start = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        command = [
            "bash",
            "-c",
            start,
            "bash",
            executable,
            *OPTIONS,
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        self._process = subprocess.Popen(
            command, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer, self._number, self._session = b"", 0, None
        self.events: list[dict] = []
        self._attach()

    def _attach(self) -> None:
        """Talk to the first tab, and hear what its page says."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(DEADLINE_S)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._in)
            os.close(self._out)

    def call(self, method: str, **parameters) -> dict:
        """Answer to one command of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _read(self) -> dict:
        """The next message."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], DEADLINE_S)
            piece = os.read(self._in, 1 << 20) if ready else b""
            assert piece, "the browser says nothing any more"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, page: Path | str, *, size: tuple[int, int] = (1400, 900), dark: bool = False) -> None:
        """Load a file or an address in a window of that size, and wait until it is there."""
        self.resize(*size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        self.until("document.readyState === 'complete' && location.protocol !== 'about:'")

    def resize(self, width: int, height: int) -> None:
        """Window of that size in CSS pixels; a narrow one is a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def js(self, expression: str) -> object:
        """Value of an expression in the page, promises awaited."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + DEADLINE_S
        while not self.js(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.01)

    def press(self, key: str) -> None:
        """Press and release one key."""
        number = KEYS[key] if key in KEYS else ord(key.upper())
        named = {"key": key, "windowsVirtualKeyCode": number}
        text = {"text": {"Enter": "\r"}.get(key, key)} if key not in KEYS or key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse at the first point (CSS pixels), move over the others, release; one is a click."""
        moves = (("mouseMoved", point) for point in points[1:])
        for kind, (x, y) in [("mousePressed", points[0]), *moves, ("mouseReleased", points[-1])]:
            held = 0 if kind == "mouseReleased" else 1
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=held, clickCount=1
            )

    def wheel(self, point: tuple[float, float], delta: float) -> None:
        """Turn the wheel at a point."""
        x, y = point
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=delta)

    def screenshot(self, path: Path, *, whole: bool = True) -> Path:
        """Picture of the page, of all of it by default."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(b64decode(picture["data"]))
        return path

    def pdf(self) -> bytes:
        """The page as it is printed on A4."""
        printed = self.call("Page.printToPDF", printBackground=False, paperWidth=8.27, paperHeight=11.69)
        return b64decode(printed["data"])

    @property
    def errors(self) -> list[str]:
        """What went wrong in the page."""
        found = []
        for event in self.events:
            method, said = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(said["exceptionDetails"].get("exception", {}).get("description", "exception"))
            elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert", "warning"):
                found.append(str([a.get("value") for a in said["args"]]))
            elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
                found.append(said["entry"]["text"])
        return found

    @property
    def requests(self) -> list[str]:
        """Addresses that the page asked for, without those that hold their own bytes."""
        sent = (
            e["params"]["request"]["url"]
            for e in self.events
            if e.get("method") == "Network.requestWillBeSent"
        )
        return [url for url in sent if not url.startswith("data:")]
