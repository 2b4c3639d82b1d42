// Next to the player: the scorer's answer, the events, the replay probabilities, people's verdicts.
import { ago, fill, h, number, page, percent, problem } from "../studio.js";
import { chance, labelChip, runLink } from "./card.js";

/** Fill `node` with everything known about a clip. `seek(frame)` shows a frame. */
export function drawFacts(node, view, seek) {
  fill(
    node,
    view.problem ? problem(view.problem) : null,
    answerSection(view),
    truthSection(view, seek),
    view.replay ? replaySection(view.replay) : null,
    verdictSection(view.verdicts),
    earlierSection(view.scores.slice(1)),
    clipSection(view),
  );
}

function section(title, ...children) {
  return h("section.facts-part", {}, h("h3", {}, title), children);
}

function pairs(rows) {
  return h(
    "dl.pairs",
    {},
    rows
      .filter(([, value]) => value !== null && value !== "" && value !== undefined)
      .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

// -- the scorer's answer

function answerSection({ scores }) {
  if (!scores.length) {
    return section("What the scorer said", h("p.muted", {}, "Not scored, so it has no VLM priority in replay."));
  }
  const score = scores[0];
  return section(
    "What the scorer said",
    h("div.answer-line", {}, labelChip({ label: score.label, probability: null }), probabilityMeter(score)),
    score.error ? h("p.warning", {}, score.error) : null,
    answersTable(score),
    votesTable(score),
    pairs([
      [
        "raw logits",
        Number.isFinite(score.yes_logit) || Number.isFinite(score.no_logit)
          ? h("span.num", {}, `yes ${number(score.yes_logit, 4)} · no ${number(score.no_logit, 4)}`)
          : null,
      ],
      ["scorer", h("span.mono.wrap", {}, score.scorer)],
      ["model", score.model && score.model !== score.scorer ? h("span.mono.wrap", {}, score.model) : null],
      ["revision", score.revision ? h("span.mono.wrap", {}, score.revision) : null],
      [
        "frames seen",
        score.frame_indices.length
          ? h("span.num", {}, score.frame_indices.map((index) => index + 1).join(", "))
          : "none: this scorer reads events or rewards, not frames",
      ],
      ["latency", score.latency_s > 0 ? `${number(1000 * score.latency_s, 2)} ms` : null],
    ]),
    promptNode(score),
  );
}

/** The answer to each question of a set. */
function answersTable({ answers }) {
  if (!answers.length) return null;
  return h(
    "table.table.compact.answers",
    {},
    h("caption", {}, "Label and P(yes) are those of the largest answer"),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["question", "label", "P(yes)"].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      answers.map(({ question, label, probability }) =>
        h(
          "tr",
          {},
          h("td", {}, question),
          h("td", {}, labelChip({ label, probability: null })),
          h("td.num", {}, chance(probability)),
        ),
      ),
    ),
  );
}

/** What each member of a vote or cascade said; to a set of questions, one column each. */
function votesTable({ votes, panel, spread, answers }) {
  if (!votes.length) return null;
  const set = votes[0].answers.length > 1;
  const columns = set
    ? votes[0].answers.map((_, at) => h("th", { scope: "col", title: answers[at]?.question }, `Q${at + 1}`))
    : ["label", "P(yes)"].map((name) => h("th", { scope: "col" }, name));
  const said = (vote) =>
    set
      ? vote.answers.map((answer, at) => h("td.num", { class: `num vote-${vote.labels[at]}` }, chance(answer)))
      : [h("td", {}, labelChip({ label: vote.labels[0], probability: null })), h("td.num", {}, chance(vote.answers[0]))];
  return h(
    "div.table-wrap",
    {},
    h(
      "table.table.compact.votes",
      {},
      h("caption", {}, panel, Number.isFinite(spread) ? ` They are ${chance(spread)} apart.` : ""),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "member"), columns, h("th", { scope: "col" }, "time"))),
      h(
        "tbody",
        {},
        votes.map((vote) =>
          h(
            "tr",
            {},
            h("td", {}, h("span.mono", {}, vote.member), vote.error ? h("div.small-text.vote-error", {}, vote.error) : null),
            said(vote),
            h("td.num", {}, vote.latency_s > 0 ? `${number(1000 * vote.latency_s, 2)} ms` : "–"),
          ),
        ),
      ),
    ),
  );
}

/** P(yes) as a bar with the threshold on it. */
export function probabilityMeter({ probability, threshold, label }) {
  if (!Number.isFinite(probability)) return h("span.muted", {}, "no usable answer");
  return h(
    "div.meter-line",
    {},
    h("span.num", {}, `P(yes) ${chance(probability)}`),
    h(
      `div.meter.meter-${label}`,
      {
        role: "img",
        "aria-label": `P(yes) ${chance(probability)}, threshold ${chance(threshold)}`,
        style: { "--value": probability, "--threshold": threshold },
      },
      h("span.meter-fill"),
      h("span.meter-threshold", { title: `threshold ${chance(threshold)}` }),
    ),
    h("span.muted.small-text", {}, `threshold ${chance(threshold)}`),
  );
}

function promptNode(score) {
  if (!score.prompt) return h("p.muted.small-text", {}, "This scorer reads no prompt.");
  return h(
    "details.prompt",
    {},
    h("summary", {}, "Prompt ", h("span.mono", {}, score.prompt)),
    h("blockquote", {}, score.prompt_text),
    h("a", { href: page("prompts", { prompt: score.prompt }) }, "Try another wording"),
  );
}

// -- ground truth

const MANY_REWARDS = 8;

function truthSection({ card, mission, events, rewards, episodic_reward }, seek) {
  const { dense, rewarded } = worthShowing(rewards);
  return section(
    "What actually happened",
    mission ? h("p.muted", {}, `The episode's mission: ${mission}`) : null,
    h(
      "p.verdict-line",
      {},
      card.progress ? "The simulator saw progress." : "The simulator saw no progress.",
      " ",
      comparison(card),
    ),
    events.length
      ? h(
          "ul.event-list",
          {},
          events.map((event) =>
            h(
              "li",
              {},
              frameButton(event.frame, seek),
              h(`span.event-words${event.progress ? ".progress" : ""}`, {}, event.words),
              h("span.muted.num", {}, `step ${event.step}`),
            ),
          ),
        )
      : h("p.muted", {}, "No events in this clip."),
    rewarded.length
      ? h(
          "p.rewards",
          {},
          dense ? "Reward changes: " : "Rewards: ",
          rewarded
            .slice(0, 24)
            .map(({ reward, frame }) => [
              frameButton(frame, seek),
              h("span.num", {}, `${reward > 0 ? "+" : ""}${number(reward)}`),
            ]),
          rewarded.length > 24 ? ` and ${rewarded.length - 24} more` : "",
          h("span.muted", {}, ` total ${number(episodic_reward)}`),
        )
      : h("p.muted", {}, "No reward in any frame."),
  );
}

/** Frames with a reward; if most have one (`dense`), those where it changes. */
export function worthShowing(rewards) {
  const all = rewards.map((reward, frame) => ({ reward, frame }));
  const dense = all.filter(({ reward }) => reward !== 0).length > MANY_REWARDS;
  return { dense, rewarded: all.filter(({ reward, frame }) => (dense ? reward !== rewards[frame - 1] : reward !== 0)) };
}

function comparison(card) {
  if (card.agrees === null) return "";
  return card.agrees ? h("span.flag.agrees", {}, "label agrees") : h("span.flag.against", {}, "label disagrees");
}

function frameButton(frame, seek) {
  return h(
    "button.frame-button.num",
    { type: "button", title: `Show frame ${frame + 1}`, onclick: () => seek(frame) },
    String(frame + 1),
  );
}

// -- replay

function replaySection(replay) {
  const { vlm_probability: vlm, other_probability: rest, uniform, times_uniform: times } = replay;
  const whole = vlm + rest;
  const scale = Math.max(whole, uniform) || 1;
  const name = replay.vlm_weight === null ? replay.other : `base (${replay.other}), (1−λ)·q_B`;
  const color = (token) => ({ background: `var(--${token})` });
  return section(
    "Effect on replay",
    h("p.times", {}, h("strong.num", {}, `${number(times, 2)}×`), " as likely to be drawn as under uniform replay"),
    h(
      "div.stack",
      {
        role: "img",
        "aria-label": `VLM part ${tiny(vlm)}, ${name} ${tiny(rest)}, uniform replay ${tiny(uniform)}`,
        style: { "--even": uniform / scale },
      },
      h("span.stack-part", { style: { width: `${(100 * vlm) / scale}%`, ...color(replay.token) } }),
      h("span.stack-part", { style: { width: `${(100 * rest) / scale}%`, ...color(replay.other_token) } }),
      h("span.stack-even", { title: "uniform replay" }),
    ),
    h(
      "ul.stack-legend",
      {},
      vlm > 0 || replay.vlm_weight !== null
        ? h("li", {}, h("span.swatch", { style: color(replay.token) }), "VLM part, λ·q_P", h("span.num", {}, tiny(vlm)))
        : null,
      h("li", {}, h("span.swatch", { style: color(replay.other_token) }), name, h("span.num", {}, tiny(rest))),
      h("li", {}, h("span.swatch.part-even"), "under uniform replay", h("span.num", {}, tiny(uniform))),
    ),
    pairs([
      ["mean |TD error|", h("span.num", {}, Number.isFinite(replay.td_error) ? number(replay.td_error) : "not finite")],
      ["λ", replay.vlm_weight === null ? null : h("span.num", {}, number(replay.vlm_weight))],
      ["measured", `when its score was applied, at step ${replay.step}`],
    ]),
  );
}

/** Probability of one draw: 0.00042 → "0.042 %". */
export function tiny(value) {
  if (!Number.isFinite(value)) return "–";
  return value > 0 && value < 0.1 ? `${Number((100 * value).toPrecision(2))} %` : percent(value, 1);
}

// -- people, earlier scores, the clip itself

function verdictSection(verdicts) {
  if (!verdicts.length) return null;
  return section(
    "What people said",
    h(
      "ul.verdicts",
      {},
      verdicts.map(({ agrees, note, created_at, annotator }) =>
        h(
          "li",
          {},
          h(`span.flag.human-${agrees ? "agreed" : "disagreed"}`, {}, agrees ? "✓ agreed" : "✗ disagreed"),
          h("span.note-text", {}, note),
          h("span.muted.small-text", {}, annotator ? `${annotator}, ${ago(created_at)}` : ago(created_at)),
        ),
      ),
    ),
  );
}

function earlierSection(scores) {
  if (!scores.length) return null;
  return section(
    "Earlier scores",
    h(
      "div.table-wrap",
      {},
      h(
        "table.table.compact",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["label", "P(yes)", "scorer", "prompt"].map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          scores.map((score) =>
            h(
              "tr",
              {},
              h("td", {}, labelChip({ label: score.label, probability: null })),
              h("td.num", {}, chance(score.probability)),
              h("td.mono.wrap", {}, score.scorer),
              h("td.mono.wrap", { title: score.prompt_text }, score.prompt || "–"),
            ),
          ),
        ),
      ),
    ),
  );
}

function clipSection(view) {
  const { card } = view;
  const ends = {
    length: "clip length",
    terminated: "end of episode",
    truncated: "time limit",
    interrupted: "end of run",
  };
  return section(
    "The clip",
    card.superseded
      ? h(
          "p.warning",
          {},
          "Superseded: the run was later resumed from a checkpoint before this clip, " +
            "so it is not in the curves or the replay buffer.",
        )
      : null,
    pairs([
      ["run", h("a", { href: runLink(card) }, card.run_name)],
      ["environment", `${view.env} (parallel copy ${view.env_index + 1})`],
      ["replay", view.method],
      ["steps", h("span.num", {}, `${card.start_step} to ${card.end_step}`)],
      ["episode", h("span.num", {}, String(view.episode))],
      ["ended by", ends[view.closed_by] ?? view.closed_by],
      ["clip id", h("span.num", {}, String(card.clip_id))],
    ]),
  );
}
