import { Losses } from '../src/losses';
import type { ICluster, INode } from '../src/tokens';
import { cluster } from './clusters';

const node = (name: string, ready = true): INode => ({
  name,
  group: name === 'head' ? 'head' : 'gpu',
  ready,
  reason: '',
  message: '',
  restarts: 0
});
const of = (nodes: readonly INode[], more: Partial<ICluster> = {}) => cluster({ nodes, ...more });

/** What is missed after each of `states`. */
function missed(...states: readonly ICluster[]): readonly (readonly string[])[] {
  const losses = new Losses();
  return states.map((state, index) => {
    losses.see(states[index - 1], state);
    return losses.of(state.name);
  });
}

test('a pod that was deleted is named until another has taken its place', () => {
  expect(
    missed(
      of([node('head'), node('a')]),
      of([node('head'), node('a', false)], { phase: 'Degraded' }),
      of([node('head')], { phase: 'Degraded' }),
      of([node('head'), node('b', false)], { phase: 'Degraded' }),
      of([node('head'), node('b')])
    )
  ).toEqual([[], [], ['a'], ['a'], []]);
});

test('each that goes is named, the head, too', () => {
  expect(
    missed(
      of([node('head'), node('a')]),
      of([node('head')], { phase: 'Degraded' }),
      of([], { phase: 'Starting' })
    )
  ).toEqual([[], ['a'], ['a', 'head']]);
});

test('of fewer that are wanted nobody misses any', () => {
  const wanted = { gpu: 1 };
  expect(
    missed(
      of([node('a'), node('b')], { wanted: { gpu: 2 } }),
      of([node('b')], { wanted, phase: 'Degraded' })
    )
  ).toEqual([[], []]);
});

test('what was not ready is not missed, nor what was suspended', () => {
  expect(
    missed(of([node('a', false)], { phase: 'Starting' }), of([], { phase: 'Starting' }))
  ).toEqual([[], []]);
  expect(missed(of([node('a')]), of([], { phase: 'Stopping' }))).toEqual([[], []]);
});

test('of a cluster that is seen for the first time nothing is known', () => {
  const losses = new Losses();
  losses.see(undefined, of([node('a')]));
  losses.see(of([node('a')]), of([], { phase: 'Degraded' }));
  expect(losses.of('one')).toEqual(['a']);
  losses.forget('one');
  losses.see(undefined, of([], { phase: 'Degraded' }));
  expect(losses.of('one')).toEqual([]);
});
