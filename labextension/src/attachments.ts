/**
 * Which cluster each open notebook's kernel is attached to, as the kernels themselves tell.
 *
 * A kernel is asked once it is idle after something ran in it, from whatever client:
 * only it knows what its code did. Nothing is asked while nothing runs.
 */
import type { ISessionContext } from '@jupyterlab/apputils';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { type ISignal, Signal } from '@lumino/signaling';
import type { IAttachment, IAttachments } from './tokens';

/** Cells that follow each other are asked after once. */
const RESTS_MS = 200;
/** Nothing is imported by it: who never attached has not loaded that module. */
const QUESTION =
  '(lambda held: held and f"{held.cluster} {held.alive}")' +
  '(getattr(__import__("sys").modules.get("jupyter_kuberay.attach"), "attached", lambda: None)())';

export class Attachments implements IAttachments {
  constructor(private readonly notebooks: INotebookTracker) {
    notebooks.forEach(panel => this._follow(panel));
    notebooks.widgetAdded.connect((_, panel) => this._follow(panel));
    notebooks.currentChanged.connect(() => this._changed.emit());
  }

  get changed(): ISignal<IAttachments, void> {
    return this._changed;
  }

  of(path: string): IAttachment | null | undefined {
    return [...this._known].find(([panel]) => panel.context.path === path)?.[1];
  }

  get here(): string {
    const { currentWidget } = this.notebooks;
    const attachment = currentWidget && this._known.get(currentWidget);
    return attachment?.alive ? attachment.cluster : '';
  }

  on(cluster: string): readonly string[] {
    return [...this._known]
      .filter(([, attachment]) => attachment?.cluster === cluster)
      .map(([panel]) => panel.context.path)
      .sort();
  }

  private _follow(panel: NotebookPanel): void {
    const { sessionContext } = panel;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stale = true;
    const ask = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const kernel = sessionContext.session?.kernel;
        if (stale && kernel?.status === 'idle') {
          stale = false;
          void this._ask(panel, kernel);
        }
      }, RESTS_MS);
    };
    const ran = () => {
      stale = true;
      ask();
    };
    sessionContext.iopubMessage.connect((_, message) => {
      if (message.header.msg_type === 'execute_input') {
        ran();
      }
    });
    sessionContext.kernelChanged.connect(() => {
      this._set(panel, sessionContext.session?.kernel ? undefined : null);
      ran();
    });
    sessionContext.connectionStatusChanged.connect((_, status) => {
      if (status === 'connected') {
        ran();
      }
    });
    sessionContext.statusChanged.connect((_: ISessionContext, status: Kernel.Status) => {
      if (['restarting', 'autorestarting', 'dead', 'terminating'].includes(status)) {
        this._set(panel, null);
        stale = true;
      } else if (status === 'idle' && stale) {
        ask();
      }
    });
    panel.context.pathChanged.connect(() => this._changed.emit());
    panel.disposed.connect(() => {
      clearTimeout(timer);
      this._known.delete(panel);
      this._changed.emit();
    });
    void sessionContext.ready.then(ran);
  }

  private async _ask(panel: NotebookPanel, kernel: Kernel.IKernelConnection): Promise<void> {
    try {
      if ((await kernel.info).language_info.name !== 'python') {
        return;
      }
      const future = kernel.requestExecute({
        code: '',
        silent: true,
        store_history: false,
        user_expressions: { attached: QUESTION }
      });
      const { content } = await future.done;
      if (content.status === 'ok') {
        const answer = content.user_expressions?.attached as
          { data?: Record<string, string> } | undefined;
        this._set(panel, told(answer?.data?.['text/plain'] ?? ''));
      }
    } catch {
      // It has ended meanwhile: what follows it is told by its own signals.
    }
  }

  private _set(panel: NotebookPanel, attachment: IAttachment | null | undefined): void {
    if (panel.isDisposed || JSON.stringify(this._known.get(panel)) === JSON.stringify(attachment)) {
      return;
    }
    this._known.set(panel, attachment);
    this._changed.emit();
  }

  private _known = new Map<NotebookPanel, IAttachment | null | undefined>();
  private _changed = new Signal<this, void>(this);
}

/** What Python shows of the answer: `None`, or such as `'training True'`. */
export function told(shown: string): IAttachment | null {
  const found = /^'([a-z0-9.-]+) (True|False)'$/.exec(shown.trim());
  return found && { cluster: found[1], alive: found[2] === 'True' };
}
