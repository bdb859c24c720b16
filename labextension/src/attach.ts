/**
 * Attaching a notebook by a cell that anyone can read, so that the notebook says how it was run.
 */
import { Dialog, type ISessionContext, showDialog } from '@jupyterlab/apputils';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import { attachCell, DETACH_CELL, ourCell } from './cells';

/** Put the cell in, or change the one that is there, and run it; the cell that was chosen stays so. */
export async function attach(
  panel: NotebookPanel,
  cluster: string,
  trans: TranslationBundle,
  replace = false
): Promise<boolean> {
  return run(panel, attachCell(cluster, replace), 'attach', trans);
}

/** The same for letting go. */
export function detach(panel: NotebookPanel, trans: TranslationBundle): Promise<boolean> {
  return run(panel, DETACH_CELL, 'detach', trans);
}

/** Put `text` in as a code cell below the one that is chosen, without running it. */
export function insert(panel: NotebookPanel, text: string): void {
  const { content: notebook } = panel;
  const at = notebook.activeCellIndex + 1;
  notebook.model?.sharedModel.insertCell(at, { cell_type: 'code', source: text, metadata: {} });
  notebook.deselectAll();
  notebook.activeCellIndex = at;
}

async function run(
  panel: NotebookPanel,
  text: string,
  verb: 'attach' | 'detach',
  trans: TranslationBundle
): Promise<boolean> {
  const { content: notebook, sessionContext } = panel;
  await sessionContext.ready;
  const model = notebook.model;
  if (!model || !(await hasKernel(sessionContext, trans))) {
    return false;
  }
  const chosen = notebook.activeCell;
  const sources = Array.from({ length: model.cells.length }, (_, index) => {
    const cell = model.cells.get(index);
    return cell.type === 'code' ? cell.sharedModel.getSource() : '';
  });
  let at = ourCell(sources, verb);
  if (at >= 0) {
    model.cells.get(at).sharedModel.setSource(text);
  } else {
    // Before what is chosen, which may need it; letting go comes after it.
    at = verb === 'attach' ? notebook.activeCellIndex : notebook.activeCellIndex + 1;
    model.sharedModel.insertCell(at, { cell_type: 'code', source: text, metadata: {} });
  }
  notebook.deselectAll();
  notebook.activeCellIndex = at;
  const done = NotebookActions.run(notebook, sessionContext);
  const now = notebook.widgets.indexOf(chosen!);
  notebook.activeCellIndex = now >= 0 ? now : at;
  return done;
}

/** A kernel that takes a request; a busy one does, and gets to it when it is free. */
async function hasKernel(context: ISessionContext, trans: TranslationBundle): Promise<boolean> {
  const kernel = context.session?.kernel;
  if (kernel && kernel.status !== 'dead') {
    return true;
  }
  if (kernel) {
    const { button } = await showDialog({
      title: trans.__('The kernel is dead'),
      body: trans.__('Nothing can be attached before it runs again.'),
      buttons: [
        Dialog.cancelButton(),
        Dialog.okButton({ label: trans.__('Start Again and Attach') })
      ]
    });
    if (!button.accept) {
      return false;
    }
    // The server has forgotten a dead kernel and its session, so that it cannot be restarted: others take their place.
    const { name } = kernel;
    await context.shutdown();
    return (await context.changeKernel({ name })) !== null;
  }
  return !(await context.startKernel()) && !!context.session?.kernel;
}
