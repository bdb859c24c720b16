/**
 * What there is, as far as it is known here. No Jupyter UI here.
 */
import type { Change, ISnapshot } from './events';
import { Losses } from './losses';
import { merged, without, withOne } from './named';
import { Requests } from './requests';
import type { IRest } from './rest';
import { mergedRuns, withRun } from './runs';
import type { Starts } from './starts';
import type { ICluster, IJob, IPublication, IRun, IService, ITraffic, IUsage } from './tokens';

export abstract class Known extends Requests {
  constructor(
    rest: IRest,
    /** How long starts take, over more than this page. */
    private readonly starts: Starts,
    protected readonly now: () => number
  ) {
    super(rest);
  }

  synced = false;
  clusters: ReadonlyMap<string, ICluster> = new Map();
  services: ReadonlyMap<string, IService> = new Map();
  jobs: ReadonlyMap<string, IJob> = new Map();
  usage: ReadonlyMap<string, IUsage> = new Map();
  traffic: ReadonlyMap<string, ITraffic> = new Map();
  publications: ReadonlyMap<string, IPublication> = new Map();
  runs: ReadonlyMap<string, IRun> = new Map();
  runsKnown = false;

  protected abstract tellChanged(): void;

  // --- what is told ---

  protected take(told: ISnapshot): void {
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
    if (told.runs) {
      this.runs = mergedRuns(this.runs, told.runs);
      this.runsKnown = true;
    }
  }

  /** Whether something is another than before. */
  protected apply(change: Change): boolean {
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
        } else if (change.kind === 'job') {
          this.jobs = without(this.jobs, change.name);
        } else {
          this.runs = without(this.runs, change.name);
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
      case 'run':
        this.runs = withRun(this.runs, change.run);
        return true;
      default:
        return false;
    }
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
      this.tellChanged();
    }
  }

  /** The answer may be older than an event that has overtaken it. */
  protected override tookPublication(told: IPublication): void {
    const known = this.publications.get(told.name);
    if (known?.began !== told.began || known.steps.length < told.steps.length) {
      this.publications = new Map(this.publications).set(told.name, told);
      this.tellChanged();
    }
  }

  private _losses = new Losses();
}
