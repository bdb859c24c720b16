import { nullTranslator } from '@jupyterlab/translation';
import {
  counts,
  countWords,
  lasted,
  mergedRuns,
  pairs,
  rows,
  runsSummary,
  together,
  took,
  withRun
} from '../src/runs';
import { run } from './runs';

const trans = nullTranslator.load('jupyter_kuberay');
const known = (...ids: string[]) =>
  mergedRuns(
    new Map(),
    ids.map(id => run({ id }))
  );

test('a run that is new comes first, and one that changed stays in its place', () => {
  const before = known('3', '2', '1');
  expect([...withRun(before, run({ id: '4' })).keys()]).toEqual(['4', '3', '2', '1']);
  const after = withRun(before, run({ id: '2', done: 1 }));
  expect([...after.keys()]).toEqual(['3', '2', '1']);
  expect(after.get('2')!.done).toBe(1);
  expect(after.get('1')).toBe(before.get('1'));
});

test('a run that did not change stays the same object, so that it is not drawn anew', () => {
  const before = known('2', '1');
  const after = mergedRuns(before, [run({ id: '3' }), run({ id: '2' }), run({ id: '1', done: 1 })]);
  expect([...after.keys()]).toEqual(['3', '2', '1']);
  expect(after.get('2')).toBe(before.get('2'));
  expect(after.get('1')).not.toBe(before.get('1'));
});

test('the runs of a sweep are one row, where the newest of them is', () => {
  const found = rows([
    run({ id: '5', group: 'lr' }),
    run({ id: '4' }),
    run({ id: '3', group: 'lr' }),
    run({ id: '2', group: 'pipeline' })
  ]);
  expect(found.map(row => [row.group, row.runs.map(each => each.id)])).toEqual([
    ['lr', ['5', '3']],
    ['', ['4']],
    ['pipeline', ['2']]
  ]);
});

test('sweeps of the same name in two folders are two rows', () => {
  const found = rows([
    run({ id: '3', group: 'lr', output: '/a/lr/0.ipynb' }),
    run({ id: '2', group: 'lr', output: 's3://b/lr/0.ipynb' }),
    run({ id: '1', group: 'lr', output: '/a/lr/1.ipynb' })
  ]);
  expect(found.map(row => [row.folder, row.runs.map(each => each.id)])).toEqual([
    ['/a/lr', ['3', '1']],
    ['s3://b/lr', ['2']]
  ]);
});

test('of a sweep that was resumed, the last run to each output counts', () => {
  const [row] = rows([
    run({ id: '3', group: 'lr', output: 'a', state: 'Succeeded' }),
    run({ id: '2', group: 'lr', output: 'b', state: 'Succeeded' }),
    run({ id: '1', group: 'lr', output: 'a', state: 'Failed' })
  ]);
  expect(countWords(counts(row.runs), trans)).toBe('2 of 2 done');
});

test('how many of a sweep are done is told with what went wrong', () => {
  const of = counts(
    (['Succeeded', 'Failed', 'Lost', 'Pending', 'Running', 'Interrupted'] as const).map(
      (state, index) => run({ id: String(index), state })
    )
  );
  expect(countWords(of, trans)).toBe('1 of 6 done · 2 failed · 1 interrupted · 2 running');
  expect(together(of)).toBe('Running');
  expect(together({ ...of, running: 0 })).toBe('Failed');
  expect(together({ ...of, running: 0, failed: 0 })).toBe('Interrupted');
  expect(together({ ...of, running: 0, failed: 0, interrupted: 0 })).toBe('Succeeded');
});

test('the title says how many there are, and how many go on', () => {
  expect(runsSummary(new Map(), trans)).toBe('');
  expect(runsSummary(known('2', '1'), trans)).toBe('2');
  expect(runsSummary(withRun(known('1'), run({ id: '2', state: 'Running' })), trans)).toBe(
    '2 · 1 running'
  );
});

test('parameters are read as they are set', () => {
  expect(pairs({ lr: '1e-4', seed: '2' })).toBe('lr=1e-4 · seed=2');
  expect(pairs({})).toBe('');
});

test('what goes on has taken the time until now, and what has ended until then', () => {
  const started = '2026-01-01T00:00:00+00:00';
  const now = Date.parse('2026-01-01T01:00:00+00:00');
  expect(took(run({ started, ended: '' }), now)).toBe(3600);
  expect(took(run({ started, ended: '2026-01-01T00:00:01.500+00:00' }), now)).toBe(1.5);
  expect([1.44, 200, 7500].map(each => lasted(each, trans))).toEqual([
    '1.4 s',
    '3 min 20 s',
    '2 h 5 min'
  ]);
});
