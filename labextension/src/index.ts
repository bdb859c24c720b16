/**
 * The plugins: each is thin, and works without what is optional to it.
 */
import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import {
  Clipboard,
  ICommandPalette,
  IToolbarWidgetRegistry,
  Notification
} from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { UUID } from '@lumino/coreutils';
import { type ISignal, Signal } from '@lumino/signaling';
import { Menu } from '@lumino/widgets';
import { Attachments } from './attachments';
import { addClusterCommands, CommandIDs } from './commands';
import type { IActions } from './components/clusters';
import type { IRunActions } from './components/run';
import { type IContext, trying } from './context';
import { rayIcon } from './icons';
import type { IEvent } from './events';
import { Model } from './model';
import { addNotebookCommands, attachFrom, toolbarItem } from './notebook';
import { RayPanel } from './panel';
import { remembered, rememberedApps, rememberedSections, rememberedStarts } from './remembered';
import { Rest } from './rest';
import { addServiceCommands } from './servicecommands';
import { settingsOf } from './settings';
import { Sight } from './sight';
import { holdsSomething, statusItem } from './statusbar';
import { IAttachments, IModel } from './tokens';

export * from './tokens';

const EVENT_ID = 'urn:jupyter-kuberay:change';
const DOMAIN = 'jupyter_kuberay';
const PANEL = 'jupyter-kuberay:panel';
/** An event stream that opens has done so after this. */
const OPENS_MS = 500;

const model: JupyterFrontEndPlugin<IModel> = {
  id: 'jupyter-kuberay:model',
  description: 'What there is of Ray, kept up to date by the server.',
  autoStart: true,
  provides: IModel,
  optional: [ITranslator, IStateDB],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    state: IStateDB | null
  ): IModel => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const { serviceManager } = app;
    const rest = new Rest(
      serviceManager.serverSettings,
      trans.__(
        'The Jupyter server does not answer. What was there stays; this goes on when it is back.'
      )
    );
    const made = new Model(rest, UUID.uuid4(), rememberedStarts(state));
    serviceManager.events.stream.connect((_, event) => {
      if (event.schema_id === EVENT_ID) {
        made.hear(event as unknown as IEvent);
      }
    });
    serviceManager.connectionFailure.connect(() => made.doubt());
    // Lab opens a lost event stream again without a word; what is told until then is lost.
    onLostStream(serviceManager.events, again => {
      made.doubt();
      // Nobody tells that it is open; once it may be, the server's word that it is comes by it.
      setTimeout(() => {
        if (!made.live) {
          made.doubt();
        }
      }, again + OPENS_MS);
    });
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

const attachments: JupyterFrontEndPlugin<IAttachments> = {
  id: 'jupyter-kuberay:attachments',
  description: 'Which cluster each open notebook is attached to.',
  autoStart: true,
  provides: IAttachments,
  requires: [INotebookTracker],
  activate: (_: JupyterFrontEnd, notebooks: INotebookTracker): IAttachments =>
    new Attachments(notebooks)
};

const panel: JupyterFrontEndPlugin<void> = {
  id: PANEL,
  description: 'The side panel, the notebook toolbar’s item, and the commands behind them.',
  autoStart: true,
  requires: [IModel, ISettingRegistry],
  optional: [
    ITranslator,
    IAttachments,
    INotebookTracker,
    IToolbarWidgetRegistry,
    ICommandPalette,
    ILauncher,
    IStatusBar,
    ILayoutRestorer,
    IStateDB
  ],
  activate: async (
    app: JupyterFrontEnd,
    model: IModel,
    registry: ISettingRegistry,
    translator: ITranslator | null,
    attachments: IAttachments | null,
    notebooks: INotebookTracker | null,
    toolbars: IToolbarWidgetRegistry | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    bar: IStatusBar | null,
    restorer: ILayoutRestorer | null,
    state: IStateDB | null
  ): Promise<void> => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const { commands, shell } = app;
    const settings = await settingsOf(registry, PANEL);
    const draft = remembered(model, settings, state);
    const apps = rememberedApps(state);
    const context: IContext = {
      app,
      model,
      trans,
      settings,
      draft,
      apps,
      notebooks,
      attachments
    };
    addClusterCommands(context);
    addServiceCommands(context);
    addNotebookCommands(context);

    const sight = new Sight();
    sight.changed.connect(() => model.show(sight.shown));
    const widget = new RayPanel({
      model,
      attachments,
      sight,
      trans,
      actions: actionsOf(context),
      menu: at => openMenu(allMenu(context), at)
    });
    rememberedSections(widget, state);
    const place = () => shell.add(widget, settings.side, { rank: 450, type: 'Ray' });
    place();
    settings.changed.connect(() => {
      if (widget.parent && sideOf(widget, shell) !== settings.side) {
        place();
      }
    });
    restorer?.add(widget, widget.id);
    commands.addCommand(CommandIDs.open, {
      label: trans.__('Ray Clusters'),
      caption: trans.__('Show the Ray clusters and services'),
      icon: args => (args.isPalette || args.isMenu ? undefined : rayIcon),
      execute: () => shell.activateById(widget.id)
    });

    toolbars?.addFactory<NotebookPanel>('Notebook', 'kuberay', notebook =>
      toolbarItem(context, notebook)
    );
    const { create, publish, attach, detach, doctor, open } = CommandIDs;
    for (const command of [open, create, attach, detach, publish, doctor]) {
      palette?.addItem({ command, category: trans.__('Ray'), args: { isPalette: true } });
    }
    launcher?.add({ command: open, category: trans.__('Other'), rank: 20 });
    if (bar) {
      const changed = new Signal<object, void>({});
      model.changed.connect(() => changed.emit());
      bar.registerStatusItem('jupyter-kuberay:held', {
        item: statusItem(model, () => void commands.execute(open), trans),
        align: 'left',
        rank: 3,
        isActive: () => holdsSomething(model),
        activeStateChanged: changed
      });
    }
    // What is held is shown in the status bar and the toolbar, whether or not the panel is open.
    void app.restored.then(() => model.show(sight.shown));
  }
};

function actionsOf(context: IContext): IActions & IRunActions {
  const { model, trans } = context;
  const run = (command: string, args = {}) => void context.app.commands.execute(command, args);
  return {
    create: () => run(CommandIDs.create),
    attach: name => attachFrom(context, name),
    detach: () => run(CommandIDs.detach),
    scale: name => run(CommandIDs.scale, { name }),
    resume: name => run(CommandIDs.resume, { name }),
    publish: path => run(CommandIDs.publish, path === undefined ? {} : { model: path }),
    copyUrl: name => run(CommandIDs.copyUrl, { name }),
    unpublish: (name, application) => run(CommandIDs.unpublish, { name, application }),
    more: (kind, name, at) => openMenu(cardMenu(context, kind, name), at),
    doctor: () => run(CommandIDs.doctor),
    tour: () => run(CommandIDs.help),
    openFile: path =>
      void trying(context, trans.__('It cannot be opened'), () =>
        context.app.commands.execute('docmanager:open', { path })
      ),
    copy: copied(trans),
    forgetRun: id =>
      void trying(context, trans.__('The run stays in the list'), () => model.forgetRun(id)),
    forgetRuns: (group, folder) =>
      void trying(context, trans.__('%1 stays in the list', group), () =>
        model.forgetRuns(group, folder)
      )
  };
}

function copied(trans: TranslationBundle): (text: string) => void {
  return text => {
    Clipboard.copyToSystem(text);
    Notification.info(trans.__('Copied.'), { autoClose: 2000 });
  };
}

/** Below what was pressed, which has the focus again when nothing in the menu is chosen. */
function openMenu(menu: Menu, at: DOMRect): void {
  const pressed = document.activeElement;
  menu.aboutToClose.connect(() => {
    if (pressed instanceof HTMLElement && menu.node.contains(document.activeElement)) {
      pressed.focus();
    }
  });
  menu.open(at.left, at.bottom);
}

/** What can be done with one thing. */
function cardMenu(context: IContext, kind: 'cluster' | 'service', name: string): Menu {
  const { app, model } = context;
  const menu = new Menu({ commands: app.commands });
  const add = (command: string, args = {}) => menu.addItem({ command, args: { name, ...args } });
  const line = () => menu.addItem({ type: 'separator' });
  if (kind === 'service') {
    add(CommandIDs.publish);
    add(CommandIDs.rollback);
    add(CommandIDs.revisions);
    line();
    add(CommandIDs.copyUrl);
    add(CommandIDs.serviceLogs);
    line();
    add(CommandIDs.unpublish);
    return menu;
  }
  add(CommandIDs.scale);
  add(CommandIDs.suspend);
  add(CommandIDs.resume);
  line();
  add(CommandIDs.dashboard);
  for (const node of model.clusters.get(name)?.nodes ?? []) {
    add(CommandIDs.logs, { node: node.name });
  }
  add(CommandIDs.copyYaml);
  line();
  add(CommandIDs.remove);
  return menu;
}

/** What is about all of it. */
function allMenu({ app }: IContext): Menu {
  const menu = new Menu({ commands: app.commands });
  menu.addItem({ command: CommandIDs.doctor });
  menu.addItem({ command: CommandIDs.help });
  if (app.commands.hasCommand('settingeditor:open')) {
    menu.addItem({ type: 'separator' });
    menu.addItem({ command: 'settingeditor:open', args: { query: 'Ray' } });
  }
  return menu;
}

function sideOf(widget: RayPanel, shell: JupyterFrontEnd.IShell): 'left' | 'right' {
  return [...shell.widgets('left')].includes(widget) ? 'left' : 'right';
}

/**
 * `lost` is called with the ms until Lab opens its event stream again.
 *
 * Its poll of that is its own affair: where it is none any more, looking again every few minutes is left.
 */
function onLostStream(events: object, lost: (again: number) => void): void {
  const { _poll: poll } = events as {
    _poll?: { ticked?: ISignal<unknown, { phase: string; interval: number }> };
  };
  poll?.ticked?.connect((_, state) => {
    if (state.phase === 'rejected') {
      lost(state.interval);
    }
  });
}

export default [model, attachments, panel];
