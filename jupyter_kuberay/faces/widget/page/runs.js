// What ran, newest first.

function updateRuns(page) {
  const { runs } = page.told;
  const { list, summary } = page.lists.runs;
  summary.textContent = runs.length ? String(runs.length) : "";
  refill(list, ...runs.map(runRow));
  page.empty("runs", runs.length, "No notebook has run here yet.");
}

function runRow(run) {
  return h("li", { class: "jk-card" }, run.id);
}
