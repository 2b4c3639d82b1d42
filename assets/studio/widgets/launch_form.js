// The launch page: presets, the main settings, all others collapsed, and one button.
import { button, count, debounce, duration, fill, h, page, problem, query, setQuery, short, toast } from "../studio.js";

const GROUP_TITLES = {
  environment: "Environment",
  agent: "Agent",
  replay: "Replay",
  scoring: "Clips and scoring",
  evaluation: "Evaluation and logging",
};
const IN_FRONT = ["env", "algo", "total_steps", "scorer", "prompt", "base", "lambda_max", "lambda_warmup", "clip_length"];
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
  form.start();
}

class LaunchForm {
  constructor(data, call) {
    this.data = data;
    this.call = call;
    this.inputs = new Map();
    this.slots = new Map();
    /** @type {any[]} */
    this.lists = [];
    /** @type {any} */
    this.methods = new Map();
    this.cards = new Map();
    this.settings = new Map(data.settings.map((setting) => [setting.name, setting]));
    this.check = debounce(() => this.ask(), 300);
    this.node = h(
      "div.launch",
      {},
      h("h1.visually-hidden", {}, "Launch"),
      this.presetCards(),
      h("div.launch-columns", {}, h("div.launch-form", {}, this.front(), this.allSettings()), this.summary()),
    );
  }

  start() {
    const key = query().preset || "quick";
    const known = this.data.presets.find((each) => each.key === key);
    const preset = known ?? this.data.presets[0];
    if (!known) this.node.prepend(h("p.notice", { role: "status" }, `There is no preset “${key}”; showing “${preset.title}”.`));
    this.fillIn(preset.form);
    this.markPreset(preset.key);
    this.ask();
    window.addEventListener("pageshow", (event) => event.persisted && this.ready()); // back from the launched runs
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
              setQuery({ preset: preset.key });
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

  fillIn(form) {
    this.write("algo", form.settings.algo ?? this.settings.get("algo").default);
    this.agent = this.value("algo");
    for (const [name, setting] of this.settings) this.write(name, form.settings[name] ?? this.default(setting));
    this.data.methods.forEach(({ key }) => {
      this.methods.get(key).checked = form.methods.includes(key);
    });
    this.vary.value = form.vary;
    this.values.value = form.values.join(", ");
    this.seeds.value = form.seeds;
    this.setName.value = form.set_name;
    this.tags.value = form.tags.join(", ");
    this.showVary();
  }

  read() {
    const settings = {};
    for (const [name, setting] of this.settings) {
      const value = this.value(name);
      if (value !== this.default(setting) && value !== "") settings[name] = value;
    }
    return {
      settings,
      methods: this.data.methods.map(({ key }) => key).filter((key) => this.methods.get(key).checked),
      vary: this.vary.value,
      values: this.vary.value ? this.values.value : "",
      seeds: this.seeds.value,
      set_name: this.setName.value,
      tags: this.tags.value,
    };
  }

  /** A setting's default for an agent, by default the one chosen in the form. */
  default(setting, agent = this.agent) {
    return setting.by_agent[agent] ?? setting.default;
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
    const input = this.inputs.get(name);
    return input.type === "checkbox" ? input.checked : input.value.trim();
  }

  write(name, value) {
    const input = this.inputs.get(name);
    if (input.type === "checkbox") input.checked = value === true;
    else input.value = value === null || value === undefined ? "" : String(value);
    this.markChanged(name);
  }

  markChanged(name) {
    const setting = this.settings.get(name);
    const changed = this.value(name) !== this.default(setting) && this.value(name) !== "";
    this.inputs.get(name).closest(".setting")?.classList.toggle("changed", changed);
    if (name === "scorer") this.describeScorer();
  }

  // -- fields

  /** A labelled control with a place for its error message. */
  field(name, label, control, hint) {
    const slot = h("span.field-problem", { id: `problem-${name}`, role: "alert" });
    this.slots.set(name, slot);
    control.id = control.id || `field-${name}`;
    control.setAttribute("aria-describedby", `problem-${name}`);
    return h(
      "div.setting",
      { data: { setting: name } },
      h("label", { for: control.id }, label),
      control,
      slot,
      hint ? h("span.setting-hint", {}, hint) : null,
    );
  }

  control(setting) {
    const changed = () => {
      if (setting.name === "algo") this.agentChosen();
      this.markChanged(setting.name);
      this.markPreset(null);
      this.check();
    };
    let input;
    if (setting.kind === "flag") input = h("input", { type: "checkbox", onchange: changed });
    else if (setting.kind === "choice")
      input = h(
        "select",
        { onchange: changed },
        setting.choices.map((choice) => h("option", { value: choice }, choice)),
      );
    else if (setting.name === "prompt") input = h("textarea", { rows: 3, oninput: changed, maxlength: 8000, spellcheck: "true" });
    else
      input = h("input", {
        type: "text",
        inputmode: setting.kind === "whole" ? "numeric" : setting.kind === "number" ? "decimal" : null,
        oninput: changed,
        autocomplete: "off",
        spellcheck: "false",
      });
    this.inputs.set(setting.name, input);
    return input;
  }

  front() {
    const of = (name) => {
      const setting = this.settings.get(name);
      return this.field(
        name,
        LABELS[name],
        this.control(setting),
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
    scorer.append(
      h("span.setting-hint", {}, this.shortcuts("scorer", this.data.scorers)),
      h("span.setting-hint", {}, this.scorerNote),
    );
    const prompt = of("prompt");
    prompt.append(
      h(
        "span.setting-hint",
        {},
        "a preset (",
        this.shortcuts(
          "prompt",
          this.data.prompts.map((each) => [each.name, each.text]),
        ),
        ") or your own yes/no question",
      ),
    );
    this.picture = h("div.schedule", { "aria-live": "polite" });
    this.methods = new Map(
      this.data.methods.map(({ key }) => [
        key,
        h("input", {
          type: "checkbox",
          id: `method-${key}`,
          onchange: () => {
            this.markPreset(null);
            this.check();
          },
        }),
      ]),
    );
    this.slots.set("methods", h("span.field-problem", { role: "alert" }));
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
          this.field(
            "seeds",
            "Seeds per method",
            this.seeds,
            "numbers and ranges, such as 0-4 or 0, 1, 2; use at least 5 to compare methods",
          ),
        ),
      ),
      h(
        "section.panel",
        {},
        h("h2", {}, "Replay methods"),
        h(
          "fieldset.methods",
          {},
          h("legend.visually-hidden", {}, "Replay methods"),
          this.data.methods.map(({ key, title, text, token }) =>
            h(
              "label.method",
              { for: `method-${key}` },
              this.methods.get(key),
              h("span.method-dot", { style: { background: `var(--${token})` } }),
              h("strong", {}, title),
              h("span.muted", {}, text),
            ),
          ),
        ),
        this.slots.get("methods"),
        this.varyFields(),
      ),
      h(
        "section.panel.labels-only",
        {},
        h("h2", {}, "VLM guidance"),
        h("div.grid-2", {}, scorer, of("clip_length")),
        prompt,
        of("base"),
        h("div.lambda", {}, h("div.lambda-fields", {}, of("lambda_max"), of("lambda_warmup")), this.picture),
      ),
      h(
        "section.panel",
        {},
        h("h2", {}, "Name"),
        h("div.grid-2", {}, this.field("set_name", "Name of the set", this.setName), this.field("tags", "Tags", this.tags)),
      ),
    );
  }

  /** Buttons that fill in a field; each explains its value in a tooltip. */
  shortcuts(name, choices) {
    const choose = (value) => {
      this.write(name, value);
      this.markPreset(null);
      this.check();
    };
    return choices.flatMap(([value, words], i) => [
      i ? ", " : "",
      h("button.linklike", { type: "button", title: words, onclick: () => choose(value) }, value),
    ]);
  }

  /** Describe the scorer in its field. */
  describeScorer() {
    const kind = (text) => text.split(":")[0].trim();
    const found = this.data.scorers.find(([value]) => kind(value) === kind(this.value("scorer")));
    this.scorerNote.textContent = found ? found[1] : "";
  }

  suggest(name, choices) {
    const list = h(
      "datalist",
      { id: `suggestions-${name}` },
      choices.map(([value, label]) => h("option", { value, label: label || null })),
    );
    this.inputs.get(name).setAttribute("list", list.id);
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
    this.valuesField = this.field(
      "values",
      "Values",
      this.values,
      "comma-separated; each value is compared as a separate method",
    );
    return h(
      "div.grid-2.vary",
      {},
      this.field("vary", "Also vary", this.vary, "one setting that takes several values, for an ablation"),
      this.valuesField,
    );
  }

  showVary() {
    this.valuesField.hidden = !this.vary.value;
  }

  allSettings() {
    const groups = new Map();
    for (const setting of this.settings.values()) {
      if (IN_FRONT.includes(setting.name)) continue;
      if (!groups.has(setting.group)) groups.set(setting.group, []);
      groups.get(setting.group).push(setting);
    }
    this.changedCount = h("span.muted");
    return h(
      "details.panel.all-settings",
      {},
      h("summary", {}, h("strong", {}, "All settings"), " ", this.changedCount),
      this.lists,
      [...groups].map(([group, settings]) =>
        h(
          "section",
          {},
          h("h3", {}, GROUP_TITLES[group] ?? group),
          h(
            "div.grid-2",
            {},
            settings.map((setting) => this.field(setting.name, setting.name, this.control(setting), settingHint(setting))),
          ),
        ),
      ),
      h(
        "p",
        {},
        button(
          "Reset all to defaults",
          () => {
            this.settings.forEach((setting, name) => IN_FRONT.includes(name) || this.write(name, this.default(setting)));
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
    for (const [name, slot] of this.slots) {
      slot.textContent = problems[name] ?? "";
      slot.closest(".setting")?.classList.toggle("wrong", name in problems);
      if (name in problems && slot.closest("details") && !IN_FRONT.includes(name)) slot.closest("details").open = true;
    }
    const rest = Object.entries(problems)
      .filter(([name]) => !this.slots.has(name))
      .map(([name, words]) => problem(name ? `${name}: ${words}` : words));
    fill(this.trouble, rest);
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
    return this.press?.content === content
      ? this.press
      : { content, id: Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-") };
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
  const others = Object.entries(setting.by_agent)
    .filter(([, value]) => value !== setting.default)
    .map(([agent, value]) => `${agent} ${value}`);
  const base = setting.kind === "flag" ? "" : [`default ${setting.default}`, ...others].join(", ");
  return [setting.description, [setting.range, base].filter(Boolean).join("; ")].filter(Boolean).join(" · ");
}
