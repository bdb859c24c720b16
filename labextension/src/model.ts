/**
 * What there is, as the server tells it: one snapshot, then each change.
 *
 * A page tells the server what it shows, and again every few minutes; it gets
 * all that there is, and the number of the last event in it. Each event has the
 * next number, so that one that is missed is noticed. The server also sends an
 * event for each look: when that arrives, the way from there to here is known
 * to be open. Nothing is asked for while nothing happens.
 */
import { type ISignal, Signal } from '@lumino/signaling';
import type { IDisposable } from '@lumino/disposable';
import { Losses } from './losses';
import { merged, without, withOne } from './named';
import { Requests } from './requests';
import { type IRest, Refusal } from './rest';
import { Starts } from './starts';
import type {
  ICluster,
  IJob,
  IModel,
  IProblem,
  IPublication,
  IService,
  IShown,
  ITraffic,
  IUsage
} from './tokens';

/** One thing that is another than before. */
export type Change =
  | { type: 'status'; kind: 'cluster'; name: string; status: ICluster }
  | { type: 'status'; kind: 'service'; name: string; status: IService }
  | { type: 'status'; kind: 'job'; name: string; status: IJob }
  | { type: 'gone'; kind: 'cluster' | 'service' | 'job'; name: string }
  | { type: 'usage'; name: string; usage: IUsage }
  | { type: 'traffic'; name: string; traffic: ITraffic }
  | { type: 'publication'; name: string; publication: IPublication }
  | { type: 'looked'; view: string }
  | { type: 'problem'; problem: IProblem | null; since: string }
  | { type: 'synced' };

export interface IEvent {
  readonly server: string;
  readonly seq: number;
  readonly changes: readonly Change[];
}

interface ISnapshot {
  readonly server: string;
  readonly seq: number;
  readonly backend: string;
  readonly user: string;
  readonly synced: boolean;
  readonly problem: IProblem | null;
  readonly since: string;
  readonly clusters: readonly ICluster[];
  readonly services: readonly IService[];
  readonly jobs: readonly IJob[];
  readonly usage: Readonly<Record<string, IUsage>>;
  readonly traffic: Readonly<Record<string, ITraffic>>;
  readonly publications: readonly IPublication[];
}

/** The server forgets a page after 10 minutes. */
const RENEW_MS = 4 * 60 * 1000;
/** The event for a look takes some ms; after so long it is taken for lost. */
const ECHO_MS = 3000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

export class Model extends Requests implements IModel, IDisposable {
  constructor(
    rest: IRest,
    /** Another for each page; the server knows it by this. */
    private readonly view: string,
    /** How long starts take, over more than this page. */
    private readonly starts: Starts = new Starts(),
    private readonly now: () => number = Date.now
  ) {
    super(rest);
  }

  synced = false;
  live = false;
  problem: IProblem | null = null;
  lastSeen = 0;
  backend = '';
  user = '';
  clusters: ReadonlyMap<string, ICluster> = new Map();
  services: ReadonlyMap<string, IService> = new Map();
  jobs: ReadonlyMap<string, IJob> = new Map();
  usage: ReadonlyMap<string, IUsage> = new Map();
  traffic: ReadonlyMap<string, ITraffic> = new Map();
  publications: ReadonlyMap<string, IPublication> = new Map();

  get changed(): ISignal<IModel, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    this.leave();
    Signal.clearData(this);
  }

  // --- looking ---

  show(shown: IShown | null): void {
    const before = this._shown;
    this._shown = shown && {
      clusters: [...shown.clusters].sort(),
      services: [...shown.services].sort()
    };
    if (JSON.stringify(before) === JSON.stringify(this._shown)) {
      return;
    }
    if (this._shown === null) {
      this.leave();
    } else {
      void this.refresh();
    }
  }

  /** Tell the server that nobody looks here any more; also as the page goes. */
  leave(): void {
    this._stopWaiting();
    this._awaitsEcho = false;
    if (this.live || this._server) {
      this._setLive(false);
      this._server = '';
      this.rest.json('DELETE', ['views', this.view], undefined, { keepalive: true }).catch(() => {
        // It forgets us by itself.
      });
    }
  }

  /** What may have been missed: the connection was lost, or the machine was asleep. */
  doubt(): void {
    if (this._shown !== null) {
      this._setLive(false);
      void this.refresh();
    }
  }

  async refresh(): Promise<void> {
    if (this._asking) {
      this._askAgain = true;
      return this._asking;
    }
    this._asking = this._ask();
    try {
      await this._asking;
    } finally {
      this._asking = null;
    }
    const early = this._early;
    this._early = [];
    early.forEach(event => this.hear(event));
    if (this._askAgain) {
      this._askAgain = false;
      await this.refresh();
    }
  }

  private async _ask(): Promise<void> {
    if (this._disposed || this._shown === null) {
      return;
    }
    this._stopWaiting();
    this._awaitsEcho = true;
    try {
      const told = await this.rest.json<ISnapshot>('PUT', ['views', this.view], this._shown);
      this._take(told);
    } catch (error) {
      if (!(error instanceof Refusal)) {
        throw error;
      }
      this._awaitsEcho = false;
      this.problem = error.problem;
      this._setLive(false);
      this._changed.emit();
      this._later(this._pause, () => void this.refresh());
      this._pause = Math.min(this._pause * 2, LONGEST_PAUSE_MS);
    }
  }

  private _take(told: ISnapshot): void {
    this._server = told.server;
    this._seq = told.seq;
    this.backend = told.backend;
    this.user = told.user;
    if (told.synced || !this.synced) {
      // What was known stays until all is known again.
      told.clusters.forEach(each => this._see(each));
      this.clusters = merged(this.clusters, told.clusters);
      this.services = merged(this.services, told.services);
      this.jobs = merged(this.jobs, told.jobs);
      this.usage = new Map(Object.entries(told.usage));
      this.traffic = new Map(Object.entries(told.traffic));
      this.publications = merged(this.publications, told.publications);
      this.synced = told.synced;
    }
    this._stand(told.problem, told.since);
    this._later(ECHO_MS, () => this._unheard());
    this._changed.emit();
  }

  /** The server's word that it heard us has come by the way that changes take: that is open. */
  private _heard(): void {
    this._awaitsEcho = false;
    this._pause = FIRST_PAUSE_MS;
    this._setLive(true);
    this._later(RENEW_MS, () => void this.refresh());
  }

  private _unheard(): void {
    this._setLive(false);
    this._changed.emit();
    this._later(this._pause, () => void this.refresh());
    this._pause = Math.min(this._pause * 2, LONGEST_PAUSE_MS);
  }

  // --- events ---

  /** Take an event from the server. */
  hear(event: IEvent): void {
    if (this._shown === null || this._disposed) {
      return;
    }
    if (this._asking) {
      // What it tells may be in the snapshot that is on its way, or come after it.
      this._early.push(event);
      return;
    }
    if (
      this._awaitsEcho &&
      event.changes.some(change => change.type === 'looked' && change.view === this.view)
    ) {
      this._heard();
    }
    if (event.server === this._server && event.seq <= this._seq) {
      return;
    }
    if (event.server !== this._server || event.seq !== this._seq + 1) {
      void this.refresh();
      return;
    }
    this._seq = event.seq;
    if (event.changes.some(change => change.type === 'synced')) {
      void this.refresh();
      return;
    }
    if (event.changes.reduce((some, change) => this._apply(change) || some, false)) {
      if (this.live && this.problem === null) {
        this.lastSeen = this.now();
      }
      this._changed.emit();
    }
  }

  private _apply(change: Change): boolean {
    switch (change.type) {
      case 'status':
        if (change.kind === 'cluster') {
          this._see(change.status);
          this.clusters = withOne(this.clusters, change.status);
        } else if (change.kind === 'service') {
          this.services = withOne(this.services, change.status);
        } else {
          this.jobs = withOne(this.jobs, change.status);
        }
        return true;
      case 'gone':
        if (change.kind === 'cluster') {
          this.starts.forget(change.name);
          this._losses.forget(change.name);
          this.clusters = without(this.clusters, change.name);
          this.usage = without(this.usage, change.name);
        } else if (change.kind === 'service') {
          this.services = without(this.services, change.name);
          this.traffic = without(this.traffic, change.name);
        } else {
          this.jobs = without(this.jobs, change.name);
        }
        return true;
      case 'usage':
        this.usage = new Map(this.usage).set(change.name, change.usage);
        return true;
      case 'traffic':
        this.traffic = new Map(this.traffic).set(change.name, change.traffic);
        return true;
      case 'publication':
        this.publications = new Map(this.publications).set(change.name, change.publication);
        return true;
      case 'problem':
        this._stand(change.problem, change.since);
        return true;
      default:
        return false;
    }
  }

  private _stand(problem: IProblem | null, since: string): void {
    this.problem = problem;
    this.lastSeen = problem === null ? this.now() : Date.parse(since) || this.lastSeen;
  }

  private _setLive(live: boolean): void {
    if (this.live && !live && this.problem === null) {
      this.lastSeen = this.now();
    }
    if (this.live !== live) {
      this.live = live;
      this._changed.emit();
    }
  }

  private _later(ms: number, act: () => void): void {
    this._stopWaiting();
    this._timer = setTimeout(act, ms);
  }

  private _stopWaiting(): void {
    clearTimeout(this._timer);
  }

  // --- what answers tell ---

  usual(profile: string): number | null {
    return this.starts.usual(profile);
  }

  began(cluster: string): number | null {
    return this.starts.began(cluster);
  }

  lost(cluster: string): readonly string[] {
    return this._losses.of(cluster);
  }

  /** Before it takes the place of what was known. */
  private _see(cluster: ICluster): void {
    const before = this.clusters.get(cluster.name);
    this.starts.see(before, cluster, this.now());
    this._losses.see(before, cluster);
  }

  /** Show at once what an answer tells; the event says the same a moment later. */
  protected override took(status: ICluster): void {
    if (this.synced) {
      this._see(status);
      this.clusters = withOne(this.clusters, status);
      this._changed.emit();
    }
  }

  /** The answer may be older than an event that has overtaken it. */
  protected override tookPublication(told: IPublication): void {
    const known = this.publications.get(told.name);
    if (known?.began !== told.began || known.steps.length < told.steps.length) {
      this.publications = new Map(this.publications).set(told.name, told);
      this._changed.emit();
    }
  }

  private _losses = new Losses();
  private _changed = new Signal<this, void>(this);
  private _disposed = false;
  private _shown: IShown | null = null;
  private _server = '';
  private _seq = 0;
  private _asking: Promise<void> | null = null;
  private _askAgain = false;
  /** Whether the event for our last look has yet to come. */
  private _awaitsEcho = false;
  private _early: IEvent[] = [];
  private _pause = FIRST_PAUSE_MS;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}
