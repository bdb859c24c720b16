// What is asked for: a new cluster, a model that is to be published.

const FIRST = ["name", "workers", "gpus", "cpu", "memory"];
const LATER = ["image", "queue"];
const QUIET_MS = 250;

/** A profile, its fields as its JSON schema has them, and what the kernel says of them once typing rests. */
class NewCluster {
  constructor(page, close) {
    Object.assign(this, { page, close, fields: new Map(), timer: 0, profile: "" });
    this.offers = h("div", { class: "jk-offers", role: "radiogroup", "aria-label": "Profile" });
    this.rows = h("div", { class: "jk-form jk-inner" });
    this.verdict = h("div", { class: "jk-wide", role: "status" });
    this.create = submit("Create");
    this.node = h(
      "form",
      {
        class: "jk-form jk-new",
        "aria-label": "New cluster",
        novalidate: true,
        onsubmit: (event) => this.send(event),
        onkeydown: (event) => event.key === "Escape" && close(),
      },
      this.offers,
      this.rows,
      this.verdict,
      h("div", { class: "jk-row jk-wide" }, this.create, button("Cancel", close))
    );
    page.ask("profiles").then((offers) => this.offer(offers), (problem) => refill(this.verdict, mistake(problem)));
  }

  offer(offers) {
    const group = `jk-${Math.random().toString(36).slice(2)}`;
    const radios = offers.map((each) => {
      const radio = h("input", { type: "radio", name: group, checked: each.default, onchange: () => this.choose(each) });
      return h("label", { class: "jk-offer" }, radio, h("span", {}, h("b", {}, each.title || each.name), h("span", { class: "jk-faint" }, each.description)));
    });
    refill(this.offers, ...radios);
    this.choose(offers.find((each) => each.default) ?? offers[0]);
    this.fields.get("name")?.control.select();
  }

  choose(offer) {
    const name = this.fields.get("name")?.control.value ?? freeName(Object.keys(this.page.told.clusters), "cluster");
    this.profile = offer.name;
    this.form = offer.form;
    this.fields.clear();
    const made = (key) => {
      const schema = this.form.properties[key];
      const control = h("input", {
        name: key,
        type: schema.type === "integer" ? "number" : "text",
        min: schema.minimum,
        max: schema.maximum,
        spellcheck: "false",
        autocomplete: "off",
        value: key === "name" ? name : String(schema.default ?? ""),
        oninput: () => this.check(),
      });
      const words = schema.maximum !== undefined && schema.maximum < 1e6 ? `${schema.title ?? key} (at most ${schema.maximum})` : (schema.title ?? key);
      const row = field(words, control, { hint: schema.description ?? "", wide: key === "name" });
      this.fields.set(key, row);
      return row.node;
    };
    const there = (key) => key in this.form.properties;
    refill(
      this.rows,
      ...FIRST.filter(there).map(made),
      h("details", { class: "jk-wide" }, h("summary", {}, "More"), h("div", { class: "jk-form jk-inner" }, LATER.filter(there).map(made)))
    );
    this.check();
  }

  /** Only what is not the profile's own word is said. */
  get asked() {
    const body = { profile: this.profile };
    for (const [key, { control }] of this.fields) {
      const schema = this.form.properties[key];
      if (control.value !== "" && control.value !== String(schema.default ?? "")) {
        body[key] = schema.type === "integer" ? Number(control.value) : control.value;
      }
    }
    return body;
  }

  check() {
    let wrong = false;
    for (const [key, { control, say }] of this.fields) {
      const words = mistakeIn(this.form.properties[key], control.value, (this.form.required ?? []).includes(key));
      say(words);
      wrong ||= Boolean(words);
    }
    this.create.disabled = wrong;
    clearTimeout(this.timer);
    const turn = (this.turn = (this.turn ?? 0) + 1); // an answer to what was typed before is no answer any more
    if (wrong) {
      refill(this.verdict);
      return;
    }
    const asked = this.asked;
    this.timer = setTimeout(async () => {
      const there = this.page.told.clusters[asked.name];
      try {
        const { warnings } = await this.page.ask("preview", { body: asked });
        if (turn !== this.turn) {
          return;
        }
        refill(this.verdict, there ? h("div", { class: "jk-mistake" }, `There is a cluster ${asked.name} already.`) : null, warnings.map((each) => h("div", { class: "jk-faint" }, each)));
        this.create.disabled = Boolean(there);
      } catch (problem) {
        if (turn === this.turn) {
          refill(this.verdict, mistake(problem));
          this.create.disabled = true;
        }
      }
    }, QUIET_MS);
  }

  async send(event) {
    event.preventDefault();
    clearTimeout(this.timer);
    this.turn += 1;
    this.create.disabled = true;
    try {
      await this.page.ask("create", { body: this.asked });
      this.close();
    } catch (problem) {
      refill(this.verdict, mistake(problem));
      this.create.disabled = false;
    }
  }
}

const OTHER = "";
const PLACES = ["application", "route_prefix"];
const BOUNDS = ["min_replicas", "max_replicas", "target_ongoing_requests"];

/** Which model, under what name, and how much of it; the last validated one to begin with. */
class Publish {
  constructor(page, close) {
    Object.assign(this, { page, close, found: [] });
    const text = (value, placeholder = "") => h("input", { value, placeholder, spellcheck: "false", autocomplete: "off" });
    this.model = h("select", { onchange: () => this.chosen() }, h("option", { value: OTHER }, "Looking for models…"));
    this.path = field("Path or URI", text(""), { wide: true });
    this.name = field("Name", text(freeName(Object.keys(page.told.services), "summarizer")));
    this.app = field("Application", text("jupyter_kuberay.serving.summarizer:app"), { hint: "'module:attribute' or 'file.py:attribute'" });
    this.replicas = field("Replicas", h("input", { type: "number", min: 1, placeholder: "as the code says" }));
    this.gpus = field("GPUs a replica", h("input", { type: "number", min: 0, step: "any", placeholder: "as the code says" }));
    this.application = field("Called within it", text("", "as the service"), { hint: "A service can have several applications." });
    this.route_prefix = field("Answers at", text("", "/, or / and what it is called"));
    const bound = (label, least, placeholder, step) => field(label, h("input", { type: "number", min: least, step, placeholder }));
    this.min_replicas = bound("At least", 0, "replicas, scaled by the queue", 1);
    this.max_replicas = bound("At most", 1, "replicas, scaled by the queue", 1);
    this.target_ongoing_requests = bound("Requests each", 0, "at a time, before there are more", "any");
    this.verdict = h("div", { class: "jk-wide", role: "status" });
    this.publish = submit("Publish");
    this.node = h(
      "form",
      {
        class: "jk-form jk-new",
        "aria-label": "Publish a model",
        novalidate: true,
        onsubmit: (event) => this.send(event),
        onkeydown: (event) => event.key === "Escape" && close(),
      },
      field("Model", this.model, { wide: true }).node,
      [this.path, this.name, this.app, this.replicas, this.gpus].map((each) => each.node),
      h(
        "details",
        { class: "jk-wide" },
        h("summary", {}, "More"),
        h("div", { class: "jk-form jk-inner" }, [...PLACES, ...BOUNDS].map((key) => this[key].node))
      ),
      this.verdict,
      h("div", { class: "jk-row jk-wide" }, this.publish, button("Cancel", close))
    );
    page.ask("models").then((found) => this.offer(found), () => this.offer([]));
    queueMicrotask(() => this.name.control.select());
  }

  offer(found) {
    this.found = found;
    const words = (each) => [each.title, each.metrics.rougeL === undefined ? "" : `ROUGE-L ${each.metrics.rougeL.toFixed(3)}`, each.validated ? "validated" : ""];
    refill(
      this.model,
      ...found.map((each) => h("option", { value: each.path }, words(each).filter(Boolean).join(" · "))),
      h("option", { value: OTHER }, "Another path or URI…")
    );
    this.chosen();
  }

  chosen() {
    const model = this.found.find((each) => each.path === this.model.value);
    this.path.node.hidden = Boolean(model);
    if (model) {
      this.app.control.value = model.app;
    }
  }

  async send(event) {
    event.preventDefault();
    const model = this.found.find((each) => each.path === this.model.value);
    const body = {
      name: this.name.control.value,
      app: this.app.control.value,
      model: model ? model.path : this.path.control.value,
      ...(model ? { settings: model.settings, metrics: model.metrics, ...(model.validated === null ? {} : { gates: `${model.run}/validation.json` }) } : {}),
    };
    for (const key of PLACES) {
      if (this[key].control.value !== "") {
        body[key] = this[key].control.value;
      }
    }
    for (const key of ["replicas", "gpus", ...BOUNDS]) {
      if (this[key].control.value !== "") {
        body[key] = Number(this[key].control.value);
      }
    }
    const name = { title: "Name", pattern: "^[a-z]([-a-z0-9]*[a-z0-9])?$", maxLength: 47 };
    const whole = (key, minimum) => [this[key], mistakeIn({ type: "integer", minimum }, this[key].control.value, false)];
    const wrong = [
      [this.name, mistakeIn(name, body.name, true)],
      [this.app, mistakeIn({}, body.app, true)],
      [this.application, mistakeIn({ ...name, maxLength: 63 }, this.application.control.value, false)],
      whole("replicas", 1),
      whole("min_replicas", 0),
      whole("max_replicas", 1),
    ];
    wrong.forEach(([where, words]) => where.say(words));
    if (wrong.some(([, words]) => words)) {
      return;
    }
    this.publish.disabled = true;
    refill(this.verdict, h("span", { class: "jk-faint" }, "It begins."));
    try {
      await this.page.ask("publish", { body });
      this.close();
    } catch (problem) {
      refill(this.verdict, mistake(problem));
      this.publish.disabled = false;
    }
  }
}
