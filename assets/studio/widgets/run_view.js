// The page of one run: header, live changes, curves, log and settings.
import {
  ago,
  badge,
  bar,
  button,
  count,
  empty,
  fill,
  h,
  number,
  page,
  percent,
  poll,
  problem,
  query,
  setQuery,
  toast,
} from "../studio.js";
import { branchRun } from "./branch_dialog.js";
import { momentsOf } from "./branch_words.js";
import { ACTIONS, askTags, editName, perform } from "./run_actions.js";
import { RunCharts } from "./run_charts.js";
import { methodLabel, progressWords, share, shortEnv } from "./run_columns.js";
import { LiveControls } from "./run_controls.js";
import { lastSteps } from "./run_curves.js";
import { LogView, settingsView } from "./run_details.js";
import { DrawsPanel } from "./run_draws.js";
import { FamilyPanel, originLine } from "./run_family.js";
import { SystemPanel } from "./run_system.js";
import { SharedPanel } from "./shared_scorer.js";

const SECONDS = 2;
const FAMILY_SECONDS = 10;
const ASKED_AGAIN_MS = 500; // the studio has begun to ask the server
const LIVE = new Set(["created", "queued", "running", "paused"]);

export async function mount({ node, call, plotly }) {
  const run = query().run;
  try {
    if (!run) throw new Error("The URL names no run.");
    const facts = await call("facts", { run });
    const view = new RunView(call, run, facts, plotly);
    fill(node, view.node);
    view.refresh = poll(() => view.tick(), SECONDS);
    view.refreshFamily = poll(() => view.readFamily(), FAMILY_SECONDS);
    if (facts.scorer.includes("shared:")) poll(() => view.readShared(), SECONDS);
    const followed = poll(() => view.draws.follow(), FAMILY_SECONDS)();
    await Promise.all([view.refresh(), view.refreshFamily(), followed]);
    await poll(() => view.readReasons(), FAMILY_SECONDS)();
  } catch (error) {
    fill(
      node,
      h("div.panel", {}, empty("This run cannot be shown", error.message, h("a.button", { href: page("") }, "All runs"))),
    );
  }
}

class RunView {
  constructor(call, run, facts, plotly) {
    this.call = call;
    this.run = run;
    this.facts = facts;
    this.seen = { step: 0, pid: 0 };
    this.keys = {};
    /** Refresh the run right away; set when polling starts. */
    this.refresh = async () => {};
    /** Read branches and checkpoints right away. */
    this.refreshFamily = async () => {};
    this.trouble = h("div");
    this.origin = h("div");
    this.title = h("h1.run-title");
    this.state = h("span");
    this.tags = h("span.run-tags");
    this.actions = h("div.run-actions");
    this.progress = h("div.run-progress");
    this.figures = h("dl.run-facts");
    this.words = h("div");
    const clips = facts.keeps_clips ? (step) => location.assign(this.clipsAround(step)) : null;
    this.charts = new RunCharts(plotly, facts.color, facts.play_steps, clips);
    this.system = new SystemPanel(plotly, facts.color, () => this.charts.smoothing);
    this.controls = new LiveControls(call, run, facts, () => this.refresh());
    this.family = new FamilyPanel(Number(run), (at) => this.branch(at));
    this.shared = new SharedPanel(Number(run));
    this.reasons = h("section.panel.run-why", { hidden: true, "aria-label": "Why" });
    this.draws = new DrawsPanel(call, run);
    this.log = new LogView(call, run);
    this.node = h(
      "div.run-page",
      {},
      this.trouble,
      h(
        "header.panel.run-head",
        {},
        h("div.run-top", {}, this.title, this.state, this.tags, h("span.spacer"), this.actions),
        this.origin,
        this.progress,
        this.figures,
        this.words,
      ),
      this.controls.node,
      this.shared.node,
      this.family.node,
      this.reasons,
      this.charts.node,
      this.system.node,
      this.draws.node,
      this.log.node,
      settingsView(facts, call, run),
    );
  }

  async tick() {
    let look;
    try {
      look = await this.call("look", { run: this.run, since: lastSteps(this.charts.data), ...this.seen });
    } catch (error) {
      if (this.trouble.textContent !== error.message) fill(this.trouble, problem(error.message));
      return;
    }
    fill(this.trouble);
    this.seen = { step: look.row.step, pid: look.pid };
    this.charts.take(look);
    this.system.take(this.charts.data);
    this.drawHead(look.row);
    this.controls.update(look, this.charts.data.get("replay/vlm_weight")?.values.at(-1));
    if (!this.started) this.start(look);
  }

  /** What changes more slowly than the run: its parent, branches and checkpoints, and when it succeeded. */
  async readFamily() {
    const found = await this.call("family", { run: this.run }).catch(() => null); // `tick` says what is wrong
    if (!found) return;
    this.relatives = found;
    this.once("family", found, () => this.family.draw(found));
    this.once("origin", found.origin, () => fill(this.origin, originLine(this.run, found.origin)));
    this.charts.mark(momentsOf(Number(this.run), found));
    if (this.row) this.drawHead(this.row);
  }

  /** How the model that scores for this run is doing; nobody asks once the run has ended. */
  async readShared() {
    if (!this.row) return;
    const looks = LIVE.has(this.row.state) ? await this.call("shared", { run: this.run }).catch(() => null) : [];
    if (looks) this.shared.draw(looks);
    if (looks?.some((look) => look.reachable === null)) setTimeout(() => this.readShared(), ASKED_AGAIN_MS);
  }

  /** Why the labels help, or cannot; they change only while the run trains. */
  async readReasons() {
    if (!this.started || !this.facts.has_scorer || this.explained === this.seen.step) return;
    const step = this.seen.step;
    const found = await this.call("reasons", { run: this.run }).catch(() => null); // `tick` says what is wrong
    if (!found) return;
    this.explained = step;
    this.reasons.hidden = !found.length;
    this.once("reasons", found, () =>
      fill(
        this.reasons,
        h("h2", {}, "Why"),
        h(
          "ul",
          {},
          found.map((words) => h("li", {}, words)),
        ),
      ),
    );
  }

  branch(at, variants = []) {
    branchRun(this.call, this.run, at, () => this.refreshFamily(), variants);
  }

  /** Branch with each contestant of the prompt bench that the URL names, once. */
  async branchWithBench(bench) {
    setQuery({ bench: null }); // a reload does not ask again
    try {
      this.branch(undefined, await this.call("contestants", { bench }));
    } catch (error) {
      toast(error.message, "error");
    }
  }

  start(look) {
    this.started = true;
    if (query().bench) this.branchWithBench(query().bench);
    this.controls.loadPrompts(look.prompt).catch((error) => fill(this.trouble, problem(error.message)));
    if (look.row.state !== "finished") this.log.node.open = true;
  }

  clipsAround(step) {
    const half = Math.ceil(this.facts.eval_interval / 2);
    return page("clips", { run: this.run, min_step: Math.max(0, step - half), max_step: step + half });
  }

  // -- the header; only what has changed is redrawn

  once(part, value, draw) {
    const key = JSON.stringify(value);
    if (this.keys[part] === key) return;
    this.keys[part] = key;
    draw();
  }

  drawHead(row) {
    this.row = row;
    document.title = `${row.name} · VLM-RB Studio`;
    if (!this.editing) this.once("title", row.name, () => this.drawTitle());
    this.once("state", row.state, () => fill(this.state, badge(row.state)));
    this.once("tags", row.tags, () =>
      fill(
        this.tags,
        row.tags.map((tag) => h("span.tag", {}, tag)),
      ),
    );
    this.once("actions", row.actions, () => fill(this.actions, this.actionButtons()));
    this.progress.classList.toggle("still", row.eta_s === null);
    this.once("progress", [row.step, row.total_steps, row.eta_s, row.state, row.doing], () =>
      fill(
        this.progress,
        bar(share(row), "progress"),
        h("span.num", {}, `${count(row.step)} of ${count(row.total_steps)} steps · ${progressWords(row)}`),
      ),
    );
    const facts = this.factsOf(row);
    this.once(
      "facts",
      facts.map(([name, words]) => [name, words]),
      () =>
        fill(
          this.figures,
          facts.map(([name, words, nodes]) => h("div", {}, h("dt", {}, name), h("dd", {}, nodes ?? words))),
        ),
    );
    this.once("words", [row.error, row.warning], () =>
      fill(this.words, row.error ? problem(row.error) : null, row.warning ? h("div.warning", {}, row.warning) : null),
    );
  }

  drawTitle() {
    fill(
      this.title,
      h("span", {}, this.row.name),
      h(
        "button.icon-button.small",
        { type: "button", "aria-label": "Rename", title: "Rename", onclick: () => this.rename() },
        "✎",
      ),
    );
  }

  rename() {
    this.editing = true;
    editName(this.title, this.row, this.call, (name) => {
      this.editing = false;
      this.keys.title = null;
      this.drawHead({ ...this.row, name: name ?? this.row.name });
    });
  }

  /** [name, text, nodes shown in place of the text, if any]. */
  factsOf(row) {
    const ratio = h(
      "span",
      { title: "Samples drawn per stored transition: batch_size / train_freq" },
      number(this.facts.replay_ratio),
    );
    /** @type {(any[] | null)[]} */
    const facts = [
      ["Environment", shortEnv(row.env)],
      ["Method", row.method, methodLabel(row.method, this.facts.color)],
      ["Agent", row.algo.toUpperCase()],
      ["Seed", String(row.seed)],
      this.facts.replay_ratio === null ? null : ["Replay ratio", number(this.facts.replay_ratio), ratio],
      row.set_name ? ["Set", row.set_name, h("a", { href: page("", { set: row.set_name }) }, row.set_name)] : null,
      this.facts.imported ? ["Trained by", "another program"] : ["Started", row.started_at ? ago(row.started_at) : "not yet"],
      row.ended_at ? [this.facts.imported ? "Imported" : "Ended", ago(row.ended_at)] : null,
      ["Latest success", percent(row.latest_success)],
      ["Best success", percent(row.best_success)],
      ...this.phases(),
      ["Steps/s", number(row.steps_per_second, 4)],
      ...(this.facts.has_scorer
        ? [
            [
              "Clips",
              count(row.clips),
              row.clips && this.facts.keeps_clips ? h("a", { href: page("clips", { run: row.run_id }) }, count(row.clips)) : null,
            ],
            ["Labelled yes", percent(row.positive_rate)],
            ["Backlog", count(row.backlog)],
          ]
        : []),
    ];
    return facts.filter((fact) => fact !== null);
  }

  /** When the run succeeded, and how long it took from there. */
  phases() {
    const found = this.relatives;
    if (!found || this.facts.imported) return [];
    const since = found.origin ? "the branch" : "fifth";
    return [
      found.origin ? null : ["First success", found.first_success === null ? "none yet" : `step ${count(found.first_success)}`],
      found.origin || found.first_success === null
        ? null
        : ["Fifth success", found.fifth_success === null ? "none yet" : `step ${count(found.fifth_success)}`],
      found.to_50 === null ? null : [`From ${since} to 50 %`, `${count(found.to_50)} steps`],
      found.to_90 === null ? null : [`From ${since} to 90 %`, `${count(found.to_90)} steps`],
    ];
  }

  actionButtons() {
    const row = this.row;
    const links = [
      button("Branch…", () => this.branch()),
      h("a.button", { href: page("launch", { like: row.run_id }) }, "Launch again…"),
      h("a.button", { href: page("compare", { runs: row.run_id }) }, "Compare"),
      button("Tags…", () => this.changeTags()),
    ];
    return [
      links,
      row.actions.map((action) =>
        button(ACTIONS[action].name, () => this.act(action), { kind: ACTIONS[action].danger ? "danger" : "" }),
      ),
    ];
  }

  async act(action) {
    const done = await perform(this.call, action, [this.row]);
    if (action === "delete" && done.length) location.assign(page(""));
    else this.refresh();
  }

  async changeTags() {
    if (await askTags(this.call, [this.row])) this.refresh();
  }
}
