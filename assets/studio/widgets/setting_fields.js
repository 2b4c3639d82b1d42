// Fields of a form for settings, each with its label, hint and place for a problem: for the launch page and the branch dialog.
import { h } from "../studio.js";

const GROUP_TITLES = {
  environment: "Environment",
  agent: "Agent",
  replay: "Replay",
  scoring: "Clips and scoring",
  evaluation: "Evaluation and logging",
};

export class SettingFields {
  /**
   * @param {any[]} settings as the server describes them
   * @param {(name: string) => void} onchange a setting was changed by hand
   */
  constructor(settings, onchange) {
    this.settings = new Map(settings.map((setting) => [setting.name, setting]));
    this.onchange = onchange;
    this.inputs = new Map();
    this.slots = new Map();
  }

  /** A labelled control with a place for its error message. */
  field(name, label, control, hint) {
    const slot = this.slot(name);
    slot.id = `problem-${name}`;
    control.id = control.id || `field-${name}`;
    control.setAttribute("aria-describedby", slot.id);
    return h(
      "div.setting",
      { data: { setting: name } },
      h("label", { for: control.id }, label),
      control,
      slot,
      hint ? h("span.setting-hint", {}, hint) : null,
    );
  }

  /** The place for a field's error message. */
  slot(name) {
    this.slots.set(name, h("span.field-problem", { role: "alert" }));
    return this.slots.get(name);
  }

  /**
   * The input of a setting. With `unchanged`, a text, it may be left as it is: then its value is "". A flag always may: what
   * it is by default can depend on the replay method.
   */
  control(setting, unchanged = setting.kind === "flag" ? "by default" : "") {
    const changed = () => this.onchange(setting.name);
    const options = setting.kind === "flag" ? ["yes", "no"] : setting.choices;
    let input;
    if (setting.kind === "flag" || setting.kind === "choice")
      input = h(
        "select",
        { onchange: changed },
        unchanged ? h("option", { value: "" }, unchanged) : null,
        options.map((choice) => h("option", { value: choice }, choice)),
      );
    else if (setting.name === "prompt")
      input = h("textarea", {
        rows: 3,
        oninput: changed,
        maxlength: 8000,
        spellcheck: "true",
        placeholder: unchanged || null,
      });
    else
      input = h("input", {
        type: "text",
        inputmode: setting.kind === "whole" ? "numeric" : setting.kind === "number" ? "decimal" : null,
        oninput: changed,
        autocomplete: "off",
        spellcheck: "false",
        placeholder: unchanged || null,
      });
    this.inputs.set(setting.name, input);
    return input;
  }

  value(name) {
    return this.inputs.get(name).value.trim();
  }

  write(name, value) {
    const text = typeof value === "boolean" ? (value ? "yes" : "no") : (value ?? "");
    this.inputs.get(name).value = String(text);
  }

  /** Settings that contestants bring along cannot be set: `variants` are { settings }. */
  leaveTo(variants) {
    const theirs = new Set(variants.flatMap((each) => Object.keys(each.settings)));
    this.inputs.forEach((input, name) => {
      input.disabled = theirs.has(name);
    });
  }

  /** Buttons that fill in a field; each explains its value in a tooltip. `choices`: [value, words]. */
  shortcuts(name, choices) {
    const choose = (value) => {
      this.write(name, value);
      this.onchange(name);
    };
    return choices.flatMap(([value, words], i) => [
      i ? ", " : "",
      h("button.linklike", { type: "button", title: words, onclick: () => choose(value) }, value),
    ]);
  }

  /** Hints below the fields of scorer and prompt, with buttons that fill them in. */
  scorerHint(scorers) {
    return h("span.setting-hint", {}, this.shortcuts("scorer", scorers));
  }

  promptHint(prompts) {
    const choices = prompts.map((each) => [each.name, each.text]);
    return h("span.setting-hint", {}, "a preset (", this.shortcuts("prompt", choices), ") or your own yes/no question");
  }

  /** Show problems at their fields; gives those that belong to no field, as texts. Fields in closed details are opened. */
  showProblems(problems) {
    for (const [name, slot] of this.slots) {
      slot.textContent = problems[name] ?? "";
      slot.closest(".setting")?.classList.toggle("wrong", name in problems);
      if (name in problems && slot.closest("details")) slot.closest("details").open = true;
    }
    return Object.entries(problems)
      .filter(([name]) => !this.slots.has(name))
      .map(([name, words]) => (name ? `${name}: ${words}` : words));
  }
}

/** Replay methods to choose from, as checkboxes. `boxes`: by method. */
export function methodChoices(methods, onchange) {
  const boxes = new Map(methods.map(({ key }) => [key, h("input", { type: "checkbox", id: `method-${key}`, onchange })]));
  const node = h(
    "fieldset.methods",
    {},
    h("legend.visually-hidden", {}, "Replay methods"),
    methods.map(({ key, title, text, token }) =>
      h(
        "label.method",
        { for: `method-${key}` },
        boxes.get(key),
        h("span.method-dot", { style: { background: `var(--${token})` } }),
        h("strong", {}, title),
        h("span.muted", {}, text),
      ),
    ),
  );
  return { boxes, node };
}

/** Contestants of the prompt bench, each a method of its own; `onremove(i)` is called when one is to go. */
export function variantList(names, onremove) {
  return h(
    "ul.variants",
    {},
    names.map((name, i) =>
      h(
        "li",
        {},
        h("span", { title: name }, name),
        h(
          "button.linklike",
          { type: "button", "aria-label": `Remove ${name.slice(0, 80)}`, onclick: () => onremove(i) },
          "remove",
        ),
      ),
    ),
  );
}

/** Settings by the titles of their groups: [title, settings]. */
export function byGroup(settings) {
  const groups = new Map();
  for (const setting of settings) {
    if (!groups.has(setting.group)) groups.set(setting.group, []);
    groups.get(setting.group).push(setting);
  }
  return [...groups].map(([group, members]) => [GROUP_TITLES[group] ?? group, members]);
}

/** Samples drawn per stored transition, in words; "" if the values make no sense. */
export function ratioWords(batchSize, trainFreq) {
  const ratio = Number(batchSize) / Number(trainFreq);
  if (!(Number(batchSize) > 0 && Number(trainFreq) > 0)) return "";
  return `replay ratio ${+ratio.toPrecision(3)}: samples drawn per stored transition, batch_size / train_freq`;
}

/** A random name for one press of a button. */
export function pressId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-");
}
