// What the answers of a trial come to at a threshold.

/**
 * The clips of a trial, sorted out.
 *
 * @param {any[]} clips with `probability` (null: no usable answer), `progress` (what the simulator saw), `human` (a person's
 *   word or null), and what the label is now: `before` (null: none) with `before_probability`
 * @param {number} threshold yes from this probability on
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
    /** Those that change most first. */
    flipped: compared.filter((clip) => saysYes(clip) !== clip.before).sort((a, b) => change(b) - change(a)),
    wrong: known.filter((clip) => saysYes(clip) !== clip.progress),
    judged: known.filter((clip) => clip.human !== null),
  };
}

/** Labels against a truth. A share of nothing is NaN. */
export function against(clips, label, truth) {
  const cell = (yes, positive) => clips.filter((clip) => label(clip) === yes && truth(clip) === positive).length;
  const [tp, fp, fn, tn] = [cell(true, true), cell(true, false), cell(false, true), cell(false, false)];
  return { tp, fp, fn, tn, precision: tp / (tp + fp), recall: tp / (tp + fn) };
}

/** How many probabilities lie in each of `bins` equal parts of 0 to 1; 1 itself belongs to the last. */
export function histogram(probabilities, bins) {
  const counts = new Array(bins).fill(0);
  for (const probability of probabilities) counts[Math.min(bins - 1, Math.floor(probability * bins))] += 1;
  return counts;
}
