// Choices of how a page is shown: in its URL, so that a link shows the same, and remembered in this browser for the next visit.
import { query, setQuery } from "./studio.js";

/** What this browser remembers under a name; null if nothing. */
export function remembered(name) {
  try {
    return JSON.parse(localStorage.getItem(`vlmrb-${name}`) ?? "null");
  } catch {
    return null; // not ours, or no storage
  }
}

/** Remember a value; null forgets it. */
export function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(`vlmrb-${name}`);
    else localStorage.setItem(`vlmrb-${name}`, JSON.stringify(value));
  } catch {
    /* without storage, nothing is remembered */
  }
}

/**
 * Lists of texts that this browser remembers under a name, by key; those that it does not know are empty.
 *
 * @returns {any}
 */
export function rememberedLists(name, keys) {
  const kept = Object(remembered(name));
  const texts = (list) => (Array.isArray(list) ? list.filter((each) => typeof each === "string") : []);
  return Object.fromEntries(keys.map((key) => [key, texts(kept[key])]));
}

/** Remember lists of texts; if all are empty there is nothing to remember. */
export function rememberLists(name, lists) {
  remember(name, Object.values(lists).some((list) => list.length) ? lists : null);
}

/** The choices of a page by parameter of its URL. What the URL does not say is as on the last visit. */
export class Kept {
  /**
   * @param {string} name under which the browser remembers them
   * @param {Record<string, string>} defaults by parameter; a choice that is the default is not in the URL
   */
  constructor(name, defaults) {
    this.name = name;
    this.defaults = defaults;
    const last = Object(remembered(name));
    const chosen = query();
    setQuery(
      Object.fromEntries(Object.keys(defaults).map((key) => [key, chosen[key] ?? (last[key] ? String(last[key]) : null)])),
    );
  }

  get(key) {
    return query()[key] ?? this.defaults[key];
  }

  /** The choice, if it is one of `allowed`; else the default. */
  oneOf(key, allowed) {
    const value = this.get(key);
    return allowed.includes(value) ? value : this.defaults[key];
  }

  set(changes) {
    setQuery(
      Object.fromEntries(Object.entries(changes).map(([key, value]) => [key, value === this.defaults[key] ? null : value])),
    );
    const others = Object.keys(this.defaults).filter((key) => this.get(key) !== this.defaults[key]);
    remember(this.name, others.length ? Object.fromEntries(others.map((key) => [key, this.get(key)])) : null);
  }
}
