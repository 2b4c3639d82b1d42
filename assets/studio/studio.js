// Shared by all widgets: mounting, calling the server, building nodes, polling, URLs, formatting.
// Nodes are built from text, never from HTML strings: prompts, names and model answers cannot become markup.

const PATIENCE_MS = 1500;

/**
 * Draw the widget `name` in its node. Called by Gradio once per page view. It appears once it has what it shows first, so that
 * nothing moves under the pointer; or after a moment with what there is, and is then marked with `data-early`.
 */
export async function mount(name, context) {
  const node = context.element.querySelector(`.widget-${name}`);
  if (!node || node.dataset.mounted) return;
  node.dataset.mounted = "yes";
  try {
    const module = await import(`./widgets/${name}.js?v=${context.version}`);
    const drawn = module.mount({ ...context, node, call: (method, request = {}) => call(context.server, method, request) });
    setTimeout(() => {
      if (node.hasAttribute("aria-busy")) node.dataset.early = "yes";
      node.removeAttribute("aria-busy");
    }, PATIENCE_MS);
    await drawn;
  } catch (error) {
    console.error(error);
    fill(node, problem(`This part of the page could not be drawn: ${error.message}`));
  }
  node.removeAttribute("aria-busy");
}

/** An error reported by the server; `offline` if the server did not respond at all. */
export class ServerError extends Error {
  constructor(message, offline = false) {
    super(message);
    this.offline = offline;
  }
}

async function call(server, method, request) {
  const reply = await server[method](request).catch(() => undefined); // on failure Gradio mostly returns undefined
  if (reply && typeof reply === "object" && "answer" in reply) return reply.answer;
  if (reply?.error) throw new ServerError(reply.error);
  if (await isReachable()) throw new ServerError("The studio could not do that; see its terminal for details.");
  throw new ServerError("The studio is not responding. Runs continue without it; this page catches up once it is back.", true);
}

async function isReachable() {
  try {
    return (await fetch("./studio/assets/favicon.svg", { method: "HEAD", cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

// -- nodes

/**
 * A node: h("a.link", { href, onclick, data: { id } }, "text", node, [nodes], null).
 *
 * @param {string} tag name and classes: "button.small"
 * @param {Record<string, any> | null} [attributes]
 * @param {...any} children
 * @returns {any} an HTML or SVG element, depending on the tag
 */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = SVG.has(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  if (classes.length) node.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on") && typeof value === "function") node.addEventListener(key.slice(2), value);
    else if (key === "data") Object.assign(node.dataset, value);
    else if (key === "style" && typeof value === "object") setStyle(node, value);
    else if (["value", "checked", "selected", "disabled", "indeterminate"].includes(key)) node[key] = value;
    else node.setAttribute(key, value === true ? "" : safeAttribute(key, value));
  }
  node.append(...flat(children));
  return node;
}

const SVG = new Set(["svg", "path", "circle", "rect", "line", "polyline", "g", "text"]);

function setStyle(node, style) {
  for (const [key, value] of Object.entries(style)) {
    if (key.startsWith("--")) node.style.setProperty(key, value);
    else node.style[key] = value;
  }
}

/** The attribute's value, with "#" in place of URLs that run scripts. */
export function safeAttribute(key, value) {
  const text = String(value);
  return (key === "href" || key === "src") && /^\s*(javascript|data|vbscript):/i.test(text) ? "#" : text;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

/** Replace a node's children. */
export function fill(node, ...children) {
  node.replaceChildren(...flat(children));
  return node;
}

/** The focused HTML element, if any. */
export function focusedNode() {
  return document.activeElement instanceof HTMLElement ? document.activeElement : null;
}

/** An error message. */
export function problem(message) {
  return h("div.problem", { role: "alert" }, message);
}

/** A placeholder that says why nothing is here and what to do next. */
export function empty(title, text, ...actions) {
  return h("div.empty", {}, h("h3", {}, title), h("p", {}, text), actions.length ? h("p.actions", {}, actions) : null);
}

/** A message in the corner that disappears by itself; errors stay longer. */
export function toast(message, kind = "info") {
  const tray = document.querySelector(".toasts") ?? h("div.toasts", { role: "status", "aria-live": "polite" });
  if (!tray.isConnected) document.body.append(tray);
  const note = h(`div.toast.${kind}`, {}, message);
  tray.append(note);
  setTimeout(() => note.remove(), kind === "error" ? 9000 : 4000);
}

/** Ask for confirmation of something that cannot be undone; resolves to true or false. */
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog.dialog",
      {
        "aria-label": title,
        onclose: () => {
          dialog.remove();
          resolve(dialog.returnValue === "yes");
        },
      },
      h("h3", {}, title),
      h("p", {}, text),
      h(
        "form.buttons",
        { method: "dialog" },
        h("button.button", { value: "no" }, "Cancel"),
        h("button.button.danger", { value: "yes" }, action),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

// -- time

/**
 * Call `tick` now, and again `seconds` after each call has ended, while the page is visible. Returns a function that calls it
 * right away, or waits for the call that is under way.
 */
export function poll(tick, seconds) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {Promise<void> | null} */
  let going = null;
  async function once() {
    clearTimeout(timer);
    try {
      await tick();
    } catch (error) {
      console.error(error);
    }
    going = null;
    if (!document.hidden) timer = setTimeout(run, 1000 * seconds);
  }
  function run() {
    going ??= once();
    return going;
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : run()));
  run();
  return run;
}

/** Call `action` once there have been no calls for a moment. */
export function debounce(action, milliseconds = 250) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), milliseconds);
  };
}

// -- the URL, which holds the state of the page

/** The URL's parameters as an object of strings. */
export function query() {
  return Object.fromEntries(new URLSearchParams(location.search));
}

/** Change parameters of the URL without reloading; null, "" and false remove one. */
export function setQuery(changes, { push = false } = {}) {
  const text = changedQuery(location.search, changes);
  const address = location.pathname + (text ? `?${text}` : "");
  if (address !== location.pathname + location.search) history[push ? "pushState" : "replaceState"](null, "", address);
}

/** A query string with changed parameters; null, "" and false remove one. */
export function changedQuery(search, changes) {
  const values = new URLSearchParams(search);
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "" || value === false) values.delete(key);
    else values.set(key, value);
  }
  return values.toString();
}

/** The URL of a page of the studio with parameters, for links: page("clips", { run: 3 }). */
export function page(path, values = {}) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return `./${path}${text ? `?${text}` : ""}`;
}

// -- formatting

const DASH = "–";

/** 1234567 → "1,234,567"; missing → "–". */
export function count(value) {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : DASH;
}

/** 123456 → "123k", 1500000 → "1.5M". */
export function short(value) {
  if (!Number.isFinite(value)) return DASH;
  if (Math.abs(value) >= 999_500) return `${+(value / 1e6).toPrecision(3)}M`;
  if (Math.abs(value) >= 1e4) return `${+(value / 1e3).toPrecision(3)}k`;
  return String(+value.toPrecision(4));
}

/** 0.4567 → "0.457". */
export function number(value, digits = 3) {
  return Number.isFinite(value) ? String(+value.toPrecision(digits)) : DASH;
}

/** 0.456 → "46 %". */
export function percent(value, digits = 0) {
  return Number.isFinite(value) ? `${(100 * value).toFixed(digits)} %` : DASH;
}

/** Bytes → "1.5 MB". */
export function fileSize(bytes) {
  /** @type {[number, string][]} */
  const units = [
    [1e9, "GB"],
    [1e6, "MB"],
    [1e3, "kB"],
  ];
  const [unit, name] = units.find(([limit]) => bytes >= limit) ?? [1, "bytes"];
  return `${(bytes / unit).toFixed(unit === 1 ? 0 : 1)} ${name}`;
}

/** Seconds → "45 s", "12 min", "3 h 5 min", "2 d 4 h". */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return DASH;
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
  return `${Math.floor(hours / 24)} d${hours % 24 ? ` ${hours % 24} h` : ""}`;
}

/** Seconds since the epoch → "5 min ago". */
export function ago(time) {
  return Number.isFinite(time) ? `${duration(Date.now() / 1000 - time)} ago` : DASH;
}

// -- shared elements

const STATUS_WORDS = {
  created: "not started",
  queued: "queued",
  running: "running",
  paused: "paused",
  finished: "finished",
  stopped: "stopped",
  failed: "failed",
  interrupted: "interrupted",
  cancelled: "cancelled",
};

/** A badge with the state of a run or job. */
export function badge(status) {
  return h(`span.badge.status-${String(status).replace(/\W/g, "")}`, {}, STATUS_WORDS[status] ?? String(status));
}

/** A progress bar, with its value for screen readers. */
export function bar(share, label = "progress") {
  const value = Math.max(0, Math.min(1, Number.isFinite(share) ? share : 0));
  return h(
    "span.bar",
    {
      role: "progressbar",
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": Math.round(100 * value),
    },
    h("span.bar-fill", { style: { width: `${100 * value}%` } }),
  );
}

/** A button. */
export function button(text, onclick, attributes = {}) {
  const { kind = "", ...rest } = attributes;
  return h(`button.button${kind ? `.${kind}` : ""}`, { type: "button", onclick, ...rest }, text);
}

/** Whether the dark theme is on. */
export function isDark() {
  return document.body.classList.contains("dark");
}

/** The current value of a colour or other token of studio.css. */
export function token(name) {
  return getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();
}
