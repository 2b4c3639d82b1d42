// Up to four clips side by side, all at the same frame.
import { isTyping } from "../keys.js";
import { fill, h, problem } from "../studio.js";
import { eventWords, labelChip, marks, runLink } from "./card.js";
import { loadFilm } from "./film.js";
import { iconButton, Transport, transportBar, transportKey } from "./transport.js";

/** The panel. `open(ids)` shows clips; `onopen(clip_id)` is called to open one of them alone. */
export class Together {
  constructor({ call, onclose, onopen }) {
    this.call = call;
    this.onclose = onclose;
    this.onopen = onopen;
    /** @type {any[]} */
    this.seats = [];
    this.transport = new Transport((frame) => this.seats.forEach((seat) => seat.draw(frame)));
    this.grid = h("div.together-grid");
    this.bar = transportBar(this.transport);
    this.dialog = h(
      "dialog.widget.player.together",
      {
        "aria-label": "Clips side by side",
        onclose: () => this.#closed(),
        onkeydown: (event) => {
          if (
            !isTyping(event) &&
            !(event.key === " " && event.target.closest("button, a")) &&
            transportKey(this.transport, event.key)
          )
            event.preventDefault();
        },
        onclick: (event) => event.target === this.dialog && this.dialog.close(),
      },
      h(
        "div.player-inner",
        {},
        h(
          "header.player-head",
          {},
          h("h2.player-title", { tabindex: -1, autofocus: true }, "Side by side"), // not a button, which space would press
          h("span.spacer"),
          iconButton("close", "Close (Esc)", () => this.dialog.close()),
        ),
        this.grid,
        this.bar,
      ),
    );
    document.body.append(this.dialog);
  }

  /** Show clips. */
  async open(clipIds) {
    const asked = clipIds.join(",");
    this.asked = asked;
    if (!this.dialog.open) this.dialog.showModal();
    this.seats = [];
    this.grid.dataset.count = String(clipIds.length);
    fill(this.grid, clipIds.map(emptySeat)); // as large as what comes
    this.dialog.setAttribute("aria-busy", "true");
    try {
      const clips = await this.call("together", { clip_ids: clipIds });
      const seats = clips.map(
        (clip) =>
          new Seat(clip, () => {
            this.close();
            this.onopen(clip.clip_id);
          }),
      );
      await Promise.all(seats.map((seat) => seat.load()));
      if (this.asked !== asked || !this.dialog.open) return;
      this.seats = seats;
      this.grid.dataset.count = String(seats.length);
      fill(
        this.grid,
        seats.map((seat) => seat.node),
      );
      this.transport.load(Math.max(1, ...seats.map((seat) => seat.frames)));
    } catch (error) {
      fill(this.grid, problem(error.message));
    }
    if (this.asked === asked) this.dialog.removeAttribute("aria-busy");
  }

  /** Close it, if it is open. */
  close() {
    if (this.dialog.open) this.dialog.close();
  }

  #closed() {
    this.transport.pause();
    this.seats = [];
    this.asked = "";
    this.onclose();
  }
}

function emptySeat() {
  return h("article.seat", {}, h("div.stage"), h("div.seat-line"), h("div.seat-line.seat-events"));
}

/** One of the clips; stays at its last frame while longer clips continue. */
class Seat {
  constructor(clip, onopen) {
    this.clip = clip;
    this.frames = 0;
    this.canvas = h("canvas.player-canvas", { role: "img", "aria-label": `Clip ${clip.clip_id}` });
    this.ended = h("span.ended", { hidden: true }, "ended");
    this.stage = h("div.stage", {}, this.canvas, h("div.overlay", {}, labelChip(clip)), this.ended);
    this.node = h(
      "article.seat",
      {},
      this.stage,
      h(
        "div.seat-line",
        {},
        h("button.link-button", { type: "button", onclick: onopen }, `Clip ${clip.clip_id}`),
        h("a.muted", { href: runLink(clip), title: clip.run_name }, clip.run_name),
      ),
      h("div.seat-line.seat-events", {}, h("span.clip-events", {}, eventWords(clip.events)), marks(clip)),
    );
  }

  async load() {
    try {
      this.film = await loadFilm(this.clip);
      this.frames = this.film.frames;
      this.canvas.style.imageRendering = this.film.width < 200 ? "pixelated" : "auto";
    } catch (error) {
      fill(this.stage, problem(error.message));
    }
  }

  draw(frame) {
    this.film?.draw(this.canvas, frame);
    this.ended.hidden = frame < this.frames || !this.film;
  }
}
