// A view of a widget: the panel, or one piece of it.

const RENEW_MS = 4 * 60 * 1000;

class Page {
  constructor(model, el) {
    const { ask, close } = asker(model);
    Object.assign(this, { model, ask, stopAsking: close, cards: new Map(), seen: new Map() });
    this.id = Math.random().toString(36).slice(2);
    this.of = model.get("piece");
    this.root = h("div", { class: `jk jk-${this.of.what}` });
    el.append(this.root);
    this.lay();
    this.draw = () => this.update();
    model.on("change:shown", this.draw);
    this.sight = new IntersectionObserver((entries) => this.look(entries));
    this.ticking = setInterval(() => this.tick(), 1000);
    this.renewing = setInterval(() => this.see(), RENEW_MS);
    this.update();
  }

  get told() {
    return this.model.get("shown");
  }

  close() {
    clearInterval(this.ticking);
    clearInterval(this.renewing);
    clearTimeout(this.seeing);
    this.sight.disconnect();
    this.seen.clear();
    this.see();
    this.model.off("change:shown", this.draw);
    this.stopAsking();
  }

  lay() {
    const panel = this.of.what === "panel";
    this.trouble = h("div", { class: "jk-trouble", role: "status", hidden: true });
    this.foot = h("div", { class: "jk-foot" });
    this.lists = {};
    const section = (title, key, label, form) => {
      const summary = h("span", { class: "jk-summary" });
      const list = h("ul", { class: "jk-list", "aria-label": title });
      const drawer = h("div", { class: "jk-drawer" });
      this.lists[key] = { list, summary, title };
      const close = () => {
        refill(drawer);
        opens.focus();
      };
      const opens = label && button(label, () => (drawer.firstChild ? close() : refill(drawer, new form(this, close).node)), { kind: "jk-quiet" });
      const head = panel || key === "runs" ? h("div", { class: "jk-title" }, h("h3", {}, title), summary, opens) : null;
      return h("section", {}, head, drawer, list);
    };
    const has = { clusters: this.of.cluster !== null, services: this.of.service !== null, runs: this.of.what === "runs" };
    this.root.append(
      this.trouble,
      ...[
        has.clusters && section("Clusters", "clusters", panel && "New cluster…", NewCluster),
        has.services && section("Services", "services", panel && "Publish model…", Publish),
        has.runs && section("Runs", "runs"),
      ].filter(Boolean),
      this.foot
    );
  }

  update() {
    const told = this.told;
    const { clusters, services, publications } = told;
    if (this.lists.clusters) {
      const own = Object.values(clusters).sort(byName);
      this.fill("clusters", own.map((each) => each.name), (name) => new ClusterCard(this, "cluster", name), (card) =>
        card.update(clusters[card.name], told.usage[card.name], told.attached)
      );
      const gpus = gpusHeld(own);
      this.lists.clusters.summary.textContent = own.length ? `${own.length}${gpus ? ` · ${gpus} GPU` : ""}` : "";
      this.empty("clusters", own.length, "A Ray cluster of your own: workers with CPUs and GPUs that your notebook runs on.");
    }
    if (this.lists.services) {
      const names = Object.keys(services);
      // A first revision has no service before its cluster was asked for, or when it came to nothing.
      const coming = Object.values(publications).filter((each) => !services[each.name] && ["running", "failed"].includes(each.state));
      const all = [...names, ...coming.map((each) => each.name)].sort();
      this.fill("services", all, (name) => new ServiceCard(this, "service", name), (card) =>
        card.update(services[card.name], told.traffic[card.name], publications[card.name])
      );
      this.lists.services.summary.textContent = all.length ? String(all.length) : "";
      this.empty("services", all.length, "A model that answers requests. Publish one, and it gets an address here.");
    }
    if (this.lists.runs) {
      updateRuns(this);
    }
    this.stand(told);
  }

  fill(key, names, make, update) {
    const { list } = this.lists[key];
    const wanted = new Set(names.map((name) => `${key}/${name}`));
    for (const [id, card] of this.cards) {
      if (id.startsWith(`${key}/`) && !wanted.has(id)) {
        this.sight.unobserve(card.node);
        this.seen.delete(card.node);
        card.node.remove();
        this.cards.delete(id);
      }
    }
    let at = list.firstElementChild;
    for (const name of names) {
      const id = `${key}/${name}`;
      let card = this.cards.get(id);
      if (!card) {
        card = make(name);
        this.cards.set(id, card);
        this.sight?.observe(card.node);
      }
      if (card.node === at) {
        at = at.nextElementSibling;
      } else {
        list.insertBefore(card.node, at);
      }
      update(card);
    }
  }

  empty(key, count, words) {
    const { list } = this.lists[key];
    const there = list.querySelector(":scope > .jk-empty");
    const name = { clusters: this.of.cluster, services: this.of.service, runs: ALL }[key];
    if (count || !this.told.synced) {
      there?.remove();
    } else if (!there) {
      list.append(h("li", { class: "jk-empty" }, name === ALL ? words : `There is no ${key.slice(0, -1)} ${name}.`));
    }
  }

  /** Whether this is how it is now, and what stands in the way. */
  stand({ synced, problem, since, backend, clusters }) {
    const live = synced && !problem;
    this.root.classList.toggle("jk-old", synced && !live);
    this.trouble.hidden = !problem;
    if (problem) {
      refill(this.trouble, h("p", {}, problem.message), h("p", { class: "jk-faint" }, problem.hint));
    }
    const simulated = Object.values(clusters).some((each) => each.simulated_gpus && each.gpus > 0);
    const where = { local: "Local", kuberay: "Kubernetes" }[backend] ?? backend;
    const seen = since ? `last seen ${new Date(since).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}` : "not seen yet";
    refill(
      this.foot,
      h("span", {}, `${where}${simulated ? " · simulated GPUs" : ""}`),
      h("span", { class: live ? "jk-live" : "" }, live ? "live" : synced || problem ? seen : "Looking…")
    );
  }

  tick() {
    const now = Date.now();
    this.cards.forEach((card) => card.tick(now));
  }

  look(entries) {
    entries.forEach((entry) => this.seen.set(entry.target, entry.isIntersecting));
    clearTimeout(this.seeing);
    this.seeing = setTimeout(() => this.see(), 300);
  }

  /** Tells what is on the screen: what that uses is measured, and nothing else. */
  see() {
    const names = (kind) => [...this.seen].filter(([node, on]) => on && node.dataset.kind === kind).map(([node]) => node.dataset.name);
    this.model.send({ op: "see", arguments: { page: this.id, clusters: names("cluster"), services: names("service") } });
  }
}

const ALL = "*";

function byName(one, other) {
  return one.name < other.name ? -1 : 1;
}

export default {
  initialize({ model }) {
    follow(model);
  },
  render({ model, el }) {
    const page = new Page(model, el);
    return () => page.close();
  },
};
