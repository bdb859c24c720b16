/**
 * What the rest of the extension, and other extensions, can rely on.
 *
 * The names are those of the REST interface (/jupyter-kuberay/openapi.json).
 */
import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

export type Phase =
  'Pending' | 'Starting' | 'Ready' | 'Degraded' | 'Suspended' | 'Stopping' | 'Failed';

/** Why something is not as it should be, and what to do about it; a sentence each. */
export interface ICause {
  readonly what: string;
  readonly remedy: string;
}

/** A pod, or a process on this machine. */
export interface INode {
  readonly name: string;
  readonly group: string;
  readonly ready: boolean;
  readonly reason: string;
  readonly message: string;
  readonly restarts: number;
}

interface IStatus {
  readonly name: string;
  readonly user: string;
  readonly profile: string;
  /** RFC 3339. */
  readonly created: string;
  readonly cause: ICause | null;
  readonly notes: readonly string[];
  /** Made by another tool. */
  readonly foreign: boolean;
}

export interface ICluster extends IStatus {
  readonly phase: Phase;
  /** Workers by group. */
  readonly ready: Readonly<Record<string, number>>;
  readonly wanted: Readonly<Record<string, number>>;
  readonly gpus: number;
  readonly simulated_gpus: boolean;
  readonly ray_version: string;
  readonly nodes: readonly INode[];
  /** The service or job that it belongs to. */
  readonly owner: string;
}

export interface IService extends IStatus {
  readonly phase: Phase;
  readonly revision: number | null;
  readonly model: string;
  readonly applications: readonly {
    readonly name: string;
    readonly state: string;
    readonly message: string;
  }[];
  readonly cluster: string;
  readonly settled: boolean;
}

export interface IJob extends IStatus {
  readonly phase: string;
  readonly message: string;
  readonly cluster: string;
  readonly job_id: string;
}

/** What is in use on a cluster; memory in bytes. */
export interface IUsage {
  readonly cpus_used: number;
  readonly cpus: number;
  readonly gpus_used: number;
  readonly gpus: number;
  readonly memory_used: number;
  readonly memory: number;
}

/** What stands in the way, and what to do about it. */
export interface IProblem {
  readonly message: string;
  readonly hint: string;
  /** The kind of error, such as "Forbidden"; "Offline" where the Jupyter server does not answer. */
  readonly kind: string;
}

/** A profile, with the JSON schema of what can be asked for in it. */
export interface IOffer {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly default: boolean;
  readonly limits: Readonly<Record<string, unknown>>;
  readonly form: Readonly<Record<string, unknown>>;
}

export interface IFinding {
  readonly check: string;
  readonly level: 'ok' | 'warning' | 'bad' | 'cannot see';
  readonly what: string;
  readonly remedy: string;
  readonly manifest: string;
}

/** A cluster that is asked for; what is left out is as the profile has it. */
export interface INewCluster {
  readonly name: string;
  readonly profile?: string;
  readonly workers?: number;
  readonly gpus?: number;
  readonly cpu?: string;
  readonly memory?: string;
  readonly [field: string]: unknown;
}

export interface IPreview {
  readonly yaml: string;
  readonly warnings: readonly string[];
}

/** All that there is, and every change of it. */
export interface IModel {
  /** Something below is another than before. */
  readonly changed: ISignal<IModel, void>;
  /** Whether all that there is has been told once. */
  readonly synced: boolean;
  /** Whether changes arrive as they happen. */
  readonly live: boolean;
  /** What stands in the way; what is shown stays, and may be out of date. */
  readonly problem: IProblem | null;
  /** When it was last known to be up to date, in ms of the epoch; 0 for never. */
  readonly lastSeen: number;
  readonly backend: string;
  readonly user: string;
  readonly clusters: ReadonlyMap<string, ICluster>;
  readonly services: ReadonlyMap<string, IService>;
  readonly jobs: ReadonlyMap<string, IJob>;
  readonly usage: ReadonlyMap<string, IUsage>;

  /** Say which clusters somebody sees, so that their use is measured; null: nobody looks at all. */
  show(clusters: readonly string[] | null): void;
  /** Ask for everything anew. */
  refresh(): Promise<void>;

  profiles(): Promise<readonly IOffer[]>;
  preview(asked: INewCluster): Promise<IPreview>;
  create(asked: INewCluster): Promise<ICluster>;
  manifest(cluster: string): Promise<IPreview>;
  scale(cluster: string, replicas: number, group?: string): Promise<void>;
  suspend(cluster: string): Promise<void>;
  resume(cluster: string): Promise<void>;
  remove(kind: 'cluster' | 'service' | 'job', name: string): Promise<void>;
  /** The lines of a log as they come, until `signal` ends them. */
  logs(cluster: string, node: string, signal: AbortSignal): AsyncIterable<string>;
  doctor(): Promise<readonly IFinding[]>;
}

export const IModel = new Token<IModel>(
  'jupyter-kuberay:IModel',
  'The Ray clusters, services and jobs of this user, and what can be done with them.'
);
