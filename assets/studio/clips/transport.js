// Playback: its timing and its controls. One transport can play several films in sync.
import { button, fill, h } from "../studio.js";

export const SPEEDS = [0.25, 0.5, 1, 2, 4];
const FRAMES_PER_SECOND = 8;
const SETTINGS = "vlmrb-player";

const ICONS = {
  play: "M6 4l11 6-11 6z",
  pause: "M6 4h3v12H6zM11 4h3v12h-3z",
  first: "M5 4h2v12H5zM16 4v12l-8-6z",
  last: "M13 4h2v12h-2zM4 4l8 6-8 6z",
  back: "M12 4v12l-8-6zM14 4h2v12h-2z",
  forward: "M8 4l8 6-8 6zM4 4h2v12H4z",
  previous: "M12.5 4L7 10l5.5 6",
  next: "M7.5 4l5.5 6-5.5 6",
  loop: "M4 9a5 5 0 0 1 5-4h5m-2-3 3 3-3 3M16 11a5 5 0 0 1-5 4H6m2 3-3-3 3-3",
  close: "M5 5l10 10M15 5L5 15",
};
const OUTLINED = ["previous", "next", "loop", "close"];

/** An icon button with a label for screen readers. */
export function iconButton(name, label, onclick, attributes = {}) {
  return h("button.player-button", { type: "button", title: label, "aria-label": label, onclick, ...attributes }, icon(name));
}

function icon(name) {
  const line = OUTLINED.includes(name);
  return h(
    "svg",
    { viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true" },
    h("path", {
      d: ICONS[name],
      fill: line ? "none" : "currentColor",
      stroke: line ? "currentColor" : "none",
      "stroke-width": 1.8,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    }),
  );
}

/** Playback timing. `onframe(index)` draws a frame; speed and loop are remembered between clips. */
export class Transport {
  constructor(onframe) {
    const kept = savedSettings();
    this.onframe = onframe;
    this.frames = 1;
    this.frame = 0;
    this.playing = false;
    this.turn = 0;
    this.speed = kept.speed;
    this.loop = kept.loop;
    /** @type {any[]} */
    this.listeners = [];
  }

  /** Start a new film at its first frame, playing unless the user prefers reduced motion. */
  load(frames, play = !matchMedia("(prefers-reduced-motion: reduce)").matches) {
    this.frames = frames;
    this.playing = false;
    this.seek(0);
    if (play) this.play();
  }

  play() {
    if (this.playing || this.frames < 2) return;
    if (!this.loop && this.frame >= this.frames - 1) this.seek(0);
    this.playing = true;
    const turn = ++this.turn; // an earlier play() may still have a callback pending
    let due = -Infinity;
    const tick = (now) => {
      if (!this.playing || turn !== this.turn) return;
      const pause = 1000 / (FRAMES_PER_SECOND * this.speed);
      if (now - due > 1000) due = now + pause; // at the start, and after the tab was hidden
      if (now >= due) {
        due += pause;
        this.#advance();
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    this.#changed();
  }

  pause() {
    this.playing = false;
    this.#changed();
  }

  toggle() {
    this.playing ? this.pause() : this.play();
  }

  /** Show a frame. */
  seek(index) {
    this.frame = Math.max(0, Math.min(this.frames - 1, index));
    this.onframe(this.frame);
    this.#changed();
  }

  /** Pause, and move by some frames. */
  step(by) {
    this.playing = false;
    this.seek(this.frame + by);
  }

  setSpeed(speed) {
    this.speed = speed;
    this.#keep();
  }

  /** The next faster (+1) or slower (−1) speed. */
  shift(by) {
    const at = SPEEDS.indexOf(this.speed) + by;
    if (SPEEDS[at]) this.setSpeed(SPEEDS[at]);
  }

  toggleLoop() {
    this.loop = !this.loop;
    this.#keep();
  }

  #advance() {
    if (this.frame < this.frames - 1) this.seek(this.frame + 1);
    else if (this.loop) this.seek(0);
    else this.pause();
  }

  #keep() {
    try {
      localStorage.setItem(SETTINGS, JSON.stringify({ speed: this.speed, loop: this.loop }));
    } catch {
      /* without storage, settings are not remembered */
    }
    this.#changed();
  }

  #changed() {
    for (const listener of this.listeners) listener();
  }
}

function savedSettings() {
  /** @type {{ speed?: any, loop?: any }} */
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(SETTINGS) ?? "{}") ?? {};
  } catch {
    /* not ours, or no storage */
  }
  return { speed: SPEEDS.includes(kept.speed) ? kept.speed : 1, loop: kept.loop !== false };
}

/** Scrub bar, buttons and counter of a transport. `setMarks(marks)` shows marks { frame, kind, words } on the bar. */
export function transportBar(transport, { counter = (frame, frames) => `frame ${frame + 1} of ${frames}` } = {}) {
  const range = h("input.scrub", {
    type: "range",
    min: 0,
    max: 0,
    step: 1,
    value: 0,
    "aria-label": "Frame",
    oninput: () => {
      transport.playing = false;
      transport.seek(Number(range.value));
    },
  });
  const marksNode = h("div.marks");
  const play = iconButton("play", "Play (space)", () => transport.toggle());
  const loop = iconButton("loop", "Loop", () => transport.toggleLoop());
  const speed = h(
    "select.speed",
    { "aria-label": "Speed", title: "Speed ([ and ])", onchange: () => transport.setSpeed(Number(speed.value)) },
    SPEEDS.map((value) => h("option", { value }, `${value}×`)),
  );
  const count = h("span.num.counter");
  const node = h(
    "div.transport",
    {},
    h("div.scrub-box", {}, marksNode, range),
    h(
      "div.transport-row",
      {},
      iconButton("first", "First frame (Home)", () => transport.step(-transport.frames)),
      iconButton("back", "Previous frame (←)", () => transport.step(-1)),
      play,
      iconButton("forward", "Next frame (→)", () => transport.step(1)),
      iconButton("last", "Last frame (End)", () => transport.step(transport.frames)),
      loop,
      speed,
      count,
    ),
  );
  let shown = null;
  transport.listeners.push(() => {
    const { frame, frames, playing } = transport;
    Object.assign(range, { max: String(frames - 1), value: String(frame) });
    fill(count, counter(frame, frames));
    range.setAttribute("aria-valuetext", count.textContent);
    if (shown !== playing) fill(play, icon(playing ? "pause" : "play"));
    play.setAttribute("aria-label", playing ? "Pause (space)" : "Play (space)");
    play.title = play.getAttribute("aria-label");
    shown = playing;
    loop.setAttribute("aria-pressed", String(transport.loop));
    speed.value = String(transport.speed);
  });
  node.setMarks = (marks) =>
    fill(
      marksNode,
      marks.map(({ frame, kind, words }) =>
        h(`span.mark-at.mark-${kind}`, {
          title: words,
          style: { "--at": transport.frames > 1 ? frame / (transport.frames - 1) : 0 },
        }),
      ),
    );
  return node;
}

/** Handle keys that all players share. Returns whether the key was one of them. */
export function transportKey(transport, key) {
  const actions = {
    " ": () => transport.toggle(),
    ArrowLeft: () => transport.step(-1),
    ArrowRight: () => transport.step(1),
    Home: () => transport.step(-transport.frames),
    End: () => transport.step(transport.frames),
    "[": () => transport.shift(-1),
    "]": () => transport.shift(1),
  };
  if (!Object.hasOwn(actions, key)) return false;
  actions[key]();
  return true;
}

/** A button that shows its keyboard shortcut. */
export function keyButton(text, key, onclick, attributes = {}) {
  return button([text, h("kbd", { "aria-hidden": "true" }, key)], onclick, { "aria-keyshortcuts": key, ...attributes });
}
