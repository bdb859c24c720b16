/**
 * Maps of things by their names, which are replaced and never changed, so that what is shown can be compared. Pure.
 */
export type Named = { readonly name: string };

/** `told` by name; what is the same as before is the same object, so that nothing shows it anew. */
export function merged<T extends Named>(
  before: ReadonlyMap<string, T>,
  told: readonly T[]
): ReadonlyMap<string, T> {
  return new Map(told.map(one => [one.name, same(before.get(one.name), one)]));
}

function same<T>(before: T | undefined, now: T): T {
  return before !== undefined && JSON.stringify(before) === JSON.stringify(now) ? before : now;
}

/** With `one` in its place by name. */
export function withOne<T extends Named>(
  before: ReadonlyMap<string, T>,
  one: T
): ReadonlyMap<string, T> {
  if (before.has(one.name)) {
    return new Map(before).set(one.name, one);
  }
  const names = [...before.values(), one].sort((a, b) => (a.name < b.name ? -1 : 1));
  return new Map(names.map(each => [each.name, each]));
}

export function without<T>(before: ReadonlyMap<string, T>, name: string): ReadonlyMap<string, T> {
  const after = new Map(before);
  after.delete(name);
  return after;
}
