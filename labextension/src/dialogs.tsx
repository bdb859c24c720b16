/**
 * What is asked and shown in dialogs.
 */
import { Dialog, ReactWidget, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { NewClusterForm, type IDraft } from './components/form';
import { groups, lost } from './format';
import { Refusal } from './rest';
import type { ICluster, IFinding, IModel, INewCluster, IProblem } from './tokens';

/** What happened and what to do; never a stack. */
export async function showProblem(
  title: string,
  error: unknown,
  trans: TranslationBundle
): Promise<void> {
  const problem: IProblem =
    error instanceof Refusal
      ? error.problem
      : { message: String(error instanceof Error ? error.message : error), hint: '', kind: '' };
  await showDialog({
    title,
    body: ReactWidget.create(
      <div className="jp-kuberay-Cause">
        <p>{problem.message}</p>
        <p className="jp-kuberay-Remedy">{problem.hint}</p>
      </div>
    ),
    buttons: [Dialog.okButton({ label: trans.__('Close') })]
  });
}

/** Whether to delete, with what is lost by it. */
export async function mayDelete(cluster: ICluster, trans: TranslationBundle): Promise<boolean> {
  const { button } = await showDialog({
    title: trans.__('Delete %1?', cluster.name),
    body: lost(cluster, trans),
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Delete') })],
    defaultButton: 0
  });
  return button.accept;
}

export async function mayUnpublish(name: string, trans: TranslationBundle): Promise<boolean> {
  const { button } = await showDialog({
    title: trans.__('Unpublish %1?', name),
    body: trans.__('It stops answering, and its revisions and its cluster go, too.'),
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Unpublish') })],
    defaultButton: 0
  });
  return button.accept;
}

class ScaleBody extends ReactWidget implements Dialog.IBodyWidget<Record<string, number>> {
  constructor(private readonly cluster: ICluster) {
    super();
    groups(cluster).forEach(group => this._counts.set(group.name, group.wanted));
  }

  getValue(): Record<string, number> {
    return Object.fromEntries(this._counts);
  }

  protected override render(): React.ReactElement {
    return (
      <div className="jp-kuberay-Form">
        {groups(this.cluster).map(group => (
          <React.Fragment key={group.name}>
            <label htmlFor={`jp-kuberay-scale-${group.name}`}>{group.name}</label>
            <input
              id={`jp-kuberay-scale-${group.name}`}
              className="jp-mod-styled"
              type="number"
              min={0}
              defaultValue={group.wanted}
              onChange={event => this._counts.set(group.name, event.target.valueAsNumber)}
            />
          </React.Fragment>
        ))}
      </div>
    );
  }

  private _counts = new Map<string, number>();
}

/** The numbers of workers that are wanted instead, by group; null when it was cancelled. */
export async function askScale(
  cluster: ICluster,
  trans: TranslationBundle
): Promise<Record<string, number> | null> {
  const { button, value } = await showDialog({
    title: trans.__('Workers of %1', cluster.name),
    body: new ScaleBody(cluster),
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Scale') })],
    focusNodeSelector: 'input'
  });
  if (!button.accept || value === null) {
    return null;
  }
  return Object.fromEntries(
    groups(cluster)
      .map(group => [group.name, value[group.name]] as const)
      .filter(([name, count]) => Number.isInteger(count) && count !== cluster.wanted[name])
  );
}

class NewClusterBody extends ReactWidget implements Dialog.IBodyWidget<INewCluster> {
  constructor(
    private readonly model: IModel,
    private readonly draft: IDraft,
    private readonly trans: TranslationBundle
  ) {
    super();
  }

  getValue(): INewCluster {
    return this.draft.value;
  }

  protected override render(): React.ReactElement {
    return <NewClusterForm model={this.model} draft={this.draft} trans={this.trans} />;
  }
}

/** What cluster is wanted, or null. */
export async function askNewCluster(
  model: IModel,
  draft: IDraft,
  trans: TranslationBundle
): Promise<INewCluster | null> {
  const { button, value } = await showDialog<INewCluster>({
    title: trans.__('New cluster'),
    body: new NewClusterBody(model, draft, trans),
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Create') })],
    focusNodeSelector: 'input[name="name"]'
  });
  return button.accept ? value : null;
}

export async function showText(
  title: string,
  text: string,
  trans: TranslationBundle
): Promise<void> {
  await showDialog({
    title,
    body: ReactWidget.create(<pre className="jp-kuberay-Yaml">{text}</pre>),
    buttons: [Dialog.okButton({ label: trans.__('Close') })]
  });
}

/** All that doctor found, the worst first. */
export async function showFindings(
  found: readonly IFinding[],
  trans: TranslationBundle
): Promise<void> {
  const rank = { bad: 0, warning: 1, 'cannot see': 2, ok: 3 };
  const words = {
    bad: trans.__('bad'),
    warning: trans.__('warning'),
    'cannot see': trans.__('cannot see'),
    ok: trans.__('ok')
  };
  const sorted = [...found].sort((a, b) => rank[a.level] - rank[b.level]);
  await showDialog({
    title: trans.__('What was found'),
    body: ReactWidget.create(
      <div className="jp-kuberay-Findings">
        {sorted.map((finding, index) => (
          <React.Fragment key={index}>
            <strong>{finding.check}</strong>
            <span>{words[finding.level]}</span>
            <span>
              {finding.what}
              {finding.remedy && <div className="jp-kuberay-Remedy">{finding.remedy}</div>}
            </span>
          </React.Fragment>
        ))}
      </div>
    ),
    buttons: [Dialog.okButton({ label: trans.__('Close') })]
  });
}
