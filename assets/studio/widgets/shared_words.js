// What a page says about a shared scorer, a model that one server holds for many runs.
import { count, number } from "../studio.js";

const QUIET_S = 60; // a client that has sent nothing for so long is not counted as active

/** `clients` without this run's, those that have sent something lately. */
export function others(clients, run) {
  return clients.filter((client) => client.quiet_s < QUIET_S && (run === null || client.run !== run));
}

/** "batches of 12.3 clips in 85 ms", or "no batches in the last minute". */
export function batchWords(look) {
  if (!look.clips_per_batch) return "none in the last minute";
  return `${number(look.clips_per_batch)} clips in ${number(look.ms_per_batch)} ms`;
}

/** "run 7 “lava” 4.1/s"; a client that is no run has no number. */
export function clientWords(client) {
  const who = client.run === null ? client.name || "no run" : `run ${client.run}${client.name ? ` “${client.name}”` : ""}`;
  return `${who} ${number(client.clips_per_second)}/s`;
}

/** "3: run 7 “lava” 4.1/s, run 8 2/s, …" */
export function othersWords(clients, most = 3) {
  if (!clients.length) return "none";
  const shown = clients.slice(0, most).map(clientWords).join(", ");
  return `${count(clients.length)}: ${shown}${clients.length > most ? ", …" : ""}`;
}

/** What became of a run's clips, by [name, words]; `run` null: no run is asked about. */
export function figures(look, run) {
  const ours = look.clients.filter((client) => run !== null && client.run === run);
  const sum = (name) => ours.reduce((total, client) => total + client[name], 0);
  return [
    ["Model", look.models.join(", ") || "–"],
    ["Clips/s", number(look.clips_per_second)],
    ["Busy", `${number(100 * look.busy, 2)} %`],
    ["Batches", batchWords(look)],
    ["Waiting", `${count(look.waiting)} of ${count(look.max_waiting)}`],
    ...(ours.length
      ? [
          ["This run", `${count(sum("answered"))} answered, ${count(sum("waiting"))} waiting`],
          ["Refused", `${count(sum("refused"))} of this run, ${count(look.refused)} in all`],
          ["Given up", count(sum("given_up"))],
        ]
      : [["Refused", `${count(look.refused)} in all`]]),
    [run === null ? "Clients" : "Other clients", othersWords(others(look.clients, run))],
  ];
}
