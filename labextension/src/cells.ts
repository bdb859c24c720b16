/**
 * The cells that are put into notebooks. Pure.
 */
const LOAD = '%load_ext jupyter_kuberay';

export const DETACH_CELL = `${LOAD}\n%kuberay detach`;

/** The cell that attaches; `replace`: also when the kernel is attached to another cluster. */
export function attachCell(cluster: string, replace = false): string {
  return `${LOAD}\n%kuberay attach ${cluster}${replace ? ' --replace' : ''}`;
}

/** Which cell is ours already: the first that does what `verb` says and nothing else; -1 for none. */
export function ourCell(sources: readonly string[], verb: 'attach' | 'detach'): number {
  const ours = new RegExp(`^%kuberay\\s+${verb}\\b`);
  return sources.findIndex(source => {
    const lines = source.split('\n').map(line => line.trim());
    return (
      lines.some(line => ours.test(line)) &&
      lines.every(line => !line || line === LOAD || ours.test(line))
    );
  });
}

/** A cell that asks a service, from wherever the notebook runs; `call` is what a shell would, such as "curl 'http://…/?text=a'". */
export function callCell(service: string, url: string, call: string): string {
  return [
    'import requests',
    'from jupyter_kuberay import Service',
    '',
    `with Service(${JSON.stringify(service)}).reach() as url:`,
    `    answer = requests.get(url + ${JSON.stringify(example(url, call))}, timeout=60)`,
    'answer.text'
  ].join('\n');
}

/** Path and query of the example in `call`, below `url`; "" for none. */
export function examplePath(url: string, call: string): string {
  return example(url, call).replace(/^\/+/, '');
}

function example(url: string, call: string): string {
  const [, asked] = /'(https?:\/\/[^']+)'/.exec(call) ?? [];
  const base = url.replace(/\/+$/, '');
  return asked?.startsWith(base) ? asked.slice(base.length) : '';
}
