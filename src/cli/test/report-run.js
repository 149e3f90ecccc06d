/* SPDX-License-Identifier: Apache-2.0 */
/* The view of one run, or of one earlier attempt of it. */

function shellWord(word) {
    return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function fact(name, value) {
    return value === "" || value === null
        ? null
        : el("div", { class: "fact" }, el("dt", {}, name), el("dd", {}, value));
}

function commandText(command) {
    const end = [
        plain(command.end),
        command.status === null || command.status === undefined ? "" : asText(command.status),
    ]
        .filter((part) => part !== "")
        .join(" ");

    return [end, plain(command.message)].filter((part) => part !== "").join(": ");
}

/* Options of a command line that change what a run is. */
function shapingOptions(words) {
    const kept = [];

    words.forEach((word, i) => {
        const found = /^--(?:set|machine|kernel|time-scale)(=|$)/.exec(word);
        if (found) kept.push(word, ...(found[1] === "" ? words.slice(i + 1, i + 2) : []));
    });
    return kept;
}

/* What makes just this run again. */
function rerunLine(run, words) {
    const pattern = `^${run.name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
    const line = ["vmm", "test", "--only", pattern, ...shapingOptions(words), run.file];

    return run.file === "" ? "" : el("code", { class: "command" }, plain(line.map(shellWord).join(" ")));
}

function factsList(run, words) {
    const expected =
        run.outcome !== "" && run.outcome !== "passed"
            ? [run.outcome, run.outcomeReason].filter((part) => part !== "").join(", reason ")
            : "";

    return el(
        "dl",
        { class: "facts-list" },
        run.axes.map((pair) => fact(pair.name, pair.value)),
        fact("took", duration(run.seconds)),
        fact("expected verdict", expected),
        fact("known to fail", run.knownFailure),
        run.command ? fact("command in the guest", commandText(run.command)) : null,
        fact("tags", run.tags.join(", ")),
        fact("file", plain(run.file)),
        fact("again", rerunLine(run, words)),
    );
}

function neighbourLink(run, label, key) {
    return run
        ? el("a", { class: "quiet", href: addressOf(run), title: titleOf(run) }, label, " ", el("kbd", {}, key))
        : el("span", { class: "quiet off" }, label);
}

function runHero(run, place) {
    return el(
        "section",
        { class: `hero is-${run.status}` },
        el(
            "nav",
            { class: "crumbs", "aria-label": "Runs" },
            el("a", { href: "#", class: "quiet" }, "← All results"),
            place.attempt ? el("a", { href: addressOf(place.run), class: "quiet" }, "↑ The last attempt") : null,
            el("span", { class: "spring" }),
            neighbourLink(place.before, "Previous", "k"),
            neighbourLink(place.after, "Next", "j"),
        ),
        el("h1", { tabindex: "-1" }, titleOf(run), place.attempt ? el("small", {}, ` attempt ${place.attempt}`) : null),
        run.description !== "" ? el("p", { class: "description" }, run.description) : null,
        el("p", { class: "verdict" }, badge(run.status), el("code", {}, run.verdict)),
        isPlainPass(run) || reasonOf(run) === "" ? null : el("p", { class: "reason" }, reasonOf(run)),
        factsList(run, place.words),
    );
}

/* --- Steps --- */

function output(name, text) {
    return text === ""
        ? null
        : el("div", { class: "output" }, el("span", { class: "output-name" }, name), textBox(text, name));
}

/* Text in lines; colours as on a console, and nothing else of a terminal. */
function textBox(text, label, keep) {
    const box = el("pre", {
        class: `console${keep ? " keep" : ""}`,
        tabindex: "0",
        role: "region",
        "aria-label": label,
    });
    let style = PLAIN_STYLE;

    for (const line of text.replace(/\n$/, "").split("\n")) {
        const [nodes, next] = renderLine(withoutReturns(line), style);
        box.append(...nodes, "\n");
        style = next;
    }
    return box;
}

function stepDetails(step) {
    const outputs = [output("stdout", step.stdout), output("stderr", step.stderr)].filter(Boolean);

    if (outputs.length === 0) return null;
    return el("details", { open: step.state === "failed" }, el("summary", {}, "Output"), outputs);
}

/* Leads to a place in a console of this view. */
function lineLink(text, show) {
    return el("button", { type: "button", class: "line-link", onclick: show }, text);
}

/* What the step waited for, did, and got. */
function stepWhat(step) {
    const waited = step.expect !== "" && step.expect !== step.what;

    return el(
        "td",
        { class: "what" },
        waited ? el("p", { class: "after" }, "after ", el("code", {}, step.expect)) : null,
        step.what !== "" ? el("code", {}, step.what) : null,
        step.status === null ? null : el("span", { class: "exit" }, ` → ${step.status}`),
        step.message !== "" ? el("p", { class: "message" }, step.message) : null,
        stepDetails(step),
    );
}

function stepTableRow(step, index, showConsole) {
    const state = el(
        "span",
        { class: `state is-${step.state}` },
        stateIcon(step.state),
        " ",
        step.state.replace("-", " "),
    );
    const line = lineLink(`line ${step.line}`, () => showConsole(step.console, step.line));

    return el(
        "tr",
        { class: `is-${step.state}` },
        el("td", { class: "number" }, String(index + 1)),
        el("td", {}, state),
        el("th", { scope: "row" }, step.name),
        el("td", {}, el("span", { class: "kind" }, step.kind)),
        stepWhat(step),
        el("td", {}, step.console, " ", step.line !== null ? line : null),
        el("td", { class: "number" }, step.begin === null ? "" : duration(step.end - step.begin)),
    );
}

function stepsCard(run, showConsole) {
    const heads = [[""], ["State"], ["Step"], ["Kind"], ["What"], ["Console"], ["Took", "number"]];
    const rows = run.steps.map((step, i) => stepTableRow(step, i, showConsole));

    return rows.length === 0 ? null : card("steps", "Steps", null, dataTable("steps", heads, rows));
}

/* --- Consoles --- */

function consoleFacts(console) {
    return [plural(console.lines, "line"), bytes(console.bytes), console.log !== "" ? `all of it: ${console.log}` : ""]
        .filter((part) => part !== "")
        .join(" · ");
}

/* The one with the failing line, or else that of the failing step, or the first with any text. */
function firstConsole(run) {
    const step = run.steps[run.failedStep];
    const found = [
        (console) => console.failLine !== null,
        (console) => step && console.name === step.console,
        (console) => console.head !== "",
    ]
        .map((test) => run.consoles.findIndex(test))
        .find((index) => index >= 0);

    return found === undefined ? 0 : found;
}

/* What can be done to the consoles' card: show(index, line), and reveal() with the card brought into view. */
function consoleControl(run, holder, onShow) {
    const show = (index, number) => {
        const box = consoleBox(run, run.consoles[index], number);
        onShow(index);
        holder.replaceChildren(box);
        box.scrollToFocus();
    };
    const reveal = (index, number) => {
        show(index, number);
        holder.scrollIntoView({ block: "center" });
    };
    const first = firstConsole(run);

    return {
        start: () => show(first, run.consoles[first].failLine),
        jump: () => reveal(first, run.consoles[first].failLine),
        choose: (index) => show(index, run.consoles[index].failLine),
        showLine: (name, number) => {
            const index = run.consoles.findIndex((console) => console.name === name);
            if (index >= 0) reveal(index, number);
        },
    };
}

function consoleTab(console, choose) {
    const mark = el("span", { class: "tab-mark", title: "has the failing line" }, "✕");

    return el(
        "button",
        { type: "button", role: "tab", class: "tab", onclick: choose },
        console.name,
        console.failLine !== null ? mark : null,
    );
}

function wrapButton(holder) {
    const button = el("button", { type: "button", class: "quiet", "aria-pressed": "false" }, "Wrap lines");

    button.addEventListener("click", () =>
        button.setAttribute("aria-pressed", String(holder.classList.toggle("wrap"))),
    );
    return button;
}

/* Returns: the card and its control, see consoleControl(). */
function consolesCard(run) {
    if (run.consoles.length === 0) return [null, { start: () => {}, jump: () => {}, showLine: () => {} }];
    const holder = el("div", { class: "console-holder" });
    const facts = el("span", { class: "facts" });
    const control = consoleControl(run, holder, (index) => {
        tabs.forEach((tab, i) => tab.setAttribute("aria-selected", String(i === index)));
        facts.textContent = consoleFacts(run.consoles[index]);
    });
    const tabs = run.consoles.map((console, i) => consoleTab(console, () => control.choose(i)));
    const jump = el(
        "button",
        { type: "button", class: "quiet", onclick: control.jump },
        "Failing line ",
        el("kbd", {}, "f"),
    );
    const bar = el(
        "div",
        { class: "console-bar" },
        tabs.length > 1
            ? el("div", { role: "tablist", "aria-label": "Consoles" }, tabs)
            : el("b", {}, run.consoles[0].name),
        facts,
        el("span", { class: "spring" }),
        run.consoles.some((console) => console.failLine !== null) ? jump : null,
        wrapButton(holder),
    );

    return [card("console", "Console", null, bar, holder), control];
}

/* --- Why it failed: crash reports, samples, the machine --- */

function reportPlace(report, showConsole) {
    const [where, line, name] = [plain(report.function), asNumber(report.line, null), plain(report.console)];

    return el(
        "p",
        { class: "facts" },
        where !== "" ? ["in ", el("code", {}, where), " · "] : null,
        line === null ? name : lineLink(`${name}, line ${line}`, () => showConsole(name, line)),
    );
}

/* One that the scenario allows is there for the curious. */
function reportCard(report, showConsole) {
    const kind = plain(report.kind) || "report";
    const title = [el("code", {}, kind), " ", plain(report.summary) || plain(report.title)];
    const content = [reportPlace(report, showConsole), textBox(asText(report.text), `Report: ${kind}`)];

    return report.allowed === true
        ? el(
              "details",
              { class: "report is-allowed" },
              el("summary", {}, title, el("span", { class: "tag" }, "allowed")),
              content,
          )
        : el("article", { class: "report" }, el("h3", {}, title), content);
}

function reportsCard(run, showConsole) {
    const reports = [...run.reports].sort((a, b) => Number(a.allowed === true) - Number(b.allowed === true));
    const title = reports.length === 1 ? "Crash report" : "Crash reports";
    const cards = reports.map((report) => reportCard(report, showConsole));

    return cards.length === 0 ? null : card("reports", title, null, cards);
}

function samplesCard(run) {
    const samples = run.samples.map((sample) =>
        el(
            "div",
            { class: "sample" },
            el("h3", {}, `after ${duration(sample.t)}`),
            textBox(sample.vcpus, "vCPUs", true),
        ),
    );

    return samples.length === 0
        ? null
        : card("samples", "Where the vCPUs were", null, el("div", { class: "samples" }, samples));
}

/* The first column names what the numbers are of. */
function numbersTable(heads, rows) {
    const cell = (text, i) => (i === 0 ? el("th", { scope: "row" }, text) : el("td", { class: "number" }, text));

    return dataTable(
        "numbers",
        heads.map((head, i) => (i === 0 ? [head] : [head, "number"])),
        rows.map((cells) => el("tr", {}, cells.map(cell))),
    );
}

function deviceRow(device) {
    return [
        plain(device.name),
        asNumber(device.requests).toLocaleString("en"),
        bytes(asNumber(device.bytes_from_guest)),
        bytes(asNumber(device.bytes_to_guest)),
        asNumber(device.interrupts).toLocaleString("en"),
    ];
}

function machineTables(machine) {
    const devices = objects(machine.devices).map(deviceRow);
    const exits = Object.entries(asObject(machine.exits));
    const exitRows = exits.map(([name, count]) => [plain(name), asNumber(count).toLocaleString("en")]);
    const deviceHeads = ["Device", "Requests", "Read of the guest", "Written to it", "Interrupts"];

    return el(
        "div",
        { class: "columns" },
        devices.length > 0 ? numbersTable(deviceHeads, devices) : null,
        exits.length > 0 ? numbersTable(["Exits", "Count"], exitRows) : null,
    );
}

function machineFacts(machine) {
    const [verdict, reason] = [plain(machine.verdict), plain(machine.reason)];
    const end = reason.startsWith(verdict) ? reason : `${verdict}: ${reason}`;
    const memory = asObject(machine.guest_memory);
    const used = `${bytes(asNumber(memory.used_bytes))} used of ${bytes(asNumber(memory.bytes))}`;

    return el(
        "dl",
        { class: "facts-list" },
        fact("ended by", end),
        fact("exit code", asText(machine.exit_code)),
        fact("boots", asText(machine.boots)),
        fact("console output", "output_bytes" in machine ? bytes(asNumber(machine.output_bytes)) : ""),
        fact("memory", "bytes" in memory ? used : ""),
    );
}

function machineCard(run) {
    if (run.machine === null) return null;
    const registers = asText(run.machine.report);
    const box = registers === "" ? null : [el("h3", {}, "Registers"), textBox(registers, "Registers", true)];

    return card("machine", "Machine", null, machineFacts(run.machine), box, machineTables(run.machine));
}

/* What vmm itself has to say: what could not be done, and what its process wrote. */
function notesCard(run) {
    if (run.notes.length === 0 && run.workerOutput === "") return null;
    const list = el(
        "ul",
        {},
        run.notes.map((note) => el("li", {}, note)),
    );

    return card("notes", "Notes", null, list, output("vmm's own output", run.workerOutput));
}

function attemptItem(run, attempt, number) {
    const main = el(
        "span",
        { class: "run-main" },
        el("span", { class: "run-name" }, `Attempt ${number}`),
        el("span", { class: "run-reason" }, attempt.reason),
    );
    const time = el("span", { class: "run-time" }, el("span", {}, duration(attempt.seconds)));
    const link = el("a", { href: addressOf(run, number) }, badge("fail", attempt.verdict), main, time);

    return el("li", { class: `run is-${attempt.status}` }, link);
}

function attemptsCard(run) {
    const items = run.attempts.map((attempt, i) => attemptItem(run, attempt, i + 1));

    return items.length === 0 ? null : card("attempts", "Earlier attempts", null, el("ol", { class: "runs" }, items));
}

/* @place: {run, attempt, before, after}. The view's ready() is for when it is in the page. */
function runView(run, place) {
    const [consoles, control] = consolesCard(run);
    const root = el(
        "div",
        { class: "one-run" },
        runHero(run, place),
        place.attempt ? null : attemptsCard(run),
        timelineCard(run),
        consoles,
        reportsCard(run, control.showLine),
        samplesCard(run),
        stepsCard(run, control.showLine),
        initcallsCard(run),
        machineCard(run),
        notesCard(run),
    );

    root.ready = control.start;
    root.jump = control.jump;
    return root;
}
