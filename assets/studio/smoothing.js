// How curves are smoothed: one way for all charts, so that the same weight draws the same line on every page.

/**
 * Exponential moving average without the pull towards its start, as TensorBoard draws it.
 *
 * @param {(number | null)[]} values those that are missing or not finite stay missing, and the average goes on after them
 * @param {number} weight of what came before: 0 (the values themselves) to below 1
 * @returns {(number | null)[]}
 */
export function smoothed(values, weight) {
  let mean = 0;
  let share = 0; // of the weights that real values hold; the rest still lies on the 0 that `mean` began with
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return null;
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return mean / share;
  });
}

/**
 * The weight that an address asks for.
 *
 * @param {string | undefined} text
 * @param {{ otherwise: number, most: number }} limits what stands where nothing or no number is asked for, and the slider's end
 */
export function smoothingWeight(text, { otherwise, most }) {
  const weight = text?.trim() ? Number(text) : NaN;
  return Number.isFinite(weight) ? Math.min(most, Math.max(0, weight)) : otherwise;
}
