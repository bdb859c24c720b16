/**
 * Attaching a notebook by a cell that anyone can read, so that the notebook says how it was run.
 */
import type { ISessionContext } from '@jupyterlab/apputils';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';

const LOAD = '%load_ext jupyter_kuberay';
const OURS = /^\s*%kuberay\s+(attach|detach)\b/m;

/** The cell's text. */
export function attachCell(cluster: string): string {
  return `${LOAD}\n%kuberay attach ${cluster}`;
}

/** Which cell is ours already: the first that attaches and does nothing else; -1 for none. */
export function ourCell(sources: readonly string[]): number {
  return sources.findIndex(
    source =>
      OURS.test(source) &&
      source
        .split('\n')
        .map(line => line.trim())
        .every(line => !line || line === LOAD || OURS.test(line))
  );
}

/** Put the cell in, or change the one that is there, and run it; the place where one was stays. */
export async function attach(panel: NotebookPanel, cluster: string): Promise<boolean> {
  const { content: notebook, sessionContext } = panel;
  await sessionContext.ready;
  const model = notebook.model;
  if (!model || !(await hasKernel(sessionContext))) {
    return false;
  }
  const before = notebook.activeCellIndex;
  const sources = Array.from({ length: model.cells.length }, (_, index) => {
    const cell = model.cells.get(index);
    return cell.type === 'code' ? cell.sharedModel.getSource() : '';
  });
  const found = ourCell(sources);
  const at = found >= 0 ? found : before;
  const text = attachCell(cluster);
  if (found < 0) {
    model.sharedModel.insertCell(at, { cell_type: 'code', source: text, metadata: {} });
  } else {
    model.cells.get(found).sharedModel.setSource(text);
  }
  notebook.deselectAll();
  notebook.activeCellIndex = at;
  const done = await NotebookActions.run(notebook, sessionContext);
  notebook.activeCellIndex = found < 0 ? before + 1 : before;
  return done;
}

async function hasKernel(context: ISessionContext): Promise<boolean> {
  return context.session?.kernel
    ? true
    : !(await context.startKernel()) && !!context.session?.kernel;
}
