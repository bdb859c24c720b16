/**
 * What can be done with published models, as commands.
 */
import { Clipboard, Notification } from '@jupyterlab/apputils';
import { insert } from './attach';
import { callCell } from './cells';
import { CommandIDs, showLog } from './commands';
import { newRevision } from './components/publish';
import { type IContext, nameOf, trying } from './context';
import { askPublish, askRevision, mayUnpublish, showProgress } from './dialogs';
import type { INewRevision, IPublication } from './tokens';

export function addServiceCommands(context: IContext): void {
  const { app, apps, model, trans, settings, notebooks } = context;
  const { commands } = app;
  const service = (args: object) => model.services.get(nameOf(context, args, 'service'));

  const copy = (text: string) => {
    Clipboard.copyToSystem(text);
    Notification.info(trans.__('Copied.'), { autoClose: 2000 });
  };
  const shown = (publication: IPublication) => {
    const notebook = notebooks?.currentWidget;
    const put = notebook
      ? ({ name, url, call }: IPublication) => insert(notebook, callCell(name, url, call))
      : null;
    return showProgress(model, publication.name, put, copy, trans);
  };

  commands.addCommand(CommandIDs.publish, {
    label: args =>
      typeof args.name === 'string' ? trans.__('Upgrade…') : trans.__('Publish Model…'),
    caption: trans.__('Make a model answer requests, as a Ray Serve application'),
    execute: async args => {
      const draft = { value: await asked(context, args) };
      for (;;) {
        const wanted = await askPublish(model, draft, trans);
        if (!wanted) {
          return;
        }
        let begun: IPublication | null = null;
        await trying(context, trans.__('%1 is not published', wanted.name), async () => {
          begun = await model.publish(wanted);
          apps.set(wanted.name, wanted.app);
        });
        if (begun) {
          return shown(begun);
        }
      }
    }
  });
  commands.addCommand(CommandIDs.revisions, {
    label: trans.__('Revisions…'),
    execute: args => {
      const name = nameOf(context, args, 'service');
      return trying(context, trans.__('%1 stays as it is', name), async () => {
        const back = await askRevision(name, await model.revisions(name), model, trans);
        if (back?.to) {
          const { to, application, why } = back;
          await shown(await model.rollback(name, to, { application, why }));
        }
      });
    }
  });
  commands.addCommand(CommandIDs.rollback, {
    label: trans.__('Roll Back'),
    caption: trans.__('Put the revision before in again'),
    isEnabled: args => (service(args)?.revision ?? 0) > 1,
    execute: args => {
      const name = nameOf(context, args, 'service');
      const to = typeof args.to === 'number' ? args.to : undefined;
      return trying(context, trans.__('%1 stays as it is', name), () => model.rollback(name, to));
    }
  });
  commands.addCommand(CommandIDs.copyUrl, {
    label: trans.__('Copy the Address'),
    isEnabled: args => model.traffic.has(nameOf(context, args, 'service')),
    execute: args => {
      const traffic = model.traffic.get(nameOf(context, args, 'service'));
      if (traffic) {
        copy(traffic.url);
      }
    }
  });
  commands.addCommand(CommandIDs.serviceLogs, {
    label: trans.__('Log of the Head'),
    isEnabled: args => !!service(args)?.cluster,
    execute: args => showLog(context, service(args)!.cluster, '')
  });
  commands.addCommand(CommandIDs.unpublish, {
    label: settings.confirm ? trans.__('Unpublish…') : trans.__('Unpublish'),
    execute: async args => {
      const name = nameOf(context, args, 'service');
      const application = typeof args.application === 'string' ? args.application : '';
      if (name && (!settings.confirm || (await mayUnpublish(name, application, model, trans)))) {
        await trying(context, trans.__('%1 stays', application || name), () =>
          application ? model.removeApplication(name, application) : model.remove('service', name)
        );
      }
    }
  });
}

/** What the dialog begins with: a new service, or the next revision of one that is there. */
async function asked(
  { model, apps }: IContext,
  args: { readonly name?: unknown; readonly model?: unknown }
): Promise<INewRevision> {
  const fresh = newRevision(model);
  const path = typeof args.model === 'string' ? { model: args.model } : {};
  if (typeof args.name !== 'string') {
    return { ...fresh, ...path };
  }
  // The code that it has, if that can be known; a person can name another.
  const revisions = await model.revisions(args.name).catch(() => []);
  const current = revisions.find(each => each.current)?.app ?? fresh.app;
  const named = apps.get(args.name);
  const app = named?.replace(/^(.*\/)?([^/]+)\.py:/, '$2:') === current ? named : current;
  return { ...fresh, app, ...path, name: args.name };
}
