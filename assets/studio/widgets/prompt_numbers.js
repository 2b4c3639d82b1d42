// The results of a trial at a threshold.

/**
 * The clips of a trial, grouped by result.
 *
 * @param {any[]} clips with `probability` (null: no usable answer), `progress` (whether the simulator saw progress), `human`
 *   (the right label according to a person, or null), and the current label: `before` (null: none) with `before_probability`
 * @param {number} threshold lowest probability of a yes
 */
export function atThreshold(clips, threshold) {
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
    wrong: known.filter((clip) => saysYes(clip) !== clip.progress),
    judged: known.filter((clip) => clip.human !== null),
  };
}

/** The confusion matrix of labels and a truth, with precision and recall (NaN if undefined). */
export function against(clips, label, truth) {
  const cell = (yes, positive) => clips.filter((clip) => label(clip) === yes && truth(clip) === positive).length;
  const [tp, fp, fn, tn] = [cell(true, true), cell(true, false), cell(false, true), cell(false, false)];
  return { tp, fp, fn, tn, precision: tp / (tp + fp), recall: tp / (tp + fn) };
}

/** The number of probabilities in each of `bins` equal parts of [0, 1]; the last part includes 1. */
export function histogram(probabilities, bins) {
  const counts = new Array(bins).fill(0);
  for (const probability of probabilities) counts[Math.min(bins - 1, Math.floor(probability * bins))] += 1;
  return counts;
}
