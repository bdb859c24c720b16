/**
 * What can be done with clusters, as commands that the palette, menus and other extensions call.
 */
import { Clipboard, MainAreaWidget, Notification } from '@jupyterlab/apputils';
import { addIcon } from '@jupyterlab/ui-components';
import { type IContext, nameOf, trying } from './context';
import { askNewCluster, askScale, mayDelete, showCommand, showFindings, showHelp } from './dialogs';
import { rayIcon } from './icons';
import { Log } from './log';
import type { ICluster } from './tokens';

/** Those about a cluster or a service take `{ name }`; from a card's own menu it is the card's. */
export namespace CommandIDs {
  export const open = 'kuberay:open';
  export const create = 'kuberay:create';
  export const scale = 'kuberay:scale';
  export const suspend = 'kuberay:suspend';
  export const resume = 'kuberay:resume';
  /** Also takes `{ node }`; default: the head. */
  export const logs = 'kuberay:logs';
  export const dashboard = 'kuberay:dashboard';
  export const copyYaml = 'kuberay:copy-yaml';
  export const remove = 'kuberay:delete';
  export const doctor = 'kuberay:doctor';
  export const help = 'kuberay:help';

  /** Also takes `{ model }`, a path or URI. */
  export const publish = 'kuberay:publish';
  export const revisions = 'kuberay:revisions';
  /** Also takes `{ to }`; default: the revision before. */
  export const rollback = 'kuberay:rollback';
  export const copyUrl = 'kuberay:copy-url';
  export const serviceLogs = 'kuberay:service-logs';
  export const unpublish = 'kuberay:unpublish';

  /** Of the notebook that is in front. Without a name it asks which. */
  export const attach = 'kuberay:attach';
  export const detach = 'kuberay:detach';
}

/** A log, below what is in front. */
export function showLog(context: IContext, cluster: string, node: string): void {
  const content = new Log(context.model, cluster, node, context.trans);
  const widget = new MainAreaWidget({ content });
  widget.title.icon = rayIcon;
  // Notebook 7 has one notebook in its main area, and room below it.
  const area = context.app.name === 'JupyterLab' ? 'main' : 'down';
  context.app.shell.add(widget, area, { mode: 'split-bottom' });
  context.app.shell.activateById(widget.id);
}

export function addClusterCommands(context: IContext): void {
  const { app, model, draft, trans, settings, attachments } = context;
  const { commands, shell } = app;
  const cluster = (args: object): ICluster | undefined =>
    model.clusters.get(nameOf(context, args, 'cluster'));

  commands.addCommand(CommandIDs.create, {
    label: args => (args.isPalette ? trans.__('New Ray Cluster…') : trans.__('New Cluster…')),
    icon: args => (args.isPalette || args.isMenu ? undefined : addIcon),
    execute: async () => {
      // What was refused is asked again, as it was filled in.
      for (let done = false; !done;) {
        const asked = await askNewCluster(model, draft, trans);
        done =
          asked === null ||
          (await trying(context, trans.__('There is no new cluster'), () => model.create(asked)));
        if (asked && done) {
          draft.value = { ...asked, name: '' };
          shell.activateById('jupyter-kuberay-panel');
        }
      }
    }
  });
  commands.addCommand(CommandIDs.scale, {
    label: trans.__('Scale…'),
    isEnabled: args => Object.keys(cluster(args)?.wanted ?? {}).length > 0,
    execute: async args => {
      const which = cluster(args);
      const wanted = which && (await askScale(which, model, trans));
      if (which && wanted) {
        await trying(context, trans.__('%1 stays as it is', which.name), async () => {
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
      const name = nameOf(context, args, 'cluster');
      return trying(context, trans.__('%1 goes on', name), () => model.suspend(name));
    }
  });
  commands.addCommand(CommandIDs.resume, {
    label: trans.__('Resume'),
    isVisible: args => ['Suspended', 'Failed'].includes(cluster(args)?.phase ?? ''),
    execute: args => {
      const name = nameOf(context, args, 'cluster');
      return trying(context, trans.__('%1 is not started', name), () => model.resume(name));
    }
  });
  commands.addCommand(CommandIDs.logs, {
    label: args =>
      typeof args.node === 'string'
        ? trans.__('Log of %1', args.node)
        : trans.__('Log of the Head'),
    execute: args => {
      const node = typeof args.node === 'string' ? args.node : '';
      showLog(context, nameOf(context, args, 'cluster'), node);
    }
  });
  commands.addCommand(CommandIDs.dashboard, {
    label: trans.__("Ray's Dashboard"),
    isEnabled: args => ['Ready', 'Degraded'].includes(cluster(args)?.phase ?? ''),
    execute: args => {
      const name = nameOf(context, args, 'cluster');
      return trying(context, trans.__('There is no dashboard of %1', name), async () => {
        const dashboard = await model.dashboard(name);
        if (dashboard.url) {
          window.open(dashboard.url, '_blank', 'noopener,noreferrer');
        } else {
          await showCommand(trans.__('The dashboard of %1', name), dashboard, trans);
        }
      });
    }
  });
  commands.addCommand(CommandIDs.copyYaml, {
    label: trans.__('Copy as YAML'),
    execute: args => {
      const name = nameOf(context, args, 'cluster');
      return trying(context, trans.__('Nothing was copied'), async () => {
        Clipboard.copyToSystem((await model.manifest(name)).yaml);
        Notification.info(trans.__('%1 was copied as YAML.', name), { autoClose: 3000 });
      });
    }
  });
  commands.addCommand(CommandIDs.remove, {
    label: settings.confirm ? trans.__('Delete…') : trans.__('Delete'),
    execute: async args => {
      const which = cluster(args);
      if (!which) {
        return;
      }
      const notebooks = attachments?.on(which.name) ?? [];
      if (!settings.confirm || (await mayDelete(which, notebooks, model, trans))) {
        await trying(context, trans.__('%1 stays', which.name), () =>
          model.remove('cluster', which.name)
        );
      }
    }
  });
  commands.addCommand(CommandIDs.doctor, {
    label: args =>
      args.isPalette ? trans.__('What Keeps Ray from Working (Doctor)') : trans.__('Doctor'),
    execute: () =>
      trying(context, trans.__('It could not be found out'), async () =>
        showFindings(await model.doctor(), trans)
      )
  });
  commands.addCommand(CommandIDs.help, {
    label: trans.__('What Ray Clusters Are'),
    execute: () => showHelp(trans)
  });
}
