// The strip above the table: running and queued runs, how many may run at a time, and buttons that cancel queued runs.
import { fill, h, page, setQuery, toast } from "../studio.js";

export class QueueStrip {
  /** `cancel(run_id)`: remove a run from the queue. `filter()`: the URL's state filter has changed. */
  constructor(call, cancel, filter) {
    this.call = call;
    this.cancel = cancel;
    this.running = h("button.run-link", {
      type: "button",
      onclick: () => {
        setQuery({ state: "running" });
        filter();
      },
    });
    this.summary = h("summary");
    this.list = h("ol.run-waiting");
    this.waiting = h("details.queue-list", {}, this.summary, this.list);
    this.limit = h("input.input.run-tiny", {
      type: "number",
      min: 1,
      max: 256,
      step: 1,
      name: "limit",
      onchange: () => this.setLimit(),
    });
    this.hint = h("span.muted");
    this.node = h(
      "div.queue-strip",
      {},
      this.running,
      this.waiting,
      h("label.run-limit", {}, "At most ", this.limit, " at a time on a machine"),
      this.hint,
      h("span.spacer"),
      h("a.button.primary", { href: page("launch") }, "Launch runs"),
    );
    this.key = "";
  }

  draw(queue) {
    const key = JSON.stringify(queue);
    if (key === this.key) return;
    this.key = key;
    this.running.textContent = queue.running ? `${queue.running} running` : "Nothing running";
    this.running.disabled = !queue.running;
    this.waiting.hidden = !queue.waiting.length;
    this.summary.textContent = `${queue.waiting.length} queued`;
    fill(
      this.list,
      queue.waiting.map((run) =>
        h(
          "li",
          {},
          h("a", { href: page("run", { run: run.run_id }) }, run.name),
          h(
            "button.button.small.quiet",
            { type: "button", "aria-label": `Cancel ${run.name}`, onclick: () => this.cancel(run.run_id) },
            "Cancel",
          ),
        ),
      ),
    );
    if (document.activeElement !== this.limit) this.limit.value = queue.limit;
    this.limit.dataset.is = queue.limit;
    this.hint.textContent = `${queue.cores} CPU core${queue.cores === 1 ? "" : "s"} on this one`;
  }

  async setLimit() {
    try {
      await this.call("set_limit", { limit: this.limit.value });
      toast(`At most ${this.limit.value} run${this.limit.value === "1" ? "" : "s"} at a time from now on.`);
    } catch (error) {
      toast(error.message, "error");
      this.limit.value = this.limit.dataset.is;
    }
  }
}
