import type { IRun } from '../src/tokens';

/** A run as the server tells of it; it has succeeded, unless said otherwise. */
export function run(more: Partial<IRun> = {}): IRun {
  return {
    id: '1',
    notebook: '/files/03_training.ipynb',
    notebook_path: '03_training.ipynb',
    output: `/files/out/${more.id ?? '1'}.ipynb`,
    output_path: `out/${more.id ?? '1'}.ipynb`,
    state: 'Succeeded',
    parameters: {},
    cells: 3,
    done: 0,
    cell: '',
    values: {},
    cluster: '',
    started: '2026-01-01T00:00:00+00:00',
    ended: '2026-01-01T00:01:00+00:00',
    error: '',
    hint: '',
    group: '',
    job: '',
    ...more
  };
}
