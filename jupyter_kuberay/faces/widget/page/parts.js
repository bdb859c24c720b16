// Elements. Whatever is told is put in as text, never as markup.

function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) {
      continue;
    }
    if (key.startsWith("on")) {
      node.addEventListener(key.slice(2), value);
    } else if (["value", "checked", "disabled"].includes(key)) {
      node[key] = value;
    } else {
      node.setAttribute(key, value === true ? "" : value);
    }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";
/** Each phase has a shape of its own, so that it needs no colour. */
const SHAPES = {
  Ready: '<circle cx="8" cy="8" r="5" class="jk-fill"/>',
  Succeeded: '<path d="m3 8.5 3.5 3.5L13 4.5" class="jk-line" stroke-width="2"/>',
  Pending: '<circle cx="8" cy="8" r="4.5" class="jk-line" stroke-dasharray="2 2"/>',
  Starting: '<circle cx="8" cy="8" r="4.5" class="jk-line"/><path d="M8 3.5a4.5 4.5 0 0 1 0 9z" class="jk-fill"/>',
  Running: '<path d="M5 3.5v9l7-4.5z" class="jk-fill"/>',
  Degraded: '<path d="M8 2.5 14 13.5H2z" class="jk-line"/><path d="M8 6.5v3M8 11v1" class="jk-line"/>',
  Suspended: '<path d="M6 4v8M10 4v8" class="jk-line" stroke-width="2"/>',
  Stopping: '<path d="M3.5 8a4.5 4.5 0 0 1 9 0M5 11.5h6" class="jk-line"/>',
  Failed: '<path d="m4 4 8 8M12 4l-8 8" class="jk-line" stroke-width="2"/>',
};
SHAPES.Interrupted = SHAPES.Suspended;
SHAPES.Lost = SHAPES.Degraded;

function phaseIcon(phase) {
  const icon = document.createElementNS(SVG, "svg");
  const known = SHAPES[phase] ? phase : "Pending";
  icon.setAttribute("class", `jk-phase jk-${known.toLowerCase()}`);
  icon.setAttribute("viewBox", "0 0 16 16");
  icon.setAttribute("aria-hidden", "true");
  icon.innerHTML = SHAPES[known]; // ours, a constant
  return icon;
}

function button(label, onclick, props = {}) {
  const { kind = "", ...more } = props;
  return h("button", { type: "button", class: `jk-button ${kind}`, onclick, "data-act": label, ...more }, label);
}

function meter({ label, share, words }) {
  const percent = Math.round(share * 100);
  return h(
    "span",
    { class: "jk-bar", title: words },
    h("span", { "aria-hidden": "true" }, label),
    h(
      "span",
      { class: "jk-track", role: "meter", "aria-label": words, "aria-valuenow": percent, "aria-valuemin": 0, "aria-valuemax": 100 },
      h("span", { style: `width:${percent}%` })
    ),
    h("span", { class: "jk-percent", "aria-hidden": "true" }, `${percent}%`)
  );
}

function cause({ what, remedy, message, hint }) {
  return h("div", { class: "jk-cause" }, h("p", {}, what ?? message), h("p", { class: "jk-faint" }, remedy ?? hint));
}

function mistake({ message, hint }) {
  return h("div", { class: "jk-mistake", role: "alert" }, message, " ", h("span", { class: "jk-faint" }, hint));
}

/** A label above what it is about, with room for what is wrong below. */
function field(label, control, { hint = "", wide = false } = {}) {
  const wrong = h("span", { class: "jk-wrong", role: "status" });
  const node = h("label", { class: wide ? "jk-field jk-wide" : "jk-field" }, h("span", { class: "jk-label", title: hint }, label), control, wrong);
  return { node, control, say: (words) => {
    wrong.textContent = words;
    words ? control.setAttribute("aria-invalid", "true") : control.removeAttribute("aria-invalid");
  } };
}

/** Replaces what is in `node`, and leaves the focus on the button of the same meaning. */
function refill(node, ...children) {
  const active = node.contains(document.activeElement) ? document.activeElement.dataset.act : undefined;
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  if (active !== undefined) {
    (node.querySelector(`[data-act="${CSS.escape(active)}"]`) ?? node.querySelector("button"))?.focus();
  }
}

/** A question within the page; Escape is no. */
function question(words, yes, act, close) {
  const node = h(
    "div",
    { class: "jk-question", role: "alertdialog", "aria-label": words, onkeydown: (event) => event.key === "Escape" && close() },
    h("p", {}, words),
    h("div", { class: "jk-row" }, button(yes, act, { kind: "jk-warn" }), button("Cancel", close))
  );
  queueMicrotask(() => node.querySelector("button:last-of-type").focus());
  return node;
}
