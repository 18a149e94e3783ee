"""A headless Chromium, driven over a pair of pipes by its DevTools protocol: no port, no driver, no network.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time

BINARIES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


#: The browser reads commands from its descriptor 3 and writes answers to its descriptor 4.
_LAUNCHER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


def _high_pipe():
    """A pipe whose descriptors are neither 3 nor 4."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
    for end in low:
        os.close(end)
    return high


def found() -> str | None:
    """The path of the browser; None where there is none."""
    return next(filter(None, map(shutil.which, BINARIES)), None)


class Browser:
    """One page of a headless browser. ``problems`` collects what its console complains about."""

    def __init__(self, profile, patience: float = 60.0) -> None:
        self._patience, self._number, self._rest, self._events = patience, 0, b"", []
        self.problems: list[str] = []
        (read_commands, self._write), (self._read, write_answers) = _high_pipe(), _high_pipe()
        launcher = [sys.executable, "-ISc", _LAUNCHER, str(read_commands), str(write_answers)]
        command = [*launcher, found(), *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            command,
            pass_fds=(read_commands, write_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": str(profile)},  # the browser leaves files there
        )
        os.close(read_commands)
        os.close(write_answers)
        targets = self._call("Target.getTargets", session=False)["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self._call("Target.attachToTarget", session=False, targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def close(self) -> None:
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        self._process.wait(self._patience)

    def _call(self, method, session=True, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _receive(self):
        deadline = time.monotonic() + self._patience
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            read = os.read(self._read, 1 << 20)
            assert read, "the browser has gone"
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event) -> None:
        method, parameters = event["method"], event["params"]
        self._events.append(method)
        if method == "Runtime.exceptionThrown":
            self.problems.append(parameters["exceptionDetails"]["exception"]["description"])
        elif method == "Log.entryAdded":
            self.problems.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent" and parameters["type"] != "Document":
            self.problems.append("request: " + parameters["request"]["url"])

    def open(self, path, width=1300, height=900, scheme="light", scale=1) -> None:
        """Load a file, and wait until it has been drawn."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )
        self._events.clear()
        self._call("Page.navigate", url=f"file://{path}")
        while "Page.loadEventFired" not in self._events:
            self._note(self._receive())
        self.settle()

    def settle(self) -> None:
        """Wait for two frames: the page observes sizes in the first and draws in the second."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        result = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, selector) -> str:
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def box(self, selector):
        """x, y, width and height of an element, scrolled into view."""
        return self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'});"
            " const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"
        )

    def mouse(self, kind, x, y) -> None:
        pressed = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def drag(self, y, start, end) -> None:
        """From one x to another with the left button down."""
        self.mouse("mouseMoved", start, y)
        self.mouse("mousePressed", start, y)
        for part in (0.3, 0.6, 1.0):
            self._call(
                "Input.dispatchMouseEvent",
                type="mouseMoved",
                x=start + part * (end - start),
                y=y,
                button="left",
                buttons=1,
            )
        self.mouse("mouseReleased", end, y)
        self.settle()

    def key(self, name) -> None:
        text = {"text": name} if len(name) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=name, **(text if kind == "keyDown" else {}))
        self.settle()

    def picture(self, path, whole=True) -> None:
        """The page as a PNG."""
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(answer["data"]))

    def pdf(self, path) -> None:
        """The page as it prints."""
        answer = self._call("Page.printToPDF", printBackground=False)
        with open(path, "wb") as file:
            file.write(base64.b64decode(answer["data"]))
