// Types that JSDoc cannot express.

/** plotly.js, once chart.js has loaded it. */
interface Window {
  Plotly?: PlotlyLibrary;
}

interface PlotlyLibrary {
  react(node: HTMLElement, traces: object[], layout: object, config: object): Promise<unknown>;
}
