#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of vmm test as people see it: in Chromium, from a file, without a network.

    report-page.py REPORT_MAIN     prints TAP. With PICTURES=DIR in the environment it leaves pictures there
"""
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import report_fixture as fixture
from browser import Browser, Unavailable

OOPS, HANG = "smoke[debian-6.12,4,pci]", "smoke[debian-6.1,4,mmio]"
# Whether an element can be seen: in the window, and inside of all boxes that scroll.
SEEN = """
function seen(element) {
    const box = element.getBoundingClientRect();
    let [top, bottom, left, right] = [0, innerHeight, 0, innerWidth];
    for (let outer = element.parentElement; outer; outer = outer.parentElement) {
        if (getComputedStyle(outer).overflowY === "visible") continue;
        const frame = outer.getBoundingClientRect();
        [top, bottom] = [Math.max(top, frame.top), Math.min(bottom, frame.bottom)];
    }
    return box.height > 0 && box.width > 0 && box.top >= top - 1 && box.bottom <= bottom + 1 && getComputedStyle(element).visibility === "visible";
}
"""
# WCAG 2.1, 1.4.3: the contrast of a text with the first colour behind it.
CONTRAST = """
const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
function contrast(element) {
    let back = null;
    for (let outer = element; outer && !back; outer = outer.parentElement) {
        const colour = parse(getComputedStyle(outer).backgroundColor);
        if (colour.length === 3 || colour[3] === 1) back = colour;
    }
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(back || [255, 255, 255])];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
"""


class Page:
    """A document as a page in a browser."""

    def __init__(self, program, browser, folder):
        self.program, self.browser, self.folder = program, browser, folder
        self.files = {}

    def report(self, form, value, *words):
        done = subprocess.run([self.program, form, *words], input=json.dumps(value), text=True, capture_output=True, timeout=240, check=False)
        check(done.returncode == 0, done.stderr)
        return done.stdout

    def make(self, name, results, *words):
        if name not in self.files:
            path = self.folder / f"{name}.html"
            path.write_text(self.report("html", json.loads(self.report("document", results, *words))))
            self.files[name] = path.as_uri()
        return self.files[name]

    def open(self, run=None, name="all", results=None, more=""):
        address = self.make(name, results or fixture.results(), *([] if name == "repeats" else ["no repeats"]))
        self.browser.open(address + (f"#run/{urllib.parse.quote(run, safe='')}{more}" if run else ""))

    def run(self, script, *arguments):
        return self.browser.run(script, *arguments)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility()).map((e) => e.innerText.trim())", selector)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.innerText.trim()", selector)

    def boxes(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.getBoundingClientRect().toJSON())", selector)

    def seen(self, selector):
        return self.run(SEEN + "return seen(document.querySelector(arguments[0]))", selector)

    def picture(self, name):
        folder = os.environ.get("PICTURES")
        if folder:
            size = self.browser.devtools("Page.getLayoutMetrics")["cssContentSize"]
            data = self.browser.devtools("Page.captureScreenshot", captureBeyondViewport=True,
                                         clip={"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1})["data"]
            Path(folder, name + ".png").write_bytes(base64.b64decode(data))


def check(good, what):
    if not good:
        raise AssertionError(what)


def check_matrix(page):
    """The matrix has a cell for each run, in its place, and says how it went"""
    page.open()
    page.picture("overview")
    table = page.run("""return [...document.querySelectorAll(".matrix tr")].map((row) => [...row.children].map((cell) =>
        [cell.innerText.trim().replace(/\\s+/g, " "), cell.colSpan, cell.rowSpan]))""")
    check([cell[0] for cell in table[0]] == ["scenario", "kernel", "cpus 1", "cpus 4"] and table[0][2][1] == 2, table[0])
    check([cell[0] for cell in table[1]] == ["transport mmio", "transport pci"] * 2, table[1])
    check([cell[0] for cell in table[2]] == ["smoke", "debian-6.1", "✓ passed 3.20 s smoke[debian-6.1,1,mmio]", "✓ passed 3.50 s smoke[debian-6.1,1,pci]",
                                             "✕ hang 61.9 s smoke[debian-6.1,4,mmio]", "✓ passed 4.10 s smoke[debian-6.1,4,pci]"], table[2])
    check(table[2][0][2] == 2 and table[3][4][0] == "✕ bug 9.40 s " + OOPS, table[3])
    tiles = page.texts(".tiles .cell")
    check(len(tiles) == len({run["name"] for run in fixture.results()}) - 8, tiles)
    check("race\n18 of 20 passed\nabout 2.42 s" in [tile.split("\n", 1)[1] for tile in tiles], tiles[-1])
    check(page.text("h1").endswith("29 of 60 runs failed") and page.run("return document.title") == "29 of 60 runs failed · vmm test", page.text("h1"))


def check_matrix_shapes(page):
    """Several scenarios share a matrix, holes stay empty, long axes go downwards"""
    runs = [fixture.result(f"{name}[{cpus},{mem}]", axes={"cpus": cpus, "mem": mem}) for name in ("a", "b") for cpus in "12" for mem in ("64M", "1G")]
    runs += [fixture.result(f"long[{i}]", axes={"i": str(i)}) for i in range(20)]
    page.open(name="shapes", results=runs[1:])
    rows = page.run("return [...document.querySelectorAll('.matrix')].map((table) => [...table.tBodies[0].rows].map((row) => row.innerText.replace(/\\s+/g, ' ')))")
    check(len(rows) == 2 and len(rows[0]) == 2 and rows[0][0].strip().startswith("a") and rows[0][1].strip().startswith("b"), rows)
    check(len(page.texts(".hole")) == 1 and len(rows[1]) == 20, rows)
    check(page.text("h1").endswith("All runs passed"), page.text("h1"))


def check_filter(page):
    """Runs can be filtered by status and by words"""
    page.open()
    check(len(page.texts(".run")) == 60 and len(page.texts(".chip")) == 8, page.texts(".chip"))
    for status, count in (("fail", 28), ("xpass", 1), ("error", 2), ("flaky", 1), ("xfail", 1), ("skip", 1), ("pass", 26)):
        page.browser.click(f'.chip[data-filter="{status}"]')
        check(len(page.texts(".run")) == count, (status, len(page.texts(".run"))))
        check(page.run("return document.querySelector('.chip[aria-pressed=true]').dataset.filter") == status, status)
        check(page.text(".shown") == f"{count} of 60 runs", page.text(".shown"))
    check("faded" in page.run("return document.querySelector(`.cell[data-name='smoke[debian-6.1,4,mmio]']`).className"), "a failed cell of the matrix")
    page.browser.click('.chip[data-filter="all"]')
    page.browser.type("#search", "SMOKE hang")
    check(page.texts(".run-name") == [HANG + "hang"], page.texts(".run"))
    page.browser.type("#search", "nothing like that")
    check(page.texts(".run") == [] and page.texts(".none") == ["No run is like that."], "none")


def check_failing_line(page):
    """A run's console shows the failing line, marked, at once"""
    page.open()
    page.browser.click(f'.matrix .cell[data-name="{OOPS}"]')
    check(page.text("h1") == OOPS and page.run("return document.activeElement.tagName") == "H1", "another run, or no focus")
    lines = page.run("return [...document.querySelectorAll('.line.is-fail')].map((line) => [line.dataset.n, line.querySelector('.text').innerText, line.querySelector('.mark').innerText])")
    check(lines == [["701", "[    9.000000] BUG: kernel NULL pointer dereference, address: 0000000000000000", "failed here: bug"]], lines)
    inside = page.run("""const [box, line] = [".console", ".line.is-fail"].map((name) => document.querySelector(name).getBoundingClientRect());
        return line.top > box.top && line.bottom < box.bottom""")
    check(inside, "the console is not scrolled to the line")
    page.browser.press("f")
    check(page.seen(".line.is-fail"), "the line cannot be seen")
    check(page.run("return getComputedStyle(document.querySelector('.is-fail .text')).userSelect") != "none", "cannot be copied")
    page.picture("oops")
    page.browser.click(".tab:nth-child(2)")
    check(page.texts(".console .line .text")[0] == "hvc0 says hello" and page.texts(".is-fail.line") == [], "the other console")
    page.browser.click("#card-steps .line-link")
    check(page.seen('.line[data-n="41"]') and "matched: log in" in page.text('.line[data-n="41"]'), "the line that a step matched")


def check_reports(page):
    """A run shows its crash report, its registers, and where its vCPUs were"""
    page.open(OOPS)
    reports = page.texts(".report")
    head = ["bug BUG: kernel NULL pointer dereference in sysrq_handle_crash", "", "in sysrq_handle_crash · serial, line 701"]
    check(reports[0].split("\n")[:3] == head, reports[0][:200])
    check("Call Trace:\n <TASK>\n ? __die+0x23/0x70" in reports[0], "the whole report")
    check("allowed" in reports[1] and not page.run("return document.querySelector('.is-allowed').open"), "one that is allowed")
    check("rip ffffffff81a2b3c4" in page.text("#card-machine") and "94.0 MiB used of 256 MiB" in page.text("#card-machine"), page.text("#card-machine"))
    check("disk0\t812\t40.0 KiB\t5.0 MiB\t390" in page.text("#card-machine"), page.text("#card-machine"))
    states = [row.split("\t")[1:3] for row in page.texts(".steps tbody tr")]
    check(states == [["✓ passed", "log in"], ["✕ failed", "crash it"], ["– not run", "power off"]], states)
    page.open(HANG)
    samples = page.texts(".sample")
    check(len(samples) == 3 and samples[2].startswith("after 62.1 s") and "native_halt+0x14" in samples[2], samples)
    page.open("command")
    check("→ 2" in page.text(".steps .what") and "make: *** [check] Error 2" in page.text(".steps .output:last-child"), page.text(".steps"))


def check_ended(page):
    """A run without a failing line shows its last line, and what vmm itself had to say"""
    page.open("ends-early")
    check(page.texts(".line.is-fail") == [] and page.text(".line.is-end") == "Powering off.\nthe last line", page.texts(".console .line"))
    check(page.text(".steps .what").startswith("after login:\n") and "root\\n" in page.text(".steps .what"), page.text(".steps .what"))
    notes = page.text("#card-notes")
    check(f"the log is cut short: {fixture.SCRIPT}" in notes and "red bold green orange\nnul:‹NUL›" in notes, notes)
    check(page.texts(".legend li") == ["vmm 500 ms", "guest 1.50 s"], page.texts(".legend li"))


def check_again(page):
    """A run tells how to make it again, as it was made"""
    document = json.loads(page.report("document", [fixture.result("a[1.0,x'y]", file="my tests/a.test")]))
    document["command_line"] = ["./vmm", "test", "--set", "A=b c", "--html", "x.html", "--machine=cpus=2", "--kernel", "debian-6.1", "--repeat", "3", "tests"]
    (page.folder / "again.html").write_text(page.report("html", document))
    page.browser.open((page.folder / "again.html").as_uri() + "#run/" + urllib.parse.quote("a[1.0,x'y]"))
    wanted = r"""vmm test --only '^a\[1\.0,x'\''y\]$' --set 'A=b c' --machine=cpus=2 --kernel debian-6.1 'my tests/a.test'"""
    check(page.text(".fact .command") == wanted, page.text(".fact .command"))


def near(value, wanted, error):
    return abs(value - wanted) <= error


def check_timeline(page):
    """The timeline: stages and steps in order, as long as they took"""
    page.open(OOPS)
    run = next(run for run in fixture.results() if run["name"] == OOPS)
    track = page.boxes(".of-stages .track")[0]
    place = lambda seconds: track["left"] + track["width"] * seconds / run["seconds"]
    for box, stage in zip(page.boxes(".of-stages .bar"), run["stages"], strict=True):
        check(near(box["left"], place(stage["begin"]), 1) and near(box["right"], max(place(stage["end"]), box["left"] + 1), 1), (stage, box, track))
    for box, step in zip(page.boxes(".of-step .bar"), run["steps"][:2], strict=True):
        check(near(box["left"], place(step["begin"]), 1) and near(box["right"], place(step["end"]), 1), (step, box))
    tops = [box["top"] for box in page.boxes(".lane")]
    check(tops == sorted(set(tops)) and len(tops) == 4, tops)
    check(page.texts(".lane-name") == ["Boot", "✓ log in", "✕ crash it", "– power off"], page.texts(".lane-name"))
    check(near(page.boxes(".failure")[0]["left"], place(9.4), 2), "the mark of the failure")
    ticks = page.run("return [...document.querySelectorAll('.tick')].map((tick) => [tick.getBoundingClientRect().left, tick.innerText])")
    check([tick[1] for tick in ticks] == ["0", "2 s", "4 s", "6 s", "8 s"] and all(near(tick[0], place(2 * i), 1) for i, tick in enumerate(ticks)), ticks)
    check(page.texts(".legend li") == ["vmm 4.0 ms", "early kernel 346 ms", "kernel 1.55 s", "userspace 7.50 s"], page.texts(".legend li"))


def check_zoom(page):
    """The timeline: the boot can be seen beside a wait that was much longer"""
    page.open(HANG)
    before = page.boxes(".of-stages .bar")[2]["width"]
    page.browser.click("section:has(.lanes) button")
    kernel, track = page.boxes(".of-stages .bar")[2], page.boxes(".of-stages .track")[0]
    check(kernel["width"] > 10 * before and near(kernel["width"], track["width"] * 1.55 / (1.9 * 1.25), 1), (before, kernel))
    check(all(box["right"] <= track["right"] + 1 for box in page.boxes(".bar")), "bars leave the picture")


def check_initcalls(page):
    """The timeline: initcalls by the kernel's clock, the longest in a table"""
    page.open("initcalls")
    page.picture("initcalls")
    track, calls = page.boxes(".of-initcalls .track")[0], fixture.initcalls()["initcalls"]
    bars = page.boxes(".of-initcalls .bar")
    end = max(step["end"] for step in fixture.initcalls()["steps"])
    for bar, call in zip(bars, calls, strict=True):
        check(near(bar["left"], track["left"] + track["width"] * (0.2 + call["begin"]) / end, 1), (bar, call))
    longest = sorted(calls, key=lambda call: -call["seconds"])
    names = page.texts(".initcalls tbody th")
    check(names == [call["name"] for call in longest[:15]], names)
    widths = [box["width"] for box in page.boxes(".meter")]
    check(near(widths[14] / widths[0], longest[14]["seconds"] / longest[0]["seconds"], 0.02), widths)
    page.browser.click("section:has(.initcalls) button")
    check(len(page.texts(".initcalls tbody th")) == 60, "not all")


def check_hostile(page):
    """A guest's text is text: no element, no script, no colour but a console's"""
    run = fixture.hostile()
    page.open(run["name"])
    page.picture("hostile")
    text = page.run("return document.body.innerText")
    check(text.count(fixture.SCRIPT) >= 10 and "owned" not in page.run("return document.title").split("</script>")[0], "it is not shown")
    check(page.run("return document.querySelectorAll('script').length") == 2 and page.run("return document.querySelectorAll('img').length") == 0, "elements")
    lines = page.texts(".console-holder .line .text")
    check(lines[0] == fixture.SCRIPT and lines[1] == fixture.COMMENT and lines[2] == "red bold green orange", lines[:4])
    check(lines[3] == "nul:‹NUL› bell:‹BEL› escape:‹ESC›‹SOH› delete:‹DEL› c1:‹U+0085› bidi:‹U+202E›gnp.exe", lines[3])
    check(len(lines[12]) < 3100 and lines[12].endswith("… 6,000 more characters") and lines[-1] == "the end without a newline", lines[12][-40:])
    colours = page.run("return [...document.querySelectorAll('.console-holder .line[data-n=\"3\"] span span')].map((e) => [e.innerText, e.className, getComputedStyle(e).color, getComputedStyle(e).fontWeight])")
    check([each[:2] for each in colours] == [["red", "fg-1"], ["bold green", "a-bold fg-2"], ["orange", ""]], colours)
    check(colours[2][2] == "rgb(255, 135, 0)" and colours[1][3] == "700" and colours[0][2] != colours[1][2], colours)
    page.open()
    check(page.run("return document.title").startswith("29 of 60") and page.run("return document.querySelectorAll('img').length") == 0, "on the first view")


def check_policy(page):
    """Should a guest's text ever become markup, the page's policy stops it"""
    page.open()
    page.browser.complaints()
    page.run("""const frame = document.createElement("script"); try { frame.text = "document.title = 'owned'"; document.body.append(frame); } catch {}
        try { document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=\\"document.title = 'owned'\\">"); } catch {}
        const image = new Image(); image.src = "https://example.com/x.png"; document.body.append(image);
        const link = document.createElement("link"); link.rel = "stylesheet"; link.href = "https://example.com/x.css"; document.head.append(link);""")
    check(page.run("return document.title") != "owned", "a script ran")
    complaints = page.browser.complaints()
    check(sum("Content Security Policy" in each or "requires 'Trusted" in each for each in complaints) >= 4, complaints)


def check_huge(page):
    """A wall of output: the page stays small, and tells what it leaves out"""
    page.open("huge")
    count = page.run("return document.querySelectorAll('.console .line').length")
    check(2000 < count < 5000, count)
    check(page.texts("div.cut")[0] == "988,000 lines not in this page", page.texts(".cut"))
    check(page.text(".line.is-fail").startswith("wall of output, line 998000"), page.text(".line.is-fail"))
    page.browser.press("f")
    check(page.seen(".line.is-fail"), "not scrolled to")
    gaps = page.texts("button.cut")
    check(len(gaps) >= 1 and all(text.startswith("Show ") for text in gaps), gaps)
    page.run("document.querySelector('button.cut').click()")
    check(page.texts("button.cut") != gaps, "nothing more is shown")
    while page.texts("button.cut"):
        page.run("document.querySelector('button.cut').click()")
    numbers = page.run("return [...document.querySelectorAll('.console .line')].map((line) => [Number(line.dataset.n), line.querySelector('.text').textContent])")
    check([number for number, _ in numbers] == [*range(1, 6001), *range(994001, 1000001)], len(numbers))
    check(all(text == f"wall of output, line {number}" for number, text in numbers), "other lines")
    check("1,000,000 lines" in page.text(".console-bar") and "results/huge/serial.log" in page.text(".console-bar"), page.text(".console-bar"))


def check_returns(page):
    """A flood of carriage returns is shown at once"""
    console = {"name": "serial", "bytes": 200001, "lines": 1, "head": "\r" * 200000 + "x\r\r", "tail": "", "tail_line": 1, "fail_line": 1, "log": None}
    begin = time.monotonic()
    page.open("returns", name="returns", results=[fixture.result("returns", "fail", "hang", "\r" * 200000 + "x", consoles=[console])])
    check("‹CR›‹CR›" in page.text(".console"), page.text(".console")[:200])
    check(time.monotonic() - begin < 60, "%.0f s" % (time.monotonic() - begin))


def check_repeats(page):
    """Repeats: the pass rate, the times, and a dot for each run at its time"""
    page.open(name="repeats", results=fixture.repeats())
    page.picture("repeats")
    cells = page.texts(".repeats tbody tr > *")
    check(cells[0] == "race" and cells[1].split("\n")[0].startswith("90.0 %") and "18 of 20" in cells[1] and cells[2:5] == ["2.00 s", "2.38 s", "9.75 s"], cells)
    check(cells[6] == "passed 18, hang 2", cells)
    dots = page.run("return [...document.querySelectorAll('.dot')].map((e) => [e.getBoundingClientRect().left + e.getBoundingClientRect().width / 2, e.className])")
    runs = fixture.repeats()
    times = [run["seconds"] for run in runs]
    span = dots[times.index(max(times))][0] - dots[times.index(min(times))][0]
    for dot, run in zip(dots, runs, strict=True):
        check(near(dot[0] - dots[times.index(min(times))][0], span * (run["seconds"] - min(times)) / (max(times) - min(times)), 1), (dot, run["seconds"]))
        check(("is-fail" in dot[1]) == (run["status"] == "fail"), dot)
    page.run("document.querySelector('.dot.is-fail').click()")
    page.browser.run_async("setTimeout(arguments[0], 50)")
    check(page.text("h1") == "race #7", page.text("h1"))


def check_keys(page):
    """Keys and addresses lead to runs, and back"""
    page.open()
    names = page.run("return [...document.querySelectorAll('.run > a')].map((a) => decodeURIComponent(a.hash.split('/')[1]))")
    settle = "const done = arguments[0]; requestAnimationFrame(() => setTimeout(done, 20))"

    def press(key):
        page.browser.press(key)
        page.browser.run_async(settle)
        return page.text("h1")

    check(press("j") == names[0] and press("j") == names[1] and press("k") == names[0], names[:2])
    check(press("u").endswith("29 of 60 runs failed"), "u")
    press("/")
    page.browser.press("j")
    check(page.run("return document.getElementById('search').value") == "j", "a letter of the search was taken for a key")
    page.open("network", more="/attempt-1")
    check(page.text("h1") == "network attempt 1" and page.text(".verdict code") == "timeout" and "waiting" in page.text(".console"), page.text("h1"))
    page.open("network")
    check("Passed at attempt 2. Before: step \"log in\": no match within 30 s" in page.text(".reason") and "Attempt 1" in page.text("#card-attempts"), page.text("main"))
    page.open("race", more="/15")
    check(page.text("h1") == "race #15" and page.text(".verdict code") == "hang", page.text("h1"))
    page.open("no such run")
    check("There is no such run" in page.text("main") and page.text("h1").endswith("29 of 60 runs failed"), page.text("main")[:200])


def check_looks(page):
    """Light and dark: text can be read, on a narrow window nothing sticks out"""
    for scheme, low, high in (("light", 0.7, 1.0), ("dark", 0.0, 0.1)):
        page.browser.prefer(scheme)
        for run in (None, OOPS, HANG, "network", "initcalls"):
            page.open(run)
            back = page.run(CONTRAST + "return light(parse(getComputedStyle(document.body).backgroundColor))")
            check(low <= back <= high, (scheme, back))
            poor = page.run(CONTRAST + """return [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest(".faded, .off, .sr")
                && [...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "") && contrast(e) < 4.5).map((e) => [e.className, e.innerText.slice(0, 30), contrast(e)])""")
            check(not poor, (scheme, run, poor[:5]))
            page.picture(f"{scheme}-{(run or 'overview').split('[')[0]}-{run and len(run)}")
    for run in (None, OOPS, HANG, fixture.hostile()["name"], "initcalls"):
        page.browser.resize(390, 800)
        page.open(run)
        wide = page.run("return [...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .console, .filters, .of-stages')).map((e) => e.className)")
        check(page.run("return document.documentElement.scrollWidth") <= 390 and not wide, (run, wide[:5]))
        page.picture(f"narrow-{(run or 'overview')[:7]}-{run and len(run)}")


def check_accessible(page):
    """Controls have names, tables have heads, and what is shown is not told by colour alone"""
    for run in (None, OOPS, HANG):
        page.open(run)
        nameless = page.run("return [...document.querySelectorAll('button, a[href], input')].filter((e) => !(e.textContent || e.getAttribute('aria-label') || '').trim()).map((e) => e.outerHTML)")
        check(not nameless, nameless[:3])
        check(page.run("return document.querySelectorAll('h1').length") == 1 and page.run("return document.querySelector('main h1') !== null"), "one heading")
        check(page.run("return [...document.querySelectorAll('th')].every((e) => e.scope)"), "heads without a scope")
        check(page.run("return [...document.querySelectorAll('[id]')].length === new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size"), "an id is double")
    page.open()
    check(all(any(text.startswith(icon) for icon in "✕⚠!≈◌–✓") for text in page.texts(".cell")), "a cell without an icon")


def check_print(page):
    """On paper: what surrounds the failing line, no controls, no endless console"""
    page.open(OOPS)
    page.browser.devtools("Emulation.setEmulatedMedia", media="print")
    page.picture("print")
    lines = page.run("return [...document.querySelectorAll('.console-holder .line')].filter((e) => e.checkVisibility()).map((e) => Number(e.dataset.n))")
    check(lines == list(range(661, 722)), (lines[:1], lines[-1:]))
    check(all(text.startswith(("serial", "line ")) for text in page.texts("button")), page.texts("button"))


def check_without_scripts(page):
    """Without scripts there is a table of all runs"""
    page.browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    page.open()
    text = page.browser.devtools("Runtime.evaluate", expression="document.querySelector('noscript tbody')?.innerText ?? ''", returnByValue=True)["result"]["value"]
    rows = [row.split("\t") for row in text.splitlines()]
    check(len(rows) >= 60 and ["fail", OOPS, "bug", "BUG: kernel NULL pointer dereference in sysrq_handle_crash", "9.40 s"] in rows, rows[:3])
    page.picture("noscript")


BROKEN = [None, True, -1, 1e308, "text", [], [[None]], {"name": 1}]
DEAR = {**fixture.oops("a", {"k": "v"}), "consoles": [fixture.console("a\nb\n", fail_line=2)], "attempts": [fixture.flaky()], "samples": [{"t": 1, "vcpus": "x"}], "command": {"end": "exited", "status": 1, "message": ""},
        "initcalls": fixture.initcalls()["initcalls"][:2], "kernel_clock_offset": 0.1, "tags": ["t"]}


def check_broken(page):
    """Results in which something is of another type, or missing, can be looked at"""
    runs = [{"name": f"{key} {i}", "status": "fail", **{k: v for k, v in DEAR.items() if k not in ("name", "status", key)}, **({key: value} if value != "gone" else {})}
            for key in DEAR if key not in ("name", "status") for i, value in enumerate(["gone", *BROKEN])]
    runs += [{"name": f"in {key} {inner} {i}", "status": "fail", key: [{**DEAR[key][0], inner: value}]}
             for key in ("stages", "steps", "consoles", "reports", "samples", "initcalls", "attempts") for inner in DEAR[key][0] for i, value in enumerate(BROKEN)]
    runs += [{"name": value, "status": value, "repeat": value, "machine": {"exits": value, "devices": [value], "guest_memory": value}} for value in BROKEN] + BROKEN
    address = page.make("broken", runs)
    page.browser.open(address)
    check(len(page.texts(".run")) == len(runs), len(page.texts(".run")))
    addresses = page.run("return [...new Set([...document.querySelectorAll('.run > a')].map((a) => a.hash))]")
    check(len(addresses) > 300, len(addresses))
    for first in range(0, len(addresses), 50):
        part = addresses[first:first + 50]
        shown = page.browser.run_async("""const [all, done] = arguments; let shown = 0;
            (async () => { for (const hash of all) { const changed = new Promise((next) => addEventListener("hashchange", next, {once: true})); location.hash = hash; await changed;
                shown += document.querySelector(".one-run h1") !== null; } done(shown); })()""", part)
        check(shown == len(part), (shown, part))
    for value in BROKEN:
        (page.folder / "value.html").write_text(page.report("html", value))
        page.browser.open((page.folder / "value.html").as_uri())
        check(page.text("h1") is not None and "Nothing was run" in page.text("h1"), (value, page.text("main")))


CHECKS = [check_matrix, check_matrix_shapes, check_filter, check_failing_line, check_reports, check_ended, check_again, check_timeline, check_zoom, check_initcalls, check_hostile,
          check_huge, check_returns, check_repeats, check_keys, check_looks, check_accessible, check_print, check_broken, check_policy, check_without_scripts]
# These provoke the browser's complaints, or cannot hear of any.
LOUD = (check_policy, check_without_scripts)


def run_check(page, function):
    page.browser.resize(1400, 1000)
    page.browser.prefer("light")
    page.browser.requests()
    function(page)
    complaints = page.browser.complaints()
    check(function in LOUD or not complaints, f"the browser complains: {complaints[:3]}")
    loaded = [address for address in page.browser.requests() if not address.startswith(("file:", "data:", "about:"))]
    check(function in LOUD or not loaded, f"the page asks for {loaded[:3]}")


def main():
    failures = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        try:
            browser = Browser(Path(name))
        except Unavailable as reason:
            print(f"1..0 # SKIP {reason}")
            return 0
        page = Page(sys.argv[1], browser, Path(name))
        wanted = [function for function in CHECKS if len(sys.argv) < 3 or function.__name__ in sys.argv[2:]]
        print("1..%d" % len(wanted))
        try:
            for number, function in enumerate(wanted, 1):
                try:
                    run_check(page, function)
                    print("ok %d - %s" % (number, function.__doc__), flush=True)
                except (AssertionError, OSError, ValueError, KeyError, TypeError, IndexError) as wrong:
                    failures += 1
                    print("not ok %d - %s\n# %s" % (number, function.__doc__, repr(wrong)[:3000].replace("\n", "\n# ")), flush=True)
        finally:
            browser.close()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
