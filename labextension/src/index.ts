/**
 * The plugins: each is thin, and works without what is optional to it.
 */
import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { UUID } from '@lumino/coreutils';
import { Menu } from '@lumino/widgets';
import { attach } from './attach';
import { addCommands, CommandIDs } from './commands';
import type { IActions } from './components/clusters';
import type { IDraft } from './components/form';
import { freeName } from './format';
import { rayIcon } from './icons';
import { type IEvent, Model } from './model';
import { RayPanel } from './panel';
import { Rest } from './rest';
import { IModel } from './tokens';

export * from './tokens';

const EVENT_ID = 'urn:jupyter-kuberay:change';
const DOMAIN = 'jupyter_kuberay';

const model: JupyterFrontEndPlugin<IModel> = {
  id: 'jupyter-kuberay:model',
  description: 'What there is of Ray, kept up to date by the server.',
  autoStart: true,
  provides: IModel,
  optional: [ITranslator],
  activate: (app: JupyterFrontEnd, translator: ITranslator | null): IModel => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const { serviceManager } = app;
    const rest = new Rest(
      serviceManager.serverSettings,
      trans.__(
        'The Jupyter server does not answer. What was there stays; this goes on when it is back.'
      )
    );
    const made = new Model(rest, UUID.uuid4());
    serviceManager.events.stream.connect((_, event) => {
      if (event.schema_id === EVENT_ID) {
        made.hear(event as unknown as IEvent);
      }
    });
    serviceManager.connectionFailure.connect(() => made.doubt());
    window.addEventListener('online', () => made.doubt());
    window.addEventListener('pagehide', () => made.leave());
    window.addEventListener('pageshow', event => {
      if (event.persisted) {
        made.doubt();
      }
    });
    return made;
  }
};

const panel: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-kuberay:panel',
  description: 'The side panel, and the commands behind it.',
  autoStart: true,
  requires: [IModel],
  optional: [ITranslator, ILayoutRestorer, ICommandPalette, ILauncher, INotebookTracker, IStateDB],
  activate: (
    app: JupyterFrontEnd,
    model: IModel,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    notebooks: INotebookTracker | null,
    state: IStateDB | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const { commands } = app;
    const draft = remembered(model, state);
    addCommands(app, model, draft, trans);
    if (notebooks) {
      commands.addCommand(CommandIDs.attach, {
        label: trans.__('Attach the Notebook'),
        isEnabled: () => notebooks.currentWidget !== null,
        execute: async args => {
          const current = notebooks.currentWidget;
          if (current && typeof args.name === 'string') {
            app.shell.activateById(current.id);
            await attach(current, args.name);
          }
        }
      });
    }

    const more = (name: string, kind: 'cluster' | 'service') => {
      const menu = new Menu({ commands });
      const add = (command: string, args = {}) =>
        menu.addItem({ command, args: { name, ...args } });
      if (kind === 'service') {
        add(CommandIDs.unpublish);
        return menu;
      }
      add(CommandIDs.scale);
      add(CommandIDs.suspend);
      add(CommandIDs.resume);
      menu.addItem({ type: 'separator' });
      for (const node of model.clusters.get(name)?.nodes ?? []) {
        add(CommandIDs.logs, { node: node.name });
      }
      add(CommandIDs.copyYaml);
      menu.addItem({ type: 'separator' });
      add(CommandIDs.remove);
      return menu;
    };
    const actions: IActions = {
      create: () => void commands.execute(CommandIDs.create),
      attach: name => void commands.execute(CommandIDs.attach, { name }),
      scale: name => void commands.execute(CommandIDs.scale, { name }),
      resume: name => void commands.execute(CommandIDs.resume, { name }),
      more: (kind, name, at) => more(name, kind).open(at.left, at.bottom),
      doctor: () => void commands.execute(CommandIDs.doctor)
    };
    const widget = new RayPanel(model, actions, trans);
    app.shell.add(widget, 'left', { rank: 450, type: 'Ray' });
    restorer?.add(widget, widget.id);
    for (const command of [CommandIDs.create, CommandIDs.doctor]) {
      palette?.addItem({ command, category: trans.__('Ray'), args: { isPalette: true } });
    }
    commands.addCommand('kuberay:open', {
      label: trans.__('Ray Cluster'),
      caption: trans.__('Show the Ray clusters and services'),
      icon: rayIcon,
      execute: () => app.shell.activateById(widget.id)
    });
    launcher?.add({ command: 'kuberay:open', category: trans.__('Other'), rank: 20 });
  }
};

/** The form's last choice, with a name that is free. */
function remembered(model: IModel, state: IStateDB | null): IDraft {
  const KEY = 'jupyter-kuberay:new-cluster';
  let value: IDraft['value'] = { name: '' };
  void state?.fetch(KEY).then(kept => {
    if (kept && typeof kept === 'object') {
      value = { ...(kept as object), name: '' };
    }
  });
  return {
    get value() {
      if (!value.name) {
        value = { ...value, name: freeName(new Set(model.clusters.keys()), 'cluster') };
      }
      return value;
    },
    set value(next) {
      value = next;
      void state?.save(KEY, { ...next, name: '' });
    }
  };
}

export default [model, panel];
