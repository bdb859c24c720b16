import type { Change, IEvent } from '../src/events';
import { Model } from '../src/model';
import { type IRest, Refusal } from '../src/rest';
import type { ICluster, IRun } from '../src/tokens';
import { cluster as anyCluster } from './clusters';
import { run } from './runs';

const cluster = (name: string, phase: ICluster['phase'] = 'Ready'): ICluster =>
  anyCluster({ name, phase });

/** A server that answers with what it is told to, and remembers what it was asked. */
class Server implements IRest {
  asked: string[] = [];
  answer: () => unknown = () => this.snapshot();
  clusters = [cluster('one')];
  server = 'life-1';
  seq = 7;
  synced = true;
  runs: IRun[] | null = null;

  snapshot(): unknown {
    const { server, seq, clusters, synced, runs } = this;
    return {
      server,
      seq,
      clusters,
      synced,
      backend: 'local',
      user: 'ada',
      problem: null,
      since: '',
      services: [],
      jobs: [],
      usage: {},
      traffic: {},
      publications: [],
      runs
    };
  }

  async json<T>(
    method: string,
    path: readonly string[],
    _body?: unknown,
    options?: { readonly query?: Readonly<Record<string, string>> }
  ): Promise<T> {
    const query = Object.entries(options?.query ?? {}).map(([name, value]) => `${name}=${value}`);
    this.asked.push(`${method} ${path.join('/')}${query.length ? '?' : ''}${query.join('&')}`);
    return this.answer() as T;
  }

  async *lines(): AsyncIterable<string> {
    return;
  }

  event(...changes: Change[]): IEvent {
    return { server: this.server, seq: ++this.seq, changes };
  }

  get looks(): number {
    return this.asked.filter(each => each.startsWith('PUT')).length;
  }
}

const settled = () => jest.advanceTimersByTimeAsync(0);
const echo: Change = { type: 'looked', view: 'page' };

let server: Server;
let model: Model;

beforeEach(async () => {
  jest.useFakeTimers();
  server = new Server();
  model = new Model(server, 'page');
  model.show({ clusters: [], services: [], runs: false });
  await settled();
});

afterEach(() => {
  model.dispose();
  jest.useRealTimers();
});

const names = () => [...model.clusters.keys()];

test('revisions, their difference and a way back are asked of the application that is meant', async () => {
  server.asked = [];
  server.answer = () => ({});
  await model.revisions('svc');
  await model.revisions('svc', 'classifier');
  await model.difference('svc', 2, 3, 'classifier');
  expect(server.asked).toEqual([
    'GET services/svc/revisions',
    'GET services/svc/revisions?application=classifier',
    'GET services/svc/diff?before=2&after=3&application=classifier'
  ]);
});

test('nothing is asked for before somebody looks', async () => {
  const quiet = new Server();
  new Model(quiet, 'other');
  await jest.advanceTimersByTimeAsync(600_000);
  expect(quiet.asked).toEqual([]);
});

test('what there is, is shown, and is live once an event has come through', async () => {
  expect(names()).toEqual(['one']);
  expect(model.live).toBe(false);
  model.hear(server.event(echo));
  expect(model.live).toBe(true);
});

test('an idle page asks for nothing for minutes, and then tells again what it shows', async () => {
  model.hear(server.event(echo));
  await jest.advanceTimersByTimeAsync(230_000);
  expect(server.looks).toBe(1);
  await jest.advanceTimersByTimeAsync(11_000);
  expect(server.looks).toBe(2);
});

test('a change is shown without a request', async () => {
  model.hear(server.event(echo));
  model.hear(
    server.event({ type: 'status', kind: 'cluster', name: 'two', status: cluster('two') })
  );
  expect(names()).toEqual(['one', 'two']);
  model.hear(server.event({ type: 'gone', kind: 'cluster', name: 'one' }));
  expect(names()).toEqual(['two']);
  expect(server.looks).toBe(1);
});

test('what did not change stays the same object, so that it is not drawn anew', async () => {
  const before = model.clusters.get('one');
  server.clusters = [cluster('one'), cluster('two')];
  await model.refresh();
  expect(model.clusters.get('one')).toBe(before);
  expect(names()).toEqual(['one', 'two']);
});

test('a missed event is noticed by its number, and all is asked for again', async () => {
  server.event({ type: 'gone', kind: 'cluster', name: 'one' });
  server.clusters = [cluster('two')];
  model.hear(server.event(echo));
  await settled();
  expect(server.looks).toBe(2);
  expect(names()).toEqual(['two']);
});

test('a server that was restarted is noticed by its first event', async () => {
  Object.assign(server, { server: 'life-2', seq: 0, clusters: [] });
  model.hear(server.event({ type: 'synced' }));
  await settled();
  expect(names()).toEqual([]);
});

test('an event that comes before its snapshot is not lost', async () => {
  let give: (value: unknown) => void = () => undefined;
  server.answer = () => new Promise(resolve => (give = resolve));
  const asked = model.refresh();
  await settled();
  const told = server.snapshot();
  model.hear(server.event(echo));
  model.hear(
    server.event({ type: 'status', kind: 'cluster', name: 'two', status: cluster('two') })
  );
  give(told);
  await asked;
  expect(names()).toEqual(['one', 'two']);
  expect(model.live).toBe(true);
});

test('an event that the snapshot has already is not taken twice', async () => {
  model.hear({
    server: 'life-1',
    seq: 7,
    changes: [{ type: 'gone', kind: 'cluster', name: 'one' }]
  });
  expect(names()).toEqual(['one']);
  expect(server.looks).toBe(1);
});

test('while no event comes through, it looks again, ever less often', async () => {
  await jest.advanceTimersByTimeAsync(60_000);
  expect(model.live).toBe(false);
  expect(server.looks).toBeGreaterThan(4);
  expect(server.looks).toBeLessThan(12);
});

test('a server that does not answer leaves what was there, says so, and is found again', async () => {
  model.hear(server.event(echo));
  server.answer = () => {
    throw new Refusal({ message: 'No answer.', hint: '', kind: 'Offline' });
  };
  model.doubt();
  await settled();
  expect([names(), model.live, model.problem?.kind]).toEqual([['one'], false, 'Offline']);
  expect(model.lastSeen).toBeGreaterThan(0);
  server.answer = () => server.snapshot();
  await jest.advanceTimersByTimeAsync(1000);
  model.hear(server.event(echo));
  expect([model.live, model.problem]).toEqual([true, null]);
});

test('what was known stays while a server that has just started does not know it yet', async () => {
  Object.assign(server, { clusters: [], synced: false });
  await model.refresh();
  expect(names()).toEqual(['one']);
  Object.assign(server, { clusters: [cluster('two')], synced: true });
  model.hear(server.event({ type: 'synced' }));
  await settled();
  expect(names()).toEqual(['two']);
});

test('a problem is told with the time since when what is shown may be old', async () => {
  model.hear(server.event(echo));
  const problem = {
    message: 'The API server does not answer.',
    hint: 'Wait.',
    kind: 'Unreachable'
  };
  model.hear(server.event({ type: 'problem', problem, since: '2026-01-01T10:00:00+00:00' }));
  expect(model.problem).toEqual(problem);
  expect(model.lastSeen).toBe(Date.parse('2026-01-01T10:00:00Z'));
  model.hear(server.event({ type: 'problem', problem: null, since: '' }));
  expect(model.problem).toBeNull();
});

test('a page that goes tells so, and hears nothing any more', async () => {
  model.leave();
  expect(server.asked).toContain('DELETE views/page');
  model.dispose();
  model.hear(server.event({ type: 'gone', kind: 'cluster', name: 'one' }));
  expect(names()).toEqual(['one']);
});

const publication = {
  name: 'sum',
  verb: 'publish' as const,
  began: '2026-01-01T00:00:00Z',
  state: 'running' as const,
  steps: [{ phase: 'code', message: 'Found.', seconds: 0.1 }],
  problem: null,
  revision: null,
  url: '',
  call: ''
};

test('an answer that an event has overtaken takes nothing back', async () => {
  server.answer = () => {
    const further = [...publication.steps, { phase: 'put', message: 'In.', seconds: 2 }];
    model.hear(
      server.event({
        type: 'publication',
        name: 'sum',
        publication: { ...publication, steps: further }
      })
    );
    return publication;
  };
  await model.publish({ name: 'sum', app: 'a:b' });
  expect(model.publications.get('sum')!.steps).toHaveLength(2);
});

test('a publication of the same name that began later takes the place of the one before', async () => {
  model.hear(
    server.event({
      type: 'publication',
      name: 'sum',
      publication: { ...publication, state: 'failed' }
    })
  );
  server.answer = () => ({ ...publication, began: '2026-01-01T01:00:00Z' });
  await model.rollback('sum');
  expect(model.publications.get('sum')!.state).toBe('running');
});

test('what a service was asked goes when it does', () => {
  const traffic = {
    url: 'http://a',
    call: '',
    replicas: 1,
    replicas_wanted: 1,
    requests_per_s: null,
    p95_ms: null
  };
  model.hear(server.event({ type: 'traffic', name: 'sum', traffic }));
  expect(model.traffic.get('sum')).toEqual(traffic);
  model.hear(server.event({ type: 'gone', kind: 'service', name: 'sum' }));
  expect(model.traffic.size).toBe(0);
});

test('the same cards in another order are no news to the server', async () => {
  model.show({ clusters: ['a', 'b'], services: [], runs: false });
  await settled();
  const { looks } = server;
  model.show({ clusters: ['b', 'a'], services: [], runs: false });
  await settled();
  expect(server.looks).toBe(looks);
});

// --- runs ---

const ran = () => [...model.runs.values()].map(each => `${each.id} ${each.done}`);

test('runs are told once somebody looks at them, and then each cell without a request', async () => {
  model.hear(server.event(echo));
  expect(model.runsKnown).toBe(false);
  server.runs = [run({ id: '1' })];
  model.show({ clusters: [], services: [], runs: true });
  await settled();
  expect([model.runsKnown, ran()]).toEqual([true, ['1 0']]);
  model.hear(server.event(echo));
  model.hear(server.event({ type: 'run', run: run({ id: '2', done: 1 }) }));
  model.hear(server.event({ type: 'run', run: run({ id: '1', done: 2 }) }));
  expect(ran()).toEqual(['2 1', '1 2']);
  model.hear(server.event({ type: 'gone', kind: 'run', name: '1' }));
  expect(ran()).toEqual(['2 1']);
  expect(server.looks).toBe(2);
});

test('runs that are known later than a page was answered are asked for', async () => {
  model.show({ clusters: [], services: [], runs: true });
  await settled();
  model.hear(server.event(echo));
  server.runs = [run({ id: '1' })];
  model.hear(server.event({ type: 'runs' }));
  await settled();
  expect(ran()).toEqual(['1 0']);
});

test('runs stay while nobody looks at them', async () => {
  server.runs = [run({ id: '1' })];
  model.show({ clusters: [], services: [], runs: true });
  await settled();
  server.runs = null;
  model.show({ clusters: [], services: [], runs: false });
  await settled();
  expect(ran()).toEqual(['1 0']);
});

test('a sweep is taken out of the list by its name and place', async () => {
  await model.forgetRuns('a sweep & more', 's3://a/b');
  await model.forgetRun('1');
  expect(server.asked.slice(-2)).toEqual([
    'DELETE runs?group=a sweep & more&folder=s3://a/b',
    'DELETE runs/1'
  ]);
});
