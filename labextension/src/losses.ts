/**
 * Nodes that were lost while somebody looked: Kubernetes forgets a pod that was deleted, and its cluster then
 * only says that there are fewer. Pure.
 */
import type { ICluster, INode, Phase } from './tokens';

const NONE: readonly string[] = [];
/** Nothing is missed that is there, or is not wanted. */
const WHOLE: ReadonlySet<Phase> = new Set(['Ready', 'Suspended', 'Stopping']);

export class Losses {
  /** A cluster is seen for the first time, or is another than before. */
  see(before: ICluster | undefined, after: ICluster): void {
    const { name, phase, nodes, wanted } = after;
    const ready = nodes.filter(node => node.ready);
    if (before === undefined || WHOLE.has(phase)) {
      this._known.set(name, ready);
      this._lost.delete(name);
      return;
    }
    const there = new Set(nodes.map(node => node.name));
    const missed = (this._known.get(name) ?? [])
      .filter(node => !there.has(node.name))
      // Of fewer that are wanted, nobody misses any.
      .filter(({ group }) => (wanted[group] ?? 0) >= (before.wanted[group] ?? 0));
    // One that is no longer ready is known all the same: first it fails, then it goes.
    const known = new Map(
      [...(this._known.get(name) ?? []), ...ready].map(each => [each.name, each])
    );
    this._known.set(
      name,
      [...known.values()].filter(each => there.has(each.name))
    );
    if (missed.length) {
      this._lost.set(name, [...this.of(name), ...missed.map(node => node.name)]);
    }
  }

  forget(name: string): void {
    this._known.delete(name);
    this._lost.delete(name);
  }

  /** Their names, until the cluster is whole again. */
  of(name: string): readonly string[] {
    return this._lost.get(name) ?? NONE;
  }

  /** Those that are there and were ready once, by cluster. */
  private _known = new Map<string, readonly INode[]>();
  private _lost = new Map<string, readonly string[]>();
}
