/**
 * How long clusters have been coming up, and how long that usually takes, by profile. Pure.
 */
import { comesUp } from './format';
import type { ICluster } from './tokens';

/** Of each profile the last so many starts are kept. */
const KEPT = 9;
/** What has been there for longer and comes up was suspended meanwhile, or has waited for room. */
const LONG_MS = 60 * 60 * 1000;

/** Seconds, the latest last, by profile. */
export type StartTimes = Readonly<Record<string, readonly number[]>>;

export class Starts {
  constructor(
    private times: StartTimes = {},
    /** Called with all of them when there is one more. */
    private readonly keep: (times: StartTimes) => void = () => undefined
  ) {}

  /** A cluster is seen for the first time, or is another than before. */
  see(before: ICluster | undefined, after: ICluster, now: number): void {
    const { name, phase, created } = after;
    const known = this._began.get(name);
    if (comesUp(phase) && !known) {
      const made = Date.parse(created);
      const first = before === undefined && now - made < LONG_MS;
      this._began.set(name, { at: before === undefined ? made : now, first });
    } else if (phase === 'Ready' && known) {
      this._began.delete(name);
      if (known.first && !after.owner) {
        this._add(after.profile, Math.max(0, (now - known.at) / 1000));
      }
    } else if (phase === 'Suspended' || phase === 'Failed' || phase === 'Stopping') {
      this._began.delete(name);
    }
  }

  /** A cluster is gone; another of its name begins anew. */
  forget(name: string): void {
    this._began.delete(name);
  }

  /** When a cluster began to come up, in ms of the epoch; null where it does not. */
  began(name: string): number | null {
    return this._began.get(name)?.at ?? null;
  }

  /** The median, in seconds; null where no start was seen. */
  usual(profile: string): number | null {
    const sorted = [...(this.times[profile] ?? [])].sort((a, b) => a - b);
    return sorted.length ? sorted[sorted.length >> 1] : null;
  }

  /** What was seen before this page. */
  load(times: StartTimes): void {
    this.times = { ...times, ...this.times };
  }

  private _add(profile: string, seconds: number): void {
    const earlier = this.times[profile] ?? [];
    this.times = { ...this.times, [profile]: [...earlier, seconds].slice(-KEPT) };
    this.keep(this.times);
  }

  private _began = new Map<string, { at: number; first: boolean }>();
}
