// Runs of notebooks: how far each is, with which parameters, and what it recorded.

class RunCard extends Card {
  update(run) {
    const text = JSON.stringify(run);
    if (text !== this.text) {
      this.text = text;
      this.last = [];
      super.update(run);
    }
  }

  draw(run) {
    const { notebook, state, cells, done, cell, cluster, output, error, hint, group } = run;
    const runs = state === "Running" || state === "Pending";
    const said = (values) => Object.entries(values).map(([name, value]) => h("span", { class: "jk-group", title: value }, `${name} `, h("b", {}, value)));
    const words = `${done} of ${cells} cells`;
    return [
      this.runHead(notebook, state),
      h("div", { class: "jk-facts" }, said(run.parameters)),
      h("div", { class: "jk-facts" }, said(run.values)),
      (runs || state !== "Succeeded") && cells > 0
        ? h("div", { class: "jk-facts" }, meter({ label: `${done}/${cells}`, share: done / cells, words }), runs && cell ? h("span", { class: "jk-group", title: cell }, cell) : null)
        : null,
      h("div", { class: "jk-note", title: output }, [group, cluster, output].filter(Boolean).join(" · ")),
      error ? cause({ what: error, remedy: hint }) : null,
    ];
  }

  runHead(notebook, state) {
    const head = this.head({}, state);
    const name = head.querySelector(".jk-name");
    name.textContent = notebook.split(/[\\/]/).pop();
    name.title = notebook;
    return head;
  }

  /** How long it has been at it, or how long ago it began. */
  tick(now) {
    const [run] = this.last;
    if (run && this.since) {
      const goes = run.state === "Running" || run.state === "Pending";
      const took = run.started ? ((run.ended ? Date.parse(run.ended) : now) - Date.parse(run.started)) / 1000 : NaN;
      const ago = age(seconds(run.started, now));
      const words = Number.isNaN(took) ? "" : goes ? elapsed(took) : `${elapsed(took)} · ${ago === "< 1 min" ? "just now" : `${ago} ago`}`;
      if (this.since.textContent !== words) {
        this.since.textContent = words;
      }
    }
  }
}

function updateRuns(page) {
  const { runs } = page.told;
  const { summary } = page.lists.runs;
  const byId = new Map(runs.map((run) => [run.id, run]));
  page.fill("runs", [...byId.keys()], (id) => new RunCard(page, "run", id), (card) => card.update(byId.get(card.name)));
  const going = runs.filter((run) => run.state === "Running" || run.state === "Pending").length;
  summary.textContent = runs.length ? `${runs.length}${going ? ` · ${going} running` : ""}` : "";
  page.empty("runs", runs.length, "No notebook has run here yet. Run one: jupyter kuberay run NOTEBOOK");
}
