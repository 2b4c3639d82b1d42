// The clip player, a dialog over the grid: the frames with the scorer's answer, and everything known about the clip.
import { isTyping } from "../keys.js";
import { fill, h, problem } from "../studio.js";
import { labelChip } from "./card.js";
import { drawFacts, probabilityMeter } from "./facts.js";
import { loadFilm, mediaUrl } from "./film.js";
import { annotator } from "./queue.js";
import { iconButton, keyButton, Transport, transportBar, transportKey } from "./transport.js";

const STRIP_FRAMES = 64;
const STRIP_HEIGHT = 56;
const KEYS = [
  ["space", "play or pause"],
  ["← →", "previous or next frame"],
  ["Home End", "first or last frame"],
  ["[ ]", "slower or faster"],
  ["J K", "previous or next clip"],
  ["Y N", "agree or disagree with the label"],
  ["V", "show or hide the answer"],
  ["?", "show or hide these keys"],
  ["Esc", "close"],
];

/**
 * The player. `neighbour(clip_id, by)` is the previous (−1) or next (+1) card on the page, if any; `move` also goes to the
 * next page.
 */
export class Player {
  constructor({ call, maxNote, neighbour, move, onshow, onclose, onjudged }) {
    this.call = call;
    this.neighbour = neighbour;
    this.move = move;
    this.onshow = onshow;
    this.onclose = onclose;
    this.onjudged = onjudged;
    /** @type {any} */
    this.clipId = null;
    /** @type {any} */
    this.view = null;
    /** @type {any} */
    this.film = null;
    this.overlaid = true;
    this.transport = new Transport((frame) => this.#draw(frame));
    this.#build(maxNote);
  }

  #build(maxNote) {
    this.title = h("h2.player-title", { tabindex: -1, autofocus: true }); // not a button, which the space bar would press
    this.canvas = h("canvas.player-canvas", { width: 384, height: 384, role: "img" });
    this.overlay = h("div.overlay");
    this.bar = transportBar(this.transport, { counter: (frame, frames) => this.#counter(frame, frames) });
    this.strip = h("div.strip", { role: "group", "aria-label": "Frames" });
    this.facts = h("div.facts");
    this.status = h("p.judged", { role: "status" });
    this.note = h("input.input", {
      type: "text",
      maxlength: maxNote,
      placeholder: "Why? (optional)",
      "aria-label": "Note on your verdict",
      onblur: (event) => [this.agree, this.disagree].includes(event.relatedTarget) || this.#noted(),
      onkeydown: (event) => event.key === "Enter" && this.#noted(),
    });
    this.agree = keyButton("Agree", "Y", () => this.#judge(true));
    this.disagree = keyButton("Disagree", "N", () => this.#judge(false));
    this.before = keyButton("Previous", "J", () => this.#go(-1), { kind: "small" });
    this.after = keyButton("Next", "K", () => this.#go(1), { kind: "small" });
    this.download = h("a.button.small", { download: "" }, "Download MP4");
    this.keys = h(
      "div.keys",
      { hidden: true },
      KEYS.map(([key, words]) => h("div", {}, h("kbd", {}, key), words)),
    );
    this.overlayButton = keyButton("Show answer", "V", () => this.#toggleOverlay(), {
      kind: "small",
      "aria-pressed": "true",
    });
    this.stage = h("div.stage", {}, this.canvas, this.overlay);
    this.dialog = h(
      "dialog.widget.player",
      {
        "aria-label": "Clip",
        onkeydown: (event) => this.#key(event),
        onclose: () => this.#closed(),
        onclick: (event) => this.#clicked(event),
      },
      h(
        "div.player-inner",
        {},
        h(
          "header.player-head",
          {},
          this.title,
          h("span.spacer"),
          this.before,
          this.after,
          this.download,
          keyButton("Keys", "?", () => this.#toggleKeys(), { kind: "small" }),
          iconButton("close", "Close (Esc)", () => this.dialog.close()),
        ),
        this.keys,
        h(
          "div.player-body",
          {},
          h(
            "div.player-left",
            {},
            this.stage,
            this.bar,
            this.strip,
            h("div.judge", {}, h("span", {}, "Is the label right?"), this.agree, this.disagree, this.note, this.status),
            h(
              "div.stage-options",
              {},
              this.overlayButton,
              h(
                "span.mark-legend.muted",
                {},
                h("span.mark-key.mark-progress"),
                "progress",
                h("span.mark-key.mark-event"),
                "other event",
                h("span.mark-key.mark-seen"),
                "frame shown to the scorer",
              ),
            ),
          ),
          this.facts,
        ),
      ),
    );
    document.body.append(this.dialog);
    addEventListener("resize", () => this.film && this.#fit());
  }

  /** Show a clip; opens the player if necessary. Errors are shown inside it. */
  async show(clipId) {
    this.clipId = clipId;
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.setAttribute("aria-busy", "true");
    this.onshow(clipId);
    try {
      const view = await this.call("look", { clip_id: clipId });
      if (this.clipId !== clipId) return;
      this.#setView(view);
      await this.#loadFilm(view, clipId);
    } catch (error) {
      if (this.clipId === clipId) this.#failed(error);
    }
    if (this.clipId === clipId) this.dialog.removeAttribute("aria-busy");
  }

  /** Close it, if it is open. */
  close() {
    if (this.dialog.open) this.dialog.close();
  }

  async #loadFilm(view, clipId) {
    try {
      const film = await loadFilm(view.card);
      if (this.clipId !== clipId) return;
      this.film = film;
      this.#fit();
      this.transport.load(film.frames);
      this.#drawStrip();
      this.bar.setMarks(this.#marks());
      this.#prefetch();
    } catch (error) {
      if (this.clipId !== clipId) return;
      this.#noFilm();
      fill(this.strip, problem(error.message));
    }
  }

  #setView(view) {
    this.view = view;
    const { card } = view;
    fill(this.title, `Clip ${card.clip_id}`, h("span.muted.player-run", { title: card.run_name }, card.run_name));
    this.dialog.setAttribute("aria-label", `Clip ${card.clip_id}`);
    this.download.href = mediaUrl(card, "video");
    this.download.hidden = false;
    fill(this.status);
    this.note.value = this.#storedNote();
    this.#drawAnswer();
    drawFacts(this.facts, view, (frame) => {
      this.transport.pause();
      this.transport.seek(frame);
    });
  }

  #drawAnswer() {
    const { card, scores } = this.view;
    fill(this.overlay, labelChip({ label: card.label, probability: null }), scores.length ? probabilityMeter(scores[0]) : null);
    const known = card.label === "yes" || card.label === "no";
    for (const [node, on] of [
      [this.agree, card.human === "agreed"],
      [this.disagree, card.human === "disagreed"],
    ]) {
      node.disabled = !known;
      node.setAttribute("aria-pressed", String(on));
      node.title = known ? "" : "This clip has no label yet";
    }
    this.note.disabled = !known;
  }

  #failed(error) {
    this.view = null;
    this.#noFilm();
    fill(this.title, `Clip ${this.clipId}`);
    fill(this.overlay);
    fill(this.facts, problem(error.message));
    this.agree.disabled = this.disagree.disabled = this.note.disabled = this.download.hidden = true;
  }

  #noFilm() {
    this.film = null;
    this.transport.load(1, false);
    this.bar.setMarks([]);
    fill(this.strip);
    this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  // -- pictures

  /** Enlarge small frames by integer factors, so that their pixels stay square. */
  #fit() {
    const { width, height } = this.film;
    const style = getComputedStyle(this.stage);
    const room = Math.min(
      (this.stage.clientWidth - parseFloat(style.paddingLeft) * 2) / width,
      Math.max(320, innerHeight - 400) / height,
    );
    const factor = room >= 2 ? Math.floor(room) : room;
    Object.assign(this.canvas.style, {
      width: `${Math.floor(width * factor)}px`,
      imageRendering: factor >= 2 ? "pixelated" : "auto",
    });
  }

  #draw(frame) {
    this.film?.draw(this.canvas, frame);
    this.canvas.setAttribute("aria-label", `Frame ${frame + 1} of ${this.transport.frames}`);
    for (const node of this.strip.querySelectorAll(".strip-frame")) {
      const now = Number(node.dataset.from) <= frame && frame < Number(node.dataset.to);
      if (now === (node.getAttribute("aria-current") === "true")) continue;
      now ? node.setAttribute("aria-current", "true") : node.removeAttribute("aria-current");
      node.tabIndex = now ? 0 : -1;
      if (now) this.strip.scrollLeft = node.offsetLeft - (this.strip.clientWidth - node.offsetWidth) / 2;
    }
  }

  #drawStrip() {
    const { frames } = this.film;
    const shown = Math.min(frames, STRIP_FRAMES);
    const first = Array.from({ length: shown + 1 }, (_, at) => Math.round((at * frames) / shown));
    const happened = new Map();
    for (const event of this.view.events) happened.set(event.frame, [...(happened.get(event.frame) ?? []), event]);
    fill(
      this.strip,
      first.slice(0, -1).map((from, at) => {
        const events = [...happened].filter(([frame]) => from <= frame && frame < first[at + 1]).flatMap(([, found]) => found);
        const words = events.map((event) => event.words).join(", ");
        const kind = events.some((event) => event.progress) ? ".progress" : events.length ? ".event" : "";
        return h(
          `button.strip-frame${kind}`,
          {
            type: "button",
            tabindex: -1,
            data: { from, to: first[at + 1] },
            title: words ? `Frame ${from + 1}: ${words}` : `Frame ${from + 1}`,
            "aria-label": `Frame ${from + 1}${words ? `, ${words}` : ""}`,
            onclick: () => {
              this.transport.pause();
              this.transport.seek(events[0]?.frame ?? from);
            },
          },
          this.film.small(from, STRIP_HEIGHT),
        );
      }),
    );
    this.#draw(this.transport.frame);
  }

  #marks() {
    const seen = this.view.scores[0]?.frame_indices ?? [];
    return [
      ...seen.map((frame) => ({ frame, kind: "seen", words: `Frame ${frame + 1}: shown to the scorer` })),
      ...this.view.events.map(({ frame, words, progress }) => ({
        frame,
        kind: progress ? "progress" : "event",
        words: `Frame ${frame + 1}: ${words}`,
      })),
    ];
  }

  #counter(frame, frames) {
    const card = this.view?.card;
    return `frame ${frame + 1} of ${frames}${card ? ` · step ${stepOf(card, frame)}` : ""}`;
  }

  #prefetch() {
    const next = this.neighbour(this.clipId, 1);
    if (next) loadFilm(next).catch(() => {});
  }

  // -- user actions

  async #go(by) {
    const clipId = this.clipId;
    const next = await this.move(clipId, by);
    if (next && this.clipId === clipId) await this.show(next.clip_id);
    else if (!next) fill(this.status, by > 0 ? "This is the last clip." : "This is the first clip.");
  }

  /** The note of the verdict on the label that is shown. */
  #storedNote() {
    return (this.view.card.human && this.view.verdicts[0]?.note) || "";
  }

  /** A note that is written after the verdict belongs to it. */
  #noted() {
    const human = this.view?.card.human;
    if (human && this.note.value.trim() !== this.#storedNote()) this.#judge(human === "agreed");
  }

  async #judge(agrees) {
    const { clipId, view } = this;
    if (!view || this.agree.disabled || this.judging) return;
    this.judging = true;
    try {
      const said = { agrees, note: this.note.value, label: view.card.label, annotator: annotator() };
      const judged = await this.call("judge", { clip_id: clipId, ...said });
      this.onjudged(judged.card);
      if (this.clipId !== clipId) return;
      this.#setView(judged);
      fill(this.status, agrees ? "Saved: you agree." : "Saved: you disagree.");
    } catch (error) {
      if (this.clipId === clipId) fill(this.status, h("span.bad", {}, error.message));
    } finally {
      this.judging = false;
    }
  }

  #toggleOverlay() {
    this.overlaid = !this.overlaid;
    this.overlay.hidden = !this.overlaid;
    this.overlayButton.setAttribute("aria-pressed", String(this.overlaid));
  }

  #toggleKeys() {
    this.keys.hidden = !this.keys.hidden;
  }

  /** A click outside the player closes it; after a click on a button, the space bar still plays and pauses. */
  #clicked(event) {
    if (event.target === this.dialog) this.dialog.close();
    else if (event.detail > 0 && event.target.closest("button")) this.title.focus({ preventScroll: true });
  }

  #key(event) {
    if (isTyping(event)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === " " && event.target.closest("button, a, summary")) return; // it activates the focused element
    const actions = {
      j: () => this.#go(-1),
      k: () => this.#go(1),
      y: () => this.#judge(true),
      n: () => this.#judge(false),
      v: () => this.#toggleOverlay(),
      "?": () => this.#toggleKeys(),
    };
    if (Object.hasOwn(actions, key)) actions[key]();
    else if (!transportKey(this.transport, event.key)) return;
    event.preventDefault();
  }

  #closed() {
    const clipId = this.clipId;
    this.clipId = null;
    this.transport.pause();
    this.onclose(clipId);
  }
}

/** The run's step at a frame of a clip. With parallel environments, consecutive frames are several steps apart. */
export function stepOf(card, frame) {
  const stride = card.length > 1 ? (card.end_step - card.start_step) / (card.length - 1) : 0;
  return card.start_step + Math.round(stride * frame);
}
