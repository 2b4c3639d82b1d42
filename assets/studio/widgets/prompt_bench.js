// The prompt bench: contestants (a question, a scorer, a threshold and a truth) side by side on the same clips.
import { Chart } from "../chart.js";
import { chance, eventWords } from "../clips/card.js";
import { dropThumbnails, movingThumbnail } from "../clips/film.js";
import {
  badge,
  button,
  count,
  debounce,
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
  token,
} from "../studio.js";
import {
  bestOf,
  differenceOf,
  differing,
  entriesOf,
  figuresOf,
  labelOf,
  probabilityOf,
  reliabilityOf,
  textOf,
  withQuestions,
} from "./bench_numbers.js";

const SECONDS = 1.5;
const SHOWN = 12;
const COLORS = 6;

export class PromptBench {
  /**
   * @param {any} call
   * @param {string} plotly URL of plotly.js
   * @param {number} most contestants
   * @param {() => void} onchange contestants were added or removed
   */
  constructor(call, plotly, most, onchange) {
    this.call = call;
    this.most = most;
    this.onchange = onchange;
    /** @type {import("./bench_numbers.js").Entry[]} */
    this.entries = [];
    /** @type {any} */
    this.view = null;
    /** @type {any[]} */
    this.clips = [];
    /** @type {[number, number] | null} */
    this.pair = null;
    this.shown = SHOWN;
    /** Refresh the trials right away. @type {(() => Promise<void>) | undefined} */
    this.lookNow = undefined;
    /** The cells of the figures, by contestant. @type {any[][]} */
    this.cells = [];
    this.trouble = h("div");
    this.state = h("div.lab-state");
    this.table = h("div.table-wrap");
    this.matrix = h("div");
    this.apart = h("div");
    this.actions = h("div.bench-actions");
    this.chartNode = h("div.bench-chart");
    this.chart = new Chart(this.chartNode, plotly, { label: "How often the truth holds, by P(yes)" });
    this.redrawClips = debounce(() => this.drawClips(), 200);
    this.nothing = empty(
      "Nothing on the bench yet",
      "Write a question, choose a scorer and add it to the bench. Every contestant answers the same clips, once.",
    );
    this.body = h(
      "div.lab-detail",
      {},
      this.table,
      h(
        "div.bench-pair",
        {},
        this.matrix,
        h("section", {}, h("h3", {}, "Calibration: how often the truth holds, by P(yes)"), this.chartNode),
      ),
      this.actions,
      this.apart,
    );
    this.node = h("div.bench", {}, this.trouble, this.nothing, this.state, this.body);
    this.drawAll();
  }

  start() {
    this.entries = entriesOf(query().bench ?? "").slice(0, this.most);
    return this.changed({ keep: true });
  }

  /** The trial whose clips the contestants answer; undefined if there is none. */
  get first() {
    return this.entries[0]?.trial;
  }

  /**
   * @param {number} trial
   * @param {number | null} [threshold]
   * @param {string | null} [truth]
   * @param {number} [question] of a set, from 1; 0 for the whole of it
   */
  add(trial, threshold = null, truth = null, question = 0) {
    if (this.entries.length >= this.most) {
      toast(`At most ${this.most} contestants fit on the bench; remove one first.`, "error");
      return;
    }
    const entry = { trial, threshold, truth, ...(question ? { question } : {}) };
    if (this.entries.some((each) => textOf([each]) === textOf([entry]))) toast("That contestant is on the bench already.");
    else this.entries.push(entry);
    this.changed();
  }

  /** Let the questions of a set compete singly, as many as fit. */
  split(i) {
    const { questions } = this.view.trials.find((each) => each.trial_id === this.entries[i].trial);
    const { entries, left } = withQuestions(this.entries, i, questions.length, this.most);
    if (left) toast(`At most ${this.most} contestants fit on the bench; remove some first.`, "error");
    this.entries = entries;
    this.changed();
  }

  remove(i) {
    this.entries.splice(i, 1);
    this.changed();
  }

  changed({ keep = false } = {}) {
    if (!keep) setQuery({ bench: textOf(this.entries) });
    this.pair = null;
    this.shown = SHOWN;
    this.clips = [];
    this.view = null;
    fill(this.trouble);
    this.onchange();
    this.drawAll();
    if (!this.entries.length) return undefined;
    this.lookNow ??= poll(() => this.look(), SECONDS);
    return this.lookNow();
  }

  async look() {
    if (!this.entries.length || (this.view && !this.view.trials.some(isActive))) return;
    const trials = [...new Set(this.entries.map(({ trial }) => trial))];
    const asked = trials.join(",");
    try {
      const view = await this.call("bench", { trials, seen: this.clips.length });
      if (asked !== [...new Set(this.entries.map(({ trial }) => trial))].join(",")) return;
      // a contestant's first answers can make the clips fewer: then all of them are read again
      if (view.ready < this.clips.length) this.clips = (await this.call("bench", { trials })).clips;
      else if (view.clips.length) this.clips = view.clips;
      this.view = view;
      fill(this.trouble);
      this.drawAll();
    } catch (error) {
      fill(this.trouble, problem(error.message), this.entries.length > 1 ? this.leave() : null);
      if (!error.offline) this.view = { trials: [] };
    }
  }

  /** What to do where the contestants cannot be read: a trial may be gone, or of other clips. */
  leave() {
    return h(
      "p",
      {},
      button("Clear the bench", () => this.clear(), { kind: "small" }),
    );
  }

  clear() {
    this.entries = [];
    this.changed();
  }

  // -- drawing

  /** The entries with what is known about their trials; empty before anything is. */
  contestants() {
    const trials = this.view?.trials ?? [];
    return this.entries.flatMap((entry, i) => {
      const at = trials.findIndex((each) => each.trial_id === entry.trial);
      if (at < 0) return [];
      const trial = trials[at];
      const threshold = trial.fixed ? trial.threshold : (entry.threshold ?? trial.threshold);
      const question = entry.question && entry.question <= trial.questions.length ? entry.question : 0;
      const fitting = question ? trial.questions[question - 1].truth : trial.truth;
      const truth = this.view.truths.includes(entry.truth) ? entry.truth : fitting;
      return [{ i, at, question, entry, trial, threshold, truth, name: String.fromCharCode(65 + i), color: colorOf(i) }];
    });
  }

  drawAll() {
    const contestants = this.contestants();
    this.nothing.hidden = this.entries.length > 0;
    this.state.hidden = this.body.hidden = !contestants.length;
    if (!contestants.length) {
      if (this.entries.length && !this.view) fill(this.trouble, h("p.muted", {}, "Loading…"));
      return;
    }
    const { runs, ready, trials } = this.view;
    fill(
      this.state,
      h("span.num", {}, `${count(ready)} of ${count(trials[0].total)} clips`),
      h("span.muted", {}, `answered by all, from ${runs.length === 1 ? "run" : "runs"} ${runs.join(", ")}`),
      h("span.spacer"),
      button("Clear the bench", () => this.clear(), { kind: "small" }),
    );
    this.drawTable();
    this.drawNumbers();
    this.drawActions();
  }

  /** The rows with their fields. The figures are cells of their own, so that a field keeps its focus while it is changed. */
  drawTable() {
    const contestants = this.contestants();
    this.cells = contestants.map(() => FIGURES.map(() => h("td.num.right")));
    const focused = document.activeElement?.id;
    fill(
      this.table,
      h(
        "table.table.compact.bench-table",
        {},
        h("caption.visually-hidden", {}, "Contestants"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, "judged by"),
            h("th", { scope: "col" }, "yes from"),
            FIGURES.map(({ head, title }) => h("th.right", { scope: "col", title }, head)),
          ),
        ),
        contestants.map((each, n) =>
          h(
            "tbody",
            {},
            this.nameRow(each),
            h("tr", {}, h("td", {}, this.truthField(each)), this.thresholdCell(each), this.cells[n]),
          ),
        ),
      ),
    );
    if (focused) document.getElementById(focused)?.focus();
  }

  nameRow({ i, trial, question, name, color, threshold }) {
    const words = trial.prompt ? promptWords(trial.prompt, question, trial.questions) : "reads no prompt";
    const another = button(
      "+",
      () => this.add(trial.trial_id, +(threshold + (threshold > 0.8 ? -0.1 : 0.1)).toFixed(2), this.entries[i]?.truth, question),
      { kind: "small", "aria-label": `Contestant ${name} at another threshold`, title: "The same answers at another threshold" },
    );
    return h(
      "tr.bench-name",
      {},
      h(
        "th",
        { scope: "rowgroup", colspan: 2 + FIGURES.length },
        h(
          "div",
          {},
          h("span.bench-letter", { style: { background: `var(--${color})` } }, name),
          h("span.bench-prompt", { title: trial.prompt?.text ?? "" }, words),
          h("span.muted.bench-scorer", { title: trial.model || trial.scorer }, trial.scorer),
          trial.status === "finished" ? null : badge(trial.waits ? "queued" : trial.status),
          trial.status === "finished" ? null : h("span.num.muted", {}, `${count(trial.scored)} of ${count(trial.total)}`),
          ["interrupted", "failed", "created"].includes(trial.status) && !trial.waits
            ? button("Resume", () => this.resume(trial.trial_id), { kind: "small" })
            : null,
          h("span.spacer"),
          question || !trial.questions.length
            ? null
            : button("Questions singly", () => this.split(i), {
                kind: "small",
                title: "Let the questions of this set compete one by one; their answers are there already",
              }),
          trial.fixed ? null : another,
          button("✕", () => this.remove(i), { kind: "small", "aria-label": `Remove contestant ${name}`, title: "Remove" }),
        ),
        trial.error ? h("p.problem.bench-error", {}, trial.error) : null,
      ),
    );
  }

  truthField({ i, truth, name }) {
    const field = h(
      "select.input",
      {
        id: `bench-truth-${i}`,
        "aria-label": `Contestant ${name} is judged by`,
        onchange: () => {
          this.edit(i, { truth: field.value });
        },
      },
      this.view.truths.map((each) => h("option", { value: each }, each.replaceAll("_", " "))),
    );
    field.value = truth;
    return field;
  }

  thresholdCell({ i, trial, threshold, name }) {
    const field = h("input.input", {
      id: `bench-threshold-${i}`,
      type: "number",
      min: 0,
      max: 1,
      step: 0.05,
      value: threshold,
      disabled: trial.fixed,
      "aria-label": `Threshold of contestant ${name}`,
      title: trial.fixed ? "What its members are asked and come to depends on the threshold: try it again at another" : "",
      oninput: () => {
        if (field.value === "" || !field.checkValidity()) return;
        this.edit(i, { threshold: Number(field.value) });
      },
    });
    return h("td", {}, field);
  }

  /** A threshold or truth was changed: the answers stay. */
  edit(i, change) {
    this.entries[i] = { ...this.entries[i], ...change };
    setQuery({ bench: textOf(this.entries) });
    this.drawNumbers();
    this.drawActions();
  }

  drawNumbers() {
    const contestants = this.contestants();
    const figures = contestants.map((each) => ({
      ...(each.trial.answered ? figuresOf(this.clips, each) : {}),
      seconds: each.trial.seconds ?? NaN,
    }));
    const alike = new Set(contestants.map((each) => each.truth)).size === 1;
    FIGURES.forEach(({ key, words, best }, column) => {
      const top =
        best && alike
          ? bestOf(
              figures.map((each) => each[key]),
              best,
            )
          : null;
      figures.forEach((each, n) => {
        const value = each[key];
        const cell = this.cells[n]?.[column];
        cell.classList.toggle("best", top !== null && value === top);
        fill(cell, words(value ?? NaN));
        if (key === "yes" && each.unknown)
          cell.append(h("span.muted", { title: "clips without a usable answer" }, ` −${each.unknown}`));
      });
    });
    this.drawMatrix(contestants);
    this.drawChart(contestants);
    this.redrawClips();
  }

  drawMatrix(contestants) {
    const cell = (one, other) => {
      if (one.i === other.i) return h("td.num.right.muted", {}, "–");
      const share = differenceOf(this.clips, one, other);
      if (!Number.isFinite(share)) return h("td.num.right.muted", {}, "–");
      return h(
        "td.right",
        {
          style: { background: `color-mix(in srgb, var(--warn-soft) ${Math.round(100 * Math.min(1, 2 * share))}%, transparent)` },
        },
        h(
          "button.linklike.num",
          {
            type: "button",
            title: `Show the clips that ${one.name} and ${other.name} label differently`,
            onclick: () => this.choosePair(one.i, other.i),
          },
          percent(share),
        ),
      );
    };
    fill(
      this.matrix,
      h("h3", {}, "Different labels"),
      contestants.length < 2
        ? h("p.muted", {}, "Add a second contestant to see where they differ.")
        : h(
            "table.table.compact.bench-matrix",
            {},
            h("caption.visually-hidden", {}, "Share of the clips that two contestants label differently"),
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                h("td"),
                contestants.map(({ name }) => h("th.right", { scope: "col" }, name)),
              ),
            ),
            h(
              "tbody",
              {},
              contestants.map((one) =>
                h(
                  "tr",
                  {},
                  h("th", { scope: "row" }, one.name),
                  contestants.map((other) => cell(one, other)),
                ),
              ),
            ),
          ),
    );
  }

  drawChart(contestants) {
    const answered = contestants.filter(({ trial }) => trial.answered);
    this.chart.draw(
      () => [
        {
          x: [0, 1],
          y: [0, 1],
          mode: "lines",
          line: { color: token("line-strong"), width: 1, dash: "dot" },
          hoverinfo: "skip",
          showlegend: false,
        },
        ...answered.map((each) => {
          const bins = reliabilityOf(this.clips, each);
          return {
            name: each.name,
            x: bins.map(({ predicted }) => predicted),
            y: bins.map(({ observed }) => observed),
            customdata: bins.map(({ clips }) => clips),
            mode: "lines+markers",
            line: { color: token(each.color), width: 2 },
            marker: { size: 6 },
            hovertemplate: `${each.name}: P(yes) %{x:.2f}, true in %{y:.0%} of %{customdata} clips<extra></extra>`,
          };
        }),
      ],
      {
        height: 230,
        dragmode: false,
        margin: { t: 8, r: 8 },
        xaxis: { title: { text: "P(yes)" }, range: [-0.02, 1.02] },
        yaxis: { title: { text: "share of true" }, range: [-0.04, 1.04], tickformat: ".0%" },
      },
    );
  }

  choosePair(i, j) {
    this.pair = [Math.min(i, j), Math.max(i, j)];
    this.shown = SHOWN;
    this.drawClips();
    this.apart.scrollIntoView({ block: "nearest" });
  }

  /** The clips that contestants label differently. */
  drawClips() {
    const contestants = this.contestants();
    dropThumbnails(this.apart);
    if (contestants.length < 2) {
      fill(this.apart);
      return;
    }
    const clips = differing(this.clips, contestants, this.pair);
    const shown = this.pair ? this.pair.map((i) => contestants[i]) : contestants;
    const pairs = contestants.flatMap((one, i) => contestants.slice(i + 1).map((other) => [one, other]));
    const chosen = h(
      "select.input",
      {
        id: "bench-pair",
        onchange: () => {
          this.pair = chosen.value ? /** @type {[number, number]} */ (chosen.value.split(",").map(Number)) : null;
          this.shown = SHOWN;
          this.drawClips();
        },
      },
      h("option", { value: "" }, "any two"),
      pairs.map(([one, other]) => h("option", { value: `${one.i},${other.i}` }, `${one.name} and ${other.name}`)),
    );
    chosen.value = this.pair ? this.pair.join(",") : "";
    fill(
      this.apart,
      h(
        "div.lab-row.bench-apart",
        {},
        h("h3", {}, `Where they differ (${count(clips.length)})`),
        h("span.spacer"),
        h("label", { for: "bench-pair" }, "Contestants"),
        chosen,
        h("a.button.small", { href: page("clips", { run: this.view.runs.join(","), queue: "prompts" }) }, "Label these…"),
      ),
      clips.length
        ? h(
            "div.flip-grid",
            {},
            clips.slice(0, this.shown).map((clip) => apartCard(clip, shown)),
          )
        : h("p.muted", {}, this.clips.length ? "They label all clips alike." : "No clip has been answered by all of them yet."),
      clips.length > this.shown
        ? h(
            "p",
            {},
            button(
              `Show ${SHOWN} more`,
              () => {
                this.shown += SHOWN;
                this.drawClips();
              },
              { kind: "small" },
            ),
          )
        : null,
    );
  }

  drawActions() {
    const bench = textOf(this.entries);
    const runs = h(
      "select.input",
      { id: "bench-run", "aria-label": "Run to branch" },
      this.view.runs.map((run) => h("option", { value: run }, `run ${run}`)),
    );
    fill(
      this.actions,
      h("a.button", { href: page("launch", { bench }) }, "Launch as an ablation…"),
      h("span.spacer"),
      runs,
      button("Branch it with each…", () => location.assign(page("run", { run: runs.value, bench }))),
    );
  }

  async resume(trial) {
    try {
      await this.call("resume_trial", { trial });
      this.view = null;
      this.lookNow?.();
    } catch (error) {
      toast(error.message, "error");
    }
  }
}

/** @type {{ key: string, head: string, title: string, words: (value: number) => any, best?: { lower?: boolean } }[]} */
const FIGURES = [
  {
    key: "auc",
    head: "AUC",
    title: "P(a true clip scores above another); 0.5 is chance",
    words: (value) => number(value),
    best: {},
  },
  {
    key: "precision",
    head: "precision",
    title: "share of the yes labels that are true",
    words: (value) => percent(value),
    best: {},
  },
  {
    key: "recall",
    head: "recall",
    title: "share of the true clips that are labelled yes",
    words: (value) => percent(value),
    best: {},
  },
  {
    key: "calibration",
    head: "calib. err.",
    title: "expected calibration error of P(yes), over ten bins",
    words: (value) => number(value, 2),
    best: { lower: true },
  },
  { key: "yes", head: "yes", title: "share of the clips that are labelled yes", words: (value) => percent(value) },
  { key: "seconds", head: "s/clip", title: "mean time per clip, rendering included", words: (value) => number(value, 2) },
];

/** Whether a trial may still get answers: a process that has just started has not claimed it yet. */
function isActive({ status, waits }) {
  return waits || status === "running" || status === "created";
}

function colorOf(i) {
  return i < COLORS ? `variant-${i + 1}` : "method-other";
}

function promptWords({ name, version, text }, question, questions) {
  const whole = name === "custom" ? text : `${name}@${version}`;
  if (!question) return whole;
  return `${name === "custom" ? "question" : `${whole}, question`} ${question}: ${questions[question - 1].text}`;
}

function apartCard(clip, contestants) {
  const word = (label) => (label === null ? "?" : label ? "yes" : "no");
  return h(
    "a.flip",
    {
      href: page("clips", { runs: clip.run_id, clip: clip.clip_id }),
      target: "_blank",
      rel: "noopener",
      data: { clip: clip.clip_id },
    },
    h("span.clip-picture", {}, movingThumbnail(clip)),
    h(
      "span.bench-answers",
      {},
      contestants.map((each) => {
        const label = labelOf(clip, each);
        return h(
          `span.bench-answer${label === null ? "" : label ? ".yes" : ".no"}`,
          {},
          h("strong", {}, each.name),
          ` ${word(label)} `,
          h("span.num.muted", { title: "P(yes)" }, chance(probabilityOf(clip, each) ?? NaN)),
        );
      }),
    ),
    h(
      "span",
      { class: clip.truths.includes("progress") ? "flip-events progress" : "flip-events muted", title: eventWords(clip.events) },
      eventWords(clip.events),
    ),
  );
}
