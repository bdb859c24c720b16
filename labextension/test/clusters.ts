import type { ICluster } from '../src/tokens';

/** A cluster as the server tells of it; ready, unless said otherwise. */
export function cluster(more: Partial<ICluster> = {}): ICluster {
  return {
    name: 'one',
    phase: 'Ready',
    user: 'ada',
    profile: 'gpu',
    created: '2026-01-01T00:00:00Z',
    cause: null,
    notes: [],
    foreign: false,
    ready: { gpu: 1 },
    wanted: { gpu: 1 },
    gpus: 1,
    simulated_gpus: false,
    ray_version: '2.58.0',
    nodes: [],
    owner: '',
    ...more
  };
}
