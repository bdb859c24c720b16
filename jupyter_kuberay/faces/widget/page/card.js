// One thing: how it is, what is wrong and what helps, and what can be done with it.

class Card {
  constructor(page, kind, name) {
    Object.assign(this, { page, kind, name, last: [], began: null, forgotten: false });
    this.face = h("div", { class: "jk-face" });
    this.drawer = h("div", { class: "jk-drawer" }); // a question or form, which no change of the card touches
    this.said = h("div", { role: "status" });
    this.node = h("li", { class: "jk-card", "data-kind": kind, "data-name": name }, this.face, this.said, this.drawer);
  }

  /** Draws it anew where one of `seen` is another than before. */
  update(...seen) {
    if (seen.length === this.last.length && seen.every((each, index) => each === this.last[index])) {
      return;
    }
    const before = this.last[0]?.phase;
    this.last = seen;
    const status = seen[0];
    if (status && comesUp(status.phase)) {
      this.began ??= before === undefined ? Date.parse(status.created) : Date.now();
    } else {
      this.began = null;
    }
    refill(this.face, ...this.draw(...seen));
    this.tick(Date.now());
  }

  head(status, phase = status.phase) {
    this.since = h("span", { class: "jk-since" });
    return h(
      "div",
      { class: "jk-head" },
      phaseIcon(phase),
      h("span", { class: "jk-name", title: this.name }, this.name),
      h("span", { class: "jk-word" }, phase),
      this.since
    );
  }

  tick(now) {
    const status = this.last[0];
    if (status && this.since) {
      const words = this.began === null ? age(seconds(status.created, now)) : elapsed(Math.max(0, (now - this.began) / 1000));
      if (this.since.textContent !== words) {
        this.since.textContent = words;
      }
    }
  }

  /** Does an operation, and says below the card what stands in the way. */
  async do(op, args, { doing = "" } = {}) {
    refill(this.said, doing ? h("div", { class: "jk-faint" }, doing) : null);
    try {
      const value = await this.page.ask(op, args);
      refill(this.said);
      return value;
    } catch (problem) {
      refill(this.said, mistake(problem));
      return undefined;
    }
  }

  open(node) {
    refill(this.drawer, node);
  }

  close() {
    refill(this.drawer);
    this.face.querySelector("button")?.focus();
  }

  confirm(words, yes, act) {
    this.open(
      question(words, yes, () => {
        this.close();
        void act();
      }, () => this.close())
    );
  }
}

class ClusterCard extends Card {
  draw(cluster, usage, attached) {
    const { phase, name } = cluster;
    const usable = isUsable(phase);
    const groups = Object.entries(cluster.wanted).map(([group, wanted]) =>
      h("span", { class: "jk-group" }, `${group} `, h("b", {}, `${cluster.ready[group] ?? 0} of ${wanted}`))
    );
    const notes = [
      attached === name && "Attached: this kernel",
      cluster.simulated_gpus && cluster.gpus > 0 && "GPUs are simulated",
      cluster.foreign && "Made by another tool",
      ...(phase === "Degraded" ? cluster.nodes.filter((node) => !node.ready).slice(0, 5) : []).map((node) =>
        node.reason ? `${node.name}: ${node.reason}` : node.name
      ),
      ...cluster.notes,
    ].filter(Boolean);
    return [
      this.head(cluster),
      h("div", { class: "jk-facts" }, groups, usage && usable ? bars(usage).map(meter) : null),
      notes.map((note) => h("div", { class: "jk-note", title: note }, note)),
      cluster.cause ? cause(cluster.cause) : null,
      h("div", { class: "jk-row jk-actions" }, this.actions(cluster, attached)),
    ];
  }

  actions(cluster, attached) {
    const { name, phase } = cluster;
    const about = { name };
    const named = (label) => ({ "aria-label": `${label} ${name}` });
    return [
      isUsable(phase) &&
        (attached === name
          ? button("Detach", () => this.do("detach", {}), named("Detach from"))
          : button("Attach", () => this.attach(attached), { kind: "jk-main", ...named("Attach this kernel to") })),
      isUsable(phase) && Object.keys(cluster.wanted).length > 0 && button("Scale…", () => this.scale(), named("Scale")),
      (phase === "Suspended" || phase === "Failed") &&
        button(phase === "Failed" ? "Start again" : "Resume", () => this.do("resume", about), { kind: "jk-main", ...named("Resume") }),
      !["Suspended", "Stopping"].includes(phase) && button("Suspend", () => this.do("suspend", about), named("Suspend")),
      phase !== "Stopping" && button("Delete…", () => this.delete(attached), { kind: "jk-quiet", ...named("Delete") }),
    ];
  }

  attach(attached) {
    const act = (replace) => this.do("attach", { name: this.name, replace }, { doing: "Attaching this kernel…" });
    if (!attached) {
      return act(false);
    }
    const words = `This kernel is attached to ${attached}, and what it holds there is lost.`;
    return this.confirm(words, "Attach all the same", () => act(true));
  }

  delete(attached) {
    const [cluster] = this.last;
    const words = `Delete ${this.name}? ${lost(cluster, attached === this.name)}`;
    this.confirm(words, "Delete", () => this.do("delete", { name: this.name }));
  }

  scale() {
    const [cluster] = this.last;
    const groups = Object.keys(cluster.wanted);
    const group = h("select", {}, groups.map((each) => h("option", {}, each)));
    const count = h("input", { type: "number", min: 0, step: 1, value: cluster.wanted[groups[0]] });
    group.addEventListener("change", () => (count.value = this.last[0].wanted[group.value]));
    const workers = field("Workers", count);
    const send = async (event) => {
      event.preventDefault();
      const wrong = mistakeIn({ type: "integer", minimum: 0 }, count.value, true);
      workers.say(wrong);
      if (!wrong) {
        try {
          await this.page.ask("scale", { name: this.name, body: { replicas: Number(count.value), group: group.value } });
          this.close();
        } catch (problem) {
          workers.say(`${problem.message} ${problem.hint}`);
        }
      }
    };
    this.open(
      h(
        "form",
        { class: "jk-form", onsubmit: send, onkeydown: (event) => event.key === "Escape" && this.close() },
        groups.length > 1 ? field("Group", group).node : null,
        workers.node,
        h("div", { class: "jk-row jk-wide" }, submit("Scale"), button("Cancel", () => this.close()))
      )
    );
    count.select();
  }
}

function submit(label) {
  return h("button", { type: "submit", class: "jk-button jk-main" }, label);
}
