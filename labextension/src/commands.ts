/**
 * What can be done, as commands that the palette, menus and other extensions call.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, MainAreaWidget, Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { addIcon } from '@jupyterlab/ui-components';
import {
  askNewCluster,
  askScale,
  mayDelete,
  mayUnpublish,
  showFindings,
  showProblem
} from './dialogs';
import type { IDraft } from './components/form';
import { Log } from './log';
import { rayIcon } from './icons';
import type { ICluster, IModel } from './tokens';

/** Each takes `{ name }`; from a card's own menu it is the card's. */
export namespace CommandIDs {
  export const create = 'kuberay:create';
  export const scale = 'kuberay:scale';
  export const suspend = 'kuberay:suspend';
  export const resume = 'kuberay:resume';
  export const logs = 'kuberay:logs';
  export const copyYaml = 'kuberay:copy-yaml';
  export const remove = 'kuberay:delete';
  export const unpublish = 'kuberay:unpublish';
  export const doctor = 'kuberay:doctor';
  export const attach = 'kuberay:attach';
}

export function addCommands(
  app: JupyterFrontEnd,
  model: IModel,
  draft: IDraft,
  trans: TranslationBundle
): void {
  const { commands, shell } = app;
  const nameOf = (args: { name?: unknown }, kind: string) => {
    if (typeof args.name === 'string') {
      return args.name;
    }
    const card = app.contextMenuHitTest(
      node => node.dataset.kind === kind && node.classList.contains('jp-kuberay-Card')
    );
    return card?.dataset.name ?? '';
  };
  const cluster = (args: object): ICluster | undefined =>
    model.clusters.get(nameOf(args, 'cluster'));
  /** Do it, and tell what stands in the way. */
  const trying = async (title: string, act: () => Promise<unknown>) => {
    try {
      await act();
    } catch (error) {
      await showProblem(title, error, trans);
    }
  };

  commands.addCommand(CommandIDs.create, {
    label: args => (args.isPalette ? trans.__('New Ray Cluster…') : trans.__('New Cluster…')),
    icon: args => (args.isPalette ? undefined : addIcon),
    execute: () =>
      trying(trans.__('There is no new cluster'), async () => {
        const asked = await askNewCluster(model, draft, trans);
        if (asked) {
          await model.create(asked);
          draft.value = { ...asked, name: '' };
          shell.activateById('jupyter-kuberay-panel');
        }
      })
  });
  commands.addCommand(CommandIDs.scale, {
    label: trans.__('Scale…'),
    isEnabled: args => Object.keys(cluster(args)?.wanted ?? {}).length > 0,
    execute: async args => {
      const which = cluster(args);
      const wanted = which && (await askScale(which, trans));
      if (which && wanted) {
        await trying(trans.__('%1 stays as it is', which.name), async () => {
          for (const [group, count] of Object.entries(wanted)) {
            await model.scale(which.name, count, group);
          }
        });
      }
    }
  });
  commands.addCommand(CommandIDs.suspend, {
    label: trans.__('Suspend'),
    isVisible: args => !['Suspended', 'Stopping'].includes(cluster(args)?.phase ?? 'Stopping'),
    execute: args => {
      const name = nameOf(args, 'cluster');
      return trying(trans.__('%1 goes on', name), () => model.suspend(name));
    }
  });
  commands.addCommand(CommandIDs.resume, {
    label: trans.__('Resume'),
    isVisible: args => ['Suspended', 'Failed'].includes(cluster(args)?.phase ?? ''),
    execute: args => {
      const name = nameOf(args, 'cluster');
      return trying(trans.__('%1 is not started', name), () => model.resume(name));
    }
  });
  commands.addCommand(CommandIDs.logs, {
    label: args =>
      typeof args.node === 'string'
        ? trans.__('Log of %1', args.node)
        : trans.__('Log of the Head'),
    execute: args => {
      const name = nameOf(args, 'cluster');
      const content = new Log(model, name, typeof args.node === 'string' ? args.node : '', trans);
      const widget = new MainAreaWidget({ content });
      widget.title.icon = rayIcon;
      shell.add(widget, 'main', { mode: 'split-bottom' });
    }
  });
  commands.addCommand(CommandIDs.copyYaml, {
    label: trans.__('Copy as YAML'),
    execute: args => {
      const name = nameOf(args, 'cluster');
      return trying(trans.__('Nothing was copied'), async () => {
        Clipboard.copyToSystem((await model.manifest(name)).yaml);
        Notification.info(trans.__('%1 was copied as YAML.', name), { autoClose: 3000 });
      });
    }
  });
  commands.addCommand(CommandIDs.remove, {
    label: trans.__('Delete…'),
    execute: async args => {
      const which = cluster(args);
      if (which && (await mayDelete(which, trans))) {
        await trying(trans.__('%1 stays', which.name), () => model.remove('cluster', which.name));
      }
    }
  });
  commands.addCommand(CommandIDs.unpublish, {
    label: trans.__('Unpublish…'),
    execute: async args => {
      const name = nameOf(args, 'service');
      if (name && (await mayUnpublish(name, trans))) {
        await trying(trans.__('%1 stays', name), () => model.remove('service', name));
      }
    }
  });
  commands.addCommand(CommandIDs.doctor, {
    label: args =>
      args.isPalette ? trans.__('What Keeps Ray from Working (Doctor)') : trans.__('Doctor'),
    execute: () =>
      trying(trans.__('It could not be found out'), async () =>
        showFindings(await model.doctor(), trans)
      )
  });
}
