// How the shared scorers of a run are doing, in a panel that is only there if it has any.
import { fill, h } from "../studio.js";
import { figures } from "./shared_words.js";

export class SharedPanel {
  /** `run`: whose clips are told apart from the others'; null if there is no run yet. */
  constructor(run, tag = "section.panel.shared-scorer") {
    this.run = run;
    this.node = h(tag, { role: "group", hidden: true, "aria-label": "Shared scorer" });
    this.drawn = "";
  }

  /** `looks`: as the server gives them. */
  draw(looks) {
    const key = JSON.stringify(looks);
    if (key === this.drawn) return;
    this.drawn = key;
    this.node.hidden = !looks.length;
    fill(
      this.node,
      looks.map((look) => this.one(look)),
    );
  }

  one(look) {
    const state = look.reachable === null ? "asking…" : look.reachable ? "answers" : "does not answer";
    return [
      h(
        "div.panel-head",
        {},
        h("h2", {}, "Shared scorer"),
        h("span.muted", {}, look.scorer.replace(/^shared:|[?#].*$/g, "")),
        h("span.spacer"),
        h(look.reachable === false ? "span.badge.status-failed" : "span.muted", {}, state),
      ),
      look.problem ? h("div.warning", {}, look.problem) : null,
      look.reachable
        ? h(
            "dl.run-facts",
            {},
            figures(look, this.run).map(([name, words]) => h("div", {}, h("dt", {}, name), h("dd", {}, words))),
          )
        : null,
    ];
  }
}
