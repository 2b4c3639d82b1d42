// Actions on runs, for the run list and the run page: names, dialogs, and calls.
import { button, confirm, count, fileSize, h, problem, toast } from "../studio.js";

export const ACTIONS = {
  pause: { name: "Pause", done: "asked to pause" },
  continue: { name: "Unpause", done: "asked to unpause" },
  stop: { name: "Stop", done: "asked to stop; it keeps a checkpoint and can be resumed" },
  cancel: { name: "Cancel", done: "removed from the queue" },
  resume: { name: "Resume", done: "queued to resume from its checkpoint" },
  delete: { name: "Delete…", done: "deleted", danger: true },
};

/** Perform an action on runs and report the outcome; resolves to the ids it succeeded for. */
export async function perform(call, action, rows) {
  const ids = rows.map((row) => row.run_id);
  try {
    if (action === "delete" && !(await confirmDelete(call, rows))) return [];
    const { done, problems } = await call("act", { action, ids });
    if (done.length)
      toast(
        done.length === 1
          ? `${named(rows, done[0])}: ${ACTIONS[action].done}.`
          : `${done.length} runs: each ${ACTIONS[action].done}.`,
      );
    problems.forEach((words) => toast(words, "error"));
    return done;
  } catch (error) {
    toast(error.message, "error");
    return [];
  }
}

function named(rows, id) {
  return rows.find((row) => row.run_id === id)?.name ?? `Run ${id}`;
}

async function confirmDelete(call, rows) {
  const ids = rows.map((row) => row.run_id);
  const loss = await call("loss", { ids });
  const what = loss.runs === 1 ? `“${named(rows, ids[0])}”` : `${loss.runs} runs`;
  const files = loss.folder_bytes ? `, and ${fileSize(loss.folder_bytes)} of checkpoints and logs` : "";
  const whose = loss.runs === 1 ? "its" : "their";
  const live = loss.live ? " Runs that are still training are not deleted: stop them first." : "";
  const text = `This permanently removes ${whose} curves and ${count(loss.clips)} clips with scores and labels${files}.${live}`;
  return confirm(`Delete ${what}?`, text, "Delete for good");
}

/** Replace the contents of `place` by an input. Enter and blur save, Escape cancels; then `done(name or null)` is called. */
export function editName(place, row, call, done) {
  const input = h("input.input.name-input", { value: row.name, maxlength: 200, "aria-label": `Name of run ${row.run_id}` });
  let over = false;
  const end = (name) => {
    if (over) return;
    over = true;
    done(name);
  };
  const save = async () => {
    const name = input.value.trim();
    if (!name || name === row.name) return end(null);
    try {
      end(await call("rename", { run: row.run_id, name }));
    } catch (error) {
      toast(error.message, "error");
      end(null);
    }
  };
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") save();
    if (event.key === "Escape") end(null);
  });
  input.addEventListener("blur", save);
  place.replaceChildren(input);
  input.focus();
  input.select();
}

/** Ask which tags to add to and remove from runs; resolves to whether anything changed. */
export function askTags(call, rows) {
  const present = [...new Set(rows.flatMap((row) => row.tags))].sort();
  const input = h("input", { name: "tags", maxlength: 400, placeholder: "baseline, demo", autocomplete: "off" });
  const boxes = present.map((tag) => h("input", { type: "checkbox", value: tag, checked: true }));
  const trouble = h("div");
  return new Promise((resolve) => {
    const dialog = h(
      "dialog.dialog",
      {
        "aria-label": "Tags",
        onclose: () => {
          dialog.remove();
          resolve(dialog.returnValue === "changed");
        },
      },
      h("h3", {}, rows.length === 1 ? `Tags of “${rows[0].name}”` : `Tags of ${rows.length} runs`),
      h(
        "form",
        {
          method: "dialog",
          onsubmit: (event) => {
            event.preventDefault();
            save();
          },
        },
        present.length
          ? h(
              "fieldset.tag-list",
              {},
              h("legend", {}, "Keep"),
              present.map((tag, i) => h("label", {}, boxes[i], h("span.tag", {}, tag))),
            )
          : null,
        h("label.field.run-wide", {}, "Add (comma-separated)", input),
        trouble,
        h(
          "div.buttons",
          {},
          button("Cancel", () => dialog.close()),
          h("button.button.primary", { type: "submit" }, "Save tags"),
        ),
      ),
    );
    async function save() {
      const remove = boxes
        .filter((box) => !box.checked)
        .map((box) => box.value)
        .join(",");
      try {
        const { problems } = await call("tag", { ids: rows.map((row) => row.run_id), add: input.value, remove });
        if (problems.length) trouble.replaceChildren(problem(problems.join("\n")));
        else dialog.close("changed");
      } catch (error) {
        trouble.replaceChildren(problem(error.message));
      }
    }
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}

/** A menu that opens at a button. It is not part of the row, so it stays open when the row is redrawn. */
export class Menu {
  constructor(label) {
    this.node = h("div.run-menu", { popover: "auto", role: "menu", "aria-label": label, onkeydown: (event) => this.move(event) });
    this.node.addEventListener("toggle", (event) => {
      if (event.newState === "closed") this.closedAt = performance.now();
      this.opener?.setAttribute("aria-expanded", String(event.newState === "open"));
    });
    document.body.append(this.node);
  }

  /** `items`: [words, action, danger?]; null is a separator. */
  open(opener, items) {
    if (this.opener === opener && performance.now() - this.closedAt < 300) return; // the same click has just closed it
    this.opener = opener;
    const choose = (action) => () => {
      this.node.hidePopover();
      opener.focus({ preventScroll: true });
      action();
    };
    this.node.replaceChildren(
      ...items.map((item) =>
        item === null
          ? h("hr")
          : h(
              `button.run-menu-item${item[2] ? ".danger" : ""}`,
              { type: "button", role: "menuitem", tabindex: -1, onclick: choose(item[1]) },
              item[0],
            ),
      ),
    );
    this.node.showPopover();
    const at = opener.getBoundingClientRect();
    const box = this.node.getBoundingClientRect();
    const below = at.bottom + box.height + 8 < innerHeight;
    this.node.style.left = `${Math.max(8, at.right - box.width)}px`;
    this.node.style.top = `${below ? at.bottom + 4 : Math.max(8, at.top - box.height - 4)}px`;
    this.node.querySelector("button")?.focus();
  }

  move(event) {
    const items = [...this.node.querySelectorAll("button")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const to =
      event.key === "Home"
        ? 0
        : event.key === "End"
          ? items.length - 1
          : step
            ? items.indexOf(document.activeElement) + step
            : null;
    if (event.key === "Tab") this.node.hidePopover();
    if (to === null) return;
    event.preventDefault();
    items[(to + items.length) % items.length].focus();
  }
}
