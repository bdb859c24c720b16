import { nullTranslator } from '@jupyterlab/translation';
import { age, bars, elapsed, freeName, gpusHeld, lost, share, traffic } from '../src/format';
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

test('whoever deletes is told how many workers end, and which notebooks lose their objects', () => {
  const cluster = { ready: { gpu: 3 } } as unknown as ICluster;
  expect(lost(cluster, ['a.ipynb', 'b.ipynb'], trans)).toMatch(
    /3 workers end.* a\.ipynb, b\.ipynb are attached/
  );
  expect(lost({ ready: {} } as unknown as ICluster, [], trans)).not.toMatch(/worker|attached/);
});
