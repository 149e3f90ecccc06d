/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run as a picture: stages of the boot, initcalls, and steps over time. Boxes are placed by per cent, so
 * that they follow the window's width, and go onto paper.
 */

const KNOWN_STAGES = ["vmm", "firmware", "early kernel", "kernel", "userspace", "guest"];
const LONGEST_INITCALLS = 15;

function stageClass(name) {
    const index = KNOWN_STAGES.indexOf(name);

    return `stage-${index < 0 ? "other" : KNOWN_STAGES[index].replace(" ", "-")}`;
}

/* Steps of 1, 2 or 5 times a power of ten, some @count of them. */
function tickTimes(limit, count) {
    const rough = limit / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const ticks = [];

    for (let i = 0; i * step <= limit * 1.0001; i++) ticks.push(i * step);
    return ticks;
}

function tickLabel(time, limit) {
    if (time === 0) return "0";
    return limit < 1 ? `${Math.round(time * 1e6) / 1e3} ms` : `${Math.round(time * 1e3) / 1e3} s`;
}

function axis(limit) {
    return el(
        "div",
        { class: "axis", "aria-hidden": "true" },
        tickTimes(limit, 8).map((time) =>
            el(
                "span",
                { class: `tick${time > limit * 0.96 ? " at-end" : ""}`, style: { left: percent(time / limit) } },
                el("span", {}, tickLabel(time, limit)),
            ),
        ),
    );
}

function bar(className, begin, end, limit, title, ...content) {
    const from = Math.min(begin, limit);

    return el(
        "div",
        {
            class: `bar ${className}`,
            title,
            style: { left: percent(from / limit), width: percent((Math.min(end, limit) - from) / limit) },
        },
        ...content,
    );
}

function row(label, className, ...bars) {
    return el(
        "div",
        { class: `lane ${className}`, role: "listitem" },
        el("div", { class: "lane-name" }, label),
        el("div", { class: "track" }, ...bars),
    );
}

function spanTitle(name, begin, end) {
    return `${name}: ${duration(end - begin)}, from ${duration(begin)} to ${duration(end)}`;
}

function stagesRow(run, limit) {
    return row(
        "Boot",
        "of-stages",
        run.stages.map((stage) =>
            bar(
                stageClass(stage.name),
                stage.begin,
                stage.end,
                limit,
                spanTitle(stage.name, stage.begin, stage.end),
                el("span", {}, stage.name),
            ),
        ),
    );
}

function initcallsRow(run, limit) {
    if (run.initcalls.length === 0 || run.kernelClock === null) return null;
    return row(
        "Initcalls",
        "of-initcalls",
        run.initcalls.map((call) => {
            const begin = run.kernelClock + call.begin;
            return begin >= 0 && begin < limit
                ? bar("initcall", begin, begin + call.seconds, limit, `${call.name}: ${duration(call.seconds)}`)
                : null;
        }),
    );
}

function stepRow(step, index, limit) {
    const label = [
        el("span", { class: `state is-${step.state}`, "aria-hidden": "true" }, stateIcon(step.state)),
        ` ${step.name || `step ${index + 1}`}`,
    ];

    if (step.begin === null || step.begin >= limit)
        return row(
            label,
            "of-step is-idle",
            el("span", { class: "note" }, step.begin === null ? "not run" : `at ${duration(step.begin)} →`),
        );
    const late = step.end / limit > 0.85;
    return row(
        label,
        "of-step",
        bar(
            `step is-${step.state}`,
            step.begin,
            step.end,
            limit,
            spanTitle(`${step.name} (${step.state})`, step.begin, step.end),
        ),
        el(
            "span",
            {
                class: `note${late ? " before" : ""}`,
                style: late ? { right: percent(1 - step.begin / limit) } : { left: percent(step.end / limit) },
            },
            duration(step.end - step.begin),
        ),
    );
}

function stateIcon(state) {
    return { passed: "✓", failed: "✕", "not-run": "–" }[state];
}

function samplesRow(run, limit) {
    if (run.samples.length === 0) return null;
    return row(
        "vCPU samples",
        "of-samples",
        run.samples.map((sample, i) =>
            sample.t <= limit
                ? el(
                      "span",
                      {
                          class: "pin",
                          title: `sample ${i + 1} at ${duration(sample.t)}`,
                          style: { left: percent(sample.t / limit) },
                      },
                      "▾",
                  )
                : null,
        ),
    );
}

/* When the run went wrong: at the end of the step that failed, or of the run. */
function failureTime(run) {
    const step = run.steps[run.failedStep];

    if (["pass", "skip", "flaky", "xpass"].includes(run.status)) return null;
    return step && step.begin !== null ? step.end : run.seconds;
}

function failureLine(run, limit) {
    const time = failureTime(run);

    if (time === null || time > limit) return null;
    return el(
        "div",
        { class: "over" },
        el("div", {
            class: "failure",
            style: { left: percent(time / limit) },
            title: `${run.verdict} at ${duration(time)}`,
        }),
    );
}

function runEnd(run) {
    const ends = [
        run.seconds,
        ...run.stages.map((stage) => stage.end),
        ...run.steps.filter((step) => step.end !== null).map((step) => step.end),
    ];

    return Math.max(...ends, 1e-6);
}

function lanes(run, limit) {
    return el(
        "div",
        { class: "lanes", role: "list", "aria-label": "Timeline" },
        axis(limit),
        failureLine(run, limit),
        stagesRow(run, limit),
        initcallsRow(run, limit),
        run.steps.map((step, i) => stepRow(step, i, limit)),
        samplesRow(run, limit),
    );
}

function legend(run) {
    return el(
        "ul",
        { class: "legend" },
        run.stages.map((stage) =>
            el(
                "li",
                {},
                el("span", { class: `swatch ${stageClass(stage.name)}`, "aria-hidden": "true" }),
                `${stage.name} `,
                el("b", {}, duration(stage.end - stage.begin)),
            ),
        ),
    );
}

/* The boot is short beside a step that waited until its time was over: then it can be looked at alone. */
function zoomButton(run, picture) {
    const userspace = run.stages.find((stage) => stage.name === "userspace");
    const whole = runEnd(run);
    const near = userspace ? userspace.begin * 1.25 : whole;
    let isNear = false;

    if (near <= 0 || near > whole * 0.5) return null;
    const button = el(
        "button",
        {
            type: "button",
            class: "quiet",
            "aria-pressed": "false",
            onclick: () => {
                isNear = !isNear;
                button.setAttribute("aria-pressed", String(isNear));
                picture.replaceChildren(lanes(run, isNear ? near : whole));
            },
        },
        "Zoom to boot",
    );
    return button;
}

function timelineCard(run) {
    if (run.stages.length === 0 && run.steps.every((step) => step.begin === null)) return null;
    const picture = el("div", { class: "picture" }, lanes(run, runEnd(run)));

    return card("timeline", "Timeline", zoomButton(run, picture), legend(run), picture);
}

/* --- Initcalls, by the kernel's own clock --- */

function initcallRow(call, longest) {
    return el(
        "tr",
        {},
        el("th", { scope: "row", class: "mono" }, call.name),
        el("td", { class: "number" }, duration(call.begin)),
        el("td", { class: "number" }, duration(call.seconds)),
        el(
            "td",
            { class: "meter-cell" },
            el("div", { class: "meter", style: { width: percent(call.seconds / longest) } }),
        ),
    );
}

function initcallsCard(run) {
    if (run.initcalls.length === 0) return null;
    const calls = [...run.initcalls].sort((a, b) => b.seconds - a.seconds);
    const rows = calls.map((call) => initcallRow(call, calls[0].seconds || 1));
    const heads = [["Initcall"], ["Began (kernel clock)", "number"], ["Took", "number"], [""]];
    const table = dataTable("initcalls", heads, rows.slice(0, LONGEST_INITCALLS));
    const more = el("button", { type: "button", class: "quiet" }, `Show all ${calls.length}`);

    more.addEventListener("click", () => {
        table.querySelector("tbody").replaceChildren(...rows);
        more.remove();
    });
    return card("initcalls", "Longest initcalls", rows.length > LONGEST_INITCALLS ? more : null, table);
}
