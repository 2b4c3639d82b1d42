// Keys that work on every page: / for its search field, ? for what there is.
import { h } from "./studio.js";

const EVERYWHERE = [
  ["/", "search, where the page has a search field"],
  ["?", "show these keys"],
];

/** Keys of single pages, which they handle themselves, by path. */
const OF_PAGE = {
  clips: [
    ["← ↑ ↓ →", "move between clips"],
    ["Enter", "watch a clip; its player shows its own keys with ?"],
    ["space", "select for side by side"],
  ],
};

/** Listen from now on. `path` of the page. */
export function listenForKeys(path) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || isTyping(event) || document.querySelector("dialog[open]")) return;
    if (event.key === "/") {
      const field = [...document.querySelectorAll("input[type=search]")].find((each) => each.getClientRects().length);
      if (!(field instanceof HTMLInputElement)) return;
      event.preventDefault();
      field.focus();
      field.select();
    }
    if (event.key === "?") {
      event.preventDefault();
      showKeys([...EVERYWHERE, ...(OF_PAGE[path] ?? [])]);
    }
  });
}

/** Whether a key press is text input or belongs to the focused control. */
export function isTyping(event) {
  return (
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    event.target.closest?.("textarea, select, input:not([type=range]):not([type=checkbox])")
  );
}

function showKeys(keys) {
  const dialog = h(
    "dialog.dialog",
    { "aria-label": "Keys", onclose: () => dialog.remove() },
    h("h3", {}, "Keys"),
    h(
      "dl.key-list",
      {},
      keys.map(([key, words]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)]),
    ),
    h("form.buttons", { method: "dialog" }, h("button.button", {}, "Close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}
