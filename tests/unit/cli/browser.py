# SPDX-License-Identifier: Apache-2.0
"""Chromium without a window and without a network, by WebDriver (w3.org/TR/webdriver2)."""
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"escape": "\ue00c", "enter": "\ue007"}


class Unavailable(Exception):
    """There is no browser that could be tested with; says why."""


class Browser:
    def __init__(self, folder):
        programs = [shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("google-chrome")]
        if not all(programs):
            raise Unavailable("chromium and chromedriver are not here")
        # A group of its own: what the driver starts ends with it.
        self.driver = subprocess.Popen([programs[0], "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       text=True, start_new_session=True, env={**os.environ, "TMPDIR": str(folder)})
        self.base = None
        try:
            self.start(programs[1], folder)
        except (OSError, Unavailable) as wrong:
            self.close()
            raise Unavailable(f"chromium does not start: {wrong}") from wrong

    def start(self, program, folder):
        port = next((found[1] for found in (re.search(r"on port (\d+)\.$", line.strip()) for line in self.driver.stdout) if found), None)
        if port is None:
            raise Unavailable("chromedriver does not say its port")
        options = {"binary": program, "args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-ipc-flooding-protection",
                                               "--window-size=1400,1000", f"--user-data-dir={folder}/profile"]}
        self.base = f"http://127.0.0.1:{port}/session"
        answer = self.call("POST", "", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "timeouts": {"script": 100000}, "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}})
        self.base += "/" + answer["sessionId"]
        self.devtools("Network.enable")
        self.devtools("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data=data, method=method, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as wrong:
            raise OSError(json.load(wrong)["value"]["message"]) from wrong

    def close(self):
        try:
            if self.base is not None:
                self.call("DELETE", "")
        except OSError:
            pass
        try:
            os.killpg(self.driver.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.driver.wait()
        self.driver.stdout.close()

    def devtools(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, address):
        # The same page with another # would not be loaded anew.
        self.call("POST", "/url", {"url": "about:blank"})
        self.call("POST", "/url", {"url": address})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        return self.call("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def find(self, selector):
        return self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.call("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        self.call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def press(self, *keys):
        actions = [{"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def prefer(self, scheme):
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def resize(self, width, height):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def complaints(self):
        """What the browser's console has got since the last call."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def requests(self):
        """Addresses that were asked for since the last call."""
        entries = [json.loads(entry["message"])["message"] for entry in self.call("POST", "/se/log", {"type": "performance"})]
        return [entry["params"]["request"]["url"] for entry in entries if entry["method"] == "Network.requestWillBeSent"]
