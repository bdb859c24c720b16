// Values as a person reads them: the words of the JupyterLab panel.

function seconds(since, now) {
  return Math.max(0, (now - Date.parse(since)) / 1000);
}

/** Such as "0:38". */
function elapsed(total) {
  const whole = Math.floor(total);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** Such as "2 h 5 min". */
function age(total) {
  if (Number.isNaN(total)) {
    return "";
  }
  const minutes = Math.floor(total / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes < 1) {
    return "< 1 min";
  }
  if (hours < 1) {
    return `${minutes} min`;
  }
  if (hours < 24) {
    return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  }
  return `${Math.floor(hours / 24)} d`;
}

function comesUp(phase) {
  return phase === "Pending" || phase === "Starting";
}

function isUsable(phase) {
  return phase === "Ready" || phase === "Degraded";
}

/** GPUs that clusters hold now: none are held by what is suspended or has failed. */
function gpusHeld(clusters) {
  return clusters
    .filter((each) => !["Suspended", "Failed"].includes(each.phase))
    .reduce((sum, each) => sum + each.gpus, 0);
}

/** What is in use, for each kind that there is. */
function bars(usage) {
  const number = (value) => String(Math.round(value * 10) / 10);
  const gib = 2 ** 30;
  return [
    ["CPU", usage.cpus_used, usage.cpus, "CPUs", 1],
    ["GPU", usage.gpus_used, usage.gpus, "GPUs", 1],
    ["Mem", usage.memory_used, usage.memory, "GiB of memory", gib],
  ]
    .filter(([, , of]) => of > 0)
    .map(([label, used, of, unit, one]) => ({
      label,
      share: Math.min(1, Math.max(0, used / of)),
      words: `${number(used / one)} of ${number(of / one)} ${unit} in use`,
    }));
}

/** Such as "2 of 2 replicas · 12 req/s · p95 80 ms": what is not known is left out. */
function trafficWords({ replicas, replicas_wanted, requests_per_s, p95_ms }) {
  const few = (value) => String(value < 10 ? Math.round(value * 10) / 10 : Math.round(value));
  return [
    replicas === null || replicas_wanted === null
      ? ""
      : replicas_wanted === 0 && replicas === 0
        ? "scaled to zero"
        : `${replicas} of ${replicas_wanted} replica${replicas_wanted === 1 ? "" : "s"}`,
    requests_per_s === null ? "" : `${few(requests_per_s)} req/s`,
    p95_ms === null ? "" : `p95\u00a0${few(p95_ms)}\u00a0ms`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Such as "classifier · RUNNING · revision 3 · 0 to 4 replicas · /classify": one of a service's applications. */
function applicationWords({ name, state, revision, replicas, route_prefix }) {
  return [name, state, revision === null ? "" : `revision ${revision}`, replicas, route_prefix].filter(Boolean).join(" · ");
}

/** What is lost when a cluster is deleted. */
function lost(cluster, attached) {
  const workers = Object.values(cluster.ready).reduce((sum, count) => sum + count, 0);
  const ends = workers
    ? `Its head and ${workers} worker${workers === 1 ? "" : "s"} end; what runs there, and what is in their memory, is lost.`
    : "What runs there, and what is in its memory, is lost.";
  return attached ? `${ends} This kernel is attached and loses its objects.` : ends;
}

/** A name that nobody has yet, such as "cluster-2". */
function freeName(taken, stem) {
  for (let number = 1; ; number++) {
    const name = number === 1 ? stem : `${stem}-${number}`;
    if (!taken.includes(name)) {
      return name;
    }
  }
}

/** What follows the service's address in the example that it was published with. */
function examplePath({ url, call }) {
  const asked = /'(https?:\/\/[^']+)'/.exec(call)?.[1];
  const base = url.replace(/\/+$/, "");
  return asked?.startsWith(base) ? asked.slice(base.length).replace(/^\/+/, "") : "";
}

/** What is wrong with `value` for a field of a JSON schema; "" where nothing is. */
function mistakeIn(schema, value, required) {
  if (value === "" || value === undefined) {
    return required ? "It is needed." : "";
  }
  if (schema.type === "integer") {
    const number = Number(value);
    if (!Number.isInteger(number)) {
      return "A whole number.";
    }
    if (number < (schema.minimum ?? -Infinity)) {
      return `At least ${schema.minimum}.`;
    }
    return number > (schema.maximum ?? Infinity) ? `At most ${schema.maximum}.` : "";
  }
  if (value.length > (schema.maxLength ?? Infinity)) {
    return `At most ${schema.maxLength} characters.`;
  }
  if (schema.pattern && !new RegExp(schema.pattern, "u").test(value)) {
    return schema.title === "Name"
      ? "Lower-case letters, digits and hyphens, beginning with a letter."
      : "A quantity, such as 2, 500m or 8Gi.";
  }
  return "";
}
