/**
 * What can be asked of the server, each a request. No Jupyter UI here.
 */
import type { IRest } from './rest';
import type {
  ICluster,
  IDashboard,
  IDifference,
  IFinding,
  IFoundModel,
  INewCluster,
  INewRevision,
  IOffer,
  IPreview,
  IPublication,
  IQuestion,
  IReply,
  IReturn,
  IRevision
} from './tokens';

export abstract class Requests {
  constructor(protected readonly rest: IRest) {}

  /** An answer tells of a cluster. */
  protected abstract took(status: ICluster): void;
  protected abstract tookPublication(told: IPublication): void;

  profiles(): Promise<readonly IOffer[]> {
    return this.rest.json('GET', ['profiles']);
  }

  preview(asked: INewCluster): Promise<IPreview> {
    return this.rest.json('POST', ['manifests'], asked);
  }

  create(asked: INewCluster): Promise<ICluster> {
    return this._cluster([], asked);
  }

  manifest(cluster: string): Promise<IPreview> {
    return this.rest.json('GET', ['clusters', cluster, 'manifest']);
  }

  async scale(cluster: string, replicas: number, group = ''): Promise<void> {
    await this._cluster([cluster, 'scale'], { replicas, group });
  }

  async suspend(cluster: string): Promise<void> {
    await this._cluster([cluster, 'suspend']);
  }

  async resume(cluster: string): Promise<void> {
    await this._cluster([cluster, 'resume']);
  }

  async remove(kind: 'cluster' | 'service' | 'job', name: string): Promise<void> {
    await this.rest.json('DELETE', [`${kind}s`, name]);
  }

  async removeApplication(service: string, application: string): Promise<void> {
    await this.rest.json('DELETE', ['services', service], undefined, { query: { application } });
  }

  async *logs(cluster: string, node: string, signal: AbortSignal): AsyncIterable<string> {
    const query = { node, follow: 'true', tail: '500' };
    yield* this.rest.lines(['clusters', cluster, 'logs'], query, signal);
  }

  dashboard(cluster: string): Promise<IDashboard> {
    return this.rest.json('POST', ['clusters', cluster, 'dashboard']);
  }

  doctor(): Promise<readonly IFinding[]> {
    return this.rest.json('GET', ['doctor']);
  }

  models(): Promise<readonly IFoundModel[]> {
    return this.rest.json('GET', ['models']);
  }

  publish(asked: INewRevision): Promise<IPublication> {
    return this._publication([], asked);
  }

  rollback(service: string, to?: number, more: IReturn = {}): Promise<IPublication> {
    return this._publication(
      [service, 'rollback'],
      to === undefined ? { ...more } : { to, ...more }
    );
  }

  async cancelPublication(service: string): Promise<void> {
    await this.rest.json('DELETE', ['services', service, 'publication']);
  }

  revisions(service: string, application = ''): Promise<readonly IRevision[]> {
    const query = application ? { application } : undefined;
    return this.rest.json('GET', ['services', service, 'revisions'], undefined, { query });
  }

  difference(
    service: string,
    before: number,
    after: number,
    application = ''
  ): Promise<IDifference> {
    const query = { before: String(before), after: String(after), application };
    return this.rest.json('GET', ['services', service, 'diff'], undefined, { query });
  }

  ask(service: string, question: IQuestion): Promise<IReply> {
    return this.rest.json('POST', ['services', service, 'try'], question);
  }

  async forgetRun(id: string): Promise<void> {
    await this.rest.json('DELETE', ['runs', id]);
  }

  async forgetRuns(group: string, folder: string): Promise<void> {
    await this.rest.json('DELETE', ['runs'], undefined, { query: { group, folder } });
  }

  private async _cluster(path: readonly string[], body?: unknown): Promise<ICluster> {
    const told = await this.rest.json<ICluster>('POST', ['clusters', ...path], body);
    this.took(told);
    return told;
  }

  private async _publication(path: readonly string[], body: unknown): Promise<IPublication> {
    const told = await this.rest.json<IPublication>('POST', ['services', ...path], body);
    this.tookPublication(told);
    return told;
  }
}
