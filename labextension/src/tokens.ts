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
    /** That is asked for; null where it was not published from here. */
    readonly revision: number | null;
    readonly model: string;
    readonly route_prefix: string;
    /** That are asked for, such as "0 to 4 replicas"; '' where the code says how many. */
    readonly replicas: string;
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
  /** Since when nothing has run there; null: something does, or it is not known. */
  readonly idle_since: string | null;
}

/** How much a service is asked, and what answers; null where that is not known. */
export interface ITraffic {
  readonly url: string;
  /** To paste into a shell. */
  readonly call: string;
  readonly replicas: number | null;
  readonly replicas_wanted: number | null;
  readonly requests_per_s: number | null;
  readonly p95_ms: number | null;
}

export type RunState = 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Interrupted' | 'Lost';

/** One run of a notebook; long values are cut. */
export interface IRun {
  /** Those of later runs sort behind those of earlier ones. */
  readonly id: string;
  /** A path or URL. */
  readonly notebook: string;
  /** As the file browser has it; '' where it does not show it. */
  readonly notebook_path: string;
  readonly output: string;
  readonly output_path: string;
  readonly state: RunState;
  readonly parameters: Readonly<Record<string, string>>;
  /** Code cells in all, and of them those that have run. */
  readonly cells: number;
  readonly done: number;
  /** The title of the one that runs. */
  readonly cell: string;
  /** What the notebook recorded. */
  readonly values: Readonly<Record<string, string>>;
  readonly cluster: string;
  /** RFC 3339. */
  readonly started: string;
  readonly ended: string;
  readonly error: string;
  readonly hint: string;
  /** The sweep or pipeline that it is part of. */
  readonly group: string;
  /** The RayJob that runs it, if it runs in the cluster. */
  readonly job: string;
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

/** A model that can be published; its path as the file browser has it. */
export interface IFoundModel {
  readonly path: string;
  /** The folder of the run that made it. */
  readonly run: string;
  readonly title: string;
  /** Whether it passed its gates; null where nobody has judged. */
  readonly validated: boolean | null;
  readonly when: string;
  readonly metrics: Readonly<Record<string, number>>;
  readonly app: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** What is to be published; what is left out is as it was, or as the profile has it. */
export interface INewRevision {
  readonly name: string;
  readonly app: string;
  readonly model?: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Which of the service's; default: the one that is called like it. */
  readonly application?: string;
  readonly route_prefix?: string;
  readonly replicas?: number;
  /** Instead of a number of replicas: bounds, between which the queue decides. */
  readonly min_replicas?: number;
  readonly max_replicas?: number;
  readonly target_ongoing_requests?: number;
  readonly gpus?: number;
  /** What the gates said, as the file browser has it, or as the server finds it. */
  readonly gates?: string;
  /** Publish also what failed its gates. */
  readonly despite_gates?: boolean;
  readonly profile?: string;
  readonly why?: string;
  readonly metrics?: Readonly<Record<string, number>>;
}

/** A publication, or a way back to an earlier revision: as far as it is. */
export interface IPublication {
  readonly name: string;
  readonly verb: 'publish' | 'rollback';
  readonly began: string;
  readonly state: 'running' | 'done' | 'failed' | 'cancelled';
  readonly steps: readonly {
    readonly phase: string;
    readonly message: string;
    /** Since it began. */
    readonly seconds: number;
  }[];
  readonly problem: IProblem | null;
  readonly revision: number | null;
  readonly url: string;
  readonly call: string;
}

/** What more there is to say of a way back. */
export interface IReturn {
  readonly application?: string;
  readonly why?: string;
}

export interface IRevision {
  readonly number: number;
  readonly application: string;
  readonly app: string;
  readonly model: string;
  /** What a registry calls it, such as "models:/summarizer/3"; '' without one. */
  readonly model_version: string;
  /** Gates that it failed, and was published despite. */
  readonly failed_gates: readonly string[];
  /** When it was put in again, the oldest first. */
  readonly again: readonly {
    readonly who: string;
    readonly when: string;
    readonly why: string;
    /** 0 where that is not known. */
    readonly instead_of: number;
  }[];
  readonly who: string;
  readonly when: string;
  readonly why: string;
  readonly metrics: Readonly<Record<string, number>>;
  readonly current: boolean;
}

/** One value of two revisions; null where there is none. */
export interface IChange {
  readonly key: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** What two revisions differ in. */
export interface IDifference {
  readonly before: number;
  readonly after: number;
  readonly same_code: boolean;
  readonly files: readonly {
    readonly path: string;
    readonly change: 'added' | 'removed' | 'changed';
    /** A unified diff; '' where there is none to show. */
    readonly text: string;
  }[];
  readonly code_note: string;
  readonly facts: readonly IChange[];
  readonly settings: readonly IChange[];
  readonly scaling: readonly IChange[];
  readonly metrics: readonly {
    readonly key: string;
    readonly before: number | null;
    readonly after: number | null;
    readonly difference: number | null;
  }[];
}

/** A request to a service, below its own address. */
export interface IQuestion {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  readonly content_type: string;
}

export interface IReply {
  readonly status: number;
  readonly reason: string;
  readonly content_type: string;
  readonly text: string;
  readonly truncated: boolean;
  readonly seconds: number;
}

/** Where Ray's dashboard can be opened; where it cannot, the command that brings it here. */
export interface IDashboard {
  readonly url: string;
  readonly command: string;
  readonly hint: string;
}

/** What a page shows. */
export interface IShown {
  readonly clusters: readonly string[];
  readonly services: readonly string[];
  /** Whether the runs of notebooks are shown. */
  readonly runs: boolean;
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
  readonly traffic: ReadonlyMap<string, ITraffic>;
  /** Under way, and what became of those that have just ended. */
  readonly publications: ReadonlyMap<string, IPublication>;
  /** By id, the newest first; kept up to date while they are shown. */
  readonly runs: ReadonlyMap<string, IRun>;
  /** Whether they have been told once. */
  readonly runsKnown: boolean;

  /** Say what somebody sees, so that its use is measured; null: nobody looks at all. */
  show(shown: IShown | null): void;
  /** Seconds that a cluster of this profile has taken to get ready lately; null where that is not known. */
  usual(profile: string): number | null;
  /** When a cluster began to come up, in ms of the epoch; null where it does not. */
  began(cluster: string): number | null;
  /** The nodes of a cluster that were there and went, until it is whole again. */
  lost(cluster: string): readonly string[];
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
  /** One of a service's applications; with the last one goes the service. */
  removeApplication(service: string, application: string): Promise<void>;
  /** The lines of a log as they come, until `signal` ends them. */
  logs(cluster: string, node: string, signal: AbortSignal): AsyncIterable<string>;
  dashboard(cluster: string): Promise<IDashboard>;
  doctor(): Promise<readonly IFinding[]>;

  models(): Promise<readonly IFoundModel[]>;
  /** Begin to publish; `publications` tells how it goes on. */
  publish(asked: INewRevision): Promise<IPublication>;
  /** Begin to put an earlier revision in again; default: the one before. */
  rollback(service: string, to?: number, more?: IReturn): Promise<IPublication>;
  /** Undo the publication that is under way. */
  cancelPublication(service: string): Promise<void>;
  /** Of the application that is called like the service, or of another. */
  revisions(service: string, application?: string): Promise<readonly IRevision[]>;
  difference(
    service: string,
    before: number,
    after: number,
    application?: string
  ): Promise<IDifference>;
  ask(service: string, question: IQuestion): Promise<IReply>;

  /** Take a run out of the list; its files stay. */
  forgetRun(id: string): Promise<void>;
  /** The same of all of a sweep or pipeline that have ended: by its name and the folder of its outputs. */
  forgetRuns(group: string, folder: string): Promise<void>;
}

export const IModel = new Token<IModel>(
  'jupyter-kuberay:IModel',
  'The Ray clusters, services, jobs and runs of this user, and what can be done with them.'
);

/** Whether a kernel is attached: to which cluster, and whether it still reaches it. */
export interface IAttachment {
  readonly cluster: string;
  readonly alive: boolean;
}

/** Which cluster each open notebook's kernel is attached to, as the kernels themselves tell. */
export interface IAttachments {
  readonly changed: ISignal<IAttachments, void>;
  /** Of the notebook at `path`: null when it is attached to nothing, undefined when that is not known yet. */
  of(path: string): IAttachment | null | undefined;
  /** The cluster that the current notebook is attached to, by a connection that lives; '' without one. */
  readonly here: string;
  /** Paths of the notebooks that are attached to a cluster. */
  on(cluster: string): readonly string[];
}

export const IAttachments = new Token<IAttachments>(
  'jupyter-kuberay:IAttachments',
  'Which cluster each open notebook is attached to.'
);
