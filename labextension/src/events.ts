/**
 * What the server tells: all that there is, and each change of it.
 */
import type {
  ICluster,
  IJob,
  IProblem,
  IPublication,
  IRun,
  IService,
  ITraffic,
  IUsage
} from './tokens';

/** One thing that is another than before. */
export type Change =
  | { type: 'status'; kind: 'cluster'; name: string; status: ICluster }
  | { type: 'status'; kind: 'service'; name: string; status: IService }
  | { type: 'status'; kind: 'job'; name: string; status: IJob }
  | { type: 'gone'; kind: 'cluster' | 'service' | 'job' | 'run'; name: string }
  | { type: 'usage'; name: string; usage: IUsage }
  | { type: 'traffic'; name: string; traffic: ITraffic }
  | { type: 'publication'; name: string; publication: IPublication }
  | { type: 'run'; run: IRun }
  /** All runs are known, later than a page was answered. */
  | { type: 'runs' }
  | { type: 'looked'; view: string }
  | { type: 'problem'; problem: IProblem | null; since: string }
  | { type: 'synced' };

export interface IEvent {
  readonly server: string;
  readonly seq: number;
  readonly changes: readonly Change[];
}

/** All that there is, as it was after event number `seq`. */
export interface ISnapshot {
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
  /** The newest first; null where nobody looks at them, or they are not known yet. */
  readonly runs: readonly IRun[] | null;
}
