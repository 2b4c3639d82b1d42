// A clip's card in the grid: its animated thumbnail, the scorer's answer, the events.
import { count, h, page } from "../studio.js";
import { movingThumbnail } from "./film.js";

/** Voters that are at least this far apart get a flag. */
const WIDE = 0.3;

const LABEL_WORDS = { yes: "yes", no: "no", unknown: "unknown", unscored: "not scored" };

/** P(yes), formatted the same everywhere. */
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

/** The caption of a card: the clip's events. */
export function eventWords(events) {
  return events.length ? events.join(" · ") : "no events";
}

/** Flags: the label contradicts the events, voters disagree, a person's verdict, superseded. */
export function marks(clip) {
  return [
    clip.agrees === false
      ? h(
          "span.flag.against",
          {
            title: clip.progress
              ? "The simulator saw progress, but the label is not yes"
              : "The simulator saw no progress, but the label is yes",
          },
          "≠ events",
        )
      : null,
    clip.spread >= WIDE
      ? h(
          "span.flag",
          { title: `The voters' P(yes) are ${chance(clip.spread)} apart` },
          "voters ",
          h("span.num", {}, chance(clip.spread)),
          " apart",
        )
      : null,
    clip.human
      ? h(
          `span.flag.human-${clip.human}`,
          { title: "A person's verdict on the label" },
          clip.human === "agreed" ? "✓ agreed" : "✗ disagreed",
        )
      : null,
    clip.superseded
      ? h(
          "span.flag",
          { title: "The run was later resumed from a checkpoint before this clip; it is not in the curves" },
          "superseded",
        )
      : null,
  ];
}

/** A card. `onopen(clip, event)` is called on click, `onselect(clip, on)` when it is selected for side by side. */
export function clipCard(clip, { href, selected, onopen, onselect }) {
  const link = h(
    "a.clip-link",
    { href, tabindex: -1, "aria-label": spoken(clip), onclick: (event) => onopen(clip, event) },
    cardParts(clip),
  );
  const box = h("input", {
    type: "checkbox",
    checked: selected,
    tabindex: -1,
    "aria-label": `Select clip ${clip.clip_id} for side by side`,
    onchange: () => onselect(clip, box.checked),
  });
  const node = h(
    "div.clip-card",
    { data: { clip: clip.clip_id }, role: "listitem" },
    link,
    h("label.clip-select", { title: "Select for side by side (space)" }, box),
  );
  return node;
}

/** What a card shows: picture, label and flags; events; run and step. */
export function cardParts(clip) {
  return [
    h("span.clip-picture", {}, movingThumbnail(clip), labelChip(clip), h("span.flags", {}, marks(clip))),
    h(
      "span.clip-events",
      { class: `clip-events${clip.progress ? " progress" : ""}`, title: eventWords(clip.events) },
      eventWords(clip.events),
    ),
    h(
      "span.clip-where",
      {},
      h("span.clip-run", { title: clip.run_name }, `run ${clip.run_id}`),
      h("span.num", {}, `step ${count(clip.start_step)}`),
    ),
  ];
}

/** The URL of a clip's run, at the clip's first step. */
export function runLink(clip) {
  return page("run", { run: clip.run_id, step: clip.start_step });
}

/** A card in words, for screen readers. */
export function spoken(clip) {
  const words = [
    `Clip ${clip.clip_id}, ${clip.run_name}, steps ${clip.start_step} to ${clip.end_step}`,
    LABEL_WORDS[clip.label],
    Number.isFinite(clip.probability) ? `probability of yes ${chance(clip.probability)}` : "",
    eventWords(clip.events),
    clip.agrees === false ? "label disagrees with the events" : "",
    clip.spread >= WIDE ? `voters ${chance(clip.spread)} apart` : "",
    clip.human ? `a person ${clip.human}` : "",
  ];
  return words.filter(Boolean).join("; ");
}
