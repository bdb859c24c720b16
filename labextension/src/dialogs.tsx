/**
 * What is asked and shown in dialogs.
 */
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';
import * as React from 'react';
import { DialogBody } from './components/body';
import { Findings } from './components/findings';
import { NewClusterForm, type IDraft } from './components/form';
import { type IRevisionDraft, Progress, PublishForm } from './components/publish';
import { before, type IReturnDraft, Revisions } from './components/revisions';
import { groups, lost } from './format';
import { Refusal } from './rest';
import type {
  ICluster,
  IDashboard,
  IFinding,
  IModel,
  INewCluster,
  INewRevision,
  IProblem,
  IPublication,
  IRevision
} from './tokens';

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
  await tell(
    title,
    <div className="jp-kuberay-Cause">
      <p>{problem.message}</p>
      <p className="jp-kuberay-Remedy">{problem.hint}</p>
    </div>,
    trans
  );
}

/** Whether to delete, with what is lost by it; false too when it is gone meanwhile. */
export async function mayDelete(
  cluster: ICluster,
  notebooks: readonly string[],
  model: IModel,
  trans: TranslationBundle
): Promise<boolean> {
  const { button } = await whileThere(
    {
      title: trans.__('Delete %1?', cluster.name),
      body: lost(cluster, notebooks, trans),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Delete') })],
      defaultButton: 0
    },
    model,
    () => model.clusters.has(cluster.name)
  );
  return button.accept;
}

export async function mayUnpublish(
  name: string,
  application: string,
  model: IModel,
  trans: TranslationBundle
): Promise<boolean> {
  const { button } = await whileThere(
    {
      title: application
        ? trans.__('Unpublish %1 of %2?', application, name)
        : trans.__('Unpublish %1?', name),
      body: application
        ? trans.__('It stops answering, and its revisions go, too. What else %1 has stays.', name)
        : trans.__('It stops answering, and its revisions and its cluster go, too.'),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Unpublish') })],
      defaultButton: 0
    },
    model,
    () =>
      application
        ? !!model.services.get(name)?.applications.some(each => each.name === application)
        : model.services.has(name)
  );
  return button.accept;
}

/** The numbers of workers that are wanted instead, by group; null when it was cancelled, or the cluster is gone. */
export async function askScale(
  cluster: ICluster,
  model: IModel,
  trans: TranslationBundle
): Promise<Record<string, number> | null> {
  const counts: Record<string, number> = { ...cluster.wanted };
  const form = (
    <div className="jp-kuberay-Form">
      {groups(cluster).map(group => (
        <React.Fragment key={group.name}>
          <label htmlFor={`jp-kuberay-scale-${group.name}`}>{group.name}</label>
          <input
            id={`jp-kuberay-scale-${group.name}`}
            className="jp-mod-styled"
            type="number"
            min={0}
            defaultValue={group.wanted}
            onChange={event => {
              counts[group.name] = event.target.valueAsNumber;
            }}
          />
        </React.Fragment>
      ))}
    </div>
  );
  const { button } = await whileThere(
    {
      title: trans.__('Workers of %1', cluster.name),
      body: new DialogBody(form),
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Scale') })],
      focusNodeSelector: 'input'
    },
    model,
    () => model.clusters.has(cluster.name)
  );
  const other = ([name, count]: [string, number]) =>
    Number.isInteger(count) && count !== cluster.wanted[name];
  return button.accept ? Object.fromEntries(Object.entries(counts).filter(other)) : null;
}

/** What cluster is wanted, or null. */
export async function askNewCluster(
  model: IModel,
  draft: IDraft,
  trans: TranslationBundle
): Promise<INewCluster | null> {
  const { button } = await showDialog({
    title: trans.__('New cluster'),
    body: new DialogBody(<NewClusterForm model={model} draft={draft} trans={trans} />),
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Create') })],
    focusNodeSelector: 'input[type="radio"]:checked'
  });
  return button.accept ? draft.value : null;
}

/** What is to be published, or null. */
export async function askPublish(
  model: IModel,
  draft: IRevisionDraft,
  trans: TranslationBundle
): Promise<INewRevision | null> {
  const { button } = await showDialog({
    title: trans.__('Publish model'),
    body: new DialogBody(<PublishForm model={model} draft={draft} trans={trans} />),
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Publish') })],
    focusNodeSelector: 'select'
  });
  return button.accept ? draft.value : null;
}

/** How a publication goes on; it does so too when the dialog is closed. */
export async function showProgress(
  model: IModel,
  name: string,
  insert: ((publication: IPublication) => void) | null,
  copy: (text: string) => void,
  trans: TranslationBundle
): Promise<void> {
  await tell(
    model.publications.get(name)?.verb === 'rollback'
      ? trans.__('Rolling %1 back', name)
      : trans.__('Publishing %1', name),
    <Progress model={model} name={name} insert={insert} copy={copy} trans={trans} />,
    trans
  );
}

/** Which revision to roll back to, and why; or null. */
export async function askRevision(
  name: string,
  revisions: readonly IRevision[],
  model: IModel,
  trans: TranslationBundle
): Promise<IReturnDraft | null> {
  const application = revisions[0]?.application ?? '';
  const draft: IReturnDraft = { to: before(revisions), application, why: '' };
  const list = (
    <Revisions model={model} service={name} revisions={revisions} draft={draft} trans={trans} />
  );
  const several = (model.services.get(name)?.applications.length ?? 1) > 1;
  const { button } = await showDialog({
    title: trans.__('Revisions of %1', name),
    body: new DialogBody(list),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Close') }),
      ...(revisions.length > 1 || several
        ? [Dialog.okButton({ label: trans.__('Roll Back') })]
        : [])
    ],
    focusNodeSelector: 'input:checked'
  });
  return button.accept && draft.to !== null ? draft : null;
}

/** Where a page cannot lead to a dashboard: the command that does. */
export async function showCommand(
  title: string,
  dashboard: IDashboard,
  trans: TranslationBundle
): Promise<void> {
  await tell(
    title,
    <>
      <p>{dashboard.hint}</p>
      <pre className="jp-kuberay-Yaml" tabIndex={0}>
        {dashboard.command}
      </pre>
    </>,
    trans
  );
}

/** What a newcomer wants to know, in a few sentences. */
export async function showHelp(trans: TranslationBundle): Promise<void> {
  const said = [
    trans.__(
      'A Ray cluster is a head and workers: processes on this machine, or pods on Kubernetes, with the CPUs, GPUs and memory that you ask for.'
    ),
    trans.__(
      'Attach a notebook to it, and what you mark with @ray.remote runs there instead of in the notebook’s own kernel. The cell that attaches stays in the notebook, so that others can run it, too.'
    ),
    trans.__(
      'Publish a model, and it answers requests at an address of its own. Each time that you publish is a revision; you can roll back to an earlier one.'
    ),
    trans.__(
      'A cluster holds what it holds until you suspend or delete it. Suspending ends its processes and keeps the rest.'
    )
  ];
  await tell(
    trans.__('Ray clusters'),
    <div className="jp-kuberay-Help">
      {said.map(each => (
        <p key={each}>{each}</p>
      ))}
    </div>,
    trans
  );
}

/** All that doctor found, the worst first. */
export async function showFindings(
  found: readonly IFinding[],
  trans: TranslationBundle
): Promise<void> {
  await tell(trans.__('What was found'), <Findings found={found} trans={trans} />, trans);
}

async function tell(
  title: string,
  body: React.ReactElement,
  trans: TranslationBundle
): Promise<void> {
  await showDialog({
    title,
    body: new DialogBody(body),
    buttons: [Dialog.okButton({ label: trans.__('Close') })]
  });
}

/** A dialog about something; when that is gone it closes, as if it was cancelled. */
async function whileThere(
  options: Partial<Dialog.IOptions<Widget | string>>,
  model: IModel,
  there: () => boolean
): Promise<Dialog.IResult<unknown>> {
  const dialog = new Dialog(options as Partial<Dialog.IOptions<string>>);
  const changed = () => {
    if (model.live && !there()) {
      dialog.reject();
    }
  };
  model.changed.connect(changed);
  try {
    return await dialog.launch();
  } finally {
    model.changed.disconnect(changed);
  }
}
