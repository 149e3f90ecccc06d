/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all of the page uses: elements, numbers for people, and the document made safe to read. Text of a guest
 * becomes a text node or an attribute that is no code, here and nowhere else.
 */

const STATUSES = {
    fail: { icon: "✕", label: "Failed", many: "failed", rank: 0 },
    xpass: { icon: "⚠", label: "Unexpected pass", many: "passed unexpectedly", rank: 1 },
    error: { icon: "!", label: "Error", many: "could not be judged", rank: 2 },
    flaky: { icon: "≈", label: "Flaky", many: "flaky", rank: 3 },
    xfail: { icon: "◌", label: "Known failure", many: "failed as known", rank: 4 },
    skip: { icon: "–", label: "Skipped", many: "skipped", rank: 5 },
    pass: { icon: "✓", label: "Passed", many: "passed", rank: 6 },
};

/* Makes an element. Properties: class, style (an object of CSS properties), onNAME (a function), or an attribute. */
function el(tag, properties, ...children) {
    const element = document.createElement(tag);

    for (const [name, value] of Object.entries(properties || {})) {
        if (value === null || value === undefined || value === false) continue;
        if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
        else if (name === "style") Object.entries(value).forEach(([key, text]) => element.style.setProperty(key, text));
        else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(
        ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
    );
    return element;
}

/* --- Values of any type, as the one that is wanted --- */

function asText(value) {
    return typeof value === "string"
        ? value
        : typeof value === "number" || typeof value === "boolean"
          ? String(value)
          : "";
}

function asNumber(value, otherwise = 0) {
    return typeof value === "number" && Number.isFinite(value) ? value : otherwise;
}

function asList(value) {
    return Array.isArray(value) ? value : [];
}

function asObject(value) {
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
}

function objects(value) {
    return asList(value).map(asObject);
}

/* --- For people --- */

/* ISO 646. Fonts often lack the pictures that Unicode has for them. */
const CONTROL_NAMES =
    "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(
        " ",
    );

/* A control character by its name; what has none, or would change the direction of text, by its number. */
function nameOf(character) {
    const code = character.codePointAt(0);
    const name = code === 0x7f ? "DEL" : CONTROL_NAMES[code];

    return `‹${name || `U+${code.toString(16).toUpperCase().padStart(4, "0")}`}›`;
}

const TERMINAL_SEQUENCE =
    /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]P_^X][^\u0007\u001b\n]{0,4096}(?:\u0007|\u001b\\)|[ -/]*[0-Z\\^-~])/g;
const INVISIBLE =
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]/g;

/* @line without the carriage returns at its end. A regular expression would begin anew at each of a flood of them. */
function withoutReturns(line) {
    let end = line.length;

    while (end > 0 && line[end - 1] === "\r") end--;
    return line.slice(0, end);
}

/* All of @text can be seen, in the order in which it was written. */
function plain(text) {
    return asText(text)
        .split("\n")
        .map(withoutReturns)
        .join("\n")
        .replace(TERMINAL_SEQUENCE, "")
        .replace(INVISIBLE, nameOf);
}

function duration(seconds) {
    if (!(seconds > 0)) return "0 s";
    if (seconds < 0.00995) return `${(seconds * 1e3).toFixed(1)} ms`;
    if (seconds < 0.9995) return `${(seconds * 1e3).toFixed(0)} ms`;
    if (seconds < 99.95) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
    const whole = Math.round(seconds);
    return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

function bytes(count) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;

    while (count >= 1024 && unit < units.length - 1) {
        count /= 1024;
        unit++;
    }
    return `${count.toFixed(unit === 0 || count >= 100 ? 0 : 1)} ${units[unit]}`;
}

function plural(count, word) {
    return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

function percent(part) {
    return `${(Math.min(Math.max(part, 0), 1) * 100).toFixed(4)}%`;
}

function badge(status, text) {
    return el(
        "span",
        { class: `badge is-${status}` },
        el("span", { class: "icon", "aria-hidden": "true" }, STATUSES[status].icon),
        text || STATUSES[status].label,
    );
}

function card(id, title, beside, ...content) {
    const head = el("div", { class: "card-head" }, el("h2", { id: `h-${id}` }, title), beside);

    return el("section", { class: "card", id: `card-${id}`, "aria-labelledby": `h-${id}` }, head, content);
}

/* A table in a box of its own, which can be wider than the window. A head's "number" is a class of its column. */
function dataTable(kind, heads, rows) {
    const cells = heads.map((head) => el("th", { scope: "col", class: head[1] }, head[0]));
    const body = el("tbody", {}, rows);

    return el(
        "div",
        { class: "scroll" },
        el("table", { class: `data ${kind}` }, el("thead", {}, el("tr", {}, cells)), body),
    );
}

/* --- The document --- */

function readStatus(value) {
    return typeof value === "string" && Object.hasOwn(STATUSES, value) ? value : "error";
}

function readConsole(console) {
    return {
        name: plain(console.name) || "console",
        bytes: asNumber(console.bytes),
        lines: asNumber(console.lines),
        head: asText(console.head),
        tail: asText(console.tail),
        tailLine: Math.max(1, asNumber(console.tail_line, 1)),
        failLine: asNumber(console.fail_line, null),
        log: plain(console.log),
    };
}

function readSpan(span) {
    const begin = asNumber(span.begin, null);

    return { ...span, name: plain(span.name), begin, end: Math.max(begin, asNumber(span.end, begin)) };
}

function readStep(step) {
    const state = ["passed", "failed"].includes(step.state) ? step.state : "not-run";

    return {
        ...readSpan(step),
        state,
        kind: plain(step.kind),
        what: plain(step.what),
        expect: plain(step.expect),
        console: plain(step.console),
        line: asNumber(step.line, null),
        status: asNumber(step.status, null),
        stdout: asText(step.stdout),
        stderr: asText(step.stderr),
        message: plain(step.message),
    };
}

/* A result of which everything has the type that the rest of the page expects. */
function readRun(result) {
    return {
        name: asText(result.name),
        repeat: Math.max(0, Math.floor(asNumber(result.repeat))),
        status: readStatus(result.status),
        scenario: plain(result.scenario) || plain(result.name) || "(no name)",
        file: asText(result.file),
        description: plain(result.description),
        tags: asList(result.tags).map(plain),
        axes: Object.entries(asObject(result.axes)).map(([name, value]) => ({
            name: plain(name),
            value: plain(asText(value)),
        })),
        verdict: plain(result.verdict) || "unknown",
        reason: plain(result.reason),
        outcome: plain(result.outcome),
        outcomeReason: plain(result.outcome_reason),
        knownFailure: plain(result.known_failure),
        failedStep: asNumber(result.step, -1),
        seconds: Math.max(0, asNumber(result.seconds)),
        stages: objects(result.stages)
            .map(readSpan)
            .filter((stage) => stage.begin !== null),
        initcalls: objects(result.initcalls).map((call) => ({
            name: plain(call.name),
            begin: asNumber(call.begin),
            seconds: Math.max(0, asNumber(call.seconds)),
        })),
        kernelClock: asNumber(result.kernel_clock_offset, null),
        steps: objects(result.steps).map(readStep),
        consoles: objects(result.consoles).map(readConsole),
        reports: objects(result.reports),
        samples: objects(result.samples).map((sample) => ({ t: asNumber(sample.t), vcpus: plain(sample.vcpus) })),
        machine: result.machine === null || result.machine === undefined ? null : asObject(result.machine),
        command: result.command === null || result.command === undefined ? null : asObject(result.command),
        notes: asList(result.notes).map(plain),
        workerOutput: asText(result.worker_output),
        attempts: objects(result.attempts).map(readRun),
    };
}

function titleOf(run) {
    const name = plain(run.name) || "(no name)";

    return run.repeat > 0 ? `${name} #${run.repeat}` : name;
}

function addressOf(run, attempt) {
    const repeat = run.repeat > 0 ? `/${run.repeat}` : "";

    return `#run/${encodeURIComponent(run.name)}${repeat}${attempt ? `/attempt-${attempt}` : ""}`;
}

function readDocument(text) {
    const report = asObject(JSON.parse(text));

    return {
        version: plain(report.vmm),
        started: plain(report.started).replace(/^(\S+)T([\d:]{8})[.\d]*Z$/, "$1 $2 UTC"),
        seconds: asNumber(report.seconds),
        commandLine: asList(report.command_line).map(plain),
        runs: objects(report.runs).map(readRun),
        repeats: objects(report.repeats),
    };
}
