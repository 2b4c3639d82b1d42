// The replay microscope: the clips that a run's batches drew before a step, alone or beside another run.
import { cardParts, spoken } from "../clips/card.js";
import { dropThumbnails } from "../clips/film.js";
import { button, count, debounce, fill, h, page, problem, query, setQuery } from "../studio.js";
import { ageWords, byKin, chanceWords, goneWords, nearest, timesWords, whoWords } from "./draws_words.js";

const WAIT_MS = 120; // while the slider moves

/** The panel. `call` reaches the page's functions; `follow()` looks for new records. */
export class DrawsPanel {
  constructor(call, run) {
    this.call = call;
    this.run = run;
    /** @type {number[]} */
    this.steps = [];
    this.at = -1;
    this.beside = query().beside ?? "";
    this.asked = 0;
    this.range = h("input.draws-range", {
      type: "range",
      min: 0,
      max: 0,
      step: 1,
      value: 0,
      "aria-label": "Step",
      oninput: () => this.#move(Number(this.range.value)),
    });
    const arrow = (sign, by, label) =>
      button(sign, () => this.#move(this.at + by), { kind: "small", "aria-label": label, title: label });
    this.back = arrow("←", -1, "Earlier step");
    this.forward = arrow("→", 1, "Later step");
    this.where = h("span.num.draws-where");
    this.menu = h("select.input", { "aria-label": "Beside", onchange: () => this.#choose(this.menu.value) });
    this.chooser = h("label.draws-beside", {}, "Beside ", this.menu);
    this.bar = h("div.draws-bar", {}, this.back, this.range, this.forward, this.where);
    this.seats = h("div.draws-seats");
    this.message = h("div");
    this.node = h(
      "section.panel.run-draws",
      { "aria-label": "Replay microscope", hidden: true },
      h(
        "div.panel-head",
        {},
        h("h2", {}, "Replay microscope", h("span.muted.draws-about", {}, "what the batches before a step were drawn from")),
        this.chooser,
      ),
      this.bar,
      this.message,
      this.seats,
    );
    this.show = debounce(() => this.#show(), WAIT_MS);
  }

  /** Look for new records: the slider gets longer, and stays where it is. */
  async follow() {
    const found = await this.call("draws", { run: this.run }).catch(() => null); // the page's header says what is wrong
    if (!found) return;
    this.node.hidden = false;
    this.bar.hidden = this.chooser.hidden = this.seats.hidden = !found.steps.length;
    if (!found.steps.length) return fill(this.message, h("p.muted", {}, found.why_not));
    this.#fillMenu(found.others);
    if (String(found.steps) === String(this.steps)) return;
    const first = this.at < 0;
    const wanted = this.steps[this.at] ?? Number(query().draws || Number.POSITIVE_INFINITY);
    this.steps = found.steps;
    this.range.max = String(this.steps.length - 1);
    this.at = nearest(this.steps, wanted);
    this.#drawBar();
    if (first) await this.#show();
  }

  #fillMenu(others) {
    const key = JSON.stringify(others);
    if (this.menuKey === key) return;
    this.menuKey = key;
    this.chooser.hidden = !others.length;
    fill(
      this.menu,
      h("option", { value: "" }, "no other run"),
      byKin(others).map(([title, runs]) =>
        h(
          "optgroup",
          { label: title },
          runs.map((other) => h("option", { value: String(other.run_id) }, `${other.run_id} · ${other.name}`)),
        ),
      ),
    );
    if (!others.some((other) => String(other.run_id) === this.beside)) this.beside = "";
    this.menu.value = this.beside;
  }

  #choose(run) {
    this.beside = run;
    setQuery({ beside: run });
    this.#show();
  }

  #move(at) {
    this.at = Math.max(0, Math.min(this.steps.length - 1, at));
    setQuery({ draws: this.steps[this.at] });
    this.#drawBar();
    this.show();
  }

  #drawBar() {
    const step = this.steps[this.at];
    this.range.value = String(this.at);
    this.back.disabled = this.at === 0;
    this.forward.disabled = this.at === this.steps.length - 1;
    this.where.textContent = `step ${count(step)} · ${this.at + 1} of ${this.steps.length}`;
    this.range.setAttribute("aria-valuetext", `step ${count(step)}`);
  }

  async #show() {
    const turn = ++this.asked;
    const runs = [this.run, this.beside].filter(Boolean);
    let found;
    try {
      found = await Promise.all(runs.map((run) => this.call("drawn", { run, step: this.steps[this.at] })));
    } catch (error) {
      if (turn === this.asked) fill(this.message, problem(error.message));
      return;
    }
    if (turn !== this.asked) return;
    fill(this.message);
    dropThumbnails(this.seats);
    this.seats.classList.toggle("two", found.length > 1);
    const scale = Math.max(1, ...found.flatMap((drawn) => [...drawn.most, ...drawn.rest].map((one) => one.drawn)));
    fill(
      this.seats,
      found.map((drawn) => seat(drawn, found.length > 1, scale)),
    );
  }
}

/** One run: the sentence, and the two grids. */
function seat(drawn, named, scale) {
  return h(
    "article.draws-seat",
    { "aria-label": `What run ${drawn.run_id} drew before step ${drawn.step}` },
    h(
      "h3.draws-name",
      { hidden: !named },
      h("a", { href: page("run", { run: drawn.run_id }), title: drawn.name }, `run ${drawn.run_id}`),
      h("span.muted", {}, ` ${drawn.method} · step ${count(drawn.step)}`),
    ),
    h("p.draws-words", {}, drawn.words),
    h("p.draws-legend", {}, legend(drawn)),
    part("Drawn most often", chanceWords(drawn), drawn.most, drawn, scale),
    part("A cross-section of the other draws", "Each clip stands for an equal share of them.", drawn.rest, drawn, scale),
    h("p.muted", {}, goneWords(drawn)),
  );
}

function legend(drawn) {
  const mixes = [...drawn.most, ...drawn.rest].some((one) => one.by_labels !== null);
  const swatch = (token) => h("span.swatch", { style: { background: `var(--${token})` } });
  return [
    mixes ? h("span", {}, swatch(drawn.token), "by labels") : null,
    h("span", {}, swatch(drawn.base_token), mixes ? `by the base (${drawn.base})` : `by ${drawn.base}`),
    h("span", {}, h("span.swatch.part-even"), "by chance"),
  ];
}

function part(title, words, cards, drawn, scale) {
  if (!cards.length) return h("div");
  return h(
    "section.draws-part",
    {},
    h("h4", {}, title, " ", h("span.muted", {}, words)),
    h(
      "div.clip-grid.draws-grid",
      { role: "list", "aria-label": title },
      cards.map((one) => card(one, drawn, scale)),
    ),
  );
}

function card(one, drawn, scale) {
  const labels = one.by_labels ?? 0;
  const who = whoWords(one, drawn.base);
  const width = (draws) => `${(100 * draws) / scale}%`;
  const [draws, times] = timesWords(one);
  const [age, error] = ageWords(one);
  const rank = `number ${count(one.rank)} of ${count(drawn.clips)}`;
  const words = `${rank}; ${draws}, ${times} chance; ${who ? `${who}; ` : ""}${age} steps; ${error}`;
  return h(
    "div.clip-card",
    { role: "listitem", data: { clip: one.card.clip_id } },
    h(
      "a.clip-link",
      {
        href: page("clips", { run: one.card.run_id, clip: one.card.clip_id }),
        "aria-label": `${spoken(one.card)}; ${words}`,
      },
      cardParts(one.card),
      h(
        "span.stack.draws-bar-of",
        { title: `${rank}; ${who ? `${who}; ` : ""}by chance ${one.by_chance.toFixed(1)}`, "aria-hidden": "true" },
        h("span.stack-part", { style: { width: width(labels), background: `var(--${drawn.token})` } }),
        h("span.stack-part", { style: { width: width(one.drawn - labels), background: `var(--${drawn.base_token})` } }),
        one.by_chance > 0 ? h("span.stack-even", { style: { "--even": Math.min(1, one.by_chance / scale) } }) : null,
      ),
      h("span.draws-line", {}, h("strong", {}, draws), h("span", { title: "times as often as by chance" }, times)),
      h("span.draws-line.muted", {}, h("span", { title: "steps since the clip's last step" }, age), h("span", {}, error)),
    ),
  );
}
