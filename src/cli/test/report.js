/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown when: the address behind the #, and keys. */

function sortRuns(runs) {
    return runs
        .map((run, i) => [run, i])
        .sort(([a, i], [b, j]) => STATUSES[a.status].rank - STATUSES[b.status].rank || i - j)
        .map(([run]) => run);
}

function makeView(runs) {
    const view = { runs, sorted: sortRuns(runs), status: null, text: "", apply: () => {} };

    view.setStatus = (status) => {
        view.status = status;
        view.apply();
    };
    view.setText = (text) => {
        view.text = text;
        view.apply();
    };
    return view;
}

/* #run/NAME, #run/NAME/REPEAT, and behind either /attempt-N */
function findPlace(view, hash) {
    const parts = hash.replace(/^#/, "").split("/");
    let name;

    if (parts[0] !== "run" || parts.length < 2) return null;
    try {
        name = decodeURIComponent(parts[1]);
    } catch {
        return null;
    }
    const repeat = Number(parts.slice(2).find((part) => /^\d+$/.test(part)) || 0);
    const attempt = Number((parts.find((part) => part.startsWith("attempt-")) || "").slice(8)) || 0;
    const same = view.runs.filter((run) => run.name === name);
    const run = same.find((one) => one.repeat === repeat) || same[0];
    const order = view.sorted.filter((one) => one === run || isShown(view, one));
    const at = order.indexOf(run);
    return run
        ? { run, attempt: run.attempts[attempt - 1] ? attempt : 0, before: order[at - 1], after: order[at + 1] }
        : null;
}

function topBar(report) {
    const [status, text] = headline(countStatuses(report.runs), report.runs.length);

    return [
        el("a", { href: "#", class: "brand" }, el("span", { class: "logo", "aria-hidden": "true" }, "vmm"), " test"),
        el(
            "a",
            { href: "#", class: `top-status is-${status}` },
            el("span", { class: "icon", "aria-hidden": "true" }, STATUSES[status].icon),
            text,
        ),
    ];
}

function footer() {
    const keys = [
        ["j", "next run"],
        ["k", "previous run"],
        ["u", "all results"],
        ["/", "find"],
        ["f", "failing line"],
    ];

    return keys.map(([key, what]) => el("span", {}, el("kbd", {}, key), ` ${what}`));
}

function wrongAddress(hash) {
    return el("p", { class: "card plain" }, "There is no such run in this report: ", el("code", {}, plain(hash)));
}

function start() {
    const report = readDocument(document.getElementById("data").textContent);
    const view = makeView(report.runs);
    const main = document.getElementById("content");
    let place = null,
        shown = null;

    function show(moveFocus) {
        const hash = location.hash;
        if (hash === "#content") return;
        place = findPlace(view, hash);
        if (place) place.words = report.commandLine;
        shown = place
            ? runView(place.attempt ? place.run.attempts[place.attempt - 1] : place.run, place)
            : overview(report, view);
        if (!place && hash.startsWith("#run")) shown.prepend(wrongAddress(hash));
        main.replaceChildren(shown);
        document.title = place
            ? `${titleOf(place.run)} · vmm test`
            : `${headline(countStatuses(report.runs), report.runs.length)[1]} · vmm test`;
        window.scrollTo(0, 0);
        if (shown.ready) shown.ready();
        if (moveFocus) shown.querySelector("h1").focus({ preventScroll: true });
    }

    const go = (run) => {
        if (run) location.hash = addressOf(run);
    };
    const actions = {
        j: () => go(place ? place.after : view.sorted.find((run) => isShown(view, run))),
        k: () => go(place ? place.before : null),
        u: () => (location.hash = ""),
        f: () => shown.jump?.(),
        "/": () => document.getElementById("search")?.focus(),
    };
    document.addEventListener("keydown", (event) => {
        const isTyping = event.target instanceof HTMLInputElement;
        if (isTyping && event.key === "Escape") event.target.blur();
        if (isTyping || event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(actions, event.key)) return;
        event.preventDefault();
        actions[event.key]();
    });
    window.addEventListener("hashchange", () => show(true));
    document.getElementById("top").append(...topBar(report));
    document.getElementById("foot").append(...footer());
    show(false);
}

start();
