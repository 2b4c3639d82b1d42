// The prompts page: edit a prompt, try it on stored clips, apply it to a run.
import { Chart } from "../chart.js";
import { chance, eventWords } from "../clips/card.js";
import { dropThumbnails, movingThumbnail } from "../clips/film.js";
import {
  ago,
  badge,
  bar,
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
import { PromptBench } from "./prompt_bench.js";
import { against, atThreshold, auc, calibrationError, histogram, ofQuestion, shows } from "./prompt_numbers.js";

const SECONDS = 1.5;
const SHOWN = 15;
const BINS = 20;

export function mount({ node, data, call, plotly }) {
  const lab = new PromptLab(data, call, plotly);
  fill(node, lab.node);
  return lab.start();
}

class PromptLab {
  constructor(data, call, plotly) {
    this.data = data;
    this.call = call;
    /** @type {any[]} */
    this.clips = [];
    /** @type {any} */
    this.view = null;
    /** @type {any} */
    this.trialId = null;
    /** @type {any} */
    this.chosen = null;
    this.shown = SHOWN;
    /** Refresh the trial right away. @type {(() => Promise<void>) | undefined} */
    this.lookNow = undefined;
    this.redrawFlips = debounce(() => this.drawFlips(), 200); // numbers follow the slider immediately, pictures once it rests
    this.chartNode = h("div.lab-chart");
    this.chartTitle = h("h3");
    this.chart = new Chart(this.chartNode, plotly, { label: "P(yes) of clips, by what their events show" });
    this.bench = new PromptBench(call, plotly, data.max_contestants, () => this.benchChanged());
    /** @type {{ results?: any, bench?: any }} */
    this.panels = {};
    this.trouble = h("div");
    this.node = h(
      "div.lab",
      {},
      h("h1.visually-hidden", {}, "Prompts"),
      this.trouble,
      h(
        "div.lab-columns",
        {},
        h("div.lab-left", {}, this.editor(), this.tryPanel(), this.applyPanel(), this.recent()),
        this.outcomes(),
      ),
    );
  }

  async start() {
    await this.loadLibrary();
    const asked = query().prompt;
    const found = this.library?.prompts.find((prompt) => (asked ? asked === reference(prompt) || asked === prompt.name : true));
    const chosen = found ?? this.library?.prompts[0];
    if (chosen) this.edit(chosen);
    if (chosen && !found)
      fill(this.trouble, h("p.notice", { role: "status" }, `There is no prompt “${asked}”; showing ${reference(chosen)}.`));
    const view = query().view;
    const read = [query().trial ? this.follow(Number(query().trial)) : null, this.bench.start()];
    this.show(view === "bench" || (query().bench && !query().trial) ? "bench" : "results");
    await Promise.all(read);
  }

  async loadLibrary() {
    try {
      this.library = await this.call("library");
    } catch (error) {
      fill(this.trouble, problem(error.message));
      return;
    }
    this.drawPrompts();
    this.drawRuns();
    this.drawRecent();
  }

  // -- the text

  editor() {
    this.menu = h("select.input", {
      id: "prompt-menu",
      onchange: () => this.edit(this.library.prompts[Number(this.menu.value)]),
    });
    this.text = h("textarea.input.prompt-text", {
      id: "prompt-text",
      rows: 9,
      maxlength: this.data.max_text,
      spellcheck: "true",
      "aria-describedby": "prompt-hint",
      oninput: () => this.changed(),
    });
    this.counter = h("span.muted.num");
    this.name = h("input.input", {
      id: "prompt-name",
      type: "text",
      maxlength: this.data.max_name,
      placeholder: "name",
      autocomplete: "off",
    });
    this.saved = h("span.muted", { role: "status" });
    return h(
      "section.panel",
      {},
      h("div.lab-head", {}, h("h2", {}, "Prompt"), h("label.visually-hidden", { for: "prompt-menu" }, "Start from"), this.menu),
      h("label.visually-hidden", { for: "prompt-text" }, "Prompt text"),
      this.text,
      h(
        "p.muted.lab-note",
        { id: "prompt-hint" },
        "For a set of up to 16 questions, start every line with “- ”, and with “- [2] ” to give one twice the weight. " +
          "The line “all of” or “mean of” before them changes the rule that any yes makes a clip a yes.",
      ),
      h(
        "div.lab-row",
        {},
        this.counter,
        h("span.spacer"),
        h("label.visually-hidden", { for: "prompt-name" }, "Name to save under"),
        this.name,
        button("Save version", () => this.save(), { id: "save-prompt" }),
      ),
      this.saved,
    );
  }

  drawPrompts() {
    fill(
      this.menu,
      this.library.prompts.map((prompt, i) => h("option", { value: i }, `${reference(prompt)}  ${beginning(prompt.text)}`)),
    );
    const at = this.library.prompts.findIndex((prompt) => this.chosen && reference(prompt) === reference(this.chosen));
    if (at >= 0) this.menu.value = at;
  }

  edit(prompt) {
    this.chosen = prompt;
    this.text.value = prompt.text;
    const preset = this.library.prompts.findIndex((each) => reference(each) === reference(prompt));
    if (preset >= 0) this.menu.value = preset;
    setQuery({ prompt: reference(prompt) });
    this.changed();
  }

  changed() {
    const edited = this.chosen && this.text.value !== this.chosen.text;
    const characters = `${count(this.text.value.length)} of ${count(this.data.max_text)} characters`;
    const asked = questions(this.text.value);
    const words = [characters, asked > 1 ? `${asked} questions` : "", edited ? "edited" : ""];
    this.counter.textContent = words.filter(Boolean).join(" · ");
  }

  /** The prompt in the editor: the name of a stored version, or the text. */
  asked() {
    return this.chosen && this.text.value === this.chosen.text && this.chosen.name !== "custom"
      ? reference(this.chosen)
      : this.text.value;
  }

  async save() {
    try {
      const prompt = await this.call("save", { name: this.name.value, text: this.text.value });
      this.chosen = prompt;
      this.saved.textContent = `Saved as ${reference(prompt)}.`;
      setQuery({ prompt: reference(prompt) });
      await this.loadLibrary();
      this.changed();
    } catch (error) {
      toast(error.message, "error");
    }
  }

  // -- trials

  tryPanel() {
    this.runs = h("div.run-choices", { role: "group", "aria-label": "Runs to sample clips from" });
    this.scorer = h("input.input", {
      id: "trial-scorer",
      type: "text",
      list: "trial-scorers",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.scorerNote(),
    });
    this.scorers = h("datalist", { id: "trial-scorers" });
    this.sample = h("input.input", { id: "trial-sample", type: "number", min: 1, max: this.data.max_sample, value: 200 });
    this.note = h("p.muted.lab-note");
    this.go = button("Try on stored clips", () => this.try(), { kind: "primary", id: "try-prompt" });
    this.addButton = button("Add to the bench", () => this.addToBench(), { id: "add-to-bench" });
    this.tryTrouble = h("div");
    this.benchNote = h("p.muted.lab-note", { hidden: true });
    return h(
      "section.panel",
      {},
      h("h2", {}, "Try it before applying it"),
      this.runs,
      h("div.lab-grid", {}, h("label.field", {}, "Scorer", this.scorer), h("label.field", {}, "Clips", this.sample)),
      this.scorers,
      this.note,
      h("div.lab-row", {}, this.go, this.addButton),
      this.benchNote,
      this.tryTrouble,
    );
  }

  drawRuns() {
    const withClips = this.library.runs.filter((run) => run.clips);
    const chosen = new Set((query().runs ?? "").split(",").filter(Boolean).map(Number));
    if (!chosen.size && withClips.length) chosen.add((withClips.find((run) => run.scorer) ?? withClips[0]).run_id);
    fill(
      this.runs,
      withClips.length
        ? withClips.map((run) =>
            h(
              "label.run-choice",
              {},
              h("input", {
                type: "checkbox",
                value: run.run_id,
                checked: chosen.has(run.run_id),
                onchange: () => setQuery({ runs: this.runIds().join(",") }),
              }),
              h("span", { title: run.name }, `${run.run_id} · ${run.name}`),
              h("span.muted.num", {}, `${count(run.clips)} clips`),
            ),
          )
        : empty(
            "No clips yet",
            "Prompts are tried on clips stored by runs.",
            h("a.button.primary", { href: page("launch") }, "Launch a run"),
          ),
    );
    const first = this.runs.querySelector("input:checked")?.closest(".run-choice");
    // scrolls the list, not the page
    if (first) this.runs.scrollTop = first.offsetTop - this.runs.offsetTop - first.offsetHeight;
    this.go.disabled = this.addButton.disabled = !withClips.length;
    fill(
      this.scorers,
      [...new Set([...this.library.scorers, "embedded", "oracle", "reward", "random:0.25"])].map((value) =>
        h("option", { value }),
      ),
    );
    if (!this.scorer.value) this.scorer.value = this.library.scorers[0] ?? "embedded";
    this.scorerNote();
    this.drawLive();
  }

  runIds() {
    return [...this.runs.querySelectorAll("input:checked")].map((box) => Number(box.value));
  }

  scorerNote() {
    this.note.textContent = this.ignoresPrompt(this.scorer.value)
      ? `${this.scorer.value.trim()} does not read the prompt. Choose a model (embedded, hf:… or openai:…) to try a prompt.`
      : "The sample is spread over the runs. If possible, half of it shows progress, " +
        "so its positive rate differs from that of the runs.";
  }

  try() {
    return this.ask({}, (id) => this.follow(id));
  }

  /** Try what is asked on the bench's clips; the first contestant brings them along. */
  addToBench() {
    return this.ask({ same_clips_as: this.bench.first }, (id) => this.toBench(id));
  }

  /** Start a trial of the prompt in the editor, and pass its id to `then`. */
  async ask(more, then) {
    this.go.disabled = this.addButton.disabled = true;
    try {
      const id = await this.call("try_prompt", {
        runs: this.runIds(),
        scorer: this.scorer.value,
        prompt: this.asked(),
        sample: Number(this.sample.value),
        ...more,
      });
      then(id);
      fill(this.tryTrouble);
    } catch (error) {
      fill(this.tryTrouble, problem(error.message));
    }
    this.go.disabled = this.addButton.disabled = false;
  }

  toBench(id) {
    this.bench.add(id);
    this.show("bench");
    this.loadLibrary();
  }

  /** Put the trial that is shown on the bench: on the bench's clips, if it has been tried on others. */
  async shownToBench() {
    try {
      const [trial, threshold] = [this.trialId, Number(this.threshold.value)];
      const id = await this.call("add_trial", { trial, same_clips_as: this.bench.first ?? trial });
      this.bench.add(id, threshold === this.view.threshold ? null : threshold, this.truths.value);
      this.show("bench");
    } catch (error) {
      toast(error.message, "error");
    }
  }

  benchChanged() {
    const { length } = this.bench.entries;
    this.benchTab.textContent = length ? `Bench (${length})` : "Bench";
    this.benchNote.hidden = !length;
    this.benchNote.textContent = "The bench has its clips: what you add answers those, whatever runs and number are chosen here.";
  }

  follow(id) {
    this.show("results");
    this.trialId = id;
    this.clips = [];
    this.view = null;
    this.shown = SHOWN;
    this.detail.hidden = true;
    setQuery({ trial: id });
    fill(this.outcome, h("p.muted", {}, "Loading…"));
    this.lookNow ??= poll(() => this.look(), SECONDS);
    return this.lookNow();
  }

  async look() {
    if (this.trialId === null) return;
    if (this.view && !this.view.waits && !["created", "running"].includes(this.view.status)) return;
    const id = this.trialId;
    try {
      const view = await this.call("trial", { trial: id, seen: this.clips.length });
      if (id !== this.trialId) return;
      this.view = view;
      if (view.clips.length) this.clips = view.clips;
      if (this.thresholdOf !== id) this.threshold.value = view.threshold; // afterwards the user sets it
      this.offerTruths(this.thresholdOf === id ? this.truths.value : view.truth);
      this.thresholdOf = id;
      this.drawResults();
      if (view.status === "finished") this.loadLibrary();
    } catch (error) {
      fill(this.outcome, problem(error.message));
      if (error.offline)
        this.view = null; // try again; the drawn results stay
      else this.trialId = null;
    }
  }

  // -- results

  results() {
    this.threshold = h("input", {
      id: "threshold",
      type: "range",
      min: 0,
      max: 1,
      step: 0.01,
      value: 0.5,
      oninput: () => this.drawNumbers(),
    });
    this.thresholdWords = h("output.num", { for: "threshold" });
    this.truths = h("select.input", { id: "truth", onchange: () => this.drawNumbers() });
    this.outcome = h("div");
    this.questions = h("div");
    this.numbers = h("div.lab-numbers");
    this.flips = h("div");
    this.detail = h(
      "div.lab-detail",
      { hidden: true },
      h(
        "div.lab-threshold",
        {},
        h("label", { for: "threshold" }, "Threshold: yes if P(yes) ≥"),
        this.threshold,
        this.thresholdWords,
        h("label", { for: "truth" }, "Judged by"),
        this.truths,
      ),
      this.numbers,
      this.questions,
      this.chartTitle,
      this.chartNode,
      this.flips,
    );
    fill(
      this.outcome,
      empty(
        "Nothing tried yet",
        "Choose runs and a scorer, then try the prompt on a sample of their clips. The clips keep their labels.",
      ),
    );
    return h("div", {}, this.outcome, this.detail);
  }

  /** The right-hand side: the results of one trial, or the bench. */
  outcomes() {
    const tab = (name, words) =>
      h(
        "button.lab-tab",
        { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => this.show(name) },
        words,
      );
    this.resultsTab = tab("results", "Results");
    this.benchTab = tab("bench", "Bench");
    const panel = (name, content) =>
      h("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}` }, content);
    this.panels = { results: panel("results", this.results()), bench: panel("bench", this.bench.node) };
    const tabs = h(
      "div.lab-tabs",
      {
        role: "tablist",
        "aria-label": "Outcome",
        onkeydown: (event) => {
          if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
          this.show(this.panels.results.hidden ? "results" : "bench");
          tabs.querySelector("[aria-selected='true']").focus();
        },
      },
      this.resultsTab,
      this.benchTab,
    );
    return h("section.panel.lab-results", { "aria-label": "Results" }, tabs, this.panels.results, this.panels.bench);
  }

  show(name) {
    this.panels.results.hidden = name !== "results";
    this.panels.bench.hidden = name !== "bench";
    for (const [tab, own] of [
      [this.resultsTab, "results"],
      [this.benchTab, "bench"],
    ]) {
      tab.setAttribute("aria-selected", String(own === name));
      tab.tabIndex = own === name ? 0 : -1;
    }
    setQuery({ view: name === "bench" ? "bench" : null });
    window.dispatchEvent(new Event("resize")); // a chart that was drawn while hidden has no width
  }

  /** What the answers can be judged by; `chosen` is chosen. */
  offerTruths(chosen) {
    fill(
      this.truths,
      this.view.truths.map((name) => h("option", { value: name }, name.replaceAll("_", " "))),
    );
    this.truths.value = chosen;
  }

  drawResults() {
    const view = this.view;
    const active = view.waits || view.status === "running";
    const actions = active
      ? button("Stop", () => this.do("stop_trial"), { kind: "small" })
      : ["interrupted", "failed", "created"].includes(view.status)
        ? button("Resume", () => this.do("resume_trial"), { kind: "small" })
        : null;
    fill(
      this.outcome,
      h(
        "div.lab-state",
        {},
        badge(view.waits ? "queued" : view.status),
        h("span.num", {}, `${count(view.scored)} of ${count(view.total)} clips`),
        h("span.muted", {}, view.model && view.model !== view.scorer ? `${view.scorer}, ${view.model}` : view.scorer),
        h("span.spacer"),
        button("Put on the bench", () => this.shownToBench(), { kind: "small" }),
        actions,
      ),
      active ? bar(view.scored / view.total, "clips scored") : null,
      view.prompt
        ? h("blockquote.asked", {}, h("strong", {}, reference(view.prompt)), " ", view.prompt.text)
        : h("p.notice", {}, `${view.scorer} reads no prompt: these results do not depend on it.`),
      view.rule ? h("p.muted.lab-note", {}, `In these figures, ${view.rule}.`) : null,
      view.notices.map((words) => h("p.warning", {}, words)),
      view.error ? problem(view.error) : null,
    );
    this.detail.hidden = !this.clips.length;
    if (this.clips.length) this.drawNumbers();
  }

  async do(method) {
    try {
      await this.call(method, { trial: this.trialId });
      this.view = null;
      this.lookNow?.();
    } catch (error) {
      toast(error.message, "error");
    }
  }

  drawNumbers() {
    const at = Number(this.threshold.value);
    this.thresholdWords.textContent = at.toFixed(2);
    const truth = shows(this.truths.value);
    const { saysYes, known, unknown, compared, flipped, judged } = atThreshold(this.clips, at, truth);
    const events = against(known, saysYes, truth);
    const what = this.truths.value.replaceAll("_", " ");
    const people = judged.length ? against(judged, saysYes, (clip) => clip.human) : null;
    fill(
      this.numbers,
      h(
        "div.stat-row",
        {},
        stat("AUC", number(auc(known, truth))),
        stat("precision", percent(events.precision)),
        stat("recall", percent(events.recall)),
        stat("labelled yes", percent(known.length ? known.filter(saysYes).length / known.length : NaN)),
        stat("calibration error", number(calibrationError(known, truth))),
        stat("flips", `${count(flipped.length)} of ${count(compared.length)}`),
        stat("unknown", count(unknown.length)),
      ),
      h(
        "div.lab-tables",
        {},
        confusionTable("Against events", events, [what, `no ${what}`]),
        people
          ? confusionTable(`Against people (${judged.length} clips)`, people, ["should be yes", "should be no"])
          : h(
              "p.muted",
              {},
              "No clip of this sample has been judged yet; agree or disagree in the ",
              h("a", { href: page("clips") }, "clip player"),
              ".",
            ),
      ),
    );
    this.drawQuestions(at);
    this.drawHistogram(known, at, truth, what);
    this.redrawFlips();
  }

  /** Each question of a set by itself, judged by the truth that fits it. */
  drawQuestions(at) {
    const rows = this.view.questions.map(({ question, truth: name }, i) => {
      const truth = shows(name);
      const { known, saysYes } = atThreshold(ofQuestion(this.clips, i), at, truth);
      const { precision, recall } = against(known, saysYes, truth);
      const cells = [number(auc(known, truth)), percent(precision), percent(recall)];
      const yes = percent(known.length ? known.filter(saysYes).length / known.length : NaN);
      return h(
        "tr",
        {},
        h("th", { scope: "row" }, question),
        h("td", {}, name.replaceAll("_", " ")),
        [...cells, yes].map((cell) => h("td.num.right", {}, cell)),
      );
    });
    const heads = ["AUC", "precision", "recall", "labelled yes"].map((words) => h("th.right", { scope: "col" }, words));
    fill(
      this.questions,
      rows.length
        ? h(
            "table.table.compact.lab-questions",
            {},
            h("caption", {}, "Each question, judged by the events that fit its words"),
            h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "question"), h("th", { scope: "col" }, "judged by"), heads)),
            h("tbody", {}, rows),
          )
        : null,
    );
  }

  drawHistogram(known, at, truth, what) {
    this.chartTitle.textContent = `P(yes) of clips with and without ${what}`;
    const bins = (wanted) => {
      const clips = known.filter((clip) => truth(clip) === wanted);
      return histogram(
        clips.map((clip) => clip.probability),
        BINS,
      );
    };
    const x = Array.from({ length: BINS }, (_, i) => (i + 0.5) / BINS);
    const [progress, none] = [bins(true), bins(false)];
    this.chart.draw(
      () => [
        {
          type: "bar",
          name: what,
          x,
          y: progress,
          marker: { color: token("yes") },
          hovertemplate: "P(yes) %{x:.2f}: %{y} clips<extra></extra>",
        },
        {
          type: "bar",
          name: `no ${what}`,
          x,
          y: none,
          marker: { color: token("unknown") },
          hovertemplate: "P(yes) %{x:.2f}: %{y} clips<extra></extra>",
        },
      ],
      {
        barmode: "stack",
        bargap: 0.08,
        height: 240,
        xaxis: { title: { text: "P(yes)" }, range: [0, 1] },
        yaxis: { title: { text: "clips" } },
        dragmode: false,
        shapes: [
          { type: "line", x0: at, x1: at, y0: 0, y1: 1, yref: "paper", line: { color: token("accent"), width: 2, dash: "dot" } },
        ],
      },
    );
  }

  /** The clips whose label flips, largest change first, and those whose label contradicts the events. */
  drawFlips() {
    const { saysYes, flipped, wrong, unknown } = atThreshold(this.clips, Number(this.threshold.value), shows(this.truths.value));
    /** @type {[string, any[]][]} */
    const groups = [
      ["Flips: the label would change", flipped],
      ["Contradicts the events", wrong],
    ];
    if (unknown.length) groups.push(["Unknown: no usable answer", unknown]);
    const more = button(
      `Show ${SHOWN} more of each`,
      () => {
        this.shown += SHOWN;
        this.drawFlips();
      },
      { kind: "small" },
    );
    dropThumbnails(this.flips);
    fill(
      this.flips,
      groups.map(([title, clips]) =>
        h(
          "section",
          {},
          h("h3", {}, `${title} (${count(clips.length)})`),
          clips.length
            ? h(
                "div.flip-grid",
                {},
                clips.slice(0, this.shown).map((clip) => flipCard(clip, clip.probability === null ? null : saysYes(clip))),
              )
            : h("p.muted", {}, "None at this threshold."),
        ),
      ),
      groups.some(([, clips]) => clips.length > this.shown) ? h("p", {}, more) : null,
    );
  }

  // -- applying it

  applyPanel() {
    this.live = h("select.input", { id: "live-run", "aria-label": "Live run" });
    this.applyButton = button("Apply to the run", () => this.apply(), { id: "apply-prompt" });
    this.applied = h("p.lab-note", { role: "status" });
    this.livePanel = h("div");
    return h("section.panel", {}, h("h2", {}, "Apply to a live run"), this.livePanel, this.applied);
  }

  drawLive() {
    const live = this.library.runs.filter((run) => !run.takes_prompt);
    fill(
      this.live,
      live.map((run) => h("option", { value: run.run_id }, `${run.run_id} · ${run.name}`)),
    );
    fill(
      this.livePanel,
      live.length
        ? h("div.lab-row", {}, this.live, this.applyButton)
        : h(
            "p.muted",
            {},
            "No VLM-RB run is live. The prompt of a run can be changed while it trains: ",
            h("a", { href: page("launch") }, "launch one"),
            ".",
          ),
    );
  }

  async apply() {
    const run = Number(this.live.value);
    this.applyButton.disabled = true;
    try {
      const control = await this.call("apply", { run, text: this.asked() });
      this.applied.textContent = `Requested for run ${run}…`;
      let taken = false;
      for (let i = 0; i < 40 && !taken; i += 1) {
        const row = await this.call("applied", { run, control });
        if (row.status !== "requested") {
          fill(
            this.applied,
            row.status === "applied"
              ? `Applied to run ${run} at step ${count(row.applied_step)}: ${this.meaning(run)}. `
              : `Run ${run} rejected it: ${row.error}. `,
            h("a", { href: page("run", { run }) }, "See the run"),
          );
          taken = true;
        } else await new Promise((done) => setTimeout(done, 700));
      }
      if (!taken)
        fill(
          this.applied,
          `Run ${run} has not applied it yet; it will when training continues. `,
          h("a", { href: page("run", { run }) }, "See the run"),
        );
    } catch (error) {
      this.applied.textContent = error.message;
    }
    this.applyButton.disabled = false;
  }

  /** The effect of a new prompt on a run. */
  meaning(id) {
    const scorer = this.library.runs.find((run) => run.run_id === id)?.scorer ?? "";
    return this.ignoresPrompt(scorer)
      ? `its scorer, ${scorer}, does not read it, so labels do not change`
      : "later clips are scored with it";
  }

  /** Whether nobody reads the prompt: control scorers do not, and members with a prompt of their own do not. */
  ignoresPrompt(scorer) {
    const members = scorer
      .trim()
      .replace(/^(vote:((mean|majority):)?|cascade:)/, "")
      .split("|");
    return members.every((member) => this.data.controls.includes(member.trim().split(":")[0]) || member.includes("@prompt="));
  }

  // -- earlier trials

  recent() {
    this.trials = h("div");
    return h("section.panel", {}, h("h2", {}, "Earlier trials"), this.trials);
  }

  drawRecent() {
    fill(
      this.trials,
      this.library.trials.length
        ? h(
            "ul.trial-list",
            {},
            this.library.trials.map((trial) =>
              h(
                "li",
                {},
                h("button.trial-link", { type: "button", onclick: () => this.follow(trial.trial_id) }, `Trial ${trial.trial_id}`),
                " ",
                badge(trial.status),
                h("span.muted", {}, ` ${count(trial.scored)} clips, ${trial.scorer}, ${ago(trial.created_at)}`),
                h("div.trial-prompt.muted", {}, trial.prompt),
              ),
            ),
          )
        : h("p.muted", {}, "None yet."),
    );
  }
}

function beginning(text) {
  return text.length > 50 ? `${text.slice(0, 50)}…` : text;
}

/** How many questions a text asks: a set has one per line, each after "- ", perhaps below the name of its rule. */
function questions(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  if (/^\s*(any|all|mean) of:?\s*$/i.test(lines[0] ?? "") && lines.length > 1) lines.shift();
  return lines.every((line) => /^\s*-\s/.test(`${line} `)) ? lines.length : 1;
}

function reference(prompt) {
  return `${prompt.name}@${prompt.version}`;
}

function stat(label, value) {
  return h("div.stat", {}, h("span.stat-value", {}, value), h("span.stat-label", {}, label));
}

function confusionTable(title, { tp, fp, fn, tn }, [positive, negative]) {
  const cell = (value, kind) => h(`td.num.right.${kind}`, {}, count(value));
  return h(
    "table.table.confusion",
    {},
    h("caption", {}, title),
    h("thead", {}, h("tr", {}, h("td"), h("th", { scope: "col" }, positive), h("th", { scope: "col" }, negative))),
    h(
      "tbody",
      {},
      h("tr", {}, h("th", { scope: "row" }, "says yes"), cell(tp, "fits"), cell(fp, "misses")),
      h("tr", {}, h("th", { scope: "row" }, "says no"), cell(fn, "misses"), cell(tn, "fits")),
    ),
  );
}

function flipCard(clip, after) {
  const word = (label) => (label === null ? "–" : label ? "yes" : "no");
  return h(
    "a.flip",
    { href: page("clips", { runs: clip.run_id, clip: clip.clip_id }), target: "_blank", rel: "noopener" },
    h("span.clip-picture", {}, movingThumbnail(clip)),
    h(
      "span.flip-words",
      {},
      h("strong", {}, `${word(clip.before)} → ${word(after)}`),
      h(
        "span.num.muted",
        { title: "P(yes): current → this trial" },
        `${chance(clip.before_probability)} → ${chance(clip.probability)}`,
      ),
    ),
    h(
      "span.flip-events",
      {
        class: clip.truths.includes("progress") ? "flip-events progress" : "flip-events muted",
        title: clip.error || eventWords(clip.events),
      },
      clip.error || eventWords(clip.events),
    ),
  );
}
