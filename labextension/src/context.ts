/**
 * What commands and the panel need, together.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDraft } from './components/form';
import { showProblem } from './dialogs';
import type { IApps } from './remembered';
import type { IAttachments, IModel } from './tokens';

/** What a person has set; see schema/panel.json. */
export interface ISettings {
  readonly defaultProfile: string;
  readonly confirm: boolean;
  readonly side: 'left' | 'right';
}

export interface IContext {
  readonly app: JupyterFrontEnd;
  readonly model: IModel;
  readonly trans: TranslationBundle;
  readonly settings: ISettings;
  readonly draft: IDraft;
  readonly apps: IApps;
  /** Null where there are no notebooks. */
  readonly notebooks: INotebookTracker | null;
  readonly attachments: IAttachments | null;
}

/** What a command is about: its argument, or the card that the context menu was opened on. */
export function nameOf(
  context: IContext,
  args: { readonly name?: unknown },
  kind: 'cluster' | 'service'
): string {
  if (typeof args.name === 'string') {
    return args.name;
  }
  const card = context.app.contextMenuHitTest(
    node => node.dataset.kind === kind && node.classList.contains('jp-kuberay-Card')
  );
  return card?.dataset.name ?? '';
}

/** Do it; what stands in the way is told under `title`. Whether it was done. */
export async function trying(
  context: IContext,
  title: string,
  act: () => Promise<unknown>
): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    await showProblem(title, error, context.trans);
    return false;
  }
}
