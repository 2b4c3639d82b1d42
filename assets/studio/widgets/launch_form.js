// The launch page: presets, the main settings, all others collapsed, and one button.
import { button, count, debounce, duration, fill, h, page, poll, problem, query, setQuery, short, toast } from "../studio.js";
import { byGroup, methodChoices, pressId, ratioWords, SettingFields, variantList } from "./setting_fields.js";
import { SharedPanel } from "./shared_scorer.js";

const IN_FRONT = ["env", "algo", "total_steps", "scorer", "prompt", "base", "lambda_max", "lambda_warmup", "clip_length"];
const SHARED_SECONDS = 3;
const LABELS = {
  env: "Environment",
  algo: "Agent",
  total_steps: "Steps per run",
  scorer: "Scorer",
  prompt: "Prompt",
  base: "Base method",
  lambda_max: "Maximum λ",
  lambda_warmup: "λ warm-up",
  clip_length: "Clip length",
};

export function mount({ node, data, call }) {
  const form = new LaunchForm(data, call);
  fill(node, form.node);
  return form.start();
}

const AMOUNTS = ["cpus", "gpus", "resources"];

class LaunchForm {
  constructor(data, call) {
    this.data = data;
    this.call = call;
    /** @type {any[]} */
    this.lists = [];
    /** @type {any} */
    this.methods = new Map();
    this.cards = new Map();
    /** Contestants of the prompt bench: their names, and their settings. @type {{ name: string, settings: any }[]} */
    this.variants = [];
    this.fields = new SettingFields(data.settings, (name) => this.changed(name));
    this.settings = this.fields.settings;
    this.check = debounce(() => this.ask(), 300);
    this.ratio = h("span.setting-hint");
    this.shared = new SharedPanel(null, "div.shared-scorer");
    this.node = h(
      "div.launch",
      {},
      h("h1.visually-hidden", {}, "Launch"),
      this.presetCards(),
      h("div.launch-columns", {}, h("div.launch-form", {}, this.front(), this.allSettings()), this.summary()),
    );
  }

  async start() {
    if (query().bench && (await this.startWithBench(query().bench))) return this.started();
    if (query().like) await this.startLike(Number(query().like));
    else this.startWithPreset();
    this.started();
  }

  started() {
    this.ask(); // the form need not wait for it
    poll(() => this.readShared(), SHARED_SECONDS);
    window.addEventListener("pageshow", (event) => event.persisted && this.ready()); // back from the launched runs
  }

  /** Start from the settings of a run. */
  async startLike(run) {
    let words = "";
    try {
      const { name, form } = await this.call("like", { run });
      this.fillIn(form);
      words = `Settings of run ${run}, “${name}”. Choose other seeds to repeat it, or change what should differ.`;
    } catch (error) {
      this.startWithPreset();
      words = `${error.message}; showing a preset.`;
    }
    this.node.prepend(h("p.notice", { role: "status" }, words));
  }

  startWithPreset() {
    const key = query().preset || "quick";
    const known = this.data.presets.find((each) => each.key === key);
    const preset = known ?? this.data.presets[0];
    if (!known) this.node.prepend(h("p.notice", { role: "status" }, `There is no preset “${key}”; showing “${preset.title}”.`));
    this.fillIn(preset.form);
    this.markPreset(preset.key);
  }

  /** Fill in the contestants of the prompt bench; whether that was possible. */
  async startWithBench(bench) {
    try {
      const { names, form, run_id: run } = await this.call("contestants", { bench });
      this.fillIn(form, names);
      const words = `Trains like run ${run}, once with each contestant of the prompt bench; they differ in nothing else.`;
      this.node.prepend(h("p.notice", { role: "status" }, words));
    } catch (error) {
      this.node.prepend(problem(error.message));
      return false;
    }
    return true;
  }

  // -- presets

  presetCards() {
    this.cards = new Map(
      this.data.presets.map((preset) => [
        preset.key,
        h(
          "button.preset",
          {
            type: "button",
            "aria-pressed": "false",
            onclick: () => {
              this.fillIn(preset.form);
              this.markPreset(preset.key);
              setQuery({ preset: preset.key, like: "", bench: null });
              this.ask();
            },
          },
          h("strong", {}, preset.title),
          h("span", {}, preset.text),
        ),
      ]),
    );
    return h("section.presets", { "aria-label": "Presets" }, [...this.cards.values()]);
  }

  markPreset(key) {
    this.cards.forEach((card, each) => card.setAttribute("aria-pressed", String(each === key)));
  }

  fillIn(form, names = []) {
    this.write("algo", form.settings.algo ?? this.settings.get("algo").default);
    this.agent = this.value("algo");
    for (const [name, setting] of this.settings) this.write(name, form.settings[name] ?? this.usual(setting));
    this.data.methods.forEach(({ key }) => {
      this.methods.get(key).checked = form.methods.includes(key);
    });
    this.vary.value = form.vary;
    this.values.value = form.values.join(", ");
    this.seeds.value = form.seeds;
    this.setName.value = form.set_name;
    this.tags.value = form.tags.join(", ");
    this.on.value = form.on || this.data.destinations[0];
    for (const name of AMOUNTS) this[name].value = form[name];
    this.showWhere();
    this.variants = names.map((name, i) => ({ name, settings: form.variants[i] }));
    this.showVary();
  }

  read() {
    const settings = {};
    for (const [name, setting] of this.settings) {
      const value = this.value(name);
      if (value !== this.default(setting) && value !== "") settings[name] = setting.kind === "flag" ? value === "yes" : value;
    }
    return {
      settings,
      methods: this.data.methods.map(({ key }) => key).filter((key) => this.methods.get(key).checked),
      vary: this.vary.value,
      values: this.vary.value ? this.values.value : "",
      seeds: this.seeds.value,
      set_name: this.setName.value,
      tags: this.tags.value,
      on: this.on.value,
      ...Object.fromEntries(AMOUNTS.map((name) => [name, this.on.value === "local" ? "" : this[name].value])),
      variants: this.variants.map((each) => each.settings),
    };
  }

  /** A setting's default for an agent, by default the one chosen in the form. */
  default(setting, agent = this.agent) {
    return setting.by_agent[agent] ?? setting.default;
  }

  /** What a field holds where nobody has chosen. */
  usual(setting) {
    return setting.kind === "flag" ? "" : this.default(setting);
  }

  /** After a change of agent: fields that still have the old agent's default get the new one's. */
  agentChosen() {
    const before = this.agent;
    this.agent = this.value("algo");
    for (const [name, setting] of this.settings) {
      if (this.value(name) === this.default(setting, before)) this.write(name, this.default(setting));
      this.markChanged(name);
    }
  }

  value(name) {
    return this.fields.value(name);
  }

  write(name, value) {
    this.fields.write(name, value);
    this.markChanged(name);
  }

  /** A setting was changed by hand. */
  changed(name) {
    if (name === "algo") this.agentChosen();
    this.markChanged(name);
    this.markPreset(null);
    this.check();
  }

  markChanged(name) {
    const setting = this.settings.get(name);
    const changed = this.value(name) !== this.default(setting) && this.value(name) !== "";
    this.fields.inputs.get(name).closest(".setting")?.classList.toggle("changed", changed);
    if (name === "scorer") this.describeScorer();
    if (["batch_size", "train_freq"].includes(name)) this.ratio.textContent = this.ratioWords();
  }

  // -- fields

  ratioWords() {
    const given = (name) => this.value(name) || this.default(this.settings.get(name));
    return ratioWords(given("batch_size"), given("train_freq"));
  }

  front() {
    const of = (name) => {
      const setting = this.settings.get(name);
      return this.fields.field(
        name,
        LABELS[name],
        this.fields.control(setting),
        ["algo", "prompt", "scorer"].includes(name) ? null : settingHint(setting),
      );
    };
    const env = of("env");
    this.suggest(
      "env",
      this.data.environments.map((id) => [id, ""]),
    );
    const scorer = of("scorer");
    this.scorerNote = h("span", { role: "status" });
    scorer.append(this.fields.scorerHint(this.data.scorers), h("span.setting-hint", {}, this.scorerNote));
    const prompt = of("prompt");
    prompt.append(this.fields.promptHint(this.data.prompts));
    this.picture = h("div.schedule", { "aria-live": "polite" });
    const methods = methodChoices(this.data.methods, () => {
      this.markPreset(null);
      this.check();
    });
    this.methods = methods.boxes;
    this.seeds = h("input", { type: "text", placeholder: "0-4", oninput: this.check, autocomplete: "off" });
    this.setName = h("input", {
      type: "text",
      maxlength: 200,
      oninput: this.check,
      placeholder: "groups these runs in the list",
      autocomplete: "off",
    });
    this.tags = h("input", {
      type: "text",
      maxlength: 1000,
      oninput: this.check,
      placeholder: "comma-separated",
      autocomplete: "off",
    });
    return h(
      "div",
      {},
      h(
        "section.panel",
        {},
        h("h2", {}, "What to train"),
        h(
          "div.grid-2",
          {},
          env,
          of("algo"),
          of("total_steps"),
          this.fields.field(
            "seeds",
            "Seeds per method",
            this.seeds,
            "numbers and ranges, such as 0-4 or 0, 1, 2; use at least 5 to compare methods",
          ),
        ),
      ),
      h("section.panel", {}, h("h2", {}, "Replay methods"), methods.node, this.fields.slot("methods"), this.varyFields()),
      h(
        "section.panel.labels-only",
        {},
        h("h2", {}, "VLM guidance"),
        h("div.grid-2", {}, scorer, of("clip_length")),
        this.shared.node,
        prompt,
        of("base"),
        h("div.lambda", {}, h("div.lambda-fields", {}, of("lambda_max"), of("lambda_warmup")), this.picture),
      ),
      h(
        "section.panel",
        {},
        h("h2", {}, "Name"),
        h(
          "div.grid-2",
          {},
          this.fields.field("set_name", "Name of the set", this.setName),
          this.fields.field("tags", "Tags", this.tags),
        ),
      ),
      this.where(),
    );
  }

  /** Where the runs train; there is no choice while this machine is the only place. */
  where() {
    const amount = (placeholder) =>
      h("input", { type: "text", maxlength: 200, oninput: this.check, placeholder, autocomplete: "off" });
    const options = this.data.destinations.map((name) => h("option", { value: name }, name === "local" ? "this machine" : name));
    this.on = h("select", { onchange: () => this.moved() }, options);
    this.cpus = amount("1");
    this.gpus = amount("0; 0.2 lets five runs share one");
    this.resources = amount("of the cluster's own, such as licence=1");
    this.amounts = h(
      "div.grid-2",
      {},
      this.fields.field("cpus", "CPUs per run", this.cpus),
      this.fields.field("gpus", "GPUs per run", this.gpus),
      this.fields.field("resources", "Other resources", this.resources),
    );
    const hint = "ray: the cluster of RAY_ADDRESS or on this machine; else one is started here";
    return h(
      "section.panel",
      { hidden: this.data.destinations.length < 2 },
      h("h2", {}, "Where"),
      this.fields.field("on", "Train on", this.on, hint),
      this.amounts,
    );
  }

  moved() {
    this.showWhere();
    this.check();
  }

  showWhere() {
    this.amounts.hidden = this.on.value === "local";
  }

  /** Describe the scorer in its field. */
  describeScorer() {
    const kind = (text) => text.split(":")[0].trim();
    const found = this.data.scorers.find(([value]) => kind(value) === kind(this.value("scorer")));
    this.scorerNote.textContent = found ? found[1] : "";
  }

  /** How a shared scorer that is chosen is doing. */
  async readShared() {
    const scorer = String(this.value("scorer") ?? "");
    const looks = scorer.includes("shared:") ? await this.call("shared", { scorer }).catch(() => null) : [];
    if (looks) this.shared.draw(looks);
  }

  suggest(name, choices) {
    const list = h(
      "datalist",
      { id: `suggestions-${name}` },
      choices.map(([value, label]) => h("option", { value, label: label || null })),
    );
    this.fields.inputs.get(name).setAttribute("list", list.id);
    this.lists.push(list);
  }

  varyFields() {
    const names = [...this.settings.keys()].filter((name) => name !== "env" && this.settings.get(name).kind !== "flag");
    this.vary = h(
      "select",
      {
        onchange: () => {
          this.showVary();
          this.markPreset(null);
          this.check();
        },
      },
      h("option", { value: "" }, "nothing"),
      names.map((name) => h("option", { value: name }, name)),
    );
    this.values = h("input", { type: "text", placeholder: "0.25, 0.5, none", oninput: this.check, autocomplete: "off" });
    this.valuesField = this.fields.field(
      "values",
      "Values",
      this.values,
      "comma-separated; each value is compared as a separate method",
    );
    this.varyRow = h(
      "div.grid-2.vary",
      {},
      this.fields.field("vary", "Also vary", this.vary, "one setting that takes several values, for an ablation"),
      this.valuesField,
    );
    this.variantsField = h(
      "div.setting.vary",
      { data: { setting: "variants" } },
      h("span.variants-label", {}, "Contestants of the prompt bench"),
      h("ul.variants"),
      this.fields.slot("variants"),
      h("span.setting-hint", {}, "each brings its own scorer, prompt and threshold, in place of those below"),
    );
    return [this.varyRow, this.variantsField];
  }

  showVary() {
    this.valuesField.hidden = !this.vary.value;
    this.varyRow.hidden = this.variants.length > 0;
    this.variantsField.hidden = !this.variants.length;
    this.fields.leaveTo(this.variants);
    const list = variantList(
      this.variants.map((each) => each.name),
      (i) => {
        this.variants.splice(i, 1);
        this.showVary();
        this.check();
      },
    );
    this.variantsField.querySelector(".variants").replaceWith(list);
  }

  allSettings() {
    const rest = [...this.settings.values()].filter((setting) => !IN_FRONT.includes(setting.name));
    const field = (setting) => {
      const node = this.fields.field(setting.name, setting.name, this.fields.control(setting), settingHint(setting));
      if (setting.name === "train_freq") node.append(this.ratio);
      return node;
    };
    this.changedCount = h("span.muted");
    return h(
      "details.panel.all-settings",
      {},
      h("summary", {}, h("strong", {}, "All settings"), " ", this.changedCount),
      this.lists,
      byGroup(rest).map(([title, settings]) => h("section", {}, h("h3", {}, title), h("div.grid-2", {}, settings.map(field)))),
      h(
        "p",
        {},
        button(
          "Reset all to defaults",
          () => {
            this.settings.forEach((setting, name) => IN_FRONT.includes(name) || this.write(name, this.usual(setting)));
            this.check();
          },
          { kind: "small" },
        ),
      ),
    );
  }

  // -- the summary

  summary() {
    this.words = h("div.launch-words", { "aria-live": "polite" }, "…");
    this.trouble = h("div");
    this.go = button("Launch", () => this.launch(), { kind: "primary", id: "launch-button", disabled: true });
    this.commandText = h("pre.command", { tabindex: 0, "aria-label": "Equivalent command" });
    const copy = button(
      "Copy command",
      async () => {
        try {
          await navigator.clipboard.writeText(this.commandText.textContent);
          toast("Copied");
        } catch {
          this.commandBox.open = true;
        }
      },
      { kind: "small" },
    );
    this.commandBox = h("details", {}, h("summary", {}, "As a command"), this.commandText, copy);
    return h(
      "aside.panel.launch-summary",
      { "aria-label": "What will be launched" },
      h("h2", {}, "What will be launched"),
      this.words,
      this.trouble,
      this.go,
      this.commandBox,
    );
  }

  async ask() {
    const form = this.read();
    const asked = JSON.stringify(form);
    this.asked = asked;
    try {
      const verdict = await this.call("check_form", form);
      if (this.asked === asked) this.show(verdict, form);
    } catch (error) {
      fill(this.trouble, problem(error.message));
      this.go.disabled = true;
    }
  }

  show(verdict, form) {
    this.showProblems(verdict.problems);
    const wrong = Object.keys(verdict.problems).length;
    this.go.disabled = wrong > 0;
    const changed = Object.keys(form.settings).filter((name) => !IN_FRONT.includes(name)).length;
    this.changedCount.textContent = changed ? `${changed} changed` : "all at their defaults";
    const labelled = this.data.methods.some(({ key, labels }) => labels && form.methods.includes(key));
    this.node.querySelector(".labels-only").classList.toggle("faded", !labelled);
    if (wrong) {
      fill(this.words, h("p.muted", {}, wrong === 1 ? "One field is invalid." : `${wrong} fields are invalid.`));
      fill(this.picture);
      return;
    }
    const { runs, at_a_time: together, seconds, basis } = verdict.size;
    fill(
      this.words,
      h(
        "p.launch-size",
        {},
        h("strong", {}, count(runs)),
        runs === 1 ? " run" : " runs",
        together > 1 ? `, ${together} at a time` : runs > 1 ? ", one at a time" : "",
      ),
      h("p", {}, seconds === null ? "Time unknown: " : `About ${duration(seconds)} in total, `, h("span.muted", {}, basis), "."),
      verdict.notices.map((words) => h("p.warning", {}, words)),
    );
    this.go.textContent = this.goWords = runs === 1 ? "Launch 1 run" : `Launch ${count(runs)} runs`;
    this.commandText.textContent = verdict.command;
    fill(this.picture, schedulePicture(verdict.schedules));
  }

  showProblems(problems) {
    fill(
      this.trouble,
      this.fields.showProblems(problems).map((words) => problem(words)),
    );
  }

  async launch() {
    if (this.go.disabled) return;
    this.go.disabled = true;
    this.go.textContent = "Launching…";
    const form = this.read();
    this.press = this.pressOf(form);
    try {
      const { run_ids: ids, problems } = await this.call("launch", { ...form, press: this.press.id });
      if (Object.keys(problems).length) this.showProblems(problems);
      else {
        sessionStorage.setItem("studio:launched", ids.join(","));
        location.href = ids.length === 1 ? page("run", { run: ids[0] }) : page("", { launched: ids.length });
        return;
      }
      this.press = null;
    } catch (error) {
      fill(this.trouble, problem(error.message));
      if (!error.offline) this.press = null;
    }
    this.ready();
  }

  /** One press of the button. A form whose answer never came keeps its press, because it may have been launched. */
  pressOf(form) {
    const content = JSON.stringify(form);
    return this.press?.content === content ? this.press : { content, id: pressId() };
  }

  ready() {
    this.go.disabled = false;
    this.go.textContent = this.goWords ?? "Launch";
  }
}

/** λ over the steps of a run, one line per distinct schedule. */
function schedulePicture(schedules) {
  if (!schedules.length) return h("p.muted", {}, "No λ: batches are not mixed.");
  const [width, height, left, bottom] = [320, 110, 42, 20];
  const ends = schedules.map((points) => points[points.length - 1]);
  const last = Math.max(...ends.map(([step]) => step));
  const x = (step) => left + ((width - left - 8) * step) / last;
  const y = (weight) => 8 + (height - bottom - 8) * (1 - weight);
  const tick = (words, at, side) =>
    h(
      `text.axis`,
      side === "x" ? { x: at, y: height - 5, "text-anchor": "middle" } : { x: left - 6, y: at + 4, "text-anchor": "end" },
      words,
    );
  return h(
    "svg.schedule-picture",
    {
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": `λ rises from 0 to ${ends.map(([, weight]) => weight).join(", ")}`,
    },
    h("line.grid", { x1: left, x2: width - 8, y1: y(0), y2: y(0) }),
    h("line.grid", { x1: left, x2: width - 8, y1: y(1), y2: y(1) }),
    schedules.map((points) =>
      h("polyline.curve", { points: points.map(([step, weight]) => `${x(step).toFixed(1)},${y(weight).toFixed(1)}`).join(" ") }),
    ),
    tick("0", y(0), "y"),
    tick("λ = 1", y(1), "y"),
    tick("0", x(0) + 4, "x"),
    tick(`${short(last)} steps`, x(last) - 28, "x"),
  );
}

/** A setting's description, range and defaults, in one line below its field. */
export function settingHint(setting) {
  const others = Object.entries({ ...setting.by_agent, ...setting.by_method })
    .filter(([, value]) => value !== setting.default)
    .map(([key, value]) => `${key} ${asWords(value)}`);
  const base = [`default ${asWords(setting.default)}`, ...others].join(", ");
  return [setting.description, [setting.range, base].filter(Boolean).join("; ")].filter(Boolean).join(" · ");
}

function asWords(value) {
  return typeof value === "boolean" ? (value ? "yes" : "no") : value;
}
