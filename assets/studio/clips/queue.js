// The label queue, a dialog: one clip at a time, the most informative first, answered from the keyboard.
import { isTyping } from "../keys.js";
import { bar, button, count, empty, fill, h, problem, toast } from "../studio.js";
import { labelChip } from "./card.js";
import { probabilityMeter } from "./facts.js";
import { loadFilm } from "./film.js";
import { iconButton, keyButton, Transport, transportBar, transportKey } from "./transport.js";

const NAME = "vlmrb-annotator";
const FEW = 6; // clips left before more are fetched
const MOST_PASSED = 400;

const ORDERS = [
  ["disagreement", "furthest from the events"],
  ["threshold", "nearest to the threshold"],
  ["spread", "voters furthest apart"],
  ["prompts", "prompts furthest apart"],
  ["newest", "newest first"],
];

/** The name that this browser's user labels under; "" if they gave none. */
export function annotator() {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

function keepAnnotator(name) {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    /* without storage the name lasts as long as the page */
  }
}

/** Whether a yes or no agrees with the label that a clip has. */
export function agreesWith(card, yes) {
  return yes === (card.label === "yes");
}

/** What was done in this session, for undoing: the newest step first. */
export class Steps {
  constructor() {
    /** @type {{ kind: "answer" | "skip", clip: any, name: string }[]} */
    this.done = [];
  }

  add(kind, clip, name) {
    this.done.push({ kind, clip, name });
  }

  take() {
    return this.done.pop();
  }

  /** Ids of the clips that were skipped, as many as a request may name. */
  get passed() {
    return this.done
      .filter(({ kind }) => kind === "skip")
      .map(({ clip }) => clip.card.clip_id)
      .slice(-MOST_PASSED);
  }
}

export class LabelQueue {
  /**
   * @param {{ call: any, maxNote: number, maxAnnotator: number, request: () => any, onorder: (order: string) => void,
   *   onclose: (labelled: boolean) => void }} options `request`: the filter of the page
   */
  constructor({ call, maxNote, maxAnnotator, request, onorder, onclose }) {
    this.call = call;
    this.request = request;
    this.onorder = onorder;
    /** @type {any[]} */
    this.clips = [];
    this.steps = new Steps();
    this.total = this.labelled = this.turn = 0;
    this.busy = this.changed = false;
    /** @type {any} */
    this.film = null;
    this.transport = new Transport((frame) => this.film?.draw(this.canvas, frame));
    this.title = h("h2.player-title", { tabindex: -1, autofocus: true }, "Label clips");
    this.canvas = h("canvas.player-canvas", { width: 384, height: 384, role: "img", "aria-label": "The clip" });
    this.stage = h("div.stage", {}, this.canvas);
    this.bar = transportBar(this.transport);
    this.progress = h("div.queue-progress", { role: "status" });
    this.question = h("blockquote.queue-question");
    this.revealed = h("div.queue-revealed", { hidden: true });
    this.status = h("p.judged", { role: "status" });
    this.agreement = h("div.queue-agreement");
    this.yes = keyButton("Yes", "Y", () => this.answer(true), { kind: "queue-answer" });
    this.no = keyButton("No", "N", () => this.answer(false), { kind: "queue-answer" });
    this.skipButton = keyButton("Skip", "S", () => this.skip());
    this.undoButton = keyButton("Undo", "U", () => this.undo());
    this.reveal = keyButton("Show what the model said", "V", () => this.toggleReveal(), {
      kind: "small",
      "aria-pressed": "false",
    });
    this.note = h("input.input", {
      type: "text",
      maxlength: maxNote,
      placeholder: "Note (T), saved with your answer",
      "aria-label": "Note",
      onkeydown: (event) => ["Enter", "Escape"].includes(event.key) && this.leaveField(event),
    });
    this.name = h("input.input", {
      id: "annotator",
      type: "text",
      maxlength: maxAnnotator,
      value: annotator(),
      placeholder: "unnamed",
      autocomplete: "off",
      onchange: () => {
        keepAnnotator(this.name.value.trim());
        this.load();
      },
      onkeydown: (event) => event.key === "Enter" && this.leaveField(event),
    });
    this.order = h(
      "select.input",
      { id: "queue-order", onchange: () => this.reorder() },
      ORDERS.map(([value, words]) => h("option", { value }, words)),
    );
    this.second = h("input", { type: "checkbox", id: "queue-second", onchange: () => this.load() });
    this.body = h(
      "div.player-body",
      { hidden: true },
      h("div.player-left", {}, this.stage, this.bar),
      h(
        "div.facts.queue-facts",
        {},
        h("h3", {}, "The question"),
        this.question,
        h("div.queue-answers", {}, this.yes, this.no),
        this.note,
        h("div.queue-answers", {}, this.skipButton, this.undoButton, h("span.spacer"), this.reveal),
        this.status,
        this.revealed,
      ),
    );
    this.nothing = h("div");
    this.download = h("a.button.small", { download: "" }, "Download labelled clips");
    this.dialog = h(
      "dialog.widget.player.queue",
      { "aria-label": "Label clips", onkeydown: (event) => this.key(event), onclose: () => this.closed(onclose) },
      h(
        "div.player-inner",
        {},
        h(
          "header.player-head",
          {},
          this.title,
          h("span.spacer"),
          this.download,
          iconButton("close", "Close (Esc)", () => this.dialog.close()),
        ),
        h(
          "div.queue-options",
          {},
          h("label", { for: "annotator" }, "Your name"),
          this.name,
          h("label", { for: "queue-order" }, "First the clips"),
          this.order,
          h(
            "label.queue-second",
            { title: "Only clips that somebody else has labelled, to see how far you agree" },
            this.second,
            "second opinion",
          ),
        ),
        this.progress,
        this.nothing,
        this.body,
        this.agreement,
      ),
    );
    document.body.append(this.dialog);
    addEventListener("resize", () => this.film && this.fit());
    this.transport.load(1, false);
  }

  /** Open the queue in an order; unknown orders are the first one. */
  open(order) {
    this.order.value = ORDERS.some(([value]) => value === order) ? order : ORDERS[0]?.[0];
    this.steps = new Steps();
    this.changed = false;
    if (!this.dialog.open) this.dialog.showModal();
    this.load();
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  closed(onclose) {
    this.turn += 1;
    this.transport.pause();
    onclose(this.changed);
  }

  reorder() {
    this.onorder(this.order.value);
    this.load();
  }

  /** Read the queue anew; the clip that is shown goes with it. */
  async load() {
    this.clips = [];
    await this.more();
    this.show();
  }

  /** Fetch the next clips, behind those that are there. */
  async more() {
    const turn = ++this.turn;
    const asked = { ...this.request(), order: this.order.value, annotator: this.name.value, second: this.second.checked };
    try {
      const found = await this.call("queue", { ...asked, passed: this.steps.passed });
      if (turn !== this.turn) return;
      const there = new Set(this.clips.map(({ card }) => card.clip_id));
      this.clips.push(...found.clips.filter(({ card }) => !there.has(card.clip_id)));
      Object.assign(this, { total: found.total, labelled: found.labelled });
      this.download.href = `./studio/labelled?runs=${encodeURIComponent(asked.runs ?? "")}`;
      fill(
        this.agreement,
        found.agreement.map((words) => h("p", {}, words)),
      );
      fill(this.status);
    } catch (error) {
      if (turn === this.turn) fill(this.status, problem(error.message));
    }
  }

  // -- one clip

  async show() {
    this.drawProgress();
    const next = this.clips[0];
    this.body.hidden = !next;
    fill(
      this.nothing,
      next
        ? null
        : empty(
            "Nothing left to label here",
            this.second.checked
              ? "You have labelled every clip that somebody else has. Without “second opinion” there may be more."
              : "You have labelled or skipped every clip with a score that these filters find.",
          ),
    );
    if (!next) {
      this.transport.pause();
      this.title.focus();
      return;
    }
    const which = `clip ${next.card.clip_id}, ${next.card.run_name}`;
    fill(this.title, "Label clips", h("span.muted.player-run", { title: which }, which));
    fill(this.question, next.mission ? h("p.muted", {}, `The episode's mission: ${next.mission}`) : null, next.question);
    this.note.value = "";
    this.drawRevealed();
    this.dialog.setAttribute("aria-busy", "true");
    this.clearFilm();
    try {
      const film = await loadFilm(next.card);
      if (this.clips[0] !== next || !this.dialog.open) return;
      this.film = film;
      this.fit();
      this.transport.load(film.frames);
    } catch (error) {
      if (this.clips[0] !== next) return;
      fill(this.status, problem(error.message));
    }
    this.dialog.removeAttribute("aria-busy");
    if (this.clips[1]) loadFilm(this.clips[1].card).catch(() => {});
  }

  /** No frames: what is shown never belongs to another clip than the question. */
  clearFilm() {
    this.film = null;
    this.transport.load(1, false);
    this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  fit() {
    const { width, height } = this.film;
    const room = Math.min(
      (this.stage.clientWidth - 24) / width,
      (innerWidth > 1000 ? Math.max(280, innerHeight - 330) : 260) / height,
    );
    const factor = room >= 2 ? Math.floor(room) : room;
    Object.assign(this.canvas.style, {
      width: `${Math.floor(width * factor)}px`,
      imageRendering: factor >= 2 ? "pixelated" : "auto",
    });
  }

  drawProgress() {
    const left = Math.max(0, this.total - this.steps.passed.length);
    fill(
      this.progress,
      bar(this.labelled / Math.max(1, this.labelled + left), "clips labelled"),
      h("span.num", {}, `${count(this.labelled)} labelled by you, ${count(left)} left`),
    );
    this.undoButton.disabled = !this.steps.done.length;
  }

  drawRevealed() {
    const { card } = this.clips[0];
    fill(
      this.revealed,
      h("p", {}, labelChip({ label: card.label, probability: null }), " ", probabilityMeter(card)),
      h("p.muted", {}, card.events.length ? `The simulator: ${card.events.join(" · ")}` : "The simulator saw no event."),
    );
  }

  toggleReveal() {
    this.revealed.hidden = !this.revealed.hidden;
    this.reveal.setAttribute("aria-pressed", String(!this.revealed.hidden));
  }

  // -- answers

  async answer(yes) {
    const [clip] = this.clips;
    if (!clip || this.busy) return;
    if (!this.film) {
      if (this.dialog.hasAttribute("aria-busy")) fill(this.status, "Wait until you see the clip.");
      return;
    }
    this.busy = true;
    const { card } = clip;
    const name = this.name.value;
    try {
      const agrees = agreesWith(card, yes);
      await this.call("judge", { clip_id: card.clip_id, agrees, label: card.label, note: this.note.value, annotator: name });
      this.changed = true;
      this.steps.add("answer", clip, name);
      this.total -= 1;
      this.labelled += 1;
      fill(this.status, `Saved: ${yes ? "yes" : "no"}.`);
      await this.next();
    } catch (error) {
      fill(this.status, problem(error.message));
    }
    this.busy = false;
  }

  async skip() {
    if (!this.clips.length || this.busy) return;
    this.steps.add("skip", this.clips[0], "");
    fill(this.status, "Skipped.");
    await this.next();
  }

  async next() {
    this.clips.shift();
    if (!this.clips.length) await this.more();
    else if (this.clips.length < FEW && this.total - this.steps.passed.length > this.clips.length) this.more();
    this.leaveField();
    this.show();
  }

  /** Go back to the clip before, and take back what was said about it. */
  async undo() {
    if (this.busy) return;
    const step = this.steps.take();
    if (!step) return;
    this.busy = true;
    try {
      if (step.kind === "answer") {
        await this.call("unjudge", { clip_id: step.clip.card.clip_id, annotator: step.name });
        this.total += 1;
        this.labelled -= 1;
      }
      this.clips = [step.clip, ...this.clips.filter(({ card }) => card.clip_id !== step.clip.card.clip_id)];
      fill(this.status, step.kind === "answer" ? "Taken back." : "Back to the clip that you skipped.");
      this.show();
    } catch (error) {
      toast(error.message, "error");
    }
    this.busy = false;
  }

  /** Leave a text field, so that keys are answers again. */
  leaveField(event) {
    event?.preventDefault();
    this.title.focus({ preventScroll: true });
  }

  key(event) {
    if (isTyping(event)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === " " && event.target.closest("button, a, summary, label, input")) return; // it activates the focused element
    const actions = {
      y: () => this.answer(true),
      n: () => this.answer(false),
      s: () => this.skip(),
      u: () => this.undo(),
      t: () => this.note.focus(),
      v: () => this.toggleReveal(),
    };
    if (Object.hasOwn(actions, key)) actions[key]();
    else if (!transportKey(this.transport, event.key)) return;
    event.preventDefault();
  }
}

/** The button that opens the queue. */
export function queueButton(onclick) {
  return button("Label clips…", onclick, { kind: "small", title: "Label clips one by one from the keyboard" });
}
