/**
 * A log in the main area: its lines as they come.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import { Refusal } from './rest';
import type { IModel } from './tokens';

const MOST_LINES = 5000;

export class Log extends Widget {
  constructor(
    private readonly model: IModel,
    private readonly cluster: string,
    private readonly logNode: string,
    private readonly trans: TranslationBundle
  ) {
    super({ node: document.createElement('pre') });
    this.addClass('jp-kuberay-Log');
    this.node.tabIndex = 0;
    this.title.label = logNode ? `${cluster}: ${logNode}` : cluster;
    this.title.caption = trans.__('Log of %1', this.title.label);
    void this._read();
  }

  override dispose(): void {
    this._end.abort();
    super.dispose();
  }

  private async _read(): Promise<void> {
    try {
      for await (const line of this.model.logs(this.cluster, this.logNode, this._end.signal)) {
        this._add(line);
      }
      this._add(this.trans.__('— The log ends here. —'));
    } catch (error) {
      if (!this.isDisposed) {
        const problem = error instanceof Refusal ? error.problem : null;
        this._add(problem ? `${problem.message} ${problem.hint}` : String(error));
      }
    }
  }

  private _add(line: string): void {
    const node = this.node;
    // Who has scrolled up reads there; who is at the end wants what is new.
    const atEnd = node.scrollHeight - node.scrollTop - node.clientHeight < 20;
    // A text node: whatever a log says is text.
    node.appendChild(document.createTextNode(`${line}\n`));
    if (node.childNodes.length > MOST_LINES) {
      node.removeChild(node.firstChild!);
    }
    if (atEnd) {
      node.scrollTop = node.scrollHeight;
    }
  }

  private _end = new AbortController();
}
