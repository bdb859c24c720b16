import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';
import { Refusal } from '../rest';
import type { IFoundModel, IModel, IProblem } from '../tokens';

/** The models in run folders. They are looked for when somebody opens the list: no watch tells of files. */
export class Models extends ReactWidget {
  constructor(
    private readonly model: IModel,
    private readonly publish: (path: string) => void,
    private readonly trans: TranslationBundle
  ) {
    super();
  }

  async refresh(): Promise<void> {
    try {
      this._found = await this.model.models();
      this._problem = null;
    } catch (error) {
      if (!(error instanceof Refusal)) {
        throw error;
      }
      this._problem = error.problem;
    }
    this.update();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    void this.refresh();
  }

  protected override render(): React.ReactElement {
    const { trans } = this;
    if (this._problem || !this._found?.length) {
      return (
        <div className="jp-kuberay-Empty" role="status">
          <p>
            {this._problem
              ? `${this._problem.message} ${this._problem.hint}`
              : this._found
                ? trans.__('No run has left a model here yet.')
                : trans.__('Looking for models…')}
          </p>
        </div>
      );
    }
    return (
      <ul className="jp-kuberay-List" aria-label={trans.__('Models')}>
        {this._found.map(each => (
          <li key={each.path} className="jp-kuberay-Card">
            <div className="jp-kuberay-Head">
              <span className="jp-kuberay-Name" title={each.path}>
                {each.title}
              </span>
              <span className="jp-kuberay-Since">{new Date(each.when).toLocaleDateString()}</span>
            </div>
            <div className="jp-kuberay-Note">{judged(each, trans)}</div>
            <div className="jp-kuberay-Actions">
              <Button
                small
                aria-label={trans.__('Publish %1…', each.title)}
                onClick={() => this.publish(each.path)}
              >
                {trans.__('Publish…')}
              </Button>
            </div>
          </li>
        ))}
      </ul>
    );
  }

  private _found: readonly IFoundModel[] | null = null;
  private _problem: IProblem | null = null;
}

/** How good it was found to be. */
function judged(found: IFoundModel, trans: TranslationBundle): string {
  const score = found.metrics.rougeL;
  return [
    found.validated === true
      ? trans.__('validated')
      : found.validated === false
        ? trans.__('did not pass its validation')
        : trans.__('not validated'),
    score === undefined ? '' : `ROUGE-L ${score.toFixed(3)}`
  ]
    .filter(Boolean)
    .join(' · ');
}
