// Which curves of a run are drawn together, and how they are smoothed and marked.

/** `noisy`: smoothed as the slider says. `right`: on the axis on the right. `scale`: times this. `dash`: in Plotly's words. */
export const GROUPS = [
  {
    key: "success",
    title: "Success rate",
    range: [-0.03, 1.05],
    format: ".0%",
    curves: [
      { name: "eval/success_rate", title: "evaluation", points: true },
      { name: "rollout/success_rate", title: "while training", color: "muted", noisy: true },
      { name: "play/success_rate", title: "scripted play", color: "info", dash: "dash", noisy: true },
    ],
  },
  {
    key: "return",
    title: "Return of an episode",
    curves: [
      { name: "eval/episodic_return", title: "evaluation", points: true },
      { name: "rollout/episodic_return", title: "while training", color: "muted", noisy: true },
      { name: "play/episodic_return", title: "scripted play", color: "info", dash: "dash", noisy: true },
    ],
  },
  { key: "loss", title: "TD loss", curves: [{ name: "train/td_loss", title: "TD loss", noisy: true }] },
  {
    key: "lambda",
    title: "λ: share of a batch drawn by VLM priority",
    range: [-0.03, 1.05],
    curves: [{ name: "replay/vlm_weight", title: "λ" }],
  },
  {
    key: "yes",
    title: "Share of clips that get a yes",
    range: [-0.03, 1.05],
    format: ".0%",
    curves: [{ name: "scoring/positive_rate", title: "yes" }],
  },
  {
    key: "scoring",
    title: "Scoring: clips, and time per clip",
    right: true,
    curves: [
      { name: "scoring/backlog", title: "waiting" },
      { name: "replay/stale_scores", title: "scored too late", color: "method-per" },
      { name: "scoring/dropped", title: "dropped", color: "bad" },
      { name: "scoring/latency_s", title: "ms per clip (right)", color: "muted", right: true, scale: 1000, noisy: true },
    ],
  },
  { key: "speed", title: "Steps per second", curves: [{ name: "speed/steps_per_second", title: "steps/s" }] },
  { key: "q", title: "Mean Q-value", curves: [{ name: "train/mean_q", title: "mean Q", noisy: true }] },
  { key: "policy", title: "Policy loss", curves: [{ name: "train/policy_loss", title: "policy loss", noisy: true }] },
  { key: "entropy", title: "Entropy of the policy", curves: [{ name: "train/entropy", title: "entropy", noisy: true }] },
  { key: "alpha", title: "Temperature α of the entropy", curves: [{ name: "train/alpha", title: "α", noisy: true }] },
  {
    key: "length",
    title: "Length of an episode",
    curves: [
      { name: "eval/episodic_length", title: "evaluation", points: true },
      { name: "rollout/episodic_length", title: "while training", color: "muted", noisy: true },
      { name: "play/episodic_length", title: "scripted play", color: "info", dash: "dash", noisy: true },
    ],
  },
  { key: "scored", title: "Clips scored", curves: [{ name: "scoring/clips_scored", title: "clips" }] },
];

/** A change in one short line; what a person wrote is cut and cannot be markup, which Plotly would read. */
export function changeLabel(change) {
  const value = change.value.length > 60 ? `${change.value.slice(0, 59)}…` : change.value;
  return `${change.name === "lambda" ? "λ" : "prompt"} → ${value}`
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;");
}

/** Exponential moving average without the pull towards its start. */
export function average(values, weight) {
  let mean = 0;
  let share = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return mean / share;
  });
}
