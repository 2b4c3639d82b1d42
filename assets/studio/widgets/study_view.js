// The studies page: the list of studies; of one, its claim, its runs as a grid, its cost and its report as it fills.
import {
  badge,
  bar,
  button,
  confirm,
  count,
  duration,
  empty,
  fill,
  h,
  page,
  poll,
  problem,
  query,
  setQuery,
  toast,
} from "../studio.js";
import { cellWords, costWords, gridRows } from "./study_words.js";

const SECONDS = 2.5;
const LIST_EVERY = 4; // the list changes more slowly than the study that is shown

export function mount({ node, data, call }) {
  const view = new StudyPage(data, call);
  fill(node, view.node);
  return view.start();
}

class StudyPage {
  constructor(data, call) {
    this.data = data;
    this.call = call;
    this.ticks = 0;
    /** What each part of the page shows, as text: a part is drawn again only if that has changed. */
    this.drawn = new Map();
    /** @type {string} */
    this.name = query().study ?? "";
    /** @type {any} */
    this.view = null;
    this.version = "";
    /** @type {string | null} */
    this.picture = null;
    this.list = h("nav.panel.study-list", { "aria-label": "Studies" });
    this.trouble = h("div");
    this.head = h("section.panel");
    this.grid = h("section.panel", { "aria-label": "Runs" });
    this.report = h("section.panel.study-report", { "aria-label": "Report" });
    this.design = h("section.panel", { "aria-label": "Design" });
    this.detail = h("div.study-detail", { hidden: true }, this.head, this.grid, this.report, this.design);
    this.node = h(
      "div.studies",
      {},
      h("h1.visually-hidden", {}, "Studies"),
      this.list,
      h("div.study-main", {}, this.trouble, this.detail),
    );
    addEventListener("popstate", () => this.choose(query().study ?? "", false));
  }

  start() {
    this.refresh = poll(() => this.tick(), SECONDS);
    return this.refresh();
  }

  async tick() {
    try {
      if (this.ticks++ % LIST_EVERY === 0) await this.loadList();
      if (this.name) await this.look();
      fill(this.trouble);
    } catch (error) {
      fill(this.trouble, problem(error.message));
      if (!error.offline) this.detail.hidden = true;
    }
  }

  async loadList() {
    this.entries = await this.call("listed");
    if (!this.name) this.name = (this.entries.find((each) => each.state === "running") ?? this.entries[0])?.name ?? "";
    this.drawList();
  }

  async look() {
    const name = this.name;
    const view = await this.call("look", { study: name });
    if (name !== this.name) return;
    this.view = view;
    this.detail.hidden = false;
    this.draw(this.head, view, () => this.drawHead());
    this.draw(this.grid, [view.cells, view.seeds], () => this.drawGrid());
    this.draw(this.design, [view.name, view.arms, view.settings], () => this.drawDesign());
    const results = await this.call("results", { study: name, version: this.version });
    if (name !== this.name || (results.version === this.version && this.version)) return;
    this.version = results.version;
    this.draw(this.report, [name, results], () => this.drawReport(results));
  }

  /** Draw a part of the page if what it shows has changed, so that selections and focus last. */
  draw(place, shown, build) {
    const text = JSON.stringify(shown);
    if (this.drawn.get(place) === text) return;
    this.drawn.set(place, text);
    fill(place, build());
  }

  choose(name, push = true) {
    this.name = name;
    this.version = "";
    this.drawn.delete(this.report);
    setQuery({ study: name }, { push });
    this.drawList();
    this.refresh?.();
  }

  // -- the list

  drawList() {
    const begun = this.entries.filter((each) => each.state);
    const others = this.entries.filter((each) => !each.state);
    this.draw(this.list, [this.entries, this.name], () => [
      begun.length ? [h("h2", {}, "Begun"), begun.map((each) => this.entry(each))] : null,
      others.length ? [h("h2", {}, "Presets"), others.map((each) => this.entry(each))] : null,
    ]);
  }

  entry(each) {
    return h(
      "a.study-entry",
      {
        href: page("studies", { study: each.name }),
        "aria-current": each.name === this.name ? "page" : null,
        onclick: (event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          this.choose(each.name);
        },
      },
      h("span.study-name", {}, each.name),
      each.state
        ? h("span.study-at", {}, badge(each.state), h("span.num", {}, each.runs ? `${each.done}/${each.runs}` : ""))
        : h("span.muted", {}, `${each.runs} runs`),
      h("span.study-title.muted", {}, each.problem || each.title),
    );
  }

  // -- the study

  drawHead() {
    const view = this.view;
    return [
      h("div.study-head", {}, h("h2", {}, view.title), view.state ? badge(view.state) : null, this.actions()),
      view.claims.map((claim) => h("p.study-claim", {}, h("strong", {}, "Claim "), claim)),
      view.error ? problem(view.error) : null,
      view.state === "running" && !view.carried
        ? h("p.notice", {}, "Its runs train, but no process makes the ones that follow. Press “Continue”.")
        : null,
      view.state
        ? [
            h(
              "div.study-progress",
              {},
              bar(view.steps / view.of, "steps trained"),
              h("span.num", {}, `${count(view.done)} of ${count(view.cells.length)} runs`),
            ),
            view.state === "finished" ? null : h("p.muted", {}, leftWords(view)),
          ]
        : h("p.muted", {}, costWords(view.cost)),
    ];
  }

  actions() {
    const view = this.view;
    const isSmall = view.name === view.small;
    const small =
      view.small && !isSmall
        ? view.small_begun
          ? button("Small version", () => this.choose(view.small))
          : button("Run small version", () => this.begin(view.small, null), { title: "Ends in minutes, and decides nothing" })
        : null;
    const full =
      isSmall && view.full
        ? h(
            "a.button",
            { href: page("studies", { study: view.full }), onclick: (event) => this.open(event, view.full) },
            "Full version",
          )
        : null;
    if (view.carried)
      return h(
        "div.buttons-row",
        {},
        full,
        small,
        button("Stop", () => this.stop(), { kind: "danger" }),
      );
    if (view.state === "finished") return h("div.buttons-row", {}, full, small, this.compare());
    const words = view.state ? "Continue" : "Run";
    return h(
      "div.buttons-row",
      {},
      full,
      small,
      button(words, () => this.begin(view.name, view.cost), { kind: "primary" }),
    );
  }

  open(event, name) {
    event.preventDefault();
    this.choose(name);
  }

  compare() {
    const runs = this.view.cells.filter((cell) => cell.run_id !== null && cell.arm !== "trunk").map((cell) => cell.run_id);
    return runs.length ? h("a.button", { href: page("compare", { runs: runs.join(",") }) }, "Compare its runs") : null;
  }

  /** Begin or continue a study; an expensive one asks first. */
  async begin(name, cost) {
    if (cost && cost.core_hours > this.data.ask_above) {
      const question = `This trains ${costWords(cost)}. It can be stopped at any time.`;
      if (!(await confirm(`Start ${name}?`, question, "Start"))) return;
    }
    await this.ask("start", name);
    if (name !== this.name) this.choose(name);
  }

  async stop() {
    const stopped = await this.ask("stop", this.name);
    if (stopped !== undefined) toast(`${count(stopped)} runs are stopped; each keeps a checkpoint. “Continue” resumes them.`);
  }

  async ask(what, name) {
    for (const each of this.head.querySelectorAll("button")) each.disabled = true;
    try {
      return await this.call(what, { study: name });
    } catch (error) {
      toast(error.message, "error");
    } finally {
      this.drawn.delete(this.head);
      this.ticks = 0;
      this.refresh?.();
    }
  }

  drawGrid() {
    const view = this.view;
    const rows = gridRows(view.cells);
    return [
      h("h2", {}, "Runs"),
      h(
        "div.table-wrap",
        {},
        h(
          "table.table.study-grid",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              h("th", { scope: "col" }, "arm"),
              view.seeds.map((seed) => h("th.num", { scope: "col", title: `seed ${seed}` }, String(seed))),
            ),
          ),
          h(
            "tbody",
            {},
            rows.map((row) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, row.task ? `${row.task}, ${row.arm}` : row.arm),
                view.seeds.map((seed) => h("td", {}, square(row.cells.get(seed)))),
              ),
            ),
          ),
        ),
      ),
      view.cells
        .filter((cell) => cell.error)
        .map((cell) => problem(`Run ${cell.run_id} (${cell.arm}, seed ${cell.seed}): ${cell.error}`)),
    ];
  }

  drawReport(results) {
    if (this.picture) URL.revokeObjectURL(this.picture);
    this.picture = null;
    if (!results.tables) {
      return [h("h2", {}, "Report"), empty("No run has ended yet", "Verdicts, tables and curves appear here as runs end.")];
    }
    // shown as a picture, so that nothing in it can run
    this.picture = URL.createObjectURL(new Blob([results.picture], { type: "image/svg+xml" }));
    return [
      h("h2", {}, `Report on ${count(results.lines)} of ${count(this.view.cells.length)} runs`),
      this.view.claims.map((claim, i) =>
        h(
          `div.verdict${results.answers[i].some((each) => each.outcome !== "undecided") ? ".decided" : ""}`,
          {},
          h("p.muted", {}, claim),
          results.answers[i].map((each) => h("p", {}, each.words)),
        ),
      ),
      h("img.study-picture", { src: this.picture, alt: "Curves of all arms, with the interval of each arm's mean" }),
      results.tables.map((table) => [
        table.title ? h("h3", {}, table.title) : null,
        h("div.table-wrap", {}, reportTable(table)),
        table.foot ? h("p.muted.study-foot", {}, table.foot) : null,
      ]),
      h(
        "ul.study-notes",
        {},
        results.notes.map((note) => h("li", {}, note)),
      ),
    ];
  }

  drawDesign() {
    const view = this.view;
    const facts = [
      ["Measures", view.measures.join(", ")],
      ["Metric", view.metric],
      ["Seeds", view.seeds.join(", ")],
      ["Branches", view.branch],
      ["Settings of every run", view.settings || "the defaults"],
      ["Folder", view.folder],
    ];
    return [
      h("h2", {}, "Design"),
      h(
        "dl.study-facts",
        {},
        facts.filter(([, words]) => words).map(([name, words]) => [h("dt", {}, name), h("dd", {}, words)]),
      ),
      view.tasks.length ? settingsTable("task", view.tasks) : null,
      settingsTable("arm", view.arms),
      view.note ? h("p.study-note", {}, view.note) : null,
    ];
  }
}

/** One run as a square, which links to its page. */
function square(cell) {
  if (!cell) return null;
  const words = cellWords(cell);
  const kind = `.cell-${cell.state.replace(/\W/g, "")}`;
  const attributes = { title: words, "aria-label": words };
  const inner = [h("span.cell-fill", { style: { height: `${Math.round(100 * cell.share)}%` } })];
  return cell.run_id === null
    ? h(`span.cell${kind}`, { ...attributes, role: "img" }, inner)
    : h(`a.cell${kind}`, { ...attributes, href: page("run", { run: cell.run_id }) }, inner);
}

function reportTable(table) {
  return h(
    "table.table.report-table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        table.header.map((words) => h("th", { scope: "col" }, words)),
      ),
    ),
    h(
      "tbody",
      {},
      table.rows.map(([first, ...rest]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, first),
          rest.map((words) => h("td.num", {}, words)),
        ),
      ),
    ),
  );
}

function settingsTable(what, rows) {
  return h(
    "div.table-wrap",
    {},
    h(
      "table.table",
      {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, what), h("th", { scope: "col" }, "sets"))),
      h(
        "tbody",
        {},
        rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.name), h("td", {}, row.settings || "–"))),
      ),
    ),
  );
}

function leftWords(view) {
  const left = costWords(view.cost);
  return view.state === "running" ? `${duration(3600 * view.cost.hours)} left: ${left}` : `Left: ${left}`;
}
