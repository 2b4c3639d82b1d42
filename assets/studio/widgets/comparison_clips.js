// What the compared runs did at the same step: one slider, and the clips of each run nearest to it.
import { cardParts, spoken } from "../clips/card.js";
import { dropThumbnails } from "../clips/film.js";
import { count, debounce, fill, h, page, problem, query, setQuery } from "../studio.js";

const STOPS = 200; // of the slider
const WAIT_MS = 120; // while the slider moves

/** The step at a stop of the slider, a whole number; the last stop is the last step. */
export function stepAt(stop, last) {
  return Math.round((last * stop) / STOPS);
}

/** The slider's stop nearest to a step. */
export function stopOf(step, last) {
  return last > 0 ? Math.round((STOPS * Math.min(step, last)) / last) : STOPS;
}

/** What is said below a run's name: its seed, and what keeps it from being where the slider is. */
export function rowWords({ seed, start, ended }) {
  const words = [`seed ${seed}`];
  if (start) words.push(`branch from step ${count(start)}`);
  if (ended !== null) words.push(`only ${count(ended)} steps so far`);
  return words.join(", ");
}

/** A panel that is filled once it is opened. Its step is in the URL, as `at`. */
export class StepClips {
  constructor(call) {
    this.call = call;
    this.runs = [];
    this.asked = 0;
    this.last = 0;
    /** @type {number | null} null for the last step */
    this.step = null;
    this.range = h("input.draws-range", {
      type: "range",
      min: 0,
      max: STOPS,
      step: 1,
      value: STOPS,
      "aria-label": "Step",
      oninput: () => this.#move(),
    });
    this.where = h("span.num.draws-where");
    this.bar = h("div.draws-bar.compare-clips-bar", {}, this.range, this.where);
    this.rows = h("div.compare-clips-rows");
    this.words = h("p.muted.chart-words");
    this.message = h("div");
    this.node = h(
      "details.panel.compare-clips",
      { ontoggle: () => this.#toggled() },
      h(
        "summary",
        {},
        h("strong", {}, "Clips step by step "),
        h("span.muted", {}, "what each run did at the same point of its training"),
      ),
      this.bar,
      this.message,
      this.rows,
      this.words,
    );
    this.load = debounce(() => this.#load(), WAIT_MS);
    this.fromAddress();
  }

  fromAddress() {
    const at = query().at;
    this.step = /^\d{1,12}$/.test(at ?? "") ? Number(at) : null;
    this.node.open = at !== undefined;
  }

  /** Show these runs, and what is new in them. */
  take(runs) {
    this.runs = runs;
    if (this.node.open) this.load();
  }

  #toggled() {
    setQuery({ at: this.node.open ? (this.step ?? "last") : null });
    if (this.node.open && this.runs.length) this.load();
  }

  #move() {
    const stop = Number(this.range.value);
    this.step = stop === STOPS ? null : stepAt(stop, this.last);
    setQuery({ at: this.step ?? "last" });
    this.#say(this.step ?? this.last);
    this.load();
  }

  #say(step) {
    this.where.textContent = `step ${count(step)} of ${count(this.last)}`;
    this.range.setAttribute("aria-valuetext", `step ${count(step)}`);
  }

  async #load() {
    const turn = ++this.asked;
    let found;
    try {
      found = await this.call("clips", { runs: this.runs, step: this.step });
    } catch (error) {
      if (turn === this.asked) fill(this.message, problem(error.message));
      return;
    }
    if (turn !== this.asked) return;
    fill(this.message);
    this.last = found.last;
    this.range.value = String(stopOf(found.step, found.last));
    this.#say(found.step);
    this.#draw(found);
  }

  /** A run whose clips are the same keeps its row, so that its thumbnails go on. */
  #draw({ rows, left_out: left }) {
    const kept = new Map([...this.rows.children].map((node) => [node.dataset.key, node]));
    const nodes = rows.map((row) => {
      const key = JSON.stringify(row);
      return kept.get(key) ?? rowOf(row, key);
    });
    for (const node of kept.values()) if (!nodes.includes(node)) dropThumbnails(node);
    this.rows.replaceChildren(...nodes);
    const branched = rows.some((row) => row.start);
    this.words.textContent = [
      branched ? "Steps of branches count from where they start." : "",
      left ? `${count(left)} more ${left === 1 ? "run is" : "runs are"} left out; choose fewer runs to see others.` : "",
    ]
      .filter(Boolean)
      .join(" ");
  }
}

function rowOf(row, key) {
  return h(
    "article.compare-clips-row",
    { data: { key }, "aria-label": `Run ${row.run_id}` },
    h(
      "div.compare-clips-run",
      {},
      h("span.method-dot", { title: row.label, style: { background: `var(--${row.token})` } }),
      h("a", { href: page("run", { run: row.run_id }), title: `${row.name}: ${row.label}` }, `Run ${row.run_id}`),
      h("p.compare-clips-method", { title: row.label }, row.label),
      h("p.muted", {}, rowWords(row)),
    ),
    row.cards.length
      ? h(
          "div.compare-clips-cards",
          { role: "list" },
          row.cards.map((card) =>
            h(
              "div.clip-card",
              { role: "listitem" },
              h(
                "a.clip-link",
                { href: page("clips", { run: row.run_id, clip: card.clip_id }), "aria-label": spoken(card) },
                cardParts(card),
              ),
            ),
          ),
        )
      : h("p.muted", {}, row.why_none),
  );
}
