// What every page of the studio must hold to, measured in the page. Added before its own scripts run.
window.audit = (() => {
  /** @type {{ at: number, value: number, nodes: string[] }[]} */
  const moved = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      if (!entry.hadRecentInput)
        moved.push({ at: Math.round(entry.startTime), value: entry.value, nodes: entry.sources.map(({ node }) => name(node)) });
  }).observe({ type: "layout-shift", buffered: true });

  /** An element as people look for it: "button.small 'Save'". */
  function name(node) {
    const element = node instanceof Element ? node : node?.parentElement;
    if (!element) return "(gone)";
    const classes = [...element.classList].filter((one) => !one.startsWith("svelte")).map((one) => `.${one}`);
    const words = (element.getAttribute("aria-label") ?? element.textContent ?? "").trim().replace(/\s+/g, " ");
    const holder = element.parentElement
      ? `${element.parentElement.tagName.toLowerCase()}.${element.parentElement.classList[0] ?? ""} > `
      : "";
    return `${holder}${element.tagName.toLowerCase()}${classes.join("")} '${words.slice(0, 40)}'`;
  }

  const visible = (element) =>
    element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && element.getClientRects().length > 0;

  /** The text nodes below an element that are not blank. */
  function texts(element) {
    const found = [];
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) if (walker.currentNode.textContent.trim()) found.push(walker.currentNode);
    return found;
  }

  // -- contrast

  /** [red, green, blue, alpha], from 0 to 1. */
  function parse(color) {
    const numbers = (color.match(/-?[\d.]+(e-?\d+)?%?/g) ?? []).map((part) =>
      part.endsWith("%") ? parseFloat(part) / 100 : +part,
    );
    const scale = color.startsWith("rgb") ? 255 : 1;
    if (!color.startsWith("rgb") && !color.startsWith("color(srgb"))
      throw new Error(`a colour that the audit cannot read: ${color}`);
    const [red, green, blue, alpha = 1] = numbers;
    return [red / scale, green / scale, blue / scale, alpha];
  }

  const over = (top, ground) => [0, 1, 2].map((at) => top[3] * top[at] + (1 - top[3]) * ground[at]).concat(1);

  function luminance([red, green, blue]) {
    const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  }

  function contrast(one, other) {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  }

  /** What can lie under an element: one colour, or black and white where it lies over a picture. */
  function grounds(element) {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      const color = parse(style.backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 1) break;
      const holder = style.position === "absolute" ? at.offsetParent : null;
      if (
        holder &&
        [...holder.querySelectorAll("canvas, img, video")].some((picture) => overlap(picture, element) && !at.contains(picture))
      ) {
        return [
          [0, 0, 0, 1],
          [1, 1, 1, 1],
        ].map((ground) => layers.reduceRight((under, layer) => over(layer, under), ground));
      }
    }
    return [layers.reduceRight((under, layer) => over(layer, under), [1, 1, 1, 1])];
  }

  function overlap(one, other) {
    const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
    return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  }

  function opacity(element) {
    let product = 1;
    for (let at = element; at; at = at.parentElement) product *= +getComputedStyle(at).opacity;
    return product;
  }

  /** Text that is harder to read than WCAG AA allows: what, its contrast, what it should have. Inactive controls are exempt. */
  function weakText() {
    const found = new Map();
    const check = (element, style, words) => {
      if (element.closest(":disabled, [aria-disabled=true], .visually-hidden, option")) return;
      const ink = parse(element instanceof SVGElement ? style.fill : style.color);
      ink[3] *= opacity(element);
      if (ink[3] === 0) return;
      const size = parseFloat(style.fontSize);
      const least = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700) ? 3 : 4.5;
      const value = Math.min(...grounds(element).map((ground) => contrast(over(ink, ground), ground)));
      if (value < least) found.set(`${name(element)} ${words}`, `${value.toFixed(2)} < ${least}`);
    };
    for (const { parentElement: element } of texts(document.body))
      if (!/^(style|script|noscript)$/i.test(element.tagName) && visible(element)) check(element, getComputedStyle(element), "");
    for (const element of document.querySelectorAll("input, select, textarea")) {
      if (!visible(element) || /^(checkbox|radio|range|file|color)$/.test(element.type)) continue;
      if (element.value || element.tagName === "SELECT") check(element, getComputedStyle(element), "value");
      else if (element.placeholder) check(element, getComputedStyle(element, "::placeholder"), "placeholder");
    }
    return [...found].map(([words, how]) => `${words}: ${how}`);
  }

  // -- width

  /** What sticks out of the page, or of its card. */
  function tooWide() {
    const width = document.documentElement.clientWidth;
    const out = [];
    if (document.documentElement.scrollWidth > width) out.push(`page: ${document.documentElement.scrollWidth} > ${width}`);
    for (const element of document.querySelectorAll("#page *, .top *, dialog *")) {
      if (!visible(element) || element.closest(".visually-hidden, svg")) continue;
      const box = element.getBoundingClientRect();
      if (box.width && box.right > width + 1 && !cut(element))
        out.push(`${name(element)}: to ${Math.round(box.right)} of ${width}`);
      const card = element.closest(".panel, dialog")?.getBoundingClientRect();
      if (card && box.width && box.right > card.right + 1 && getComputedStyle(element).position !== "fixed" && !cut(element))
        out.push(`${name(element)}: ${Math.round(box.right - card.right)} px out of its card`);
    }
    return out;
  }

  /** Whether what sticks out is scrolled to or cut off on purpose. */
  function cut(element) {
    for (let at = element.parentElement; at && at !== document.body; at = at.parentElement)
      if (getComputedStyle(at).overflowX !== "visible") return true;
    return false;
  }

  /** Text that is cut off and cannot be read in full by pointing at it. */
  function cutOff() {
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
      if (element instanceof SVGElement || !visible(element) || element.closest(".visually-hidden")) continue;
      const style = getComputedStyle(element);
      if (!/hidden|clip/.test(style.overflowX + style.overflowY)) continue;
      if (!texts(element).some((text) => !text.parentElement?.closest("[title]"))) continue;
      const wide = element.scrollWidth - element.clientWidth;
      const high = element.scrollHeight - element.clientHeight;
      if (wide > 1 || high > 2) found.push(`${name(element)}: ${Math.max(wide, high)} px`);
    }
    return found;
  }

  // -- keyboard

  const seen = new Set();

  /** What has the focus: its name, whether it had it before, and what is wrong with how it shows. */
  async function focus() {
    const element = document.activeElement;
    if (!element || element === document.body) return null;
    for (let at = element; at; at = at.parentElement)
      for (const change of at.getAnimations()) if (change instanceof CSSTransition) await change.finished.catch(() => {});
    const again = seen.has(element);
    seen.add(element);
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    const wrong = [];
    if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) wrong.push("shows no focus");
    if (!visible(element) || box.width < 1 || box.height < 1) wrong.push("is not visible");
    else if (box.right < 1 || box.bottom < 1 || box.left > innerWidth - 1 || box.top > innerHeight - 1)
      wrong.push("is off screen");
    return { name: name(element), again, wrong };
  }

  /** What can be pressed and the Tab key did not reach. */
  function unreached() {
    const found = [];
    const focusable = "a[href], button, input, select, textarea, summary, video[controls], [tabindex='0']";
    const root = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document;
    for (const element of root.querySelectorAll(focusable)) {
      if (element.disabled || element.type === "radio" || !visible(element) || element.closest(".nav-holder, footer, [inert]"))
        continue;
      const group = element.closest(COMPOSITE); // the Tab key reaches one of it, and while a clip plays that is another one
      if (group && [...seen].some((each) => group.contains(each))) continue;
      if (element.getAttribute("tabindex") === "-1" ? !element.closest(COMPOSITE) : !seen.has(element)) found.push(name(element));
    }
    for (const element of root.querySelectorAll("*")) {
      if (element instanceof SVGElement || !visible(element) || getComputedStyle(element).cursor !== "pointer") continue;
      if (element.closest(`${focusable}, label, .js-plotly-plot, [tabindex]`)) continue;
      if (getComputedStyle(element.parentElement).cursor !== "pointer") found.push(`mouse only: ${name(element)}`);
    }
    return found;
  }

  // Arrow keys move within these; Tab reaches the whole.
  const COMPOSITE = ".clip-grid, .strip, [role=tablist], [role=menu], [role=listbox], [role=radiogroup], [role=grid]";

  // -- all of it

  /** Whether the page shows what it shows first: widgets, charts and pictures. */
  function settled() {
    const widgets = [...document.querySelectorAll(".widget")];
    const charts = [...document.querySelectorAll(".chart")].filter(visible);
    const pictures = [...document.querySelectorAll(".thumb.on-screen .thumb-strip")].filter(visible);
    return (
      widgets.length > 1 &&
      widgets.every((widget) => !widget.hasAttribute("aria-busy")) &&
      charts.every((chart) => chart.querySelector(".main-svg")) &&
      pictures.every((picture) => picture.style.backgroundImage)
    );
  }

  /** Resolves once the page is drawn as it is, with nothing changing its colour any more. */
  async function drawn() {
    for (let frame = 0; frame < 2; frame += 1) await new Promise((done) => requestAnimationFrame(done));
    const changes = document.getAnimations().filter((change) => change instanceof CSSTransition);
    await Promise.all(changes.map((change) => change.finished.catch(() => {})));
  }

  /**
   * How far things have moved by themselves, as the sum of all layout shifts, and which. `early`: a part of the page was shown
   * before it was whole, since the studio took so long; then they may move.
   */
  function shifts() {
    const early = document.querySelector("[data-early]") !== null;
    return { sum: moved.reduce((sum, shift) => sum + shift.value, 0), moved, early };
  }

  const faults = () => ({ "hard to read": weakText(), "too wide": tooWide(), "cut off": cutOff() });

  return { settled, drawn, shifts, faults, focus, unreached };
})();
