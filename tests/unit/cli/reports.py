#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The reports of vmm test that are text: what their readers find in them, whatever a guest wrote.

    reports.py REPORT_MAIN     prints TAP
"""
import copy
import json
import os
import re
import resource
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import report_fixture as fixture


# Far more than a report takes, also under a sanitizer and on a busy host, and far less than one that is read for each of its bytes.
FLOOD_SECONDS = 60


class Reports:
    def __init__(self, program):
        self.program = program
        self.document = json.loads(self.write("document", fixture.results(), "no repeats"))

    def write(self, form, value, *words):
        done = subprocess.run([self.program, form, *words], input=json.dumps(value), text=True, capture_output=True, timeout=240, check=False)
        check(done.returncode == 0 and done.stderr == "", (form, done.returncode, done.stderr[-2000:]))
        return done.stdout

    def of(self, form, *words):
        return self.write(form, self.document, *words)

    def of_runs(self, form, *runs):
        return self.write(form, {"runs": list(runs)})


def check(good, what):
    if not good:
        raise AssertionError(what)


def check_summary_counts(reports):
    """The document counts each status, and a result without a known one is an error"""
    counts = reports.document["summary"]
    for status in ("pass", "fail", "error", "skip", "xfail", "xpass", "flaky"):
        check(counts[status] == sum(run["status"] == status for run in reports.document["runs"]), (status, counts))
    check(counts["total"] == len(reports.document["runs"]) and "repeats" not in reports.document, counts)
    strange = json.loads(reports.write("document", [{"status": "PASS"}, {}, None, {"status": 1}, {"status": "pass"}], "no repeats"))
    check(strange["summary"]["error"] == 4 and strange["summary"]["pass"] == 1, strange["summary"])
    check(reports.document["schema"] == 1 and reports.document["command_line"][0] == "vmm", "no head")


def check_repeats(reports):
    """Repeats have their pass rate and their least, middle and longest time"""
    runs = fixture.repeats() + [fixture.result("once", seconds=3.5), fixture.flaky(), fixture.others()[2]]
    repeats = {each["name"]: each for each in json.loads(reports.write("document", runs))["repeats"]}
    race, seconds = repeats["race"], sorted(run["seconds"] for run in fixture.repeats())
    check((race["runs"], race["passed"], race["rate"]) == (20, 18, 0.9) and race["verdicts"] == {"passed": 18, "hang": 2}, race)
    check(abs(race["seconds"]["min"] - seconds[0]) < 1e-9 and abs(race["seconds"]["max"] - seconds[-1]) < 1e-9, race)
    check(abs(race["seconds"]["median"] - (seconds[9] + seconds[10]) / 2) < 1e-9, race)
    check(repeats["once"]["seconds"] == {"min": 3.5, "median": 3.5, "max": 3.5}, repeats["once"])
    check(repeats["network"]["passed"] == 0, "a run that passed at its second attempt has passed at once")
    check(repeats["left-out"]["runs"] == 0 and repeats["left-out"]["rate"] is None and repeats["left-out"]["seconds"] is None, repeats["left-out"])
    text = reports.write("summary", json.loads(reports.write("document", runs)))
    check("race: 18 of 20 passed (90.0 %); min 2.00 s, median" in text and "; passed 18; hang 2" in text, text[-600:])


def cpu_seconds(work):
    """Those of the programs that it runs: how busy the host is does not count."""
    begin = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    work()
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begin


def check_many_repeats(reports):
    """Eight times as many runs take some eight times as long, and not sixty-four times"""
    runs = [{"name": "run %d" % number, "status": "pass", "seconds": 1} for number in range(32000)]
    few, many = (min(cpu_seconds(lambda: reports.write("document", runs[:count])) for _ in range(2)) for count in (4000, 32000))
    check(many < 30 * few, "%.2f s for 4000 runs, %.2f s for 32000" % (few, many))


def cases(text):
    return {case.get("name"): case for case in xml.fromstring(text).iter("testcase")}


def check_junit(reports):
    """JUnit: one case for each run, counted as its readers count"""
    text = reports.of("junit")
    root, found, counts = xml.fromstring(text), cases(text), reports.document["summary"]
    check(root.tag == "testsuites" and int(root.get("tests")) == counts["total"], root.attrib)
    check(int(root.get("failures")) == counts["fail"] + counts["xpass"] == len(root.findall(".//failure")), root.attrib)
    check(int(root.get("errors")) == counts["error"] == len(root.findall(".//error")), root.attrib)
    check(sum(int(suite.get("skipped")) for suite in root) == counts["skip"] + counts["xfail"] == len(root.findall(".//skipped")), root.attrib)
    check(sum(int(suite.get("tests")) for suite in root) == counts["total"], "suites count otherwise")
    bad = found["smoke[debian-6.12,4,pci]"]
    check(bad.get("classname") == "smoke" and bad.get("time") == "9.400", bad.attrib)
    failure = bad.find("failure")
    check(failure.get("type") == "bug" and "NULL pointer" in failure.get("message") and "Call Trace:\n <TASK>" in failure.text, failure.text)
    check("rip ffffffff81a2b3c4" in failure.text, "no registers")
    out = bad.find("system-out").text
    check(out.startswith("--- serial ---\n[") and "--- hvc0 ---\nhvc0 says hello\n" in out and "\r" not in out, out)
    check("[check] Error 2" in found["command"].find("failure").text, "no output of the command")
    check(found["known"].find("skipped").get("message").startswith("known failure: the driver of 6.1 is broken, see bug 12: Kernel panic"), "known")
    check(found["mended"].find("failure").get("type") == "xpass", "an unexpected pass is no failure")
    check(found["no-host"].find("error").get("type") == "host-error", "no error")
    notes = found["ends-early"].find("system-err").text
    check(notes.startswith("the log is cut short: ") and notes.count("\n") == 1 and bad.find("system-err") is None, notes)
    retried = found["network"].find("flakyFailure")
    check(retried.get("type") == "timeout" and retried.find("stackTrace").text and retried.find("system-out").text == "waiting\n", "flaky")
    check(found["network"].find("failure") is None, "flaky counts as failed")


# Of Maven Surefire's schema: what a case may hold, in this order. And what Jenkins' schema allows as attributes.
CASE_ORDER = ["failure", "rerunFailure", "flakyFailure", "skipped", "error", "rerunError", "flakyError", "system-out", "system-err"]
ATTRIBUTES = {"testsuites": {"name", "time", "tests", "failures", "errors"},
              "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "file", "hostname", "id", "package"},
              "testcase": {"name", "time", "classname"}, "property": {"name", "value"}, "failure": {"type", "message"}, "error": {"type", "message"},
              "skipped": {"message"}}


def check_junit_schema(reports):
    """JUnit: no element and no attribute that a strict reader refuses"""
    root = xml.fromstring(reports.of("junit"))
    for element in root.iter():
        check(set(element.attrib) <= ATTRIBUTES.get(element.tag, set(element.attrib)), (element.tag, element.attrib))
        check("time" not in element.attrib or re.fullmatch(r"\d+\.\d{3}", element.get("time")), element.attrib)
    for case in root.iter("testcase"):
        order = [CASE_ORDER.index(child.tag) for child in case]
        check(order == sorted(order), [child.tag for child in case])
    for suite in root:
        check(suite.tag == "testsuite" and [child.tag for child in suite] == ["properties"] + ["testcase"] * int(suite.get("tests")), suite.attrib)
    suite = next(suite for suite in root if suite.get("name") == "smoke[debian-6.1,4,mmio]")
    known = {each.get("name"): each.get("value") for each in suite.iter("property")}
    check(known["kernel"] == "debian-6.1" and known["cpus"] == "4" and known["transport"] == "mmio" and known["tag"] == "quick", known)
    check(suite.get("file") == "tests/boot/smoke.test", suite.attrib)
    repeated = list(xml.fromstring(reports.of_runs("junit", *fixture.repeats())))
    check(len(repeated) == 1 and [case.get("name") for case in repeated[0].iter("testcase")] == [f"race #{i}" for i in range(1, 21)], "repeats")


def check_junit_hostile(reports):
    """JUnit: a guest's text stays text, and is XML"""
    case = next(case for name, case in cases(reports.of("junit")).items() if name.startswith("hostile"))
    text = case.find("failure").text + case.find("system-out").text
    check(fixture.SCRIPT in text and fixture.COMMENT in text and "emoji 🐧 ümläut" in text, text)
    check("red bold green orange\n" in text and "owned\x07" not in text, "terminal sequences stay")
    check("nul:␀ bell:␇ escape:␛␁ delete:␡ c1:\ufffd bidi:\ufffdgnp.exe" in text, text)
    check([child.tag for child in case] == ["failure", "system-out"], "a guest made elements")


def check_commands(reports):
    """No report has a command for GitHub in it, and each has the text"""
    text = "a ##[error]owned ###[group] z"
    one = fixture.result("a", "fail", "hang", text, consoles=[{"name": "serial", "head": text, "tail": ""}])
    document = reports.write("document", [one], "no repeats")
    check("##[" not in document and json.loads(document)["runs"][0]["reason"] == text, document)
    written = reports.of_runs("junit", one)
    failure = xml.fromstring(written).find(".//failure")
    check("##[" not in written and failure.get("message") == text and text in failure.text, written)
    repeats = {"repeats": [{"name": "a", "runs": 1, "passed": 0, "rate": 0, "verdicts": {"x\n::error::owned": 1}}]}
    check(not re.search(r"^\s*::", reports.write("summary", repeats), re.M), "a verdict made a line")


def check_every_character(reports):
    """Whatever character a guest writes, reports are valid"""
    text = "".join(map(chr, [*range(0x3000), *range(0xd7f0, 0xd800), *range(0xe000, 0xe010), *range(0xfdd0, 0x10010), 0x1fffe, 0x10ffff]))
    run = {**fixture.result("x", "fail", "hang", text), "name": text, "scenario": text, "file": text, "axes": {text[1:]: text}, "tags": [text],
           "consoles": [fixture.console(text, text)]}
    xml.fromstring(reports.of_runs("junit", run))
    for form in ("tap", "github", "summary"):
        written = reports.of_runs(form, run)
        check(not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", written), (form, "has control characters"))
    json.loads(data_of(reports.of_runs("html", run)))


def parse_tap(text):
    """[(ok, number, description, directive, diagnostics)]: strict, as a harness would."""
    lines, tests = text.splitlines(), []
    check(lines[0] == "TAP version 14" and re.fullmatch(r"1\.\.\d+", lines[1]), lines[:2])
    for line in lines[2:]:
        found = re.fullmatch(r"(not )?ok (\d+) - ((?:[^#\\]|\\.)*?)(?: # (SKIP|TO" r"DO) (.*))?", line)
        if found:
            tests.append((not found[1], int(found[2]), re.sub(r"\\(.)", r"\1", found[3]), found[4], []))
        else:
            check(line.startswith("  "), f"not a line of TAP: {line!r}")
            tests[-1][4].append(line[2:])
    check(lines[1] == f"1..{len(tests)}" and [test[1] for test in tests] == list(range(1, len(tests) + 1)), "the plan is another one")
    return tests


def read_diagnostics(lines):
    """The little of YAML that is used: scalars as JSON, and lists of them."""
    check(lines[0] == "---" and lines[-1] == "...", lines)
    known, last = {}, None
    for line in lines[1:-1]:
        item = re.fullmatch(r"  - (\".*\")", line)
        pair = re.fullmatch(r"(\w+):(?: (.+))?", line)
        check(item or pair, line)
        if item:
            known[last].append(json.loads(item[1]))
        else:
            last = pair[1]
            known[last] = json.loads(pair[2]) if pair[2] and pair[2][0] == '"' else pair[2] or []
    return known


def check_tap(reports):
    """TAP: ok and not ok, SKIP and the known failures, and why"""
    tests = {test[2]: test for test in parse_tap(reports.of("tap"))}
    check(len(tests) == len(reports.document["runs"]), "not each run")
    bad = sum(not test[0] and test[3] is None for test in tests.values())
    counts = reports.document["summary"]
    check(bad == counts["fail"] + counts["xpass"] + counts["error"], bad)
    check(tests["known"][0] is False and tests["known"][3] == "TO" "DO" and tests["left-out"][0] and tests["left-out"][3] == "SKIP", "directives")
    known = read_diagnostics(tests["smoke[debian-6.12,4,pci]"][4])
    check(known["verdict"] == "bug" and known["duration_ms"] == "9400" and known["crash_report"][0].startswith("BUG: kernel NULL"), known)
    check(known["last_lines"][-1] == "the end" and known["file"] == "tests/boot/smoke.test", known)
    check(read_diagnostics(tests["network"][4])["earlier_attempts"] == ["timeout: step \"log in\": no match within 30 s"], "flaky")
    hostile = read_diagnostics(next(test for name, test in tests.items() if name.startswith("hostile"))[4])
    check("not ok 1 - owned" in hostile["crash_report"] and "##[error]owned" in hostile["crash_report"], hostile)
    check("##[" not in reports.of("tap") and reports.write("tap", {}) == "TAP version 14\n1..0 # SKIP nothing was run\n", "empty")


def unescape(text):
    return re.sub("%(25|0D|0A|3A|2C)", lambda found: chr(int(found[1], 16)), text)


def check_github(reports):
    """GitHub: an annotation for all that wants attention, and logs in groups"""
    lines = reports.of("github", "/src/repository/").splitlines()
    found = [re.fullmatch(r"::(error|warning) file=([^,:]*),title=([^,:]*)::(.*)", line) for line in lines if re.match("::(error|warning)", line)]
    check(all(found), "a guest made an annotation")
    told = {unescape(each[3]): each for each in found}
    counts = reports.document["summary"]
    check(len(found) == counts["fail"] + counts["error"] + counts["xpass"] + counts["flaky"], len(found))
    bug = told["smoke[debian-6.12,4,pci]: bug"]
    check(bug[1] == "error" and bug[2] == "tests/boot/smoke.test", bug[0])
    check(unescape(bug[4]).startswith("BUG: kernel NULL pointer dereference in sysrq_handle_crash\n\nBUG: kernel NULL"), bug[4])
    check(told["network: flaky"][1] == "warning" and "no match within 30 s" in told["network: flaky"][4], "flaky")
    check(sum(line.startswith("::group::") for line in lines) == sum(line == "::endgroup::" for line in lines) > 20, "groups")
    check(all(re.match(r"(::(group|error|warning)[: ]|::endgroup::$|\| )", line) for line in lines), "a line could be a guest's command")
    check("##[" not in "\n".join(lines) and "| ::error::owned" in lines, "commands of the older form stay")
    one = reports.write("github", {"runs": [fixture.result("a", "fail", "hang", "100% of a: b,\nc", file="/src/repository/d/a,b:c.test")]}, "/src/repository")
    check("::error file=d/a%2Cb%3Ac.test,title=a%3A hang::100%25 of a: b, c%0A%0A" in one, one)
    check(reports.of_runs("github", fixture.result("good")) == "", "something about a good run")
    near = reports.write("github", {"runs": [fixture.result("a", "fail", "hang", "b", file="./c.test")]}, os.path.dirname(os.getcwd()))
    check("::error file=%s/c.test,title" % os.path.basename(os.getcwd()) in near, near)
    check_long_line(reports, "github")


def check_long_line(reports, form):
    """20,000 characters of a guest are for nobody's eyes."""
    console = {"name": "serial", "head": "first\n" + "ü" * 20000 + "\nlast\n", "tail": ""}
    text = reports.of_runs(form, fixture.result("a", "fail", "hang", "b", consoles=[console]))
    check("first" in text and "last" in text and "ü" * 500 + "…" in text and "ü" * 501 not in text, text[:3000])


def check_summary(reports):
    """The summary: each failure with its reason and evidence, and one line of totals"""
    text = reports.of("summary")
    check("\nFAIL   smoke[debian-6.12,4,pci] (bug, 9.40 s)\n       BUG: kernel NULL pointer" in text, text[:2000])
    check("       last lines of serial:\n       | " in text and "       crash report:\n       | BUG: kernel NULL" in text, "no evidence")
    check("       the command wrote:\n       | make: *** [check] Error 2\n" in text, "no output of the command")
    check("FLAKY  network (passed, 4.40 s)\n       attempt 1: timeout: step" in text and "SKIP   left-out" in text, "others")
    check("XPASS  mended" in text and "XFAIL  known (panic, 4.00 s)\n       known to fail: the driver" in text, "known")
    total = text.splitlines()[-1]
    check(re.fullmatch(r"60 runs in 12\.5 s: 26 passed, 28 failed, 1 passed but should fail, 2 could not be judged, 1 flaky, 1 failed as known, 1 skipped", total), total)
    check("\x1b" not in text and "smoke[debian-6.1,1,pci]" not in text, "passed runs or colours")
    coloured = reports.of("summary", "colours")
    check("\x1b[1;31mFAIL " in coloured and re.sub(r"\x1b\[[0-9;]*m", "", coloured) == text, "colours")
    check(all(re.match(r"([A-Z]{4,5} |       |$|\d+ runs)", line) for line in text.splitlines()), "a line is a guest's")
    check(reports.write("summary", {}) == "0 runs in 0 s\n", "empty")
    check_long_line(reports, "summary")


def check_floods(reports):
    """What a guest says a hundred thousand times is read once"""
    for flood in ("\r" * 200000 + "x", "\x1b]" * 100000, "##[" * 60000):
        console = {"name": "serial", "head": "x", "tail": flood, "fail_line": 1}
        runs = [fixture.result("flood %d" % n, "fail", "hang", "b", consoles=[console]) for n in range(20)]
        for form in ("junit", "tap", "github", "summary"):
            begin = time.monotonic()
            text = reports.of_runs(form, *runs)
            check(time.monotonic() - begin < FLOOD_SECONDS and "##[" not in text, (form, flood[:3]))
    begin = time.monotonic()
    text = reports.write("document", [fixture.result("flood", "fail", "hang", "##[" * 60000) for _ in range(60)], "no repeats")
    check(time.monotonic() - begin < FLOOD_SECONDS and "##[" not in text, "document")
    # A string that another escape breaks off is no string, and the one behind it is.
    text = reports.of_runs("junit", fixture.result("a", "fail", "hang", "b", consoles=[{"name": "serial", "head": "a\x1b]0;b\x1b[1mc\x1b]0;d\x07e\r\r\rf\r\r\n"}]))
    check("a\u241b]0;bce\u240d\u240d\u240df\n" in text, text)


def data_of(page):
    return re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1]


def check_page_data(reports):
    """The page: the document is in it, and nothing in it ends an element"""
    page = reports.of("html")
    data = data_of(page)
    check(not re.search("[<>&\x80-\U0010ffff]", data) and json.loads(data)["summary"] == reports.document["summary"], "the data is not plain")
    check(page.count("<script") == 2 and page.count("</script>") == 2 and "onerror=\"" not in page.replace("&quot;", "\""[:0]), "elements of a guest")
    check("{{" not in page and not re.search(r"(src|href)=\"?https?:", page), "parts are missing, or something is loaded")
    huge = next(run for run in json.loads(data)["runs"] if run["name"] == "huge")
    check(huge["consoles"][0]["tail"].endswith("line 1000000\n"), "the end is missing")


def check_page_console(reports):
    """The page: a console of many megabytes is cut, its lines keep their numbers"""
    text = "".join(f"line {i} ü\n" for i in range(1, 100001))
    for status, least in (("pass", 60000), ("fail", 1000000)):
        page = reports.of_runs("html", fixture.result("big", status, consoles=[fixture.console(text)]))
        console = json.loads(data_of(page))["runs"][0]["consoles"][0]
        check(least < len(console["head"].encode()) + len(console["tail"].encode()) <= least * 1.1, len(page))
        check(text.startswith(console["head"]) and text.endswith(console["tail"]), "another text")
        check(console["tail"].startswith(f"line {console['tail_line']} ") and console["head"].endswith("\n"), console["tail_line"])
    page = reports.of_runs("html", fixture.result("one", consoles=[fixture.console("ü" * 200000)]))
    check(set(json.loads(data_of(page))["runs"][0]["consoles"][0]["head"]) == {"ü"}, "cut inside of a character")


BROKEN = [None, -1, 1e308, "text", [[None]], {"": 1}]


def places(value, path=()):
    """Where in a document something could be broken."""
    keys = list(value) if isinstance(value, dict) else range(min(2, len(value))) if isinstance(value, list) else []
    for key in keys:
        yield path + (key,)
        yield from places(value[key], path + (key,))


def put(value, path, wanted):
    """A copy with another thing, or nothing, at a place; it shares what is like before."""
    value = copy.copy(value)
    if len(path) > 1:
        value[path[0]] = put(value[path[0]], path[1:], wanted)
    elif wanted == "gone" and isinstance(value, dict):
        del value[path[0]]
    else:
        value[path[0]] = wanted
    return value


def check_broken(reports):
    """Documents in which something is missing or of another type are reported, too"""
    run = {**fixture.oops("a", {"kernel": "b"}), "attempts": [fixture.flaky()], "status": "flaky", "repeat": 1, "samples": fixture.hang("h", {})["samples"],
           "command": {"end": "exited", "status": 1, "message": None}, "initcalls": fixture.initcalls()["initcalls"][:2]}
    run["consoles"] = [{**fixture.console("a\nb\n", fail_line=2), "tail": "c\n"}]
    good = json.loads(reports.write("document", [run]))
    paths = list(places(good))
    check(len(paths) > 100, len(paths))
    for value in ["gone", *BROKEN]:
        broken = [put(good, path, value) for path in paths]
        runs = [put(good, path, value)["runs"][0] for path in paths if path[:1] == ("runs",) and len(path) > 2]
        broken += [{"runs": [{**run, "status": status} for run in runs]} for status in ("fail", "xfail", "pass")]
        check(int(reports.write("all", broken + BROKEN)) > 1000 * len(broken), "nothing was written")
    for value in BROKEN:
        reports.write("document", value)


CHECKS = [check_summary_counts, check_repeats, check_many_repeats, check_junit, check_junit_schema, check_junit_hostile, check_commands, check_every_character, check_tap, check_github,
          check_summary, check_floods, check_page_data, check_page_console, check_broken]


def main():
    reports, failures = Reports(sys.argv[1]), 0
    print("1..%d" % len(CHECKS))
    for number, function in enumerate(CHECKS, 1):
        try:
            function(reports)
            print("ok %d - %s" % (number, function.__doc__), flush=True)
        except (AssertionError, OSError, ValueError, KeyError, AttributeError, StopIteration, xml.ParseError, subprocess.TimeoutExpired) as wrong:
            failures += 1
            print("not ok %d - %s\n# %s" % (number, function.__doc__, repr(wrong)[:3000].replace("\n", "\n# ")), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
