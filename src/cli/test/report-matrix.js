/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as tables: scenarios and some axes of the matrix downwards, the other axes across. Scenarios with the
 * same axes share a table; those without any are tiles.
 */

const COLUMNS_WANTED = 6;
const COLUMNS_MOST = 12;

function worstStatus(runs) {
    return runs.map((run) => run.status).sort((a, b) => STATUSES[a].rank - STATUSES[b].rank)[0];
}

function unique(values) {
    return [...new Set(values)];
}

/* Runs of one name are one cell: [{name, scenario, values, runs}]. */
function cellsOf(runs) {
    const cells = new Map();

    for (const run of runs) {
        if (!cells.has(run.name))
            cells.set(run.name, {
                name: run.name,
                scenario: run.scenario,
                axes: run.axes.map((pair) => pair.name),
                values: run.axes.map((pair) => pair.value),
                runs: [],
            });
        cells.get(run.name).runs.push(run);
    }
    return [...cells.values()];
}

function groupByAxes(cells) {
    const groups = new Map();

    for (const cell of cells) {
        const key = JSON.stringify(cell.axes);
        if (!groups.has(key)) groups.set(key, { axes: cell.axes, cells: [] });
        groups.get(key).cells.push(cell);
    }
    return [...groups.values()];
}

/* Which axes go across: the last ones, as long as the table stays narrow. Returns how many go downwards. */
function splitAxes(group, values, scenarios) {
    let split = group.axes.length;
    let columns = 1;

    while (split > 0 && columns * values[split - 1].length <= COLUMNS_WANTED) columns *= values[--split].length;
    if (split === group.axes.length && values[split - 1].length <= COLUMNS_MOST) split--;
    return split === 0 && scenarios === 1 && group.axes.length > 1 ? 1 : split;
}

function product(lists) {
    return lists.reduce((all, list) => all.flatMap((head) => list.map((value) => [...head, value])), [[]]);
}

function cellLink(cell, label) {
    const status = worstStatus(cell.runs);
    const passed = cell.runs.filter((run) => ["pass", "xfail"].includes(run.status)).length;
    const repeated = cell.runs.length > 1;
    const worst = cell.runs.find((run) => run.status === status);
    const text = repeated
        ? `${passed} of ${cell.runs.length} passed`
        : status === "fail"
          ? worst.verdict
          : STATUSES[status].label.toLowerCase();
    const times = cell.runs.map((run) => run.seconds).sort((a, b) => a - b);
    const seconds = `${repeated ? "about " : ""}${duration(times[times.length >> 1])}`;

    return el(
        "a",
        {
            class: `cell is-${status}`,
            href: addressOf(worst),
            "data-status": unique(cell.runs.map((run) => run.status)).join(" "),
            "data-name": cell.name,
            title: [titleOf(worst), worst.reason].filter((part) => part !== "").join("\n"),
        },
        el("span", { class: "icon", "aria-hidden": "true" }, STATUSES[status].icon),
        el(
            "span",
            { class: "cell-text" },
            label ? el("b", {}, label) : null,
            el("span", {}, text),
            el("small", {}, seconds),
        ),
        label ? null : el("span", { class: "sr" }, ` ${plain(cell.name)}`),
    );
}

function columnHeads(axes, values, downwards, rowHeads) {
    const across = axes.slice(downwards);
    let repeat = 1;

    if (across.length === 0)
        return [
            el(
                "tr",
                {},
                rowHeads.map((name) => el("th", { scope: "col" }, name)),
                el("th", { scope: "col" }, "result"),
            ),
        ];
    return across.map((name, i) => {
        const list = values[downwards + i];
        const span = values.slice(downwards + i + 1).reduce((n, next) => n * next.length, 1);
        const heads = Array.from({ length: repeat }, () =>
            list.map((value) =>
                el("th", { scope: "col", colspan: span, class: "value" }, el("small", {}, `${name} `), value),
            ),
        );

        repeat *= list.length;
        return el(
            "tr",
            {},
            i === 0
                ? rowHeads.map((head) => el("th", { scope: "col", rowspan: across.length, class: "corner" }, head))
                : null,
            heads,
        );
    });
}

/* Row headers that are like the ones above span them. */
function rowHeader(rows, index, depth) {
    const same = (i) => rows[i] && rows[i].slice(0, depth + 1).every((value, k) => value === rows[index][k]);
    let span = 1;

    if (index > 0 && same(index - 1)) return null;
    while (same(index + span)) span++;
    return el("th", { scope: span > 1 ? "rowgroup" : "row", rowspan: span }, rows[index][depth]);
}

function matrixTable(group) {
    const scenarios = unique(group.cells.map((cell) => cell.scenario));
    const values = group.axes.map((_, i) => unique(group.cells.map((cell) => cell.values[i])));
    const downwards = splitAxes(group, values, scenarios.length);
    const known = new Map(group.cells.map((cell) => [JSON.stringify([cell.scenario, ...cell.values]), cell]));
    const rows = unique(
        group.cells.map((cell) => JSON.stringify([cell.scenario, ...cell.values.slice(0, downwards)])),
    ).map((key) => JSON.parse(key));
    const columns = product(values.slice(downwards));

    return el(
        "div",
        { class: "scroll" },
        el(
            "table",
            { class: "matrix" },
            el("caption", { class: "sr" }, `Results of ${scenarios.join(", ")}`),
            el(
                "thead",
                {},
                columnHeads(group.axes, values, downwards, ["scenario", ...group.axes.slice(0, downwards)]),
            ),
            el(
                "tbody",
                {},
                rows.map((head, i) =>
                    el(
                        "tr",
                        {},
                        head.map((_, depth) => rowHeader(rows, i, depth)),
                        columns.map((column) => {
                            const cell = known.get(JSON.stringify([...head, ...column]));
                            return el(
                                "td",
                                {},
                                cell ? cellLink(cell) : el("span", { class: "hole", title: "not in the matrix" }, "·"),
                            );
                        }),
                    ),
                ),
            ),
        ),
    );
}

function matrixCard(runs) {
    const groups = groupByAxes(cellsOf(runs));
    const tables = groups.filter((group) => group.axes.length > 0).map(matrixTable);
    const single = groups.filter((group) => group.axes.length === 0).flatMap((group) => group.cells);
    const tiles = single.map((cell) => el("li", {}, cellLink(cell, plain(cell.name) || "(no name)")));

    return card("matrix", "Matrix", null, tables, tiles.length > 0 ? el("ul", { class: "tiles" }, tiles) : null);
}
