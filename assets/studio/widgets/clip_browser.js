// The clips page: filters, a grid of animated thumbnails, the player and the side-by-side panel.

import { clipCard } from "../clips/card.js";
import { dropThumbnails, prefetchThumbnail } from "../clips/film.js";
import { FILTERS, FilterBar } from "../clips/filters.js";
import { Player } from "../clips/player.js";
import { LabelQueue, queueButton } from "../clips/queue.js";
import { Together } from "../clips/together.js";
import { button, count, empty, fill, h, page as pageAddress, poll, problem, query, setQuery } from "../studio.js";

const LOOK_FOR_NEW_S = 5;

export function mount({ node, data, call }) {
  return new ClipBrowser(node, data, call).start();
}

class ClipBrowser {
  constructor(node, data, call) {
    this.node = node;
    this.data = data;
    this.call = call;
    /** @type {any[]} */
    this.cards = [];
    this.total = 0;
    this.page = 1;
    this.chosen = new Map();
    this.asked = 0;
    this.loaded = false;
    this.filters = new FilterBar((changes) => this.#change(changes));
    this.player = new Player({
      call,
      maxNote: data.max_note,
      neighbour: (id, by) => this.#neighbour(id, by),
      move: (id, by) => this.#move(id, by),
      onshow: (id) => setQuery({ clip: id }),
      onclose: (id) => this.#playerClosed(id),
      onjudged: (card) => this.#redraw(card),
    });
    this.together = new Together({ call, onclose: () => setQuery({ watch: null }), onopen: (id) => this.#open(id) });
    this.queue = new LabelQueue({
      call,
      maxNote: data.max_note,
      maxAnnotator: data.max_annotator,
      request: () => this.#request(),
      onorder: (order) => setQuery({ queue: order }),
      onclose: (changed) => {
        setQuery({ queue: null });
        if (changed) this.load();
      },
    });
    this.label = queueButton(() => {
      setQuery({ queue: "disagreement" });
      this.queue.open("disagreement");
    });
    this.found = h("p.found", { role: "status" });
    this.fresh = h("span.fresh", { role: "status" });
    this.grid = h("div.clip-grid", {
      role: "list",
      "aria-label": "Clips",
      onkeydown: (event) => this.#gridKey(event),
      onfocusin: (event) => this.#rove(event.target),
    });
    this.message = h("div");
    this.pager = h("nav.pager", { "aria-label": "Pages of clips" });
    this.hint = h(
      "p.muted.hint",
      {},
      h("kbd", {}, "← ↑ ↓ →"),
      " move ",
      h("kbd", {}, "Enter"),
      " watch ",
      h("kbd", {}, "space"),
      " select for side by side",
    );
    this.tray = h("div.tray", { role: "region", "aria-label": "Selected clips", hidden: true });
  }

  start() {
    fill(
      this.node,
      h("h1.visually-hidden", {}, "Clips"),
      this.filters.node,
      h(
        "div.grid-head",
        {},
        this.found,
        this.filters.clear,
        this.fresh,
        h("span.spacer"),
        this.label,
        this.filters.superseded,
        this.filters.order,
      ),
      this.message,
      this.grid,
      this.pager,
      this.hint,
      this.tray,
    );
    addEventListener("popstate", () => this.#fromAddress());
    const found = this.#fromAddress();
    poll(() => this.#lookForNew(), LOOK_FOR_NEW_S);
    return found;
  }

  // -- the URL

  /**
   * The URL's parameters; `runs` is an alias of `run`.
   *
   * @returns {Record<string, string>}
   */
  #values() {
    const { runs, ...values } = query();
    return { ...values, run: values.run ?? runs ?? "" };
  }

  #request() {
    const { run, superseded, ...values } = this.#values();
    const narrowing = Object.fromEntries(FILTERS.filter((name) => values[name]).map((name) => [name, values[name]]));
    return { ...narrowing, runs: run, superseded: superseded === "1" };
  }

  #change(changes) {
    setQuery({ ...changes, runs: null, page: null, ...("run" in changes ? {} : { run: this.#values().run }) });
    this.filters.show(this.#values());
    this.load();
    if ("run" in changes) this.#loadMenus();
  }

  #fromAddress() {
    const values = this.#values();
    this.filters.show(values);
    const found = Promise.all([this.#loadMenus(), this.load()]);
    values.clip ? this.player.show(values.clip) : this.player.close();
    const watched = (values.watch ?? "").split(",").filter(Boolean).slice(0, this.data.max_together);
    watched.length ? this.together.open(watched) : this.together.close();
    values.queue ? this.queue.open(values.queue) : this.queue.close();
    return found;
  }

  // -- the grid

  async #loadMenus() {
    try {
      this.filters.setMenus(await this.call("menus", { runs: this.#values().run }), this.#values());
    } catch {
      /* load() shows the error */
    }
  }

  /** Load the page given in the URL. */
  async load() {
    const turn = ++this.asked;
    const { order, page } = this.#values();
    this.grid.setAttribute("aria-busy", "true");
    try {
      const found = await this.call("find", { ...this.#request(), order, page });
      if (turn !== this.asked) return;
      Object.assign(this, found, { loaded: true });
      this.#drawPage();
    } catch (error) {
      if (turn !== this.asked) return;
      this.total = 0;
      this.cards = [];
      this.loaded = false;
      this.#drawPage(error);
    }
    this.grid.removeAttribute("aria-busy");
    if (this.loaded) this.#prefetch(turn);
  }

  /** @param {Error | null} [error] why the page could not be loaded */
  #drawPage(error = null) {
    dropThumbnails(this.grid);
    fill(
      this.grid,
      this.cards.map((card) => this.#card(card)),
    );
    this.#links()[0]?.setAttribute("tabindex", "0");
    this.hint.hidden = !this.cards.length;
    fill(
      this.message,
      error
        ? [problem(error.message), button("Clear filters", () => this.filters.clear.click())]
        : this.total === 0
          ? this.#nothing()
          : null,
    );
    const from = this.data.page_size * (this.page - 1);
    fill(
      this.found,
      error || this.total === 0
        ? ""
        : h(
            "span",
            {},
            h("strong.num", {}, count(this.total)),
            this.total === 1 ? " clip" : " clips",
            this.total > this.cards.length
              ? h("span.muted", {}, `, showing ${count(from + 1)} to ${count(from + this.cards.length)}`)
              : "",
          ),
    );
    fill(this.fresh);
    this.#drawPager();
    this.#drawTray();
  }

  #card(card) {
    return clipCard(card, {
      href: pageAddress("clips", { ...this.#values(), watch: null, clip: card.clip_id }),
      selected: this.chosen.has(card.clip_id),
      onopen: (clip, event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        this.#open(clip.clip_id);
      },
      onselect: (clip, on) => this.#choose(clip, on),
    });
  }

  #nothing() {
    const narrowed = FILTERS.some((name) => this.#values()[name]);
    if (narrowed)
      return empty(
        "No matching clips",
        "No clip in the store matches all of these filters. Remove one, or clear them all.",
        button("Clear filters", () => this.filters.clear.click(), { kind: "primary" }),
      );
    return empty(
      "No clips yet",
      "A clip is a short segment of an episode. Runs record clips as they train, and a scorer says which of them show " +
        "progress. Launch a run, and its clips appear here within seconds.",
      h("a.button.primary", { href: pageAddress("launch") }, "Launch a run"),
      " ",
      h("a.button", { href: pageAddress("") }, "See all runs"),
    );
  }

  /** Redraw a card that has changed. */
  #redraw(card) {
    const at = this.cards.findIndex(({ clip_id }) => clip_id === card.clip_id);
    if (at < 0) return;
    this.cards[at] = card;
    this.grid.children[at]?.replaceWith(this.#card(card));
  }

  async #prefetch(turn) {
    if (this.page * this.data.page_size >= this.total) return;
    await new Promise((resolve) => setTimeout(resolve, 700)); // let the visible page load first
    if (turn !== this.asked || document.hidden) return;
    try {
      const next = await this.call("find", { ...this.#request(), order: this.#values().order, page: this.page + 1 });
      if (turn === this.asked) next.cards.forEach(prefetchThumbnail);
    } catch {
      /* it was only a prefetch */
    }
  }

  async #lookForNew() {
    if (!this.loaded || this.player.dialog.open || this.together.dialog.open) return;
    const turn = this.asked;
    let total;
    try {
      total = await this.call("count", this.#request());
    } catch {
      return; // the top bar shows the error
    }
    if (turn !== this.asked) return;
    const more = total - this.total;
    fill(
      this.fresh,
      more > 0
        ? button(`${count(more)} new ${more === 1 ? "clip" : "clips"}: show`, () => this.#goTo(1), { kind: "small.fresh-button" })
        : null,
    );
  }

  // -- pages

  #drawPager() {
    const last = Math.max(1, Math.ceil(this.total / this.data.page_size));
    if (last === 1) return fill(this.pager);
    const number = h("input.input", {
      type: "number",
      min: 1,
      max: last,
      value: this.page,
      "aria-label": "Page",
      onchange: () => number.validity.valid && this.#goTo(Number(number.value)),
    });
    const turn = (text, to, words) =>
      button(text, () => this.#goTo(to), {
        kind: "small",
        disabled: to < 1 || to > last || to === this.page,
        "aria-label": words,
      });
    return fill(
      this.pager,
      turn("First", 1, "First page"),
      turn("Previous", this.page - 1, "Previous page"),
      h("span.page-number", {}, "page ", number, ` of ${count(last)}`),
      turn("Next", this.page + 1, "Next page"),
      turn("Last", last, "Last page"),
    );
  }

  async #goTo(page) {
    setQuery({ page: page > 1 ? page : null }, { push: true });
    await this.load();
    if (this.grid.getBoundingClientRect().top < 0) this.node.scrollIntoView();
  }

  // -- keys

  #links() {
    return [...this.grid.querySelectorAll(".clip-link")];
  }

  /** Tab reaches one card, arrow keys move to the others. */
  #rove(target) {
    const link = target.closest(".clip-card")?.querySelector(".clip-link");
    if (!link) return;
    for (const other of this.#links()) other.tabIndex = other === link ? 0 : -1;
  }

  #gridKey(event) {
    const links = this.#links();
    const at = links.indexOf(event.target.closest(".clip-link"));
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = links.filter((link) => link.getBoundingClientRect().top === links[0].getBoundingClientRect().top).length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -at, End: links.length - 1 - at };
    if (event.key === " ") links[at].parentElement.querySelector("input").click();
    else if (event.key in steps) links[at + steps[event.key]]?.focus();
    else return;
    event.preventDefault();
  }

  // -- one clip

  #open(clipId) {
    setQuery({ clip: clipId }, { push: true });
    this.player.show(clipId);
  }

  /** The previous (−1) or next (+1) clip on this page, or null. The next one of a clip that is not on it is the first. */
  #neighbour(clipId, by) {
    const at = this.cards.findIndex(({ clip_id }) => String(clip_id) === String(clipId));
    return (at < 0 ? by > 0 && this.cards[0] : this.cards[at + by]) || null;
  }

  /** The same, but continues on the previous or next page. */
  async #move(clipId, by) {
    const there = this.#neighbour(clipId, by);
    const page = this.page + by;
    if (there || page < 1 || page > Math.ceil(this.total / this.data.page_size)) return there;
    if (!this.cards.some(({ clip_id }) => String(clip_id) === String(clipId))) return null;
    await this.#goTo(page);
    return this.cards.at(by > 0 ? 0 : -1) ?? null;
  }

  #playerClosed(clipId) {
    setQuery({ clip: null });
    this.grid.querySelector(`[data-clip="${CSS.escape(String(clipId))}"] .clip-link`)?.focus();
  }

  // -- several clips

  #choose(clip, on) {
    if (on && this.chosen.size >= this.data.max_together) this.chosen.delete(this.chosen.keys().next().value);
    on ? this.chosen.set(clip.clip_id, clip) : this.chosen.delete(clip.clip_id);
    this.#drawTray();
  }

  #drawTray() {
    for (const card of this.grid.children) {
      const on = this.chosen.has(Number(card.dataset.clip));
      card.classList.toggle("chosen", on);
      card.querySelector("input").checked = on;
    }
    const ids = [...this.chosen.keys()];
    this.tray.hidden = ids.length === 0;
    fill(
      this.tray,
      h("span", {}, `${ids.length} of up to ${this.data.max_together} clips selected`),
      button(
        "Watch side by side",
        () => {
          setQuery({ watch: ids.join(",") }, { push: true });
          this.together.open(ids);
        },
        { kind: "primary.small" },
      ),
      button(
        "Clear",
        () => {
          this.chosen.clear();
          this.#drawTray();
        },
        { kind: "small" },
      ),
    );
  }
}
