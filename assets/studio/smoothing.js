// Curve smoothing, shared by all charts so that the same weight gives the same line on every page.

/**
 * Exponential moving average, corrected for the bias towards its initial value, as in TensorBoard.
 *
 * @param {(number | null)[]} values missing and non-finite values stay missing, and the average continues after them
 * @param {number} weight of earlier values: 0 (no smoothing) to below 1
 * @returns {(number | null)[]}
 */
export function smoothed(values, weight) {
  let mean = 0;
  let share = 0; // of the weight on real values; the rest is on the initial 0 of `mean`
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return null;
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return mean / share;
  });
}

/**
 * The smoothing weight given in the URL.
 *
 * @param {string | undefined} text
 * @param {{ otherwise: number, most: number }} limits the default, and the slider's maximum
 */
export function smoothingWeight(text, { otherwise, most }) {
  const weight = text?.trim() ? Number(text) : NaN;
  return Number.isFinite(weight) ? Math.min(most, Math.max(0, weight)) : otherwise;
}
