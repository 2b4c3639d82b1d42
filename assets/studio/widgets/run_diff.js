// The settings that differ between runs, side by side.
import { button, fill, h, page, problem, setQuery } from "../studio.js";

/** Show in `place` the settings that differ between the runs `ids`; the URL keeps the ids. */
export async function showDiff(call, place, ids) {
  setQuery({ diff: ids.join(",") });
  const close = button(
    "Close",
    () => {
      setQuery({ diff: "" });
      fill(place);
    },
    { kind: "small" },
  );
  try {
    const { runs, differences } = await call("diff", { ids });
    const same = h("p.muted", {}, "These runs have the same settings, including the seed.");
    const head = h("div.panel-head", {}, h("h2", {}, "Differing settings"), close);
    const panel = h(
      "section.panel.run-diff",
      { "aria-label": "Differing settings", tabindex: -1 },
      head,
      differences.length ? diffTable(runs, differences) : same,
    );
    fill(place, panel);
    panel.focus({ preventScroll: true });
  } catch (error) {
    fill(place, problem(error.message), close);
  }
}

function diffTable(runs, differences) {
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
          runs.map((run) => h("th", {}, h("a", { href: page("run", { run: run.run_id }) }, run.name), ` #${run.run_id}`)),
        ),
      ),
      h(
        "tbody",
        {},
        differences.map((one) =>
          h(
            "tr",
            {},
            h("th.mono", { scope: "row", title: one.description }, one.name),
            one.values.map((value) => h("td.mono", {}, value)),
          ),
        ),
      ),
    ),
  );
}
