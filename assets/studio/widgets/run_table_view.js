// The View menu of the run table: what it is grouped by, and its columns.
import { rememberedLists, rememberLists } from "../kept.js";
import { button, fill, h, toast } from "../studio.js";
import { moved, ShownList, viewChoice, viewMenu, viewPart } from "../view_menu.js";
import { ALWAYS_SHOWN, COLUMNS, extraColumn, isExtra, shownColumns } from "./run_columns.js";
import { GROUPINGS } from "./run_groups.js";

const COLUMNS_KEPT = "run-columns"; // in the browser's memory: the order of the columns, hidden ones, and added ones
const KINDS = [
  ["setting", "Setting"],
  ["last", "Last value of"],
  ["min", "Smallest value of"],
  ["max", "Largest value of"],
];

export class RunTableView {
  /** `kept`: holds the grouping as `group`. `on`: { regroup(), columns() } when it or the columns have changed. */
  constructor(call, maxColumns, kept, on) {
    this.call = call;
    this.maxColumns = maxColumns;
    this.kept = kept;
    this.on = on;
    /** @type {any} */
    this.choice = rememberedLists(COLUMNS_KEPT, ["order", "hidden", "extra"]);
    this.choice.extra = this.choice.extra.filter(isExtra).slice(0, maxColumns);
    /** The columns to show; another list whenever they change. @type {any[]} */
    this.columns = shownColumns(this.choice);
    /** What can be added, once it has been read. @type {{ metrics: string[], settings: any[] }} */
    this.choices = { metrics: [], settings: [] };
    this.grouping = h("span");
    this.list = new ShownList("Columns", "Usual columns", {
      toggle: (key) => this.toggle(key),
      move: (key, by) => this.change({ order: moved(this.keys(), key, by) }),
      reset: () => this.change({ order: [], hidden: [], extra: [] }),
    });
    this.names = h("datalist", { id: "run-column-names" });
    this.kind = viewChoice("What to add", KINDS, "setting", () => this.drawNames());
    this.name = h("input.input", {
      list: "run-column-names",
      "aria-label": "Setting or metric",
      autocomplete: "off",
      onkeydown: (event) => event.key === "Enter" && this.add(),
    });
    this.trouble = h("p.field-problem", { role: "alert" });
    this.node = viewMenu(
      viewPart("Group by", this.grouping),
      viewPart("Columns", this.list.node),
      viewPart(
        "Add a column",
        h(
          "div.run-add-column",
          {},
          this.kind,
          this.name,
          this.names,
          button("Add", () => this.add(), { kind: "small" }),
        ),
        this.trouble,
      ),
    );
    this.node.querySelector(".view-menu").addEventListener("toggle", (event) => event.newState === "open" && this.read());
    this.draw();
  }

  /** Keys of the added columns. */
  get extra() {
    return this.choice.extra;
  }

  keys() {
    return this.columns.map((column) => column.key);
  }

  change(changes) {
    this.choice = { ...this.choice, ...changes };
    rememberLists(COLUMNS_KEPT, this.choice);
    this.columns = shownColumns(this.choice);
    this.draw();
    this.on.columns();
  }

  /** Hide or show a column; an added one goes away. */
  toggle(key) {
    const { hidden, extra } = this.choice;
    if (isExtra(key)) this.change({ extra: extra.filter((each) => each !== key) });
    else this.change({ hidden: hidden.includes(key) ? hidden.filter((each) => each !== key) : [...hidden, key] });
  }

  /** What can be added: it is read anew whenever the menu opens. */
  async read() {
    try {
      this.choices = await this.call("columns");
    } catch (error) {
      toast(error.message, "error");
    }
    this.draw();
  }

  add() {
    const name = this.name.value.trim();
    const key = `${this.kind.value}:${name}`;
    const setting = this.kind.value === "setting";
    const known = this.known();
    this.trouble.textContent = !name
      ? `Choose a ${setting ? "setting" : "metric"}.`
      : !known.includes(name)
        ? `${name} is no ${setting ? "setting" : "metric"} of these runs; choose one from the list.`
        : this.extra.length >= this.maxColumns
          ? `At most ${this.maxColumns} columns can be added; remove one first.`
          : "";
    if (this.trouble.textContent) return;
    this.name.value = "";
    if (!this.extra.includes(key)) this.change({ extra: [...this.extra, key] });
  }

  known() {
    return this.kind.value === "setting" ? this.choices.settings.map((setting) => setting.name) : this.choices.metrics;
  }

  // -- drawing

  draw() {
    const shown = this.columns.map(({ key, title }) => ({ key, title, shown: true, fixed: key === ALWAYS_SHOWN }));
    const hidden = COLUMNS.filter((column) => !this.columns.includes(column));
    const { order, extra } = this.choice;
    this.list.draw(
      [...shown, ...hidden.map(({ key, title }) => ({ key, title, shown: false }))],
      !order.length && !hidden.length && !extra.length,
    );
    this.drawNames();
    this.drawGrouping();
  }

  drawNames() {
    this.name.placeholder = this.kind.value === "setting" ? "learning_rate" : "eval/success_rate";
    const words = new Map(this.choices.settings.map(({ name, varies }) => [name, varies ? "differs between runs" : ""]));
    const key = JSON.stringify([this.kind.value, this.choices]);
    if (key === this.namesKey) return;
    this.namesKey = key;
    fill(
      this.names,
      this.known().map((name) => h("option", { value: name }, words.get(name) ?? "")),
    );
  }

  /** Groupings: the usual ones, and settings in which the runs differ. */
  drawGrouping() {
    const chosen = this.kept.get("group");
    const settings = this.choices.settings.filter(({ varies }) => varies).map(({ name }) => `setting:${name}`);
    if (isExtra(chosen) && !settings.includes(chosen)) settings.unshift(chosen);
    const options = [
      ["no", "Nothing"],
      ...GROUPINGS.map(({ key, title }) => [key, title]),
      ...settings.map((key) => [key, extraColumn(key).title]),
    ];
    const key = JSON.stringify([options, chosen]);
    if (key === this.groupingKey) return;
    this.groupingKey = key;
    const select = viewChoice("Group by", options, chosen, (group) => {
      this.kept.set({ group });
      this.on.regroup();
    });
    const focused = this.grouping.contains(document.activeElement);
    fill(this.grouping, select);
    if (focused) select.focus();
  }
}
