/**
 * Values as a person reads them. Pure.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ICluster, IDifference, IService, ITraffic, IUsage, Phase } from './tokens';

/** What a group has of what it wants. */
export interface IGroup {
  readonly name: string;
  readonly ready: number;
  readonly wanted: number;
}

export function groups(cluster: ICluster): readonly IGroup[] {
  return Object.entries(cluster.wanted).map(([name, wanted]) => ({
    name,
    wanted,
    ready: cluster.ready[name] ?? 0
  }));
}

/** Clusters that a person made, not those below services and jobs. */
export function own(clusters: Iterable<ICluster>): readonly ICluster[] {
  return [...clusters].filter(cluster => !cluster.owner);
}

/** GPUs that clusters hold now: none are held by what is suspended or has failed. */
export function gpusHeld(clusters: Iterable<ICluster>): number {
  const holds = (cluster: ICluster) => !['Suspended', 'Failed'].includes(cluster.phase);
  return [...clusters].filter(holds).reduce((sum, cluster) => sum + cluster.gpus, 0);
}

/** Seconds since `created`, never less than 0; NaN where that is not known. */
export function seconds(created: string, now: number): number {
  return Math.max(0, (now - Date.parse(created)) / 1000);
}

/** Such as "0:38": minutes and seconds of something that goes on. */
export function elapsed(total: number): string {
  const whole = Math.floor(total);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** Such as "2 h 5 min": how long ago, in at most two units. */
export function age(total: number, trans: TranslationBundle): string {
  if (Number.isNaN(total)) {
    return '';
  }
  const minutes = Math.floor(total / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes < 1) {
    return trans.__('< 1 min');
  }
  if (hours < 1) {
    return trans.__('%1 min', minutes);
  }
  if (hours < 24) {
    return minutes % 60 ? trans.__('%1 h %2 min', hours, minutes % 60) : trans.__('%1 h', hours);
  }
  return trans.__('%1 d', Math.floor(hours / 24));
}

/** Such as "62%"; of nothing, nothing. */
export function share(used: number, of: number): number {
  return of > 0 ? Math.min(1, Math.max(0, used / of)) : 0;
}

const GIB = 2 ** 30;

/** What is in use, as label, share and words for each kind that there is. */
export function bars(
  usage: IUsage,
  trans: TranslationBundle
): readonly { readonly label: string; readonly share: number; readonly words: string }[] {
  const number = (value: number) => String(Math.round(value * 10) / 10);
  const found = [
    {
      label: trans.__('CPU'),
      used: usage.cpus_used,
      of: usage.cpus,
      words: trans.__('%1 of %2 CPUs in use', number(usage.cpus_used), number(usage.cpus))
    },
    {
      label: trans.__('GPU'),
      used: usage.gpus_used,
      of: usage.gpus,
      words: trans.__('%1 of %2 GPUs in use', number(usage.gpus_used), number(usage.gpus))
    },
    {
      label: trans.__('Mem'),
      used: usage.memory_used,
      of: usage.memory,
      words: trans.__(
        '%1 of %2 GiB of memory in use',
        number(usage.memory_used / GIB),
        number(usage.memory / GIB)
      )
    }
  ];
  return found
    .filter(each => each.of > 0)
    .map(each => ({ label: each.label, share: share(each.used, each.of), words: each.words }));
}

/** Such as "2 of 2 replicas · 12 req/s · p95 80 ms": what is not known is left out. */
export function traffic(traffic: ITraffic, trans: TranslationBundle): string {
  const { replicas, replicas_wanted, requests_per_s, p95_ms } = traffic;
  const few = (value: number) =>
    String(value < 10 ? Math.round(value * 10) / 10 : Math.round(value));
  return [
    replicas === null || replicas_wanted === null
      ? ''
      : replicas_wanted === 0 && replicas === 0
        ? trans.__('scaled to zero')
        : trans._n('%2 of %1 replica', '%2 of %1 replicas', replicas_wanted, replicas),
    requests_per_s === null ? '' : trans.__('%1 req/s', few(requests_per_s)),
    p95_ms === null ? '' : trans.__('p95\u00a0%1\u00a0ms', few(p95_ms))
  ]
    .filter(Boolean)
    .join(' · ');
}

/** Such as "classifier · RUNNING · revision 3 · 0 to 4 replicas · /classify": one of a service's applications. */
export function applicationWords(
  application: IService['applications'][number],
  trans: TranslationBundle
): string {
  const { name, state, revision, replicas, route_prefix } = application;
  const number = revision === null ? '' : trans.__('revision %1', revision);
  return [name, state, number, replicas, route_prefix].filter(Boolean).join(' · ');
}

/** One row of what two revisions differ in. */
export interface IDifferenceRow {
  readonly what: string;
  readonly before: string;
  readonly after: string;
  readonly change: string;
}

/** What two revisions differ in, row by row; the lines of files are not in it. */
export function differenceRows(
  difference: IDifference,
  trans: TranslationBundle
): readonly IDifferenceRow[] {
  const { facts, settings, scaling, metrics, files } = difference;
  const word = (value: unknown) =>
    value === null ? '–' : typeof value === 'string' ? value : JSON.stringify(value);
  const few = (value: number | null) => (value === null ? '–' : String(+value.toPrecision(4)));
  const change = {
    added: trans.__('added'),
    removed: trans.__('removed'),
    changed: trans.__('changed')
  };
  return [
    ...[...facts, ...settings, ...scaling].map(each => ({
      what: each.key,
      before: word(each.before),
      after: word(each.after),
      change: ''
    })),
    ...metrics.map(each => ({
      what: each.key,
      before: few(each.before),
      after: few(each.after),
      change:
        each.difference === null ? '' : `${each.difference > 0 ? '+' : ''}${few(each.difference)}`
    })),
    ...files.map(each => ({
      what: each.path,
      before: '',
      after: '',
      change: change[each.change]
    }))
  ];
}

/** A phase in the user's language. */
export function phaseWord(phase: Phase, trans: TranslationBundle): string {
  return {
    Pending: trans.__('Pending'),
    Starting: trans.__('Starting'),
    Ready: trans.__('Ready'),
    Degraded: trans.__('Degraded'),
    Suspended: trans.__('Suspended'),
    Stopping: trans.__('Stopping'),
    Failed: trans.__('Failed')
  }[phase];
}

export function comesUp(phase: Phase): boolean {
  return phase === 'Pending' || phase === 'Starting';
}

/** What is lost when a cluster is deleted. */
export function lost(
  cluster: ICluster,
  notebooks: readonly string[],
  trans: TranslationBundle
): string {
  const attached = notebooks.length
    ? ` ${trans._n('%2 is attached and loses its objects.', '%2 are attached and lose their objects.', notebooks.length, notebooks.join(', '))}`
    : '';
  return ends(cluster, trans) + attached;
}

function ends(cluster: ICluster, trans: TranslationBundle): string {
  const workers = Object.values(cluster.ready).reduce((sum, count) => sum + count, 0);
  return workers
    ? trans._n(
        'Its head and %1 worker end; what runs there, and what is in their memory, is lost.',
        'Its head and %1 workers end; what runs there, and what is in their memory, is lost.',
        workers
      )
    : trans.__('What runs there, and what is in its memory, is lost.');
}

/** A name that nobody has yet, such as "cluster-2". */
export function freeName(taken: ReadonlySet<string>, stem: string): string {
  for (let number = 1; ; number++) {
    const name = number === 1 ? stem : `${stem}-${number}`;
    if (!taken.has(name)) {
      return name;
    }
  }
}
