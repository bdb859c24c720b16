// What is told, and what a change makes of it: as told.py has it.

const NAMED = { cluster: "clusters", service: "services" };
const BESIDE = { usage: "usage", traffic: "traffic", publication: "publications" };
const GOES_ALONG = { cluster: "usage", service: "traffic" };

function applied(told, change) {
  const { type, kind, name } = change;
  if (type === "status" && NAMED[kind]) {
    return withOne(told, NAMED[kind], change.status.name, change.status);
  }
  if (type === "gone" && NAMED[kind]) {
    return without(without(told, NAMED[kind], name), GOES_ALONG[kind], name);
  }
  if (BESIDE[type]) {
    return withOne(told, BESIDE[type], name, change[type]);
  }
  switch (type) {
    case "problem":
      return { ...told, problem: change.problem, since: change.since };
    case "attached":
      return { ...told, attached: name };
    case "runs":
      return { ...told, runs: change.runs };
    default:
      return told;
  }
}

function withOne(told, key, name, value) {
  return { ...told, [key]: { ...told[key], [name]: value } };
}

function without(told, key, name) {
  const { [name]: _, ...rest } = told[key];
  return { ...told, [key]: rest };
}

/** Keeps the browser's model up to date, once for all its views; also what is saved with a notebook. */
function follow(model) {
  model.on("msg:custom", (message) => {
    const before = model.get("shown");
    if (message.type === "all") {
      model.set("shown", message.shown);
    } else if (message.type === "changes" && message.seq === before.seq + 1) {
      model.set("shown", { ...message.changes.reduce(applied, before), seq: message.seq });
    } else if (message.type === "changes" && message.seq > before.seq) {
      model.send({ op: "look" }); // some were lost on the way
    }
  });
}

let calls = 0;

/** What the kernel answers to an operation: its value, or a rejection with what stands in the way. */
function asker(model) {
  const prefix = Math.random().toString(36).slice(2);
  const waiting = new Map();
  const take = (message) => {
    const call = message.type === "answer" && waiting.get(message.call);
    if (call) {
      waiting.delete(message.call);
      message.problem ? call.reject(message.problem) : call.resolve(message.value);
    }
  };
  model.on("msg:custom", take);
  const ask = (op, args = {}) =>
    new Promise((resolve, reject) => {
      const call = `${prefix}-${++calls}`;
      waiting.set(call, { resolve, reject });
      model.send({ op, call, arguments: args });
    });
  return { ask, close: () => model.off("msg:custom", take) };
}
