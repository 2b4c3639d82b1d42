// A live chart: its node, zoom and legend state survive updates.
import { h, token } from "./studio.js";

/** @type {Promise<any> | null} */
let loading = null;

/** plotly.js, loaded once per page from the studio itself. */
export function plotly(address) {
  loading ??= new Promise((resolve, reject) => {
    const script = h("script", { src: address });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = null; // the next draw tries again
      reject(new Error("plotly.js could not be loaded"));
    };
    document.head.append(script);
  });
  return loading;
}

/** Layout shared by all charts, in the theme's colours. */
export function baseLayout() {
  const axis = {
    gridcolor: token("line"),
    linecolor: token("line-strong"),
    zerolinecolor: token("line-strong"),
    automargin: true,
    tickfont: { color: token("muted"), size: 12 },
  };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: token("font"), color: token("text"), size: 13 },
    margin: { l: 52, r: 16, t: 12, b: 44 },
    hovermode: "closest",
    dragmode: "zoom",
    showlegend: true,
    uirevision: "keep",
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 } },
    hoverlabel: { bgcolor: token("surface"), bordercolor: token("line-strong"), font: { color: token("text"), size: 12 } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: token("muted"), activecolor: token("accent") },
    xaxis: { ...axis },
    yaxis: { ...axis },
  };
}

// Plotly's share button would upload the chart's data to its cloud: data must stay on this machine
const CONFIG = {
  displaylogo: false,
  responsive: true,
  scrollZoom: false,
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};

/** A chart in `node`. Call `draw(traces, layout)` to draw and to update it; `onclick(point)` handles clicks on points. */
export class Chart {
  /**
   * @param {any} node
   * @param {string} address URL of plotly.js
   * @param {{ label?: string, onclick?: ((point: any, event: any) => void) | null }} [options]
   */
  constructor(node, address, { label, onclick = null } = {}) {
    this.node = node;
    this.address = address;
    this.onclick = onclick;
    /** @type {[any, any?] | null} */
    this.last = null;
    node.classList.add("chart");
    node.setAttribute("role", "img");
    if (label) node.setAttribute("aria-label", label);
    document.addEventListener("studio:theme", () => this.last && this.draw(...this.last));
  }

  async draw(traces, layout = {}) {
    this.last = [traces, layout];
    const library = await plotly(this.address);
    const base = baseLayout();
    const resolved = typeof traces === "function" ? traces() : traces;
    const whole = {
      ...base,
      ...layout,
      xaxis: axis(base.xaxis, layout.xaxis),
      yaxis: axis(base.yaxis, layout.yaxis),
      legend: { ...base.legend, ...layout.legend },
      margin: { ...base.margin, ...layout.margin },
    };
    await library.react(this.node, resolved, whole, CONFIG);
    detach(this.node);
    if (this.onclick && !this.listening) {
      this.listening = true;
      this.node.on("plotly_click", (event) => event.points.length && this.onclick?.(event.points[0], event));
    }
  }
}

/**
 * On a page with a <base>, Plotly refers to its clip paths by the whole URL of the page. Once a choice has changed the URL, a
 * chart that is not drawn again would be empty.
 */
function detach(node) {
  if (node._context) node._context._baseUrl = "";
  for (const part of node.querySelectorAll("[clip-path]")) {
    const at = part.getAttribute("clip-path").indexOf("#");
    if (at > 0) part.setAttribute("clip-path", `url(${part.getAttribute("clip-path").slice(at).replace(/["')]/g, "")})`);
  }
}

/** A method's colour in the current theme; colors.py defines the tokens. */
export function methodColor(name) {
  return token(name) || token("method-other");
}

/** An axis whose title matches the rest of the chart. */
function axis(base, own = {}) {
  const title = own.title ? { ...own.title, font: { size: 12.5, color: token("muted") }, standoff: 8 } : undefined;
  return { ...base, ...own, ...(title ? { title } : {}) };
}
