/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console as the guest wrote it: colours are shown, everything else that a terminal would obey is not, and
 * control characters are made visible. Of a long console some parts are left out until they are asked for.
 */

const LINE_CHARACTERS = 3000;
const LINES_BEGIN = 400;
const LINES_AROUND = 1000;
const LINES_END = 1200;
/* On paper, so many lines before the interesting one, and behind it. */
const LINES_PRINTED = 40;

/* --- ECMA-48, 8.3.117: select graphic rendition --- */

const PLAIN_STYLE = { fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, inverse: false };

/* A colour of the 256: a number below 16 is one of the page's own. */
function paletteColour(index) {
    if (index < 16) return index;
    if (index >= 232) return `rgb(${[0, 0, 0].map(() => 8 + (index - 232) * 10).join(",")})`;
    const cube = [Math.floor((index - 16) / 36), Math.floor((index - 16) / 6) % 6, (index - 16) % 6];
    return `rgb(${cube.map((step) => (step === 0 ? 0 : 55 + step * 40)).join(",")})`;
}

/* 38;5;N and 38;2;R;G;B. Returns the colour and how many parameters it took. */
function extendedColour(numbers, at) {
    const byte = (value) => Math.min(255, Math.max(0, value || 0));

    if (numbers[at + 1] === 5) return [paletteColour(byte(numbers[at + 2])), 2];
    if (numbers[at + 1] === 2) return [`rgb(${[2, 3, 4].map((i) => byte(numbers[at + i])).join(",")})`, 4];
    return [null, 1];
}

const FLAGS = {
    1: { bold: true },
    2: { dim: true },
    3: { italic: true },
    4: { underline: true },
    7: { inverse: true },
    22: { bold: false, dim: false },
    23: { italic: false },
    24: { underline: false },
    27: { inverse: false },
    39: { fg: null },
    49: { bg: null },
};

function applyRendition(style, parameters) {
    const numbers = parameters
        .split(/[;:]/)
        .slice(0, 64)
        .map((text) => parseInt(text, 10) || 0);
    let next = { ...style };

    for (let i = 0; i < numbers.length; i++) {
        const n = numbers[i];
        if (n === 0) {
            next = { ...PLAIN_STYLE };
        } else if (n === 38 || n === 48) {
            const [colour, taken] = extendedColour(numbers, i);
            next[n === 38 ? "fg" : "bg"] = colour;
            i += taken;
        } else if ((n >= 30 && n <= 37) || (n >= 90 && n <= 97)) {
            next.fg = n < 90 ? n - 30 : n - 82;
        } else if ((n >= 40 && n <= 47) || (n >= 100 && n <= 107)) {
            next.bg = n < 100 ? n - 40 : n - 92;
        } else if (Object.hasOwn(FLAGS, n)) {
            Object.assign(next, FLAGS[n]);
        }
    }
    return next;
}

function isPlainStyle(style) {
    return Object.keys(PLAIN_STYLE).every((key) => style[key] === PLAIN_STYLE[key]);
}

/* A number is a class, so that the page may choose; anything else was made by paletteColour(). */
function styledSpan(style, text) {
    const [fg, bg] = style.inverse ? [style.bg ?? "back", style.fg ?? "front"] : [style.fg, style.bg];
    const classes = ["bold", "dim", "italic", "underline"].filter((name) => style[name]).map((name) => `a-${name}`);
    const css = {};

    for (const [name, property, colour] of [
        ["fg", "color", fg],
        ["bg", "background-color", bg],
    ]) {
        if (typeof colour === "string" && colour.startsWith("rgb")) css[property] = colour;
        else if (colour !== null) classes.push(`${name}-${colour}`);
    }
    return el("span", { class: classes.join(" ") || null, style: css }, text);
}

/* --- Lines --- */

/* Text without terminal sequences, its invisible characters as small marks. */
function visibleNodes(text) {
    const nodes = [];
    let from = 0;

    for (const found of text.matchAll(INVISIBLE)) {
        nodes.push(text.slice(from, found.index), el("span", { class: "control" }, nameOf(found[0])));
        from = found.index + found[0].length;
    }
    nodes.push(text.slice(from));
    return nodes.filter((node) => node !== "");
}

/* Returns: the nodes of one line, and the style that the next line begins with. */
function renderLine(line, style) {
    const nodes = [];
    const add = (text) => {
        const parts = visibleNodes(text);
        if (parts.length > 0) nodes.push(...(isPlainStyle(style) ? parts : [styledSpan(style, "")]));
        if (parts.length > 0 && !isPlainStyle(style)) nodes.at(-1).append(...parts);
    };
    let from = 0;

    for (const found of line.matchAll(TERMINAL_SEQUENCE)) {
        add(line.slice(from, found.index));
        const rendition = /^\u001b\[([0-9;:]*)m$/.exec(found[0]);
        if (rendition) style = applyRendition(style, rendition[1]);
        from = found.index + found[0].length;
    }
    add(line.slice(from));
    return [nodes, style];
}

/* The console's lines: their numbers and texts; one without a number stands for lines that are not in the page. */
function consoleLines(console) {
    const split = (text) => text.replace(/\n$/, "").split("\n").map(withoutReturns);
    const lines = console.head === "" ? [] : split(console.head).map((text, i) => ({ number: i + 1, text }));

    if (console.tail !== "") {
        const missing = console.tailLine - 1 - lines.length;
        const hasFailure = console.failLine > lines.length && console.failLine < console.tailLine;
        lines.push({ number: null, missing: Math.max(0, missing), hasFailure });
        split(console.tail).forEach((text, i) => lines.push({ number: console.tailLine + i, text }));
    }
    return lines;
}

/* Which indexes of the lines are shown at first: the beginning, the end, around the failing one, what is missing. */
function shownRanges(lines, focus) {
    const count = lines.length;
    const missing = lines.findIndex((line) => line.number === null);
    const wanted = [
        [0, LINES_BEGIN],
        [count - LINES_END, count],
    ];
    const ranges = [];

    if (focus >= 0) wanted.push([focus - LINES_AROUND, focus + LINES_AROUND / 2]);
    if (missing >= 0) wanted.push([missing, missing + 1]);
    wanted.sort((a, b) => a[0] - b[0]);
    for (const [begin, end] of wanted.map(([a, b]) => [Math.max(0, a), Math.min(count, b)])) {
        if (ranges.length > 0 && begin <= ranges.at(-1)[1] + 100) ranges.at(-1)[1] = Math.max(ranges.at(-1)[1], end);
        else if (begin < end) ranges.push([begin, end]);
    }
    return ranges;
}

function missingElement(line) {
    const what =
        line.missing > 0 ? `${plural(line.missing, "line")} not in this page` : "Some output is not in this page";

    return el("div", { class: "cut" }, line.hasFailure ? `${what}, among them the failing one` : what);
}

function lineElement(line, style, marks) {
    if (line.number === null) return [missingElement(line), PLAIN_STYLE];
    const cut = line.text.length > LINE_CHARACTERS;
    const [nodes, next] = renderLine(cut ? line.text.slice(0, LINE_CHARACTERS) : line.text, style);
    const mark = marks.get(line.number);
    const note = cut
        ? el("span", { class: "cut-line" }, ` … ${plural(line.text.length - LINE_CHARACTERS, "more character")}`)
        : null;

    return [
        el(
            "div",
            { class: `line${mark ? ` ${mark.class}` : ""}`, "data-n": line.number },
            el("span", { class: "text" }, nodes, note),
            mark ? el("span", { class: "mark" }, mark.label) : null,
        ),
        next,
    ];
}

function appendRange(box, lines, begin, end, marks) {
    let style = PLAIN_STYLE;

    for (let i = begin; i < end; i++) {
        const [element, next] = lineElement(lines[i], style, marks);
        box.append(element);
        style = next;
    }
}

function gapElement(lines, begin, end, marks) {
    const fragment = () => {
        const part = document.createDocumentFragment();
        appendRange(part, lines, begin, end, marks);
        return part;
    };
    const button = el(
        "button",
        { type: "button", class: "cut", onclick: () => button.replaceWith(fragment()) },
        `Show ${plural(end - begin, "more line")}`,
    );

    return button;
}

/* What the gutter says beside lines: number of a line to its mark. The failure wins, and the last one tells. */
function marksOf(run, console, lines) {
    const marks = new Map();

    run.steps
        .filter((step) => step.line !== null && step.console === console.name)
        .forEach((step) => marks.set(step.line, { class: "is-match", label: `matched: ${step.name}` }));
    run.reports
        .filter((report) => plain(report.console) === console.name && asNumber(report.line, null) !== null)
        .forEach((report) => marks.set(report.line, { class: "is-report", label: plain(report.kind) }));
    if (run.status !== "pass" && run.consoles.every((one) => one.failLine === null) && lines.length > 0)
        marks.set(lines.at(-1).number, { class: "is-end", label: "the last line" });
    if (console.failLine !== null)
        marks.set(console.failLine, {
            class: "is-fail",
            label: run.status === "pass" ? run.verdict : `failed here: ${run.verdict}`,
        });
    return marks;
}

/* Makes a console's box; scrollToFocus() is for when it is in the page: it shows line @number, or else the end. */
function consoleBox(run, console, number) {
    const lines = consoleLines(console);
    const marks = marksOf(run, console, lines);
    const focus = number === null ? -1 : lines.findIndex((line) => line.number === number);
    const box = el("div", { class: "console", tabindex: "0", role: "region", "aria-label": `Console ${console.name}` });
    let last = 0;

    for (const [begin, end] of shownRanges(lines, focus)) {
        if (begin > last) box.append(gapElement(lines, last, begin, marks));
        appendRange(box, lines, begin, end, marks);
        last = end;
    }
    if (lines.length === 0) box.append(el("div", { class: "cut" }, "Nothing was written to this console."));
    const element = focus < 0 ? null : [...box.children].find((line) => line.dataset.n === String(number));
    markPrinted(box, element);
    if (element && number !== console.failLine) element.classList.add("pointed-at");
    box.scrollToFocus = () => {
        box.scrollTop = element ? element.offsetTop - box.clientHeight * 0.6 : box.scrollHeight;
    };
    return box;
}

function markPrinted(box, element) {
    const all = [...box.children];
    const at = element ? all.indexOf(element) : all.length - 1;

    all.forEach((line, i) => line.classList.toggle("far", i < at - LINES_PRINTED || i > at + LINES_PRINTED));
}
