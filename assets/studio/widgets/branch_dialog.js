// The dialog that branches a run: where, what to change, how many continuation seeds, how many steps more.
import { button, count, debounce, duration, fileSize, fill, h, page, problem, toast } from "../studio.js";
import { pointWords } from "./branch_words.js";
import { noPoints } from "./run_family.js";
import { byGroup, methodChoices, pressId, ratioWords, SettingFields, variantList } from "./setting_fields.js";

const REPLAY = ["importance_weights", "train_freq", "batch_size"];
const GUIDANCE = ["base", "lambda_max", "enrichment", "strata"];
const IN_FRONT = [...REPLAY, "scorer", "prompt", ...GUIDANCE];
const LABELS = {
  importance_weights: "Importance weights",
  train_freq: "Steps per update",
  batch_size: "Transitions per update",
  scorer: "Scorer",
  prompt: "Prompt",
  base: "Base method",
  lambda_max: "Maximum λ",
  enrichment: "Bound of enrichment c",
  strata: "Strata",
};
const MOST_LINKS = 6;

/**
 * Ask how to branch a run, and do it. `at`: the checkpoint chosen at first. `done()` is called when there are new branches.
 * `variants`: contestants of the prompt bench, for a branch with each.
 */
export async function branchRun(call, run, at, done, variants = []) {
  let start;
  try {
    start = await call("branching", { run });
  } catch (error) {
    toast(error.message, "error");
    return;
  }
  new BranchDialog(call, run, start, at, done, variants).open();
}

class BranchDialog {
  constructor(call, run, start, at, done, variants) {
    this.call = call;
    this.run = run;
    this.start = start;
    this.done = done;
    /** @type {{ name: string, settings: any }[]} */
    this.variants = [...variants];
    /** @type {any} */
    this.methods = new Map();
    this.fields = new SettingFields(start.settings, (name) => this.changed(name));
    this.check = debounce(() => this.ask(), 300);
    const known = (wanted) => start.points.find((point) => point.at === wanted);
    this.at = (known(at) ?? known("fifth-success") ?? start.points[0])?.at;
    this.node = h(
      "dialog.dialog.branch-dialog",
      { "aria-label": `Branch run ${run}`, onclose: () => this.node.remove() },
      h("h3", {}, `Branch run ${run} `, h("span.muted", {}, start.name)),
      start.points.length ? this.form() : this.nothing(),
    );
  }

  open() {
    document.body.append(this.node);
    this.node.showModal();
    this.node.querySelector("input:checked")?.focus();
    if (this.start.points.length) this.ask();
  }

  nothing() {
    return [
      noPoints(),
      h(
        "div.buttons",
        {},
        button("Close", () => this.node.close()),
      ),
    ];
  }

  // -- the form

  form() {
    this.where = h("div.branch-points");
    this.drawPoints();
    const methods = methodChoices(this.start.methods, this.check);
    this.methods = methods.boxes;
    const own = this.start.methods.find(({ key }) => key === this.start.method);
    const method = this.variants.length && !own?.labels ? "vlm" : own?.key;
    if (method) this.methods.get(method).checked = true;
    this.ratio = h("span.setting-hint");
    const of = (name) => this.setting(this.fields.settings.get(name));
    this.guidance = h(
      "section.labels-only",
      {},
      h("h4", {}, "VLM guidance"),
      of("scorer"),
      of("prompt"),
      h("div.grid-2", {}, GUIDANCE.map(of)),
    );
    const part = (title, ...children) => h("section", {}, h("h4", {}, title), children);
    const form = h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          this.press();
        },
      },
      part("Where", this.where),
      part("Replay methods: a branch for each", methods.node, this.fields.slot("methods"), this.varyFields()),
      part(
        "What else to change",
        h("p.muted", {}, `Fields left empty stay as in run ${this.run}. A new replay method starts with its own defaults.`),
        h("div.branch-three", {}, REPLAY.map(of)),
      ),
      this.guidance,
      this.moreSettings(),
      part("How many, and how long", this.lengthFields()),
      this.footer(),
    );
    this.fields.leaveTo(this.variants);
    this.changed("scorer");
    return form;
  }

  drawPoints() {
    fill(
      this.where,
      h(
        "fieldset",
        {},
        h("legend.visually-hidden", {}, "Checkpoint"),
        this.start.points.map((point) =>
          h(
            "label.branch-point",
            {},
            h("input", {
              type: "radio",
              name: "branch-at",
              value: String(point.at),
              checked: point.at === this.at,
              onchange: () => {
                this.at = point.at;
                this.showLength();
                this.check();
              },
            }),
            h("span.num", {}, `step ${count(point.step)}`),
            h("span", {}, pointWords(point)),
            h("span.num.muted", {}, fileSize(point.size)),
          ),
        ),
      ),
    );
  }

  /** A field that may be left as it is. */
  setting(setting) {
    const now = this.start.now[setting.name];
    const front = IN_FRONT.includes(setting.name);
    const control = this.fields.control(setting, now === undefined ? "the method's default" : `unchanged: ${now}`);
    const label = front ? LABELS[setting.name] : setting.name;
    const says = ["scorer", "prompt"].includes(setting.name) || setting.description === label.toLowerCase();
    const hint = [says ? "" : setting.description, setting.range].filter(Boolean).join(" · ");
    const field = this.fields.field(setting.name, label, control, hint);
    if (setting.name === "scorer") field.append(this.fields.scorerHint(this.start.scorers));
    if (setting.name === "prompt") field.append(this.fields.promptHint(this.start.prompts));
    if (setting.name === "train_freq") field.append(this.ratio);
    return field;
  }

  moreSettings() {
    const rest = this.start.settings.filter((setting) => !IN_FRONT.includes(setting.name));
    return h(
      "details.all-settings",
      {},
      h("summary", {}, h("strong", {}, "More settings")),
      byGroup(rest).map(([title, settings]) =>
        h(
          "section",
          {},
          h("h4", {}, title),
          h(
            "div.grid-2",
            {},
            settings.map((setting) => this.setting(setting)),
          ),
        ),
      ),
    );
  }

  varyFields() {
    this.vary = h(
      "select",
      {
        onchange: () => {
          this.valuesField.hidden = !this.vary.value;
          this.check();
        },
      },
      h("option", { value: "" }, "nothing"),
      this.start.settings.map(({ name }) => h("option", { value: name }, name)),
    );
    this.values = h("input", { type: "text", placeholder: "yes, no", oninput: this.check, autocomplete: "off" });
    this.valuesField = this.fields.field("values", "Values", this.values, "comma-separated; a branch for each");
    this.valuesField.hidden = true;
    const vary = h("div.grid-2.vary", {}, this.fields.field("vary", "Also vary", this.vary), this.valuesField);
    if (!this.variants.length) return vary;
    this.variantsNode = h("div");
    this.drawVariants();
    return h(
      "div.setting.vary",
      { data: { setting: "variants" } },
      h("span.variants-label", {}, "A branch with each contestant of the prompt bench"),
      this.variantsNode,
      this.fields.slot("variants"),
    );
  }

  drawVariants() {
    const list = variantList(
      this.variants.map((each) => each.name),
      (i) => {
        this.variants.splice(i, 1);
        this.drawVariants();
        this.fields.leaveTo(this.variants);
        this.check();
      },
    );
    fill(this.variantsNode, this.variants.length ? list : h("p.muted", {}, "None left: the branches only change what is below."));
  }

  lengthFields() {
    const input = (attributes) => h("input", { type: "text", oninput: this.check, autocomplete: "off", ...attributes });
    this.seeds = input({ value: "0" });
    this.steps = input({ inputmode: "numeric" });
    this.setName = input({ maxlength: 200, placeholder: "groups these runs in the list" });
    this.tags = input({ maxlength: 1000, placeholder: "comma-separated" });
    this.stepsField = this.fields.field("steps", "Steps more", this.steps, " ");
    this.showLength();
    return h(
      "div.grid-2",
      {},
      this.fields.field(
        "seeds",
        "Continuation seeds",
        this.seeds,
        "such as 0-4; 0 keeps the run's generators, any other seed gives new exploration and sampling, the same in every branch",
      ),
      this.stepsField,
      this.fields.field("set_name", "Name of the set", this.setName),
      this.fields.field("tags", "Tags", this.tags),
    );
  }

  /** How many steps are left to the parent's end, from the chosen checkpoint. */
  showLength() {
    const left = this.start.total_steps - (this.start.points.find((point) => point.at === this.at)?.step ?? 0);
    const end = `run ${this.run}'s end, step ${count(this.start.total_steps)}`;
    this.steps.placeholder = left > 0 ? count(left) : "";
    this.stepsField.querySelector(".setting-hint").textContent =
      left > 0 ? `empty: until ${end}` : `${end} is not after that: give a number`;
  }

  footer() {
    this.words = h("p.branch-words", { "aria-live": "polite" }, "…");
    this.trouble = h("div");
    this.go = h("button.button.primary", { type: "submit", disabled: true }, "Branch");
    return h(
      "div.branch-footer",
      {},
      this.trouble,
      this.words,
      h(
        "div.buttons",
        {},
        button("Cancel", () => this.node.close()),
        this.go,
      ),
    );
  }

  // -- checks

  changed(name) {
    const input = this.fields.inputs.get(name);
    input.closest(".setting")?.classList.toggle("changed", this.fields.value(name) !== "");
    const now = (setting) => this.fields.value(setting) || this.start.now[setting];
    this.ratio.textContent = ratioWords(now("batch_size"), now("train_freq"));
    this.check();
  }

  read() {
    const settings = {};
    for (const name of this.fields.settings.keys()) {
      const value = this.fields.value(name);
      if (value !== "") settings[name] = value;
    }
    return {
      run: this.run,
      at: this.at,
      settings,
      methods: this.start.methods.map(({ key }) => key).filter((key) => this.methods.get(key).checked),
      vary: this.vary.value,
      values: this.vary.value ? this.values.value : "",
      seeds: this.seeds.value,
      steps: this.steps.value,
      set_name: this.setName.value,
      tags: this.tags.value,
      variants: this.variants.map((each) => each.settings),
    };
  }

  async ask() {
    const asked = this.read();
    this.asked = JSON.stringify(asked);
    try {
      const verdict = await this.call("check_branch", asked);
      if (this.asked === JSON.stringify(asked) && !this.busy) this.show(verdict, asked);
    } catch (error) {
      fill(this.trouble, problem(error.message));
      this.go.disabled = true;
    }
  }

  show({ problems, size, notices }, asked) {
    this.showProblems(problems);
    const labelled = this.start.methods.some(({ key, labels }) => labels && asked.methods.includes(key));
    this.guidance.classList.toggle("faded", !labelled);
    const wrong = Object.keys(problems).length;
    this.go.disabled = wrong > 0;
    if (wrong) {
      fill(this.words, h("span.muted", {}, wrong === 1 ? "One field is invalid." : `${wrong} fields are invalid.`));
      return;
    }
    const { runs, at_a_time: together, seconds, basis } = size;
    this.go.textContent = this.goWords = runs === 1 ? "Start 1 branch" : `Start ${count(runs)} branches`;
    const pace = together > 1 ? `${together} at a time` : runs > 1 ? "one at a time" : "";
    const time = seconds === null ? "Time unknown: " : `About ${duration(seconds)} in total${pace ? `, ${pace}` : ""}, `;
    fill(
      this.words,
      time,
      h("span.muted", {}, basis),
      ".",
      notices.map((words) => h("span.warning", {}, words)),
    );
  }

  showProblems(problems) {
    fill(
      this.trouble,
      this.fields.showProblems(problems).map((words) => problem(words)),
    );
  }

  // -- the press

  async press() {
    if (this.go.disabled) return;
    this.busy = this.go.disabled = true;
    this.go.textContent = "Starting…";
    const asked = this.read();
    const content = JSON.stringify(asked);
    this.sent = this.sent?.content === content ? this.sent : { content, id: pressId() };
    try {
      const { run_ids: ids, problems } = await this.call("branch", { ...asked, press: this.sent.id });
      this.sent = null;
      if (ids.length) return this.made(ids);
      this.showProblems(problems);
      this.node.querySelector(".wrong, .problem")?.scrollIntoView({ block: "nearest" });
      fill(this.words, h("span.muted", {}, "Nothing was started."));
      await this.readPoints();
    } catch (error) {
      fill(this.trouble, problem(error.message));
      if (!error.offline) this.sent = null;
    }
    this.busy = this.go.disabled = false;
    this.go.textContent = this.goWords ?? "Branch";
  }

  /** A live run may have replaced the checkpoint that was chosen. */
  async readPoints() {
    const { points } = await this.call("branching", { run: this.run }).catch(() => this.start);
    this.start.points = points;
    if (!points.some((point) => point.at === this.at)) this.at = points[0]?.at;
    this.drawPoints();
    this.showLength();
  }

  made(ids) {
    this.node.close();
    const links = ids.slice(0, MOST_LINKS).flatMap((id, i) => [i ? ", " : "", h("a", { href: page("run", { run: id }) }, id)]);
    const more = ids.length > MOST_LINKS ? ` and ${count(ids.length - MOST_LINKS)} more` : "";
    toast([ids.length === 1 ? "Queued as run " : `Queued as runs `, links, more]);
    this.done();
  }
}
