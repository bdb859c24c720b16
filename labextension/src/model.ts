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
import type { IEvent, ISnapshot } from './events';
import { Known } from './known';
import { type IRest, Refusal } from './rest';
import { Starts } from './starts';
import type { IModel, IProblem, IShown } from './tokens';

/** The server forgets a page after 10 minutes. */
const RENEW_MS = 4 * 60 * 1000;
/** The event for a look takes some ms; after so long it is taken for lost. */
const ECHO_MS = 3000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

export class Model extends Known implements IModel, IDisposable {
  constructor(
    rest: IRest,
    /** Another for each page; the server knows it by this. */
    private readonly view: string,
    starts: Starts = new Starts(),
    now: () => number = Date.now
  ) {
    super(rest, starts, now);
  }

  live = false;
  problem: IProblem | null = null;
  lastSeen = 0;
  backend = '';
  user = '';
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
      services: [...shown.services].sort(),
      runs: shown.runs
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
    this.take(told);
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
    if (event.changes.some(change => change.type === 'synced' || change.type === 'runs')) {
      void this.refresh();
      return;
    }
    const stood = event.changes.find(change => change.type === 'problem');
    if (stood) {
      this._stand(stood.problem, stood.since);
    }
    if (event.changes.reduce((some, change) => this.apply(change) || some, stood !== undefined)) {
      if (this.live && this.problem === null) {
        this.lastSeen = this.now();
      }
      this._changed.emit();
    }
  }

  private _stand(problem: IProblem | null, since: string): void {
    this.problem = problem;
    this.lastSeen = problem === null ? this.now() : Date.parse(since) || this.lastSeen;
  }

  protected override tellChanged(): void {
    this._changed.emit();
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
