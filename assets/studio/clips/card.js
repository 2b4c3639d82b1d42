// A clip among many: its moving picture, what the scorer said, what really happened.
import { count, h, page } from "../studio.js";
import { movingThumbnail } from "./film.js";

const LABEL_WORDS = { yes: "yes", no: "no", unknown: "unknown", unscored: "not scored" };

/** P(yes) as it is shown everywhere. */
export function chance(value) {
  return Number.isFinite(value) ? value.toFixed(2) : "–";
}

/** The scorer's answer as a chip. `answer`: { label, probability }. */
export function labelChip({ label, probability }) {
  return h(
    `span.chip.label-${label}`,
    {},
    LABEL_WORDS[label] ?? label,
    Number.isFinite(probability) ? h("span.num", { title: "P(yes)" }, chance(probability)) : null,
  );
}

/** The words under a card: what happened. */
export function eventWords(events) {
  return events.length ? events.join(" · ") : "no events";
}

/** Short marks: against the events, a person's word, left behind. */
export function marks(clip) {
  return [
    clip.agrees === false
      ? h(
          "span.flag.against",
          {
            title: clip.progress
              ? "The simulator saw progress; the label does not say yes"
              : "The simulator saw no progress; the label says yes",
          },
          "≠ events",
        )
      : null,
    clip.human
      ? h(
          `span.flag.human-${clip.human}`,
          { title: "A person's word on the label" },
          clip.human === "agreed" ? "✓ agreed" : "✗ disagreed",
        )
      : null,
    clip.superseded
      ? h("span.flag", { title: "The run was resumed from before this clip; it is not in the curves" }, "left behind")
      : null,
  ];
}

/** A card. `onopen(clip, event)` on click; `onselect(clip, on)` when it is chosen to be watched with others. */
export function clipCard(clip, { href, selected, onopen, onselect }) {
  const link = h(
    "a.clip-link",
    { href, tabindex: -1, "aria-label": spoken(clip), onclick: (event) => onopen(clip, event) },
    h("span.clip-picture", {}, movingThumbnail(clip), labelChip(clip), h("span.flags", {}, marks(clip))),
    h("span.clip-events", { class: `clip-events${clip.progress ? " progress" : ""}` }, eventWords(clip.events)),
    h(
      "span.clip-where",
      {},
      h("span.clip-run", { title: clip.run_name }, `run ${clip.run_id}`),
      h("span.num", {}, `step ${count(clip.start_step)}`),
    ),
  );
  const box = h("input", {
    type: "checkbox",
    checked: selected,
    tabindex: -1,
    "aria-label": `Choose clip ${clip.clip_id} to watch beside others`,
    onchange: () => onselect(clip, box.checked),
  });
  const node = h(
    "div.clip-card",
    { data: { clip: clip.clip_id }, role: "listitem" },
    link,
    h("label.clip-select", { title: "Choose to watch beside others (space)" }, box),
  );
  return node;
}

/** The address of a run at a step. */
export function runLink(clip) {
  return page("run", { run: clip.run_id, step: clip.start_step });
}

function spoken(clip) {
  const words = [
    `Clip ${clip.clip_id}, ${clip.run_name}, steps ${clip.start_step} to ${clip.end_step}`,
    LABEL_WORDS[clip.label],
    Number.isFinite(clip.probability) ? `probability of yes ${chance(clip.probability)}` : "",
    eventWords(clip.events),
    clip.agrees === false ? "label disagrees with the events" : "",
    clip.human ? `a person ${clip.human}` : "",
  ];
  return words.filter(Boolean).join("; ");
}
