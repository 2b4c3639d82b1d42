// The run table: rows, sets, selection. Only cells whose contents have changed are redrawn.
import { fill, focusedNode, h, page } from "../studio.js";
import { editName } from "./run_actions.js";
import { cellClass, sortKey } from "./run_columns.js";
import { groupWords } from "./run_groups.js";

/** The table. `on`: { select(), sort(key), toggleSet(name), menu(row, opener), renamed() }. */
export class RunTable {
  constructor(call, on) {
    this.call = call;
    this.on = on;
    this.colors = {};
    this.lines = new Map();
    this.sets = new Map();
    this.selected = new Set();
    this.shown = [];
    this.all = h("input", {
      type: "checkbox",
      "aria-label": "Select all runs shown",
      onchange: () => this.selectMany(this.shown, this.all.checked),
    });
    /** What `columns` have been shown. @type {any[]} */
    this.columns = [];
    /** @type {any[]} */
    this.heads = [];
    this.headRow = h("tr");
    this.body = h("tbody");
    this.node = h(
      "div.table-wrap.panel.run-flush",
      {},
      h("table.table.run-table", { "aria-label": "Runs" }, h("thead", {}, this.headRow), this.body),
    );
  }

  /** Show these columns from now on. */
  setColumns(columns) {
    this.columns = columns;
    this.heads = columns.map((column) => this.head(column));
    fill(this.headRow, h("th.run-check", {}, this.all), this.heads, h("th", {}, h("span.visually-hidden", {}, "Menu")));
    this.lines.clear();
    this.sets.clear();
    fill(this.body);
  }

  head(column) {
    const sort = h(
      "button.run-sort",
      { type: "button", title: column.hint ?? null, onclick: () => this.on.sort(column.key, column.descending) },
      column.title,
    );
    return h("th", { class: cellClass(column), "data-key": column.key }, sort);
  }

  /** Show `groups`, [{ name, title, rows }] or one without a name, and the sort order in the headers. */
  draw(groups, { sort, closed }) {
    const key = sortKey(sort);
    this.heads.forEach((head) =>
      head.setAttribute("aria-sort", head.dataset.key !== key ? "none" : sort.startsWith("-") ? "descending" : "ascending"),
    );
    const wanted = [];
    this.shown = [];
    for (const group of groups) {
      const isClosed = closed.has(group.name ?? "");
      if (group.name !== undefined) wanted.push(this.setLine(group, isClosed));
      this.shown.push(...group.rows);
      if (!isClosed) wanted.push(...group.rows.map((row) => this.line(row)));
    }
    const there = new Set(this.shown.map((row) => row.run_id));
    this.selected.forEach((id) => there.has(id) || this.selected.delete(id));
    arrange(this.body, wanted);
    this.showSelection();
  }

  /** The table row of a run, with changed cells redrawn. */
  line(row) {
    const line = this.lines.get(row.run_id) ?? this.newLine(row.run_id);
    this.lines.set(row.run_id, line);
    line.row = row;
    this.columns.forEach((column, i) => {
      const key = JSON.stringify(column.of(row, this.colors));
      if (line.keys[i] === key || (column.key === "name" && line.editing)) return;
      line.keys[i] = key;
      fill(line.cells[i], column.draw ? column.draw(row, this.colors) : String(column.of(row)));
    });
    return line.node;
  }

  newLine(id) {
    const cells = this.columns.map((column) => h("td", { class: cellClass(column) }));
    const line = { keys: [], cells, row: null, editing: false };
    line.box = h("input", {
      type: "checkbox",
      "aria-label": `Select run ${id}`,
      onclick: (event) => this.tick(line.row, line.box.checked, event.shiftKey),
    });
    const opener = h(
      "button.icon-button.small",
      {
        type: "button",
        "aria-label": `Menu of run ${id}`,
        "aria-haspopup": "menu",
        "aria-expanded": "false",
        onclick: () => this.on.menu(line.row, opener),
      },
      "⋯",
    );
    line.node = h("tr", { "data-run": id }, h("td.run-check", {}, line.box), cells, h("td.run-check", {}, opener));
    return line;
  }

  setLine(group, isClosed) {
    const name = group.name ?? "";
    const line = this.sets.get(name) ?? this.newSetLine(name);
    this.sets.set(name, line);
    line.rows = group.rows;
    line.toggle.setAttribute("aria-expanded", String(!isClosed));
    line.toggle.textContent = group.title;
    line.box.setAttribute("aria-label", `Select all of ${group.title}`);
    fill(line.words, groupWords(group.rows));
    line.compare.href = page("compare", { runs: group.rows.map((row) => row.run_id).join(",") });
    return line.node;
  }

  newSetLine(name) {
    const line = { rows: [] };
    line.box = h("input", {
      type: "checkbox",
      onchange: () => this.selectMany(line.rows, line.box.checked),
    });
    line.toggle = h("button.set-toggle", { type: "button", onclick: () => this.on.toggleSet(name) });
    line.words = h("span.muted");
    line.compare = h("a", {}, "Compare");
    line.node = h(
      "tr.set-line",
      {},
      h("td.run-check", {}, line.box),
      h(
        "td",
        { colspan: this.columns.length + 1 },
        h("div.set-head", {}, line.toggle, line.words, h("span.spacer"), line.compare),
      ),
    );
    return line;
  }

  // -- selection

  tick(row, checked, range) {
    const at = this.shown.findIndex((other) => other.run_id === row.run_id);
    const from = this.shown.findIndex((other) => other.run_id === this.lastTicked);
    const rows = range && from >= 0 ? this.shown.slice(Math.min(at, from), Math.max(at, from) + 1) : [row];
    this.lastTicked = row.run_id;
    this.selectMany(rows, checked);
  }

  selectMany(rows, checked) {
    rows.forEach((row) => (checked ? this.selected.add(row.run_id) : this.selected.delete(row.run_id)));
    this.showSelection();
    this.on.select();
  }

  get selectedRows() {
    return this.shown.filter((row) => this.selected.has(row.run_id));
  }

  showSelection() {
    for (const row of this.shown) {
      const line = this.lines.get(row.run_id);
      if (!line) continue;
      line.box.checked = this.selected.has(row.run_id);
      line.node.classList.toggle("run-chosen", line.box.checked);
    }
    [...this.sets.values()].forEach((line) => tickOf(line.box, line.rows, this.selected));
    tickOf(this.all, this.shown, this.selected);
  }

  /** Let the user rename the run in its row. */
  edit(row) {
    const line = this.lines.get(row.run_id);
    const at = this.columns.findIndex((column) => column.key === "name");
    line.editing = true;
    editName(line.cells[at], row, this.call, (name) => {
      line.editing = false;
      line.keys[at] = null;
      this.on.renamed(row, name);
    });
  }
}

function tickOf(box, rows, selected) {
  const n = rows.filter((row) => selected.has(row.run_id)).length;
  box.checked = rows.length > 0 && n === rows.length;
  box.indeterminate = n > 0 && n < rows.length;
}

/** Make `nodes` the children of `parent`, with as few moves as possible, and keep the focus. */
function arrange(parent, nodes) {
  const focused = parent.contains(document.activeElement) ? focusedNode() : null;
  const wanted = new Set(nodes);
  [...parent.children].forEach((child) => wanted.has(child) || child.remove());
  let cursor = parent.firstElementChild;
  for (const node of nodes) {
    if (node === cursor) cursor = cursor.nextElementSibling;
    else parent.insertBefore(node, cursor);
  }
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}
