/* SPDX-License-Identifier: Apache-2.0 */
/* The first view: how it went, what needs a look, the matrix, all runs, and repeats. */

function countStatuses(runs) {
    const counts = Object.fromEntries(Object.keys(STATUSES).map((status) => [status, 0]));

    runs.forEach((run) => counts[run.status]++);
    return counts;
}

function headline(counts, total) {
    const bad = counts.fail + counts.xpass;

    if (total === 0) return ["error", "Nothing was run"];
    if (bad > 0) return ["fail", `${bad} of ${plural(total, "run")} failed`];
    if (counts.error > 0) return ["error", `${counts.error} of ${plural(total, "run")} could not be judged`];
    if (counts.pass === 0 && counts.flaky === 0 && counts.xfail === 0) return ["skip", "All runs were skipped"];
    return [
        counts.flaky > 0 ? "flaky" : "pass",
        counts.flaky > 0 ? `Passed, but ${counts.flaky} flaky` : total === 1 ? "The run passed" : "All runs passed",
    ];
}

function proportionBar(counts, total) {
    const shown = Object.keys(STATUSES).filter((status) => counts[status] > 0);

    return el(
        "div",
        {
            class: "proportion",
            role: "img",
            "aria-label": shown.map((status) => `${counts[status]} ${STATUSES[status].many}`).join(", "),
        },
        shown.map((status) => el("span", { class: `is-${status}`, style: { width: percent(counts[status] / total) } })),
    );
}

/* --- What is shown: by status and by name --- */

function filterChip(view, status, label, count) {
    return el(
        "button",
        {
            type: "button",
            class: `chip${status ? ` is-${status}` : ""}`,
            "data-filter": status || "all",
            "aria-pressed": String(view.status === status),
            onclick: () => view.setStatus(view.status === status ? null : status),
        },
        status ? el("span", { class: "icon", "aria-hidden": "true" }, STATUSES[status].icon) : null,
        label,
        el("b", {}, String(count)),
    );
}

function filterBar(view, counts, total) {
    const search = el("input", {
        type: "search",
        id: "search",
        placeholder: "Find a run  ( / )",
        "aria-label": "Find a run by name, verdict or reason",
        oninput: () => view.setText(search.value),
    });

    search.value = view.text;
    return el(
        "div",
        { class: "filters", role: "group", "aria-label": "Show" },
        filterChip(view, null, "All", total),
        Object.keys(STATUSES)
            .filter((status) => counts[status] > 0)
            .map((status) => filterChip(view, status, STATUSES[status].label, counts[status])),
        search,
    );
}

function isShown(view, run) {
    const words = view.text
        .toLowerCase()
        .split(/\s+/)
        .filter((word) => word !== "");
    const text = [titleOf(run), run.verdict, run.reason, ...run.tags].join("\n").toLowerCase();

    return (view.status === null || run.status === view.status) && words.every((word) => text.includes(word));
}

function applyFilter(view, root) {
    const shown = new Set(view.runs.filter((run) => isShown(view, run)));
    const names = new Set([...shown].map((run) => run.name));

    root.querySelectorAll(".chip").forEach((chip) =>
        chip.setAttribute("aria-pressed", String(chip.dataset.filter === (view.status || "all"))),
    );
    root.querySelectorAll(".cell").forEach((cell) => cell.classList.toggle("faded", !names.has(cell.dataset.name)));
    root.querySelectorAll(".run").forEach((item, i) => (item.hidden = !shown.has(view.sorted[i])));
    root.querySelector(".none").hidden = shown.size > 0;
    root.querySelector(".shown").textContent =
        shown.size === view.runs.length
            ? plural(shown.size, "run")
            : `${shown.size} of ${plural(view.runs.length, "run")}`;
}

/* --- All runs, the worst first --- */

function miniTimeline(run, longest) {
    const length = runEnd(run);

    return el(
        "div",
        { class: "mini", "aria-hidden": "true" },
        el(
            "div",
            { class: "mini-track", style: { width: percent(length / longest) } },
            run.stages.map((stage) =>
                bar(
                    stageClass(stage.name),
                    stage.begin,
                    stage.end,
                    length,
                    spanTitle(stage.name, stage.begin, stage.end),
                ),
            ),
        ),
    );
}

function reasonOf(run) {
    if (run.status === "xpass") return `Passed, but is known to fail: ${run.knownFailure}`;
    if (run.status === "xfail") return `Known: ${run.knownFailure}. ${run.reason}`;
    if (run.status === "flaky")
        return `Passed at attempt ${run.attempts.length + 1}. Before: ${run.attempts.map((attempt) => attempt.reason || attempt.verdict).join("; ")}`;
    return run.status === "pass" ? `Ended as expected: ${run.reason}` : run.reason;
}

/* One that there is nothing to say about. */
function isPlainPass(run) {
    return run.status === "pass" && (run.outcome === "" || run.outcome === "passed");
}

function runItem(run, longest) {
    const reason = isPlainPass(run) ? "" : reasonOf(run);

    return el(
        "li",
        { class: `run is-${run.status}` },
        el(
            "a",
            { href: addressOf(run) },
            badge(run.status),
            el(
                "span",
                { class: "run-main" },
                el(
                    "span",
                    { class: "run-name" },
                    titleOf(run),
                    run.status === "pass" && run.verdict === "passed" ? null : el("code", {}, run.verdict),
                ),
                reason !== "" ? el("span", { class: "run-reason" }, reason) : null,
            ),
            el("span", { class: "run-time" }, el("span", {}, duration(run.seconds)), miniTimeline(run, longest)),
        ),
    );
}

function runsCard(view) {
    const longest = Math.max(...view.runs.map(runEnd), 1e-6);
    const items = view.sorted.map((run) => runItem(run, longest));
    const none = el("p", { class: "none", hidden: true }, "No run is like that.");

    return card(
        "runs",
        "Runs",
        el("span", { class: "shown", role: "status" }),
        el("ul", { class: "runs" }, items),
        none,
    );
}

/* --- Repeats --- */

function stripPlot(runs) {
    const times = runs.map((run) => run.seconds);
    const [low, high] = [Math.min(...times), Math.max(...times)];
    const room = Math.max((high - low) * 0.06, high * 0.01, 1e-6);
    const place = (seconds) => percent((seconds - low + room) / (high - low + 2 * room));

    return el(
        "div",
        { class: "strip" },
        runs.map((run, i) =>
            el("a", {
                class: `dot is-${run.status}`,
                href: addressOf(run),
                title: `${titleOf(run)}: ${run.verdict}, ${duration(run.seconds)}`,
                "aria-label": `${titleOf(run)}: ${run.verdict}, ${duration(run.seconds)}`,
                style: { left: place(run.seconds), top: `${22 + ((i * 29) % 57)}%` },
            }),
        ),
    );
}

function repeatRow(repeat, runs) {
    const own = runs.filter((run) => run.name === asText(repeat.name) && run.status !== "skip");
    const rate = asNumber(repeat.rate, null);
    const seconds = asObject(repeat.seconds);
    const verdicts = Object.entries(asObject(repeat.verdicts))
        .map(([kind, count]) => `${plain(kind)} ${asNumber(count)}`)
        .join(", ");

    return el(
        "tr",
        {},
        el("th", { scope: "row" }, plain(repeat.name)),
        el(
            "td",
            { class: "rate" },
            el("b", {}, rate === null ? "–" : `${(rate * 100).toFixed(rate === 1 || rate === 0 ? 0 : 1)} %`),
            el("small", {}, `${asNumber(repeat.passed)} of ${asNumber(repeat.runs)}`),
            el(
                "div",
                { class: "rate-bar", "aria-hidden": "true" },
                el("span", { style: { width: percent(rate || 0) } }),
            ),
        ),
        ["min", "median", "max"].map((key) =>
            el("td", { class: "number" }, key in seconds ? duration(asNumber(seconds[key])) : "–"),
        ),
        el("td", { class: "strip-cell" }, own.length > 0 ? stripPlot(own) : null),
        el("td", {}, verdicts),
    );
}

function repeatsCard(report) {
    const heads = [
        ["Run"],
        ["Pass rate"],
        ["Min", "number"],
        ["Median", "number"],
        ["Max", "number"],
        ["Each run, by time"],
        ["Verdicts"],
    ];
    const rows = report.repeats.map((repeat) => repeatRow(repeat, report.runs));

    return rows.length === 0 ? null : card("repeats", "Repeats", null, dataTable("repeats", heads, rows));
}

function overviewHero(report, counts) {
    const [status, text] = headline(counts, report.runs.length);

    return el(
        "section",
        { class: `hero is-${status}` },
        el("h1", { tabindex: "-1" }, el("span", { class: "icon", "aria-hidden": "true" }, STATUSES[status].icon), text),
        el(
            "p",
            { class: "facts" },
            [
                `in ${duration(report.seconds)}`,
                report.started !== "" ? `started ${report.started}` : "",
                report.version !== "" ? `vmm ${report.version}` : "",
            ]
                .filter((part) => part !== "")
                .join(" · "),
        ),
        report.runs.length > 0 ? proportionBar(counts, report.runs.length) : null,
        report.commandLine.length > 0
            ? el("code", { class: "command" }, report.commandLine.map(shellWord).join(" "))
            : null,
    );
}

function overview(report, view) {
    const counts = countStatuses(report.runs);
    const root = el("div", { class: "overview" }, overviewHero(report, counts));

    if (report.runs.length > 0)
        root.append(
            filterBar(view, counts, report.runs.length),
            matrixCard(report.runs),
            ...[repeatsCard(report)].filter(Boolean),
            runsCard(view),
        );
    view.apply = () => applyFilter(view, root);
    if (report.runs.length > 0) view.apply();
    return root;
}
