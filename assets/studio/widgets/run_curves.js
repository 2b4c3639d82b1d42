// Grouping, smoothing and marks of a run's curves.
import { hoverWords, STEPS } from "../axes.js";
import { smoothed } from "../smoothing.js";

const TOO_MANY = 2_000; // points of one curve

/**
 * `band`: filled steps of whole numbers. `noisy`: smoothed as set by the slider. `right`: on the right axis. `scale`: a factor.
 * `dash`: Plotly's line style.
 */
export const GROUPS = [
  {
    key: "success",
    title: "Success rate",
    range: [-0.03, 1.05],
    format: ".0%",
    curves: [
      { name: "eval/success_rate", title: "evaluation", points: true },
      { name: "rollout/success_rate", title: "training", color: "muted", noisy: true },
      { name: "play/success_rate", title: "scripted play", color: "info", dash: "dash", noisy: true },
    ],
  },
  {
    key: "return",
    title: "Episode return",
    curves: [
      { name: "eval/episodic_return", title: "evaluation", points: true },
      { name: "rollout/episodic_return", title: "training", color: "muted", noisy: true },
      { name: "play/episodic_return", title: "scripted play", color: "info", dash: "dash", noisy: true },
    ],
  },
  { key: "loss", title: "TD loss", curves: [{ name: "train/td_loss", title: "TD loss", noisy: true }] },
  {
    key: "lambda",
    title: "λ: fraction of each batch drawn by VLM priority",
    range: [-0.03, 1.05],
    curves: [
      { name: "replay/vlm_weight", title: "λ" },
      { name: "replay/vlm_share", title: "after all bounds", color: "info", dash: "dash" },
    ],
  },
  {
    key: "yes",
    title: "Fraction labelled yes",
    range: [-0.03, 1.05],
    format: ".0%",
    curves: [
      { name: "scoring/yes_rate", title: "new clips", noisy: true },
      {
        name: "scoring/event_rate",
        title: "progress in the simulator",
        color: "good",
        dash: "dash",
        noisy: true,
      },
      { name: "replay/held_yes", title: "buffer", color: "info" },
      { name: "replay/yes_share", title: "labelled part of it", color: "info", dash: "dot" },
      { name: "replay/drawn_yes", title: "batches", color: "warn", noisy: true },
      { name: "scoring/positive_rate", title: "all clips", color: "muted", dash: "dot" },
    ],
  },
  {
    key: "ages",
    title: "Fraction of what is drawn, by quarter of the buffer",
    range: [-0.03, 1.05],
    format: ".0%",
    curves: [
      { name: "replay/drawn_age_1", title: "newest quarter" },
      { name: "replay/drawn_age_2", title: "second", color: "info" },
      { name: "replay/drawn_age_3", title: "third", color: "info", dash: "dot" },
      { name: "replay/drawn_age_4", title: "oldest", color: "muted" },
    ],
  },
  {
    key: "question",
    title: "Which question of the set rules",
    band: true,
    curves: [{ name: "scoring/question", title: "question" }],
  },
  {
    key: "relabelled",
    title: "Fraction of drawn transitions with a goal or mission in hindsight",
    range: [-0.03, 1.05],
    format: ".0%",
    curves: [{ name: "replay/relabelled", title: "relabelled" }],
  },
  {
    key: "other_missions",
    title: "Fraction of yes about other missions",
    range: [-0.03, 1.05],
    format: ".0%",
    curves: [{ name: "scoring/other_missions", title: "yes" }],
  },
  {
    key: "scoring",
    title: "Scoring: clips and time per clip",
    right: true,
    curves: [
      { name: "scoring/backlog", title: "backlog" },
      { name: "replay/stale_scores", title: "stale scores", color: "warn" },
      { name: "scoring/dropped", title: "dropped", color: "bad" },
      { name: "scoring/latency_s", title: "ms per clip (right)", color: "muted", right: true, scale: 1000, noisy: true },
    ],
  },
  { key: "speed", title: "Steps per second", curves: [{ name: "speed/steps_per_second", title: "steps/s", noisy: true }] },
  { key: "evaluation", title: "Seconds per evaluation", curves: [{ name: "speed/evaluation_s", title: "seconds" }] },
  { key: "q", title: "Mean Q-value", curves: [{ name: "train/mean_q", title: "mean Q", noisy: true }] },
  { key: "policy", title: "Policy loss", curves: [{ name: "train/policy_loss", title: "policy loss", noisy: true }] },
  { key: "entropy", title: "Policy entropy", curves: [{ name: "train/entropy", title: "entropy", noisy: true }] },
  { key: "alpha", title: "Entropy temperature α", curves: [{ name: "train/alpha", title: "α", noisy: true }] },
  {
    key: "length",
    title: "Episode length",
    curves: [
      { name: "eval/episodic_length", title: "evaluation", points: true },
      { name: "rollout/episodic_length", title: "training", color: "muted", noisy: true },
      { name: "play/episodic_length", title: "scripted play", color: "info", dash: "dash", noisy: true },
    ],
  },
  { key: "scored", title: "Clips scored", curves: [{ name: "scoring/clips_scored", title: "clips" }] },
];

/** A change in one short line. Text is truncated, and escaped because Plotly interprets markup. */
export function changeLabel(change) {
  const value = change.value.length > 60 ? `${change.value.slice(0, 59)}…` : change.value;
  return `${change.name === "lambda" ? "λ" : change.name} → ${value}`
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;");
}

/**
 * A curve as Plotly traces; if it is smoothed, with the measured values faint behind it.
 *
 * @param {any} group one of GROUPS
 * @param {any} curve one of its curves
 * @param {{ steps: number[], values: (number | null)[] }} measured
 * @param {{ weight: number, color: string, axes?: any, x?: any[] }} how `weight`: of smoothing, for noisy curves; `axes`: see
 *   `axesOf`; `x`: where the steps are on them
 */
export function curveTraces(group, curve, { steps, values: measured }, { weight, color, axes = STEPS, x = steps }) {
  const values = curve.scale ? measured.map((value) => (value === null ? null : value * curve.scale)) : measured;
  const line = { color, width: 2, dash: curve.dash, shape: group.band ? "hv" : "linear" };
  const base = {
    type: "scatter",
    x,
    customdata: steps,
    name: curve.title,
    legendgroup: curve.name,
    yaxis: curve.right ? "y2" : "y",
    connectgaps: true,
    hovertemplate: `%{y:${group.format ?? ".4~g"}} ${hoverWords(axes)}<extra>${curve.title.replace(/[<>&]/g, "")}</extra>`,
  };
  const isSmoothed = curve.noisy && weight > 0;
  const main = {
    ...base,
    y: isSmoothed ? smoothed(values, weight) : values,
    line,
    fill: group.band ? "tozeroy" : "none",
    mode: curve.points || steps.length < 2 ? "lines+markers" : "lines",
    marker: { color, size: 6 },
  };
  if (!isSmoothed) return [main];
  const behind = { y: values, line: { ...line, width: 1 }, mode: "lines", opacity: 0.3 };
  return [{ ...base, ...behind, hoverinfo: "skip", hovertemplate: null, showlegend: false }, main];
}

/**
 * Labelled steps as vertical lines, of several points each, so that the label shows on hover anywhere along the line.
 * `axes`: see `axesOf`; `at(steps)`: where they are on them.
 */
export function verticals(name, marks, line, axes = STEPS, at = (steps) => steps) {
  if (!marks.length) return [];
  const x = marks.map(([step]) => at([step])[0]);
  const heights = Array.from({ length: 17 }, (_, i) => i / 16);
  return [
    {
      type: "scatter",
      mode: "lines",
      x: x.flatMap((where) => [...heights.map(() => where), null]),
      y: marks.flatMap(() => [...heights, null]),
      customdata: marks.flatMap(([step]) => [...heights.map(() => step), null]),
      text: marks.flatMap(([, label]) => [...heights.map(() => label), ""]),
      yaxis: "y3",
      name,
      meta: "mark",
      line,
      hovertemplate: `%{text} ${hoverWords(axes)}<extra></extra>`,
    },
  ];
}

/** The last step of each curve, after which the server sends more; {} if a curve has so many points that all are sent again. */
export function lastSteps(curves) {
  const drawn = [...curves].filter(([, curve]) => curve.steps.length);
  if (drawn.some(([, curve]) => curve.steps.length > TOO_MANY)) return {};
  return Object.fromEntries(drawn.map(([name, curve]) => [name, curve.steps.at(-1)]));
}
