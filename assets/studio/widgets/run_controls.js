// Live changes of λ, the prompt and the question that rules, and the status of each request.
import { ago, button, count, fill, h, toast } from "../studio.js";

const NAMES = { lambda: "λ", prompt: "Prompt", question: "Ruling question", pause: "Pause", unpause: "Unpause", stop: "Stop" };

export class LiveControls {
  /** `refresh()`: update the run's state right away. */
  constructor(call, run, facts, refresh) {
    this.call = call;
    this.run = run;
    this.facts = facts;
    this.refresh = refresh;
    this.key = "";
    this.options = new Map();
    this.history = h("div");
    this.count = h("span.muted");
    this.node = h(
      "details.panel.run-controls",
      {},
      h("summary", {}, h("h2", {}, "Live changes "), this.count),
      h("div.control-forms", {}, this.lambdaForm(), this.promptForm(), this.questionForm()),
      this.history,
    );
  }

  lambdaForm() {
    const radio = (value, words) =>
      h("label.check-label", {}, h("input", { type: "radio", name: "lambda-mode", value, checked: value === "schedule" }), words);
    this.slider = h("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.01,
      value: 0.5,
      "aria-label": "λ, slider",
      oninput: () => this.setWeight(this.slider.value),
    });
    this.weight = h("input.input.run-tiny", {
      type: "number",
      min: 0,
      max: 1,
      step: 0.01,
      value: 0.5,
      "aria-label": "λ, number",
      oninput: () => this.setWeight(this.weight.value),
    });
    this.now = h("span.num");
    this.lambdaReason = h("p.run-reason");
    this.lambda = h(
      "fieldset",
      {},
      h("legend", {}, "λ: fraction of each batch drawn by VLM priority ", this.now),
      radio("schedule", "Follow the schedule"),
      h("div.run-fixed", {}, radio("fixed", "Hold at"), this.slider, this.weight),
      radio("none", "No mixture: draw everything by VLM priority"),
      button("Apply λ", () => this.applyLambda(), { kind: "small" }),
      this.lambdaReason,
    );
    return this.lambda;
  }

  setWeight(value) {
    this.slider.value = value;
    this.weight.value = value;
    this.lambda.querySelector("[value=fixed]").checked = true;
  }

  /** Show how λ is held, unless that is known and somebody is choosing something else. */
  hold(held) {
    if (held === this.held) return;
    this.held = held;
    if (typeof held === "number") this.setWeight(held);
    else this.lambda.querySelector(`[value=${held}]`).checked = true;
  }

  promptForm() {
    this.menu = h("select.input", { "aria-label": "Preset or stored prompt", onchange: () => this.choose() });
    this.text = h("textarea.input", {
      rows: 4,
      maxlength: 8000,
      "aria-label": "Prompt: a yes/no question about a clip",
      placeholder: "Does the agent pick up a key or open a door?",
      oninput: () => this.typed(),
    });
    this.promptReason = h("p.run-reason");
    this.prompt = h(
      "fieldset",
      {},
      h("legend", {}, "Prompt: the question asked about later clips"),
      this.menu,
      this.text,
      this.facts.scorer && !this.facts.reads_prompt
        ? h(
            "p.muted",
            {},
            `The scorer ${this.facts.scorer} does not read this prompt: a change is recorded but has no effect on its answers.`,
          )
        : null,
      button("Apply prompt", () => this.applyPrompt(), { kind: "small" }),
      this.promptReason,
    );
    return this.prompt;
  }

  questionForm() {
    this.ruling = h("select.input", { "aria-label": "Question that decides the labels of later clips" });
    this.questionReason = h("p.run-reason");
    this.question = h(
      "fieldset",
      { hidden: true },
      h("legend", {}, "Ruling question: the one whose answer labels later clips"),
      this.ruling,
      button("Apply question", () => this.applyQuestion(), { kind: "small" }),
      this.questionReason,
    );
    return this.question;
  }

  /** Offer the questions of the set; the choice stays where the set does. */
  offer(questions) {
    this.question.hidden = questions.length < 2;
    const key = JSON.stringify(questions);
    if (this.question.dataset.key === key) return;
    this.question.dataset.key = key;
    fill(
      this.ruling,
      h("option", { value: "" }, "As configured"),
      questions.map((question, i) => h("option", { value: i + 1, title: question }, `${i + 1}: ${question}`)),
    );
  }

  applyQuestion() {
    const number = this.ruling.value ? Number(this.ruling.value) : null;
    return this.ask("change_question", { number }, "ruling question");
  }

  /** Fill the prompt menu; the text starts with the prompt in use. */
  async loadPrompts(inUse) {
    const prompts = await this.call("prompts");
    const label = (prompt) => `${prompt.name}@${prompt.version}`;
    prompts.forEach((prompt) => this.options.set(label(prompt), prompt));
    fill(
      this.menu,
      h("option", { value: "" }, "Custom prompt"),
      [...this.options].map(([name, prompt]) => h("option", { value: name, title: prompt.text }, name)),
    );
    const now = [...this.options]
      .filter(([name, prompt]) => inUse.startsWith(`${name}: `) || prompt.name === inUse || name === inUse)
      .at(-1);
    this.menu.value = now?.[0] ?? "";
    this.text.value = now?.[1].text ?? inUse.replace(/^[\w-]+@\d+: /, "");
  }

  choose() {
    const prompt = this.options.get(this.menu.value);
    if (prompt) this.text.value = prompt.text;
    else this.text.focus();
  }

  /** Edited text is a custom prompt. */
  typed() {
    if (this.options.get(this.menu.value)?.text !== this.text.value) this.menu.value = "";
  }

  applyLambda() {
    const mode = this.lambda.querySelector("[name=lambda-mode]:checked").value;
    return this.ask("change_lambda", mode === "fixed" ? { weight: this.weight.value } : { mode }, "λ");
  }

  applyPrompt() {
    const chosen = this.options.get(this.menu.value);
    const stored = chosen && chosen.prompt_id !== null;
    return this.ask(
      "change_prompt",
      stored ? { prompt_id: chosen.prompt_id } : { prompt: this.menu.value || this.text.value },
      "prompt",
    );
  }

  async ask(method, values, what) {
    try {
      await this.call(method, { run: this.run, ...values });
      toast(`Requested a new ${what}. The run applies it within seconds.`);
      this.refresh();
    } catch (error) {
      toast(error.message, "error");
    }
  }

  /** Show what can be changed now, and the status of the requests. */
  update({ changes, cannot_change: reasons, held, questions }, logged) {
    this.hold(held);
    const weight = typeof held === "number" ? held : logged;
    this.now.textContent = weight === undefined ? "" : `(now ${weight.toFixed(2)})`;
    this.enable(this.lambda, this.lambdaReason, reasons.lambda);
    this.enable(this.prompt, this.promptReason, reasons.prompt);
    this.enable(this.question, this.questionReason, reasons.question);
    this.offer(questions);
    if (this.node.dataset.known !== "yes") this.node.open = !reasons.lambda || !reasons.prompt;
    this.node.dataset.known = "yes";
    const words = changes.length ? `${changes.length} request${changes.length === 1 ? "" : "s"}` : "";
    if (this.count.textContent !== words) this.count.textContent = words;
    const key = JSON.stringify(changes) + Math.floor(Date.now() / 10_000);
    if (key === this.key) return;
    this.key = key;
    fill(this.history, changes.length ? [h("h3", {}, "Requests"), h("ol.run-changes", {}, changes.map(changeLine))] : null);
  }

  enable(fields, place, reason) {
    if (fields.disabled !== Boolean(reason)) fields.disabled = Boolean(reason);
    if (place.textContent !== reason) place.textContent = reason;
  }
}

function changeLine(change) {
  const outcome =
    change.status === "applied"
      ? h("span.run-applied", {}, `applied at step ${count(change.applied_step)}`)
      : change.status === "rejected"
        ? h("span.run-rejected", {}, `rejected: ${change.error}`)
        : h("span.run-pending", {}, "pending");
  return h(
    "li",
    {},
    h("strong", {}, NAMES[change.name] ?? change.name),
    change.value ? h("span.change-value", { title: change.value }, change.value) : null,
    h("span.muted", {}, `requested ${ago(change.requested_at)}`),
    h("span.run-arrow", { "aria-hidden": "true" }, "→"),
    outcome,
  );
}
