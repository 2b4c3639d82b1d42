// The results of a trial at a threshold.

/**
 * The clips of a trial, grouped by result.
 *
 * @param {any[]} clips with `probability` (null: no usable answer), `human` (the right label according to a person, or null),
 *   and the current label: `before` (null: none) with `before_probability`
 * @param {number} threshold lowest probability of a yes
 * @param {(clip: any) => boolean} truth whether the clip's events show what was asked about
 */
export function atThreshold(clips, threshold, truth) {
  const saysYes = (clip) => clip.probability >= threshold;
  const change = (clip) => Math.abs(clip.probability - (clip.before_probability ?? Number(clip.before)));
  const known = clips.filter((clip) => clip.probability !== null);
  const compared = known.filter((clip) => clip.before !== null);
  return {
    saysYes,
    known,
    unknown: clips.filter((clip) => clip.probability === null),
    compared,
    /** Largest change first. */
    flipped: compared.filter((clip) => saysYes(clip) !== clip.before).sort((a, b) => change(b) - change(a)),
    wrong: known.filter((clip) => saysYes(clip) !== truth(clip)),
    judged: known.filter((clip) => clip.human !== null),
  };
}

/** The confusion matrix of labels and a truth, with precision and recall (NaN if undefined). */
export function against(clips, label, truth) {
  const cell = (yes, positive) => clips.filter((clip) => label(clip) === yes && truth(clip) === positive).length;
  const [tp, fp, fn, tn] = [cell(true, true), cell(true, false), cell(false, true), cell(false, false)];
  return { tp, fp, fn, tn, precision: tp / (tp + fp), recall: tp / (tp + fn) };
}

/** A clip's truth by name, as a function: whether its events show it. */
export function shows(name) {
  return (clip) => clip.truths.includes(name);
}

/** Area under the ROC curve: P(a positive clip scores above a negative one), ties half; NaN unless there are both. */
export function auc(clips, truth) {
  const sorted = [...clips].sort((a, b) => a.probability - b.probability);
  let [ranks, at] = [0, 0];
  while (at < sorted.length) {
    let end = at;
    while (end < sorted.length && sorted[end].probability === sorted[at].probability) end += 1;
    ranks += sorted.slice(at, end).filter(truth).length * ((at + 1 + end) / 2); // the mean rank of the ties, from 1
    at = end;
  }
  const positives = clips.filter(truth).length;
  return (ranks - (positives * (positives + 1)) / 2) / (positives * (clips.length - positives));
}

/** How often the truth holds, by P(yes): { predicted, observed, clips } of each tenth of [0, 1] that has clips. */
export function reliability(clips, truth) {
  const bins = Array.from({ length: 10 }, () => ({ sum: 0, held: 0, clips: 0 }));
  for (const clip of clips) {
    const bin = bins[Math.min(9, Math.floor(clip.probability * 10))];
    bin.sum += clip.probability;
    bin.held += Number(truth(clip));
    bin.clips += 1;
  }
  return bins.filter((bin) => bin.clips).map(({ sum, held, clips: n }) => ({ predicted: sum / n, observed: held / n, clips: n }));
}

/** Mean gap between probability and observed frequency over the tenths, weighted by their clips. */
export function calibrationError(clips, truth) {
  const gap = (bin) => bin.clips * Math.abs(bin.predicted - bin.observed);
  return reliability(clips, truth).reduce((sum, bin) => sum + gap(bin), 0) / clips.length;
}

/** The clips with their answers to one question of a set in place of their P(yes). */
export function ofQuestion(clips, number) {
  return clips.map((clip) => ({ ...clip, probability: clip.answers[number] ?? null }));
}

/** The number of probabilities in each of `bins` equal parts of [0, 1]; the last part includes 1. */
export function histogram(probabilities, bins) {
  const counts = new Array(bins).fill(0);
  for (const probability of probabilities) counts[Math.min(bins - 1, Math.floor(probability * bins))] += 1;
  return counts;
}
