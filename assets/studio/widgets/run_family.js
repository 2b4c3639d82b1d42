// A run's relatives as a tree, and its checkpoints to branch off at.
import { badge, button, count, empty, fileSize, fill, h, page, percent, problem } from "../studio.js";
import { alteredWords, methodCounts, pointWords, treeOf, whereWords } from "./branch_words.js";
import { methodLabel, progressWords, share } from "./run_columns.js";

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

/** The panel of a run's relatives and checkpoints. `onbranch(at)`: branch off there. */
export class FamilyPanel {
  constructor(run, onbranch) {
    this.run = run;
    this.onbranch = onbranch;
    this.unfolded = new Set(); // keys of the starts whose many branches are shown
    this.words = h("span.muted");
    this.points = h("div");
    this.tree = h("div.kin-tree");
    this.node = h(
      "details.panel.run-family",
      {},
      h("summary", {}, h("h2", {}, "Branches and checkpoints "), this.words),
      h("div.run-family-parts", {}, this.tree, this.points),
    );
  }

  draw({ points, trouble, relatives, colors }) {
    const branches = relatives.filter((row) => row.parent_id === this.run);
    const size = points.reduce((sum, point) => sum + point.size, 0);
    const checkpoints = `${count(points.length)} ${points.length === 1 ? "checkpoint" : "checkpoints"}`;
    this.words.textContent = [
      branches.length ? `${count(branches.length)} ${branches.length === 1 ? "branch" : "branches"}` : "no branches",
      points.length ? `${checkpoints}, ${fileSize(size)}` : "no checkpoint to branch off at",
    ].join(" · ");
    if (relatives.length > 1 && !this.shown) this.node.open = true;
    this.shown = true;
    fill(
      this.points,
      h("h3", {}, "Checkpoints"),
      trouble ? problem(trouble) : points.length ? this.pointTable(points) : h("p.muted", {}, NO_POINTS),
    );
    const own = relatives.find((row) => row.run_id === this.run);
    fill(
      this.tree,
      relatives.length > 1 || own?.parent_id
        ? [treeHead(), h("ul.kin", {}, this.kin(treeOf(this.run, relatives), colors))]
        : h("p.muted", {}, "No branches yet. A branch continues this run from a checkpoint with other settings."),
    );
  }

  /** A run with what branches off it, as an item of a list. */
  kin({ row, run_id: id, starts }, colors) {
    return h(
      "li",
      {},
      row
        ? h(
            `div.kin-run${id === this.run ? ".current" : ""}`,
            { "aria-current": id === this.run ? "true" : null },
            h("a.kin-name", { href: page("run", { run: id }), title: row.name }, `${id} · ${row.name}`),
            h("span.kin-method", { title: row.method }, methodLabel(row.method, colors[row.method])),
            h("span.kin-state", { title: progressWords(row) }, badge(row.state), share(row) < 1 ? percent(share(row)) : null),
            h("span.num.kin-success", { title: `best ${percent(row.best_success)}` }, percent(row.latest_success)),
          )
        : h("div.kin-run.muted", {}, `run ${id} (deleted)`),
      starts.map((start) => this.start(start, colors)),
    );
  }

  /** The branches from one step; of many, only those on the way to the run, with the others folded up. */
  start({ key, step, moment, ids, shown, folded }, colors) {
    const many = ids.length > 1;
    return h(
      "div.kin-start",
      {},
      h(
        "p",
        {},
        `${many ? `${count(ids.length)} branches` : "Branch"} at ${whereWords(moment, step)}`,
        many ? h("a", { href: page("compare", { runs: [...ids].sort((a, b) => a - b).join(",") }) }, "Compare them") : null,
      ),
      h(
        "ul.kin",
        {},
        shown.map((tree) => this.kin(tree, colors)),
      ),
      folded.length
        ? h(
            "details.kin-folded",
            {
              open: this.unfolded.has(key),
              ontoggle: ({ target }) => this.unfolded[target.open ? "add" : "delete"](key),
            },
            h("summary", {}, shown.length ? `${count(folded.length)} more: ` : "", methodCounts(folded.map((tree) => tree.row))),
            h(
              "ul.kin",
              {},
              folded.map((tree) => this.kin(tree, colors)),
            ),
          )
        : null,
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

function treeHead() {
  const names = ["name", "method", "state", "success"];
  return h(
    "div.kin-run.kin-head",
    {},
    ["Run", "Method", "State", "Latest success"].map((words, at) => h(`span.kin-${names[at]}`, {}, words)),
  );
}

/** What the dialog shows if there is nothing to branch off at. */
export function noPoints() {
  return empty("Nothing to branch off at", NO_POINTS);
}
