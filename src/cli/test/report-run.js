/* SPDX-License-Identifier: Apache-2.0 */
/* The view of one run, or of one earlier attempt of it. */

function shellWord(word) {
    return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function card(id, title, ...content) {
    return el(
        "section",
        { class: "card", "aria-labelledby": `h-${id}`, id: `card-${id}` },
        el("div", { class: "card-head" }, el("h2", { id: `h-${id}` }, title)),
        ...content,
    );
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

function rerunLine(run) {
    const pattern = `^${run.name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;

    return run.file === ""
        ? ""
        : el(
              "code",
              { class: "command" },
              plain(["vmm", "test", "--only", shellWord(pattern), shellWord(run.file)].join(" ")),
          );
}

function factsList(run) {
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
        fact("again", rerunLine(run)),
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
        factsList(run),
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
        const [nodes, next] = renderLine(line.replace(/\r+$/, ""), style);
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

function stepTableRow(step, index, showConsole) {
    const status = step.status === null ? null : el("span", { class: "exit" }, ` → ${step.status}`);

    return el(
        "tr",
        { class: `is-${step.state}` },
        el("td", { class: "number" }, String(index + 1)),
        el(
            "td",
            {},
            el("span", { class: `state is-${step.state}` }, stateIcon(step.state), " ", step.state.replace("-", " ")),
        ),
        el("th", { scope: "row" }, step.name),
        el("td", {}, el("span", { class: "kind" }, step.kind)),
        el(
            "td",
            { class: "what" },
            step.what !== "" ? el("code", {}, step.what) : null,
            status,
            step.message !== "" ? el("p", { class: "message" }, step.message) : null,
            stepDetails(step),
        ),
        el(
            "td",
            {},
            step.console,
            " ",
            step.line !== null ? lineLink(`line ${step.line}`, () => showConsole(step.console, step.line)) : null,
        ),
        el("td", { class: "number" }, step.begin === null ? "" : duration(step.end - step.begin)),
    );
}

function stepsCard(run, showConsole) {
    if (run.steps.length === 0) return null;
    return card(
        "steps",
        "Steps",
        el(
            "div",
            { class: "scroll" },
            el(
                "table",
                { class: "data steps" },
                el(
                    "thead",
                    {},
                    el(
                        "tr",
                        {},
                        ["", "State", "Step", "Kind", "What", "Console", "Took"].map((text) =>
                            el("th", { scope: "col", class: text === "Took" ? "number" : null }, text),
                        ),
                    ),
                ),
                el(
                    "tbody",
                    {},
                    run.steps.map((step, i) => stepTableRow(step, i, showConsole)),
                ),
            ),
        ),
    );
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

function consolesCard(run, control) {
    if (run.consoles.length === 0) return null;
    const holder = el("div", { class: "console-holder", role: run.consoles.length > 1 ? "tabpanel" : null });
    const facts = el("span", { class: "facts" });
    const jump = el(
        "button",
        { type: "button", class: "quiet", id: "jump", onclick: () => control.jump() },
        "Failing line ",
        el("kbd", {}, "f"),
    );
    const wrap = el(
        "button",
        {
            type: "button",
            class: "quiet",
            "aria-pressed": "false",
            onclick: () => {
                wrap.setAttribute("aria-pressed", String(holder.classList.toggle("wrap")));
            },
        },
        "Wrap lines",
    );
    const tabs = run.consoles.map((console, i) =>
        el(
            "button",
            { type: "button", role: "tab", class: "tab", onclick: () => control.show(i) },
            console.name,
            console.failLine !== null ? el("span", { class: "tab-mark", title: "has the failing line" }, "✕") : null,
        ),
    );

    control.show = (index) => {
        const console = run.consoles[index];
        const box = consoleBox(run, console);
        tabs.forEach((tab, i) => tab.setAttribute("aria-selected", String(i === index)));
        facts.textContent = consoleFacts(console);
        jump.hidden = console.failLine === null;
        holder.replaceChildren(box);
        box.scrollToFocus();
    };
    control.jump = () => {
        control.show(firstConsole(run));
        holder.scrollIntoView({ block: "center" });
    };
    return card(
        "console",
        "Console",
        el(
            "div",
            { class: "console-bar" },
            run.consoles.length > 1
                ? el("div", { role: "tablist", "aria-label": "Consoles" }, tabs)
                : el("b", {}, run.consoles[0].name),
            facts,
            el("span", { class: "spring" }),
            jump,
            wrap,
        ),
        holder,
    );
}

/* Shows a line that something refers to. */
function showLine(run, control, name, number) {
    const index = run.consoles.findIndex((console) => console.name === name);

    if (index < 0) return;
    control.show(index);
    const line = document.querySelector(`#card-console .line[data-n="${Number(number)}"]`);
    if (line) {
        line.scrollIntoView({ block: "center" });
        line.classList.add("pointed-at");
    }
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

    return reports.length === 0
        ? null
        : card(
              "reports",
              reports.length === 1 ? "Crash report" : "Crash reports",
              reports.map((report) => reportCard(report, showConsole)),
          );
}

function samplesCard(run) {
    return run.samples.length === 0
        ? null
        : card(
              "samples",
              "Where the vCPUs were",
              el(
                  "div",
                  { class: "samples" },
                  run.samples.map((sample) =>
                      el(
                          "div",
                          { class: "sample" },
                          el("h3", {}, `after ${duration(sample.t)}`),
                          textBox(sample.vcpus, "vCPUs", true),
                      ),
                  ),
              ),
          );
}

function tableOf(heads, rows) {
    return el(
        "table",
        { class: "data" },
        el(
            "thead",
            {},
            el(
                "tr",
                {},
                heads.map((head, i) => el("th", { scope: "col", class: i > 0 ? "number" : null }, head)),
            ),
        ),
        el(
            "tbody",
            {},
            rows.map((cells) =>
                el(
                    "tr",
                    {},
                    cells.map((cell, i) =>
                        el(i === 0 ? "th" : "td", i === 0 ? { scope: "row" } : { class: "number" }, cell),
                    ),
                ),
            ),
        ),
    );
}

function machineTables(machine) {
    const exits = Object.entries(asObject(machine.exits)).map(([name, count]) => [
        plain(name),
        asNumber(count).toLocaleString("en"),
    ]);
    const devices = objects(machine.devices).map((device) => [
        plain(device.name),
        asNumber(device.requests).toLocaleString("en"),
        bytes(asNumber(device.bytes_from_guest)),
        bytes(asNumber(device.bytes_to_guest)),
        asNumber(device.interrupts).toLocaleString("en"),
    ]);

    return el(
        "div",
        { class: "columns" },
        devices.length > 0
            ? tableOf(["Device", "Requests", "Read of the guest", "Written to it", "Interrupts"], devices)
            : null,
        exits.length > 0 ? tableOf(["Exits", "Count"], exits) : null,
    );
}

function machineCard(run) {
    const machine = run.machine;

    if (machine === null) return null;
    const memory = asObject(machine.guest_memory);
    const registers = asText(machine.report);
    return card(
        "machine",
        "Machine",
        el(
            "dl",
            { class: "facts-list" },
            fact("ended by", [plain(machine.verdict), plain(machine.reason)].filter((part) => part !== "").join(": ")),
            fact("exit code", asText(machine.exit_code)),
            fact("boots", asText(machine.boots)),
            fact("console output", "output_bytes" in machine ? bytes(asNumber(machine.output_bytes)) : ""),
            fact(
                "memory",
                "bytes" in memory
                    ? `${bytes(asNumber(memory.used_bytes))} used of ${bytes(asNumber(memory.bytes))}`
                    : "",
            ),
        ),
        registers !== "" ? [el("h3", {}, "Registers"), textBox(registers, "Registers", true)] : null,
        machineTables(machine),
    );
}

function attemptsCard(run) {
    if (run.attempts.length === 0) return null;
    return card(
        "attempts",
        "Earlier attempts",
        el(
            "ol",
            { class: "runs" },
            run.attempts.map((attempt, i) =>
                el(
                    "li",
                    { class: `run is-${attempt.status}` },
                    el(
                        "a",
                        { href: addressOf(run, i + 1) },
                        badge("fail", attempt.verdict),
                        el(
                            "span",
                            { class: "run-main" },
                            el("span", { class: "run-name" }, `Attempt ${i + 1}`),
                            el("span", { class: "run-reason" }, attempt.reason),
                        ),
                        el("span", { class: "run-time" }, el("span", {}, duration(attempt.seconds))),
                    ),
                ),
            ),
        ),
    );
}

/* @place: {run, attempt, before, after}. The view's ready() is for when it is in the page. */
function runView(run, place) {
    const control = { show: () => {}, jump: () => {} };
    const showConsole = (name, line) => showLine(run, control, name, line);
    const consoles = consolesCard(run, control);
    const root = el(
        "div",
        { class: "one-run" },
        runHero(run, place),
        place.attempt ? null : attemptsCard(run),
        timelineCard(run),
        consoles,
        reportsCard(run, showConsole),
        samplesCard(run),
        stepsCard(run, showConsole),
        initcallsCard(run),
        machineCard(run),
    );

    root.control = control;
    root.ready = () => control.show(firstConsole(run));
    return root;
}
