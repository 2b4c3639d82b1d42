// The top bar of every page: name, navigation, activity, theme switch.
import { listenForKeys } from "../keys.js";
import { fill, h, isDark, page, poll, toast } from "../studio.js";

const THEME = "vlmrb-theme";
const SECONDS = 3;

export function mount({ node, data, call }) {
  document.title = data.title === "Runs" ? "VLM-RB Studio" : `${data.title} · VLM-RB Studio`;
  document.documentElement.lang = "en";
  const current = data.path === "run" ? "" : data.path;
  const links = data.navigation.map(([name, path]) =>
    h("a.nav-link", { href: page(path), "aria-current": path === current ? "page" : null }, name),
  );
  const activity = h("a.activity", { href: page(""), "aria-live": "polite" });
  fill(
    node,
    h("a.skip", { href: "#page" }, "Skip to content"),
    h(
      "header.top",
      {},
      h("a.brand", { href: page("") }, mark(), h("span", {}, "VLM-RB Studio")),
      h("nav", { "aria-label": "Pages" }, links),
      h("span.spacer"),
      activity,
      h(
        "span.store-name",
        { title: `Store: ${data.store}` },
        data.store
          .replace(/[?].*$/, "")
          .split("/")
          .pop(),
      ),
      themeButton(),
    ),
  );
  listenForKeys(current);
  let left = 0;
  poll(async () => {
    try {
      const { running, queued } = await call("activity");
      const words = [running ? `${running} running` : "", queued ? `${queued} queued` : ""].filter(Boolean).join(" · ");
      if (left && !running && !queued) toast("All runs have ended.");
      left = running + queued;
      activity.className = `activity${running ? " live" : ""}`;
      fill(activity, words || "nothing running");
    } catch (error) {
      activity.className = "activity offline";
      fill(activity, error.offline ? "studio not reachable" : "store not readable");
      activity.title = error.message;
    }
  }, SECONDS);
}

/** The logo: frames of a clip, one of them chosen. */
function mark() {
  const frame = (x, kind) => h(`rect.${kind}`, { x, y: 4, width: 5, height: 16, rx: 1.5 });
  return h(
    "svg.mark",
    { viewBox: "0 0 24 24", width: 24, height: 24, "aria-hidden": "true" },
    frame(2, "mark-frame"),
    frame(9.5, "mark-chosen"),
    frame(17, "mark-frame"),
  );
}

function themeButton() {
  const saved = localStorage.getItem(THEME);
  const asked = new URLSearchParams(location.search).get("__theme");
  if (saved && !asked) document.body.classList.toggle("dark", saved === "dark");
  const toggle = h(
    "button.icon-button",
    {
      type: "button",
      "aria-label": "Switch between light and dark",
      title: "Switch between light and dark",
      onclick: () => {
        document.body.classList.toggle("dark");
        localStorage.setItem(THEME, isDark() ? "dark" : "light");
        document.dispatchEvent(new CustomEvent("studio:theme"));
      },
    },
    h(
      "svg",
      { viewBox: "0 0 20 20", width: 18, height: 18, "aria-hidden": "true" },
      h("path", { d: "M10 2a8 8 0 1 0 0 16V2z", fill: "currentColor" }),
      h("circle", { cx: 10, cy: 10, r: 7.2, fill: "none", stroke: "currentColor", "stroke-width": 1.6 }),
    ),
  );
  return toggle;
}
