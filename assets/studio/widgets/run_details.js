// A run's log and its settings.
import { button, count, fileSize, h, poll } from "../studio.js";

const SECONDS = 3;
const NEAR_THE_END = 24;

/** The end of the log; it follows new lines unless the user has scrolled up. */
export class LogView {
  constructor(call, run) {
    this.call = call;
    this.run = run;
    this.version = "";
    /** Refresh the log right away. @type {(() => void) | undefined} */
    this.look = undefined;
    this.follows = true;
    this.text = h("pre.run-log", { tabindex: 0, "aria-label": "Log", onscroll: () => this.scrolled() });
    this.where = h("p.muted", { hidden: true });
    this.jump = button("Follow the end", () => this.toEnd(), { kind: "small", hidden: true });
    this.node = h(
      "details.panel",
      { ontoggle: () => this.node.open && this.start() },
      h("summary", {}, h("h2", {}, "Log")),
      this.where,
      this.text,
      this.jump,
    );
  }

  start() {
    this.look ??= poll(() => this.tick(), SECONDS);
    this.toEnd();
  }

  async tick() {
    if (!this.node.open) return;
    let answer;
    try {
      answer = await this.call("log", { run: this.run, version: this.version });
    } catch (error) {
      if (!this.version) this.text.textContent = error.message;
      return;
    }
    this.where.textContent = answer.where;
    this.where.hidden = !answer.where;
    if (answer.text === null) return;
    this.version = answer.version;
    this.text.textContent = answer.text || "No log. A run started in a terminal logs to that terminal.";
    if (this.follows) this.toEnd();
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.text;
    this.follows = scrollHeight - scrollTop - clientHeight < NEAR_THE_END;
    this.jump.hidden = this.follows;
  }

  toEnd() {
    this.text.scrollTop = this.text.scrollHeight;
  }
}

/** What the run takes in the store and on the disk, by table; `call("size")` has the numbers. */
function sizeView(call, run) {
  const words = h("span", {}, "…");
  const tables = h("tbody");
  const details = h(
    "details",
    { ontoggle: () => details.open && read() },
    h("summary", {}, "Size: ", words),
    h("div.table-wrap", {}, h("table.table", {}, tables)),
  );
  const read = async () => {
    const size = await call("size", { run });
    const found = Object.entries(size.tables).sort((a, b) => b[1].bytes - a[1].bytes);
    const total = (name) => found.reduce((sum, [, table]) => sum + table[name], 0);
    words.textContent =
      `${count(total("rows"))} rows, ${fileSize(total("bytes"))} in the store without indexes; ` +
      `${fileSize(size.folder_bytes)} of checkpoints and logs`;
    tables.replaceChildren(
      ...found.map(([name, table]) =>
        h("tr", {}, h("th.mono", { scope: "row" }, name), h("td", {}, count(table.rows)), h("td", {}, fileSize(table.bytes))),
      ),
    );
  };
  read().catch(() => (words.textContent = "cannot be read"));
  return details;
}

/** All settings: non-default ones first, the others collapsed. */
export function settingsView(facts, call, run) {
  const changed = facts.settings.filter((setting) => setting.changed);
  const rest = facts.settings.filter((setting) => !setting.changed);
  return h(
    "section.panel",
    { "aria-label": "Settings" },
    h("h2", {}, "Settings"),
    changed.length ? settingsTable(changed, true) : h("p.muted", {}, "All settings are at their defaults."),
    h("details", {}, h("summary", {}, `${rest.length} settings at their defaults`), settingsTable(rest, false)),
    facts.success_rule ? h("p.muted", {}, `Success criterion: ${facts.success_rule}`) : null,
    h("p.muted", {}, "Checkpoints and log: ", h("code", {}, facts.folder)),
    sizeView(call, run),
  );
}

function settingsTable(settings, withDefault) {
  return h(
    "div.table-wrap",
    {},
    h(
      "table.table.run-settings",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", {}, "Setting"),
          h("th", {}, "Value"),
          withDefault ? h("th", {}, "Default") : null,
          h("th", {}, "Description"),
        ),
      ),
      h(
        "tbody",
        {},
        settings.map((setting) =>
          h(
            "tr",
            {},
            h("th.mono", { scope: "row" }, setting.name),
            h("td.mono", {}, setting.value),
            withDefault ? h("td.mono.muted", {}, setting.default) : null,
            h("td.muted", {}, setting.description),
          ),
        ),
      ),
    ),
  );
}
