/**
 * What a notebook has of it: which cluster its kernel is attached to, and what changes that.
 */
import { InputDialog, Notification, ReactWidget } from '@jupyterlab/apputils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import { caretDownEmptyThinIcon } from '@jupyterlab/ui-components';
import { Menu } from '@lumino/widgets';
import * as React from 'react';
import { attach, detach } from './attach';
import { CommandIDs } from './commands';
import { PhaseIcon } from './components/phase';
import { useChanges } from './components/hooks';
import type { IContext } from './context';
import { own } from './format';
import { rayIcon } from './icons';
import type { IAttachments, ICluster, IModel } from './tokens';

const PATIENCE_MS = 3000;

export function addNotebookCommands(context: IContext): void {
  const { app, model, notebooks, attachments, trans } = context;
  const { commands, shell } = app;
  const current = () => notebooks?.currentWidget ?? null;
  const attached = () => {
    const panel = current();
    return panel ? attachments?.of(panel.context.path) : null;
  };

  commands.addCommand(CommandIDs.attach, {
    label: args =>
      typeof args.name === 'string' ? args.name : trans.__('Attach Notebook to a Cluster…'),
    caption: trans.__('Insert and run a cell that attaches the notebook'),
    isToggleable: true,
    isToggled: args => typeof args.name === 'string' && attached()?.cluster === args.name,
    isEnabled: () => current() !== null,
    execute: async args => {
      const panel = current();
      const name = typeof args.name === 'string' ? args.name : await whichCluster(model, trans);
      if (!panel || !name) {
        return;
      }
      shell.activateById(panel.id);
      const before = attached();
      await attach(panel, name, trans, !!before && before.cluster !== name);
    }
  });
  commands.addCommand(CommandIDs.detach, {
    label: trans.__('Detach'),
    caption: trans.__('Insert and run a cell that lets go of the cluster, which goes on'),
    isEnabled: () => !!attached(),
    execute: async () => {
      const panel = current();
      if (panel) {
        shell.activateById(panel.id);
        await detach(panel, trans);
      }
    }
  });
}

/** The card's button, which may be pressed while no notebook is open. */
export function attachFrom(context: IContext, name: string): void {
  if (context.notebooks?.currentWidget) {
    void context.app.commands.execute(CommandIDs.attach, { name });
  } else {
    Notification.info(context.trans.__('Open a notebook first, then attach it to %1.', name), {
      autoClose: 5000
    });
  }
}

/** Wait until it is known which clusters there are, but not for long: who is quick may be faster than the first answer. */
async function known(model: IModel): Promise<void> {
  if (model.synced) {
    return;
  }
  await new Promise<void>(resolve => {
    const done = () => {
      clearTimeout(timer);
      model.changed.disconnect(look);
      resolve();
    };
    const look = () => {
      if (model.synced || model.problem) {
        done();
      }
    };
    const timer = setTimeout(done, PATIENCE_MS);
    model.changed.connect(look);
  });
}

async function whichCluster(model: IModel, trans: TranslationBundle): Promise<string | null> {
  await known(model);
  const names = own(model.clusters.values()).map(cluster => cluster.name);
  if (names.length < 2) {
    if (!names.length) {
      Notification.info(trans.__('There is no cluster yet.'), { autoClose: 5000 });
    }
    return names[0] ?? null;
  }
  const { value } = await InputDialog.getItem({ title: trans.__('Attach to'), items: names });
  return value;
}

/** The toolbar's item: which cluster, and how it is. */
export function toolbarItem(context: IContext, panel: NotebookPanel): ReactWidget {
  const { app, model, attachments, trans } = context;
  const open = async (at: DOMRect) => {
    await known(model);
    // The commands are about the notebook in front.
    app.shell.activateById(panel.id);
    const menu = new Menu({ commands: app.commands });
    for (const cluster of own(model.clusters.values())) {
      menu.addItem({ command: CommandIDs.attach, args: { name: cluster.name } });
    }
    menu.addItem({ command: CommandIDs.create, args: { isMenu: true } });
    menu.addItem({ type: 'separator' });
    menu.addItem({ command: CommandIDs.detach });
    menu.addItem({ command: CommandIDs.publish });
    menu.open(at.left, at.bottom);
  };
  const item = ReactWidget.create(
    <Attached
      model={model}
      attachments={attachments}
      panel={panel}
      open={at => void open(at)}
      trans={trans}
    />
  );
  item.addClass('jp-kuberay-ToolbarItem');
  return item;
}

function Attached(props: {
  readonly model: IModel;
  readonly attachments: IAttachments | null;
  readonly panel: NotebookPanel;
  readonly open: (at: DOMRect) => void;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { model, attachments, panel, open, trans } = props;
  useChanges(model);
  useChanges(attachments);
  const attachment = attachments?.of(panel.context.path);
  const cluster = attachment ? model.clusters.get(attachment.cluster) : undefined;
  const words = attachment
    ? trans.__('Ray: %1', attachment.cluster)
    : attachment === null
      ? trans.__('Ray: not attached')
      : trans.__('Ray');
  return (
    <button
      className="jp-ToolbarButtonComponent jp-mod-minimal jp-Button"
      aria-haspopup="menu"
      title={attachment ? standing(attachment.alive, cluster, model, trans) : words}
      onClick={event => open(event.currentTarget.getBoundingClientRect())}
    >
      {attachment ? (
        <PhaseIcon phase={attachment.alive ? (cluster?.phase ?? 'Pending') : 'Failed'} />
      ) : (
        <rayIcon.react tag="span" />
      )}
      <span className="jp-ToolbarButtonComponent-label">{words}</span>
      <caretDownEmptyThinIcon.react tag="span" />
    </button>
  );
}

function standing(
  alive: boolean,
  cluster: ICluster | undefined,
  model: IModel,
  trans: TranslationBundle
): string {
  if (!alive) {
    return trans.__('The connection is lost: attach again.');
  }
  if (!cluster) {
    return model.synced ? trans.__('The cluster is gone.') : trans.__('Attached');
  }
  return cluster.cause?.what ?? trans.__('Attached to %1', cluster.name);
}
