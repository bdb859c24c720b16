// A service, what is being published into it, and a box to try it.

class ServiceCard extends Card {
  draw(service, traffic, publication) {
    if (!service) {
      return [this.head({ created: publication.began }, "Pending"), this.publication(publication)];
    }
    const { revision, settled, phase, model } = service;
    this.trying?.known(traffic);
    return [
      this.head(service),
      h(
        "div",
        { class: "jk-facts" },
        h("span", { class: "jk-group", title: model }, model || "no model named"),
        revision !== null && h("span", { class: "jk-group", title: settled ? "" : "It is being put in." }, `revision ${revision}${settled ? "" : "…"}`)
      ),
      traffic &&
        h(
          "div",
          { class: "jk-facts" },
          h("a", { class: "jk-url", href: traffic.url, target: "_blank", rel: "noreferrer" }, traffic.url),
          button("Copy", (event) => copy(traffic.url, event.currentTarget), { kind: "jk-quiet", "aria-label": `Copy the address of ${this.name}` }),
          h("span", { class: "jk-group" }, trafficWords(traffic))
        ),
      service.applications
        .filter((each) => each.name !== service.name && service.applications.length > 1)
        .map((each) => this.application(each)),
      this.publication(publication),
      service.notes.map((note) => h("div", { class: "jk-note", title: note }, note)),
      service.cause ? cause(service.cause) : null,
      h("div", { class: "jk-row jk-actions" }, this.actions(service, isUsable(phase))),
    ];
  }

  /** One of several, which can be taken out alone. */
  application(each) {
    const what = `${each.name} of ${this.name}`;
    const out = () =>
      this.confirm(`Unpublish ${what}? Nothing answers there any more, and its revisions are lost.`, "Unpublish", () =>
        this.do("unpublish_application", { name: this.name, application: each.name })
      );
    return h(
      "div",
      { class: "jk-facts" },
      h("span", { class: "jk-note", title: each.model }, applicationWords(each)),
      button("Unpublish…", out, { kind: "jk-quiet", "aria-label": `Unpublish ${what}` })
    );
  }

  actions({ name, revision, phase }, answers) {
    const named = (label) => ({ "aria-label": `${label} ${name}` });
    return [
      answers && button("Try", () => this.try(), { kind: "jk-main", ...named("Try") }),
      answers && revision > 1 &&
        button("Roll back…", () =>
          this.confirm(`Put the revision before ${revision} of ${name} in again?`, "Roll back", () => this.do("rollback", { name, body: {} }))
        , named("Roll back")),
      phase !== "Stopping" &&
        button("Unpublish…", () =>
          this.confirm(`Unpublish ${name}? Nothing answers there any more, and revisions are lost.`, "Unpublish", () =>
            this.do("unpublish", { name })
          )
        , { kind: "jk-quiet", ...named("Unpublish") }),
    ];
  }

  /** What is under way, or why it came to nothing; nothing once it is in. */
  publication(publication) {
    if (!publication || !["running", "failed"].includes(publication.state)) {
      return null;
    }
    const { state, verb, steps, problem } = publication;
    if (state === "failed") {
      return problem && cause(problem);
    }
    return h(
      "div",
      { class: "jk-cause", role: "status" },
      h("p", {}, verb === "publish" ? "Being published" : "Going back"),
      h("ol", { class: "jk-steps" }, steps.map((step) => h("li", {}, h("span", {}, step.message), h("span", { class: "jk-since" }, elapsed(step.seconds))))),
      button("Cancel and undo", () => this.do("cancel", { name: this.name }), { kind: "jk-quiet" })
    );
  }

  tick(now) {
    const [service, , publication] = this.last;
    if (service) {
      super.tick(now);
    } else if (publication && this.since) {
      this.since.textContent = elapsed(seconds(publication.began, now));
    }
  }

  try() {
    if (this.trying) {
      this.close();
      return;
    }
    this.trying = new Try(this.page, this.name, this.last[1]);
    this.open(this.trying.node);
    this.trying.path.focus();
  }

  close() {
    this.trying = null;
    super.close();
  }
}

/** A request, and what is answered. */
class Try {
  constructor(page, name, traffic) {
    this.method = h("select", { "aria-label": "Method" }, ["GET", "POST", "PUT", "DELETE"].map((each) => h("option", {}, each)));
    this.path = h("input", { "aria-label": "Path and query", placeholder: "path?query", spellcheck: "false" });
    this.body = h("textarea", { "aria-label": "Body, as JSON", rows: 3, spellcheck: "false", hidden: true });
    this.reply = h("div", { role: "status" });
    const send = submit("Send");
    this.method.addEventListener("change", () => (this.body.hidden = this.method.value === "GET"));
    this.path.addEventListener("input", () => (this.typed = true));
    this.known(traffic);
    this.node = h(
      "form",
      {
        class: "jk-try",
        onsubmit: async (event) => {
          event.preventDefault();
          send.disabled = true;
          refill(this.reply, "Asking…");
          const body = { method: this.method.value, path: this.path.value, body: this.body.value, content_type: "application/json" };
          try {
            refill(this.reply, ...replied(await page.ask("try", { name, body })));
          } catch (problem) {
            refill(this.reply, mistake(problem));
          } finally {
            send.disabled = false;
          }
        },
      },
      h("div", { class: "jk-row" }, this.method, this.path, send),
      this.body,
      this.reply
    );
  }

  /** What was not typed is the service's own example, once that is known. */
  known(traffic) {
    if (traffic && !this.typed) {
      this.path.value = examplePath(traffic);
    }
  }
}

function replied(reply) {
  return [
    h("div", { class: "jk-faint" }, `${reply.status} ${reply.reason} · ${Math.round(reply.seconds * 1000)} ms`),
    h("pre", { class: "jk-pre", tabindex: 0 }, reply.text, reply.truncated ? "\n… and more" : ""),
  ];
}

async function copy(text, at) {
  try {
    await navigator.clipboard.writeText(text);
    at.textContent = "Copied";
  } catch {
    at.textContent = "Not allowed here";
  }
  setTimeout(() => (at.textContent = "Copy"), 1500);
}
