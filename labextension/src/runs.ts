/**
 * Runs of notebooks as a person reads them: those of one sweep or pipeline together. Pure.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IRun, RunState } from './tokens';

/** Told anew by id, in the order told; what is the same as before is the same object, so that nothing shows it anew. */
export function mergedRuns(
  before: ReadonlyMap<string, IRun>,
  told: readonly IRun[]
): ReadonlyMap<string, IRun> {
  return new Map(
    told.map(run => {
      const known = before.get(run.id);
      return [run.id, known && JSON.stringify(known) === JSON.stringify(run) ? known : run];
    })
  );
}

/** With `run` in its place, the newest first. */
export function withRun(before: ReadonlyMap<string, IRun>, run: IRun): ReadonlyMap<string, IRun> {
  if (before.has(run.id)) {
    return new Map(before).set(run.id, run);
  }
  const all = [run, ...before.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  return new Map(all.map(each => [each.id, each]));
}

export function goesOn(run: IRun): boolean {
  return run.state === 'Pending' || run.state === 'Running';
}

/** A run alone, or all of a sweep or pipeline. */
export interface IRow {
  readonly key: string;
  /** '' for a run alone. */
  readonly group: string;
  /** Where all its outputs lie: another sweep may have the same name elsewhere. */
  readonly folder: string;
  /** The newest first. */
  readonly runs: readonly IRun[];
}

/**
 * The rows of the list, each where its newest run is.
 *
 * Of a sweep or pipeline that was resumed, the last run to each output counts: it has taken the place of those before.
 */
export function rows(runs: Iterable<IRun>): readonly IRow[] {
  const found = new Map<string, { row: IRow; runs: IRun[]; outputs: Set<string> }>();
  for (const run of runs) {
    const folder = folderOf(run.output);
    const key = run.group ? `group/${folder}/${run.group}` : `run/${run.id}`;
    let at = found.get(key);
    if (!at) {
      const members: IRun[] = [];
      at = {
        row: { key, group: run.group, folder, runs: members },
        runs: members,
        outputs: new Set()
      };
      found.set(key, at);
    }
    if (!at.outputs.has(run.output)) {
      at.outputs.add(run.output);
      at.runs.push(run);
    }
  }
  return [...found.values()].map(each => each.row);
}

export interface ICounts {
  readonly all: number;
  readonly running: number;
  readonly done: number;
  readonly failed: number;
  readonly interrupted: number;
}

export function counts(runs: readonly IRun[]): ICounts {
  const among = (...states: RunState[]) => runs.filter(run => states.includes(run.state)).length;
  return {
    all: runs.length,
    running: among('Pending', 'Running'),
    done: among('Succeeded'),
    failed: among('Failed', 'Lost'),
    interrupted: among('Interrupted')
  };
}

/** How they are together: one that goes on tells most, then one that went wrong. */
export function together(of: ICounts): RunState {
  return of.running
    ? 'Running'
    : of.failed
      ? 'Failed'
      : of.interrupted
        ? 'Interrupted'
        : 'Succeeded';
}

/** Such as "12 of 20 done · 1 failed · 2 running". */
export function countWords(of: ICounts, trans: TranslationBundle): string {
  return [
    trans.__('%1 of %2 done', of.done, of.all),
    of.failed ? trans.__('%1 failed', of.failed) : '',
    of.interrupted ? trans.__('%1 interrupted', of.interrupted) : '',
    of.running ? trans.__('%1 running', of.running) : ''
  ]
    .filter(Boolean)
    .join(' · ');
}

/** Of the panel's title: how many there are, and how many of them go on. */
export function runsSummary(runs: ReadonlyMap<string, IRun>, trans: TranslationBundle): string {
  const running = [...runs.values()].filter(goesOn).length;
  return !runs.size
    ? ''
    : running
      ? trans.__('%1 · %2 running', runs.size, running)
      : String(runs.size);
}

export function runWord(state: RunState, trans: TranslationBundle): string {
  return {
    Pending: trans.__('Pending'),
    Running: trans.__('Running'),
    Succeeded: trans.__('Succeeded'),
    Failed: trans.__('Failed'),
    Interrupted: trans.__('Interrupted'),
    Lost: trans.__('Lost')
  }[state];
}

/** The last part of a path or URL. */
export function fileName(place: string): string {
  return place.slice(place.lastIndexOf('/') + 1) || place;
}

/** What comes before the last part. */
export function folderOf(place: string): string {
  return place.slice(0, Math.max(0, place.lastIndexOf('/')));
}

/** Such as "lr=1e-4 · seed=2". */
export function pairs(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(' · ');
}

/** Seconds that it took, or has taken until `now`; NaN where it has not begun. */
export function took(run: IRun, now: number): number {
  return Math.max(0, ((Date.parse(run.ended) || now) - Date.parse(run.started)) / 1000);
}

/** Such as "1.4 s", "3 min 20 s" or "2 h 5 min". */
export function lasted(total: number, trans: TranslationBundle): string {
  if (total < 60) {
    return trans.__('%1 s', total.toFixed(1));
  }
  const whole = Math.round(total);
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? trans.__('%1 min %2 s', minutes, whole % 60)
    : trans.__('%1 h %2 min', Math.floor(minutes / 60), minutes % 60);
}
