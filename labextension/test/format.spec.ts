import { nullTranslator } from '@jupyterlab/translation';
import {
  age,
  applicationWords,
  bars,
  differenceRows,
  elapsed,
  freeName,
  gpusHeld,
  lost,
  share,
  traffic
} from '../src/format';
import type { ICluster } from '../src/tokens';

const trans = nullTranslator.load('jupyter_kuberay');

test.each([
  [12, '< 1 min'],
  [61, '1 min'],
  [3600, '1 h'],
  [3600 * 2 + 300, '2 h 5 min'],
  [86400 * 3, '3 d'],
  [NaN, '']
])('an age of %s s is "%s"', (seconds, words) => {
  expect(age(seconds, trans)).toBe(words);
});

test('what goes on is counted in minutes and seconds', () => {
  expect([elapsed(0), elapsed(38.9), elapsed(125)]).toEqual(['0:00', '0:38', '2:05']);
});

test('a share is between nothing and all', () => {
  expect([share(1, 2), share(3, 2), share(1, 0), share(-1, 2)]).toEqual([0.5, 1, 0, 0]);
});

test('what a cluster has none of has no bar', () => {
  const usage = {
    cpus_used: 1,
    cpus: 4,
    gpus_used: 0,
    gpus: 0,
    memory_used: 2 ** 30,
    memory: 2 ** 32,
    idle_since: null
  };
  expect(bars(usage, trans).map(bar => [bar.label, bar.share, bar.words])).toEqual([
    ['CPU', 0.25, '1 of 4 CPUs in use'],
    ['Mem', 0.25, '1 of 4 GiB of memory in use']
  ]);
});

test('a suspended cluster holds no GPU', () => {
  const of = (phase: string, gpus: number) => ({ phase, gpus }) as ICluster;
  expect(gpusHeld([of('Ready', 2), of('Suspended', 4), of('Failed', 8), of('Starting', 1)])).toBe(
    3
  );
});

test('a free name is the first that nobody has', () => {
  expect(freeName(new Set(['cluster', 'cluster-2']), 'cluster')).toBe('cluster-3');
  expect(freeName(new Set(), 'cluster')).toBe('cluster');
});

test('of a service’s traffic what is not known is left out', () => {
  const known = {
    url: '',
    call: '',
    replicas: 1,
    replicas_wanted: 2,
    requests_per_s: 12.34,
    p95_ms: 8.26
  };
  expect(traffic(known, trans)).toBe('1 of 2 replicas · 12 req/s · p95\u00a08.3\u00a0ms');
  const unknown = { ...known, requests_per_s: null, p95_ms: null };
  expect(traffic({ ...unknown, replicas_wanted: 1 }, trans)).toBe('1 of 1 replica');
});

test('a service that is scaled to zero is not said to lack replicas', () => {
  const none = { replicas: 0, replicas_wanted: 0, requests_per_s: 0, p95_ms: null };
  expect(traffic({ url: '', call: '', ...none }, trans)).toBe('scaled to zero · 0 req/s');
  expect(traffic({ url: '', call: '', ...none, replicas: 1 }, trans)).toMatch(/^1 of 0/);
});

test('one of several applications is told in a line, without what is not known', () => {
  const one = { name: 'classifier', state: 'RUNNING', message: '', model: 's3://m' };
  const asked = { revision: 3, replicas: '0 to 4 replicas', route_prefix: '/classify' };
  expect(applicationWords({ ...one, ...asked }, trans)).toBe(
    'classifier · RUNNING · revision 3 · 0 to 4 replicas · /classify'
  );
  const unknown = { revision: null, replicas: '', route_prefix: '' };
  expect(applicationWords({ ...one, ...unknown }, trans)).toBe('classifier · RUNNING');
});

test('what two revisions differ in is a row each, and a metric tells by how much it moved', () => {
  const found = {
    before: 2,
    after: 3,
    same_code: false,
    files: [{ path: 'app.py', change: 'changed' as const, text: '-a\n+b\n' }],
    code_note: '',
    facts: [{ key: 'model', before: 's3://1', after: 's3://2' }],
    settings: [{ key: 'beams', before: null, after: 4 }],
    scaling: [{ key: 'max_replicas', before: 1, after: null }],
    metrics: [
      { key: 'rougeL', before: 0.5, after: 0.75, difference: 0.25 },
      { key: 'loss', before: 2, after: 1.5, difference: -0.5 },
      { key: 'new', before: null, after: 1.23456, difference: null }
    ]
  };
  const rows = differenceRows(found, trans);
  expect(rows.map(each => [each.what, each.before, each.after, each.change])).toEqual([
    ['model', 's3://1', 's3://2', ''],
    ['beams', '–', '4', ''],
    ['max_replicas', '1', '–', ''],
    ['rougeL', '0.5', '0.75', '+0.25'],
    ['loss', '2', '1.5', '-0.5'],
    ['new', '–', '1.235', ''],
    ['app.py', '', '', 'changed']
  ]);
});

test('whoever deletes is told how many workers end, and which notebooks lose their objects', () => {
  const cluster = { ready: { gpu: 3 } } as unknown as ICluster;
  expect(lost(cluster, ['a.ipynb', 'b.ipynb'], trans)).toMatch(
    /3 workers end.* a\.ipynb, b\.ipynb are attached/
  );
  expect(lost({ ready: {} } as unknown as ICluster, [], trans)).not.toMatch(/worker|attached/);
});
