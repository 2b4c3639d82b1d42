// The start page: all runs, live.
import { Kept } from "../kept.js";
import { button, empty, fill, h, page, poll, problem, query, setQuery } from "../studio.js";
import { ACTIONS, askTags, Menu, perform } from "./run_actions.js";
import { isExtra, nextSort, sortKey, sortRows } from "./run_columns.js";
import { showDiff } from "./run_diff.js";
import { passing, RunFilter } from "./run_filter.js";
import { closedFromText, groupingBy, groupsBy, textOfClosed } from "./run_groups.js";
import { QueueStrip } from "./run_queue.js";
import { RunTable } from "./run_table.js";
import { RunTableView } from "./run_table_view.js";

const SECONDS = 2;

export function mount({ node, data, call }) {
  const list = new RunList(call, data);
  fill(node, list.node);
  list.refresh = poll(() => list.tick(), SECONDS);
  return list.refresh();
}

class RunList {
  constructor(call, { quick, max_columns: maxColumns }) {
    this.call = call;
    this.quick = quick;
    this.rows = new Map();
    this.versions = {};
    /** @type {any[]} */
    this.order = [];
    this.loaded = false;
    /** Refresh all runs right away; set when polling starts. */
    this.refresh = async () => {};
    const refresh = () => this.refresh();
    this.trouble = h("div");
    this.filter = new RunFilter(() => this.draw());
    this.queue = new QueueStrip(
      call,
      (id) => this.act("cancel", [this.rows.get(id)]),
      () => this.draw(),
    );
    this.menu = new Menu("Actions");
    this.table = new RunTable(call, {
      select: () => this.drawSelection(),
      sort: (key, descending) => this.sortBy(key, descending),
      toggleSet: (name) => this.toggleSet(name),
      menu: (row, opener) => this.menu.open(opener, this.menuItems(row)),
      renamed: (row, name) => {
        if (name) this.rows.set(row.run_id, { ...row, name });
        this.draw();
        refresh();
      },
    });
    this.kept = new Kept("runs-view", { group: "set" });
    this.view = new RunTableView(call, maxColumns, this.kept, {
      regroup: () => {
        setQuery({ closed: "" });
        this.redraw();
      },
      columns: () => this.redraw(),
    });
    this.filter.node.append(h("span.spacer"), this.view.node);
    this.bar = h("div.action-bar", { role: "toolbar", "aria-label": "Selected runs", hidden: true });
    this.diff = h("div");
    this.nothing = h("div");
    this.more = h("p.muted");
    this.content = h(
      "div",
      { hidden: true },
      this.queue.node,
      this.filter.node,
      this.bar,
      this.diff,
      this.table.node,
      this.nothing,
      this.more,
    );
    this.start = h("div");
    this.node = h("div", {}, h("h1.visually-hidden", {}, "Runs"), this.trouble, this.start, this.content);
    addEventListener("popstate", () => {
      this.view.draw();
      this.redraw();
    });
  }

  // -- answers of the server

  async tick() {
    try {
      const answer = await this.call("table", { known: this.versions, columns: this.wantedColumns() });
      this.take(answer);
      fill(this.trouble);
    } catch (error) {
      if (!this.trouble.firstChild || this.trouble.textContent !== error.message) fill(this.trouble, problem(error.message));
      return;
    }
    const first = !this.loaded;
    this.loaded = true;
    this.draw();
    if (first && query().diff) await showDiff(this.call, this.diff, query().diff.split(","));
  }

  take({ order, rows, versions, colors, more, queue }) {
    this.table.colors = colors;
    rows.forEach((row) => this.rows.set(row.run_id, row));
    const there = new Set(order);
    [...this.rows.keys()].forEach((id) => there.has(id) || this.rows.delete(id));
    this.versions = Object.fromEntries(Object.entries({ ...this.versions, ...versions }).filter(([id]) => there.has(Number(id))));
    this.order = order;
    this.queue.draw(queue);
    this.more.textContent = more ? `Showing the newest ${order.length} runs. \`python -m vlmrb runs\` lists all.` : "";
  }

  // -- drawing

  draw() {
    if (!this.loaded) return;
    const rows = this.order.map((id) => this.rows.get(id));
    this.content.hidden = !rows.length;
    fill(this.start, rows.length ? null : this.welcome());
    const shown = sortRows(passing(rows, query()), this.sort);
    this.filter.update(rows, shown.length);
    this.table.node.hidden = !shown.length;
    fill(this.nothing, shown.length ? null : h("p.run-nothing.muted", {}, "No runs match these filters."));
    const columns = this.view.columns;
    if (columns !== this.table.columns) this.table.setColumns(columns);
    const groups = groupsBy(shown, groupingBy(this.kept.get("group")));
    this.table.draw(groups, { sort: this.sort, closed: this.closed });
    this.drawSelection();
  }

  /** Added columns, and those that the table is grouped or sorted by without showing them. */
  wantedColumns() {
    const others = [this.kept.get("group"), sortKey(this.sort)].filter(isExtra);
    return [...new Set([...this.view.extra, ...others])];
  }

  /** Draw what is known, and read what is not. */
  redraw() {
    this.draw();
    this.refresh();
  }

  welcome() {
    return h(
      "div.panel",
      {},
      empty(
        "No runs yet",
        "VLM-RB shows short clips of the agent to a frozen vision-language model, asks whether they show progress, and replays " +
          "clips labelled yes more often. The quick comparison trains a small agent with VLM-RB, PER and uniform replay, so " +
          "that you can see how everything works.",
        h("a.button.primary", { href: page("launch", { preset: this.quick }) }, "Launch the quick comparison"),
        h("a.button", { href: page("launch") }, "Configure your own runs"),
      ),
    );
  }

  get sort() {
    return query().sort || "-id";
  }

  /** Names of the collapsed groups, from the URL. */
  get closed() {
    return closedFromText(query().closed);
  }

  sortBy(key, descending = false) {
    const next = nextSort(this.sort, key, descending);
    setQuery({ sort: next === "-id" ? "" : next });
    this.draw();
  }

  toggleSet(name) {
    const closed = this.closed;
    if (!closed.delete(name)) closed.add(name);
    setQuery({ closed: textOfClosed(closed) });
    this.draw();
  }

  // -- actions

  drawSelection() {
    const rows = this.table.selectedRows;
    const key = JSON.stringify(rows.map((row) => [row.run_id, row.actions]));
    if (key === this.barKey) return;
    this.barKey = key;
    this.bar.hidden = !rows.length;
    const ids = rows.map((row) => row.run_id).join(",");
    const doable = Object.keys(ACTIONS).filter((action) => rows.some((row) => row.actions.includes(action)));
    fill(
      this.bar,
      h("strong", { role: "status" }, `${rows.length} selected`),
      h("a.button.small", { href: page("compare", { runs: ids }) }, "Compare"),
      h("a.button.small", { href: page("clips", { run: ids }) }, "Clips"),
      rows.length > 1
        ? button(
            "Differing settings",
            () =>
              showDiff(
                this.call,
                this.diff,
                rows.map((row) => row.run_id),
              ),
            { kind: "small" },
          )
        : null,
      button("Tags…", () => this.tags(rows), { kind: "small" }),
      doable.map((action) =>
        this.actionButton(
          action,
          rows.filter((row) => row.actions.includes(action)),
          rows.length,
        ),
      ),
      h("span.spacer"),
      button("Clear selection", () => this.table.selectMany(rows, false), { kind: "small.quiet" }),
    );
  }

  /** A button that says how many of the selected runs it applies to, if not to all. */
  actionButton(action, rows, selected) {
    const { name, danger } = ACTIONS[action];
    return button(rows.length < selected ? `${name} (${rows.length})` : name, () => this.act(action, rows), {
      kind: danger ? "small.danger" : "small",
    });
  }

  menuItems(row) {
    const go = (path, values) => () => location.assign(page(path, values));
    return [
      ["Open", go("run", { run: row.run_id })],
      ["Clips", go("clips", { run: row.run_id })],
      ["Rename", () => this.table.edit(row)],
      ["Tags…", () => this.tags([row])],
      row.actions.length ? null : undefined,
      ...row.actions.map((action) => [ACTIONS[action].name, () => this.act(action, [row]), ACTIONS[action].danger]),
    ].filter((item) => item !== undefined);
  }

  async act(action, rows) {
    await perform(this.call, action, rows);
    this.refresh();
  }

  async tags(rows) {
    if (await askTags(this.call, rows)) this.refresh();
  }
}
