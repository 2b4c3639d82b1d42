// A run's parent, its checkpoints to branch off at, and its branches.
import { badge, button, count, empty, fileSize, fill, h, page, percent, problem } from "../studio.js";
import { alteredWords, byStart, pointWords, whereWords } from "./branch_words.js";
import { methodLabel, progressWords } from "./run_columns.js";

const NO_POINTS =
  "This run has no checkpoint to branch off at. Runs keep them with the setting keep_checkpoints, " +
  "such as first-success,fifth-success; while a run trains, or after it was stopped, its newest ones will do, too.";

/** The line below a branch's title that says where it comes from; null if the run is no branch. */
export function originLine(run, origin) {
  if (!origin) return null;
  const { parent_id: parent, name, siblings } = origin;
  const others = siblings.length - 1;
  const seed = origin.continuation_seed ? `, continuation seed ${origin.continuation_seed}` : "";
  return h(
    "p.run-origin",
    {},
    "Branch of ",
    name === null ? `run ${parent} (deleted)` : h("a", { href: page("run", { run: parent }), title: name }, `run ${parent}`),
    ` at ${whereWords(origin.moment, origin.step)}`,
    name === null ? "" : `, ${alteredWords(origin.altered)}`,
    seed,
    h(
      "span.run-origin-links",
      {},
      others > 0
        ? h(
            "a",
            { href: page("compare", { runs: siblings.join(",") }) },
            `Compare with its ${others === 1 ? "sibling" : `${count(others)} siblings`}`,
          )
        : null,
      name === null ? null : h("a", { href: page("", { diff: `${parent},${run}` }) }, "Differing settings"),
    ),
  );
}

/** The panel of checkpoints and branches. `onbranch(at)`: branch off there. */
export class FamilyPanel {
  constructor(onbranch) {
    this.onbranch = onbranch;
    this.words = h("span.muted");
    this.points = h("div");
    this.branches = h("div");
    this.node = h(
      "details.panel.run-family",
      {},
      h("summary", {}, h("h2", {}, "Branches and checkpoints "), this.words),
      h("div.run-family-parts", {}, this.branches, this.points),
    );
  }

  draw({ points, trouble, branches, colors }) {
    const size = points.reduce((sum, point) => sum + point.size, 0);
    const checkpoints = `${count(points.length)} ${points.length === 1 ? "checkpoint" : "checkpoints"}`;
    this.words.textContent = [
      branches.length ? `${count(branches.length)} ${branches.length === 1 ? "branch" : "branches"}` : "no branches",
      points.length ? `${checkpoints}, ${fileSize(size)}` : "no checkpoint to branch off at",
    ].join(" · ");
    if (branches.length && !this.shown) this.node.open = true;
    this.shown = true;
    fill(
      this.points,
      h("h3", {}, "Checkpoints"),
      trouble ? problem(trouble) : points.length ? this.pointTable(points) : h("p.muted", {}, NO_POINTS),
    );
    fill(
      this.branches,
      branches.length
        ? byStart(branches).map((group) => branchTable(group, colors))
        : h("p.muted", {}, "No branches yet. A branch continues this run from a checkpoint with other settings."),
    );
  }

  pointTable(points) {
    const table = h(
      "table.table.run-points",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th.right", { scope: "col" }, "Step"),
          h("th", { scope: "col" }, "Checkpoint"),
          h("th.right", { scope: "col" }, "On disk"),
          h("th", {}, h("span.visually-hidden", {}, "Branch")),
        ),
      ),
      h(
        "tbody",
        {},
        points.map((point) =>
          h(
            "tr",
            {},
            h("td.num.right", {}, count(point.step)),
            h("td", {}, pointWords(point)),
            h("td.num.right", {}, fileSize(point.size)),
            h(
              "td.right",
              {},
              button("Branch…", () => this.onbranch(point.at), {
                kind: "small",
                "aria-label": `Branch off at step ${count(point.step)}`,
              }),
            ),
          ),
        ),
      ),
    );
    return h("div.run-points-wrap", {}, table);
  }
}

function branchTable({ step, moment, rows }, colors) {
  const ids = rows.map((row) => row.run_id).sort((a, b) => a - b);
  return h(
    "section",
    {},
    h(
      "div.panel-head",
      {},
      h("h3", {}, `Branches at ${whereWords(moment, step)}`),
      h("a", { href: page("compare", { runs: ids.join(",") }) }, rows.length > 1 ? "Compare them" : "Compare"),
    ),
    h(
      "div.table-wrap",
      {},
      h(
        "table.table.run-branches",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Run", "State", "Method", "Progress", "Best", "Latest"].map((words) => h("th", { scope: "col" }, words)),
          ),
        ),
        h(
          "tbody",
          {},
          rows.map((row) =>
            h(
              "tr",
              {},
              h("td", {}, h("a", { href: page("run", { run: row.run_id }), title: row.name }, `${row.run_id} · ${row.name}`)),
              h("td", {}, badge(row.state)),
              h("td", {}, methodLabel(row.method, colors[row.method])),
              h("td.num", {}, progressWords(row)),
              h("td.num", {}, percent(row.best_success)),
              h("td.num", {}, percent(row.latest_success)),
            ),
          ),
        ),
      ),
    ),
  );
}

/** What the dialog shows if there is nothing to branch off at. */
export function noPoints() {
  return empty("Nothing to branch off at", NO_POINTS);
}
