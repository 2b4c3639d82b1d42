// The "View" menu of a page: how it is shown, behind one button.
import { button, fill, h } from "./studio.js";

let menus = 0;

/** The button and its panel of controls: parts made by `viewPart`, `chartList` and the like. */
export function viewMenu(...parts) {
  const id = `view-menu-${++menus}`;
  const opener = h("button.button.view-button", { type: "button", popovertarget: id, "aria-haspopup": "dialog" }, "View");
  const panel = h("div.view-menu", { id, popover: "auto", role: "dialog", "aria-label": "View" }, parts);
  panel.addEventListener("toggle", (event) => {
    if (event.newState !== "open") return;
    const at = opener.getBoundingClientRect();
    const box = panel.getBoundingClientRect();
    panel.style.left = `${Math.max(8, Math.min(at.left, document.documentElement.clientWidth - box.width - 8))}px`;
    panel.style.top = `${Math.max(8, Math.min(at.bottom + 4, innerHeight - box.height - 8))}px`;
  });
  return h("span.view", {}, opener, panel);
}

/** A part of the menu under a heading. */
export function viewPart(title, ...controls) {
  return h("fieldset.view-part", {}, h("legend", {}, title), controls);
}

/** One of several values: `options` as [value, words, title]. */
export function viewChoice(label, options, value, onchange) {
  const select = h(
    "select.input",
    { "aria-label": label, onchange: () => onchange(select.value) },
    options.map(([key, words, title]) => h("option", { value: key, title: title ?? null, selected: key === value }, words)),
  );
  return select;
}

/** On or off. */
export function viewTick(label, title, checked, onchange) {
  const box = h("input", { type: "checkbox", checked, onchange: () => onchange(box.checked) });
  return h("label.check-label", { title }, box, label);
}

/** A list whose items are shown or not, in an order that can be changed. */
export class ShownList {
  /** `on`: { toggle(key), move(key, by), reset() }. */
  constructor(label, reset, on) {
    this.on = on;
    this.list = h("ul.view-list", { "aria-label": label });
    this.reset = button(reset, () => this.on.reset(), { kind: "small" });
    this.node = h("div", {}, this.list, this.reset);
    this.key = "";
  }

  /**
   * `items`: [{ key, title, shown, fixed }], those that are shown first, in order; `fixed`: cannot be hidden. `usual`: whether
   * there is nothing to reset.
   */
  draw(items, usual) {
    this.reset.disabled = usual;
    const key = JSON.stringify(items);
    if (key === this.key) return;
    this.key = key;
    const focused = this.list.contains(document.activeElement) ? document.activeElement?.getAttribute("data-at") : null;
    const last = items.filter((item) => item.shown).length - 1;
    fill(
      this.list,
      items.map((item, i) =>
        h(
          "li",
          {},
          h(
            "label.check-label",
            { title: item.title },
            h("input", {
              type: "checkbox",
              checked: item.shown,
              disabled: item.fixed ?? false,
              "data-at": `${item.key} shown`,
              onchange: () => {
                this.key = ""; // a box that may not be ticked is drawn as it was
                this.on.toggle(item.key);
              },
            }),
            h("span", {}, item.title),
          ),
          item.shown ? this.mover("↑", `Move ${item.title} up`, item.key, -1, i === 0) : null,
          item.shown ? this.mover("↓", `Move ${item.title} down`, item.key, 1, i === last) : null,
        ),
      ),
    );
    if (focused) [...this.list.querySelectorAll("[data-at]")].find((each) => each.dataset.at === focused)?.focus();
  }

  mover(sign, words, key, by, disabled) {
    return h(
      "button.icon-button.small",
      {
        type: "button",
        "aria-label": words,
        title: words,
        disabled,
        "data-at": `${key} ${by}`,
        onclick: () => this.on.move(key, by),
      },
      sign,
    );
  }
}

/** `keys` in the order of `order`; those that it does not name follow, in their own order. */
export function ordered(keys, order) {
  const named = order.filter((key) => keys.includes(key));
  return [...named, ...keys.filter((key) => !named.includes(key))];
}

/** `keys` with one of them moved by one place, up (-1) or down (1). */
export function moved(keys, key, by) {
  const at = keys.indexOf(key);
  const to = Math.max(0, Math.min(keys.length - 1, at + by));
  const others = keys.filter((each) => each !== key);
  return at < 0 ? keys : [...others.slice(0, to), key, ...others.slice(to)];
}
