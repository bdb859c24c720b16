import { Starts, type StartTimes } from '../src/starts';
import type { ICluster } from '../src/tokens';
import { cluster as anyCluster } from './clusters';

const CREATED = '2026-01-01T00:00:00Z';
const MADE = Date.parse(CREATED);

const cluster = (phase: ICluster['phase'], more: Partial<ICluster> = {}): ICluster =>
  anyCluster({ phase, created: CREATED, ...more });

/** A cluster goes through `phases`, ten seconds between them. */
function lives(starts: Starts, phases: readonly ICluster['phase'][], more = {}): void {
  let before: ICluster | undefined;
  phases.forEach((phase, index) => {
    const after = cluster(phase, more);
    starts.see(before, after, MADE + 10_000 * (index + 1));
    before = after;
  });
}

test('what is usual is the median of the starts that were seen', () => {
  const starts = new Starts({ gpu: [10, 100] });
  expect(starts.usual('cpu')).toBeNull();
  lives(starts, ['Pending', 'Starting', 'Ready']);
  expect(starts.usual('gpu')).toBe(30);
});

test('each start is kept, and of many the last', () => {
  let kept: StartTimes = {};
  const starts = new Starts({}, times => {
    kept = times;
  });
  for (let count = 0; count < 20; count++) {
    lives(starts, ['Starting', 'Ready']);
  }
  expect(kept.gpu).toHaveLength(9);
  expect(kept.gpu[0]).toBe(20);
});

test('a way through Degraded is one start', () => {
  const starts = new Starts();
  lives(starts, ['Starting', 'Degraded', 'Ready']);
  expect(starts.usual('gpu')).toBe(30);
});

test('starting again is no start from nothing, and is counted from when it began', () => {
  const starts = new Starts();
  lives(starts, ['Suspended', 'Starting']);
  expect(starts.began('one')).toBe(MADE + 20_000);
  starts.see(cluster('Starting'), cluster('Ready'), MADE + 30_000);
  expect(starts.began('one')).toBeNull();
  expect(starts.usual('gpu')).toBeNull();
});

test('what has waited for longer than an hour when it is first seen tells nothing usual', () => {
  const starts = new Starts();
  starts.see(undefined, cluster('Pending'), MADE + 2 * 60 * 60 * 1000);
  starts.see(cluster('Pending'), cluster('Ready'), MADE + 2 * 60 * 60 * 1000 + 1);
  expect(starts.usual('gpu')).toBeNull();
});

test('the cluster below a service, and one that failed, tell nothing usual', () => {
  const starts = new Starts();
  lives(starts, ['Starting', 'Ready'], { owner: 'summarizer' });
  lives(starts, ['Starting', 'Failed', 'Ready']);
  expect(starts.usual('gpu')).toBeNull();
});

test('one that was deleted begins anew', () => {
  const starts = new Starts();
  starts.see(undefined, cluster('Starting'), MADE);
  starts.forget('one');
  expect(starts.began('one')).toBeNull();
});
