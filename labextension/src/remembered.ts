/**
 * What is remembered between two loads of the page: the form's last choice, how long starts took, what is folded.
 */
import type { IStateDB } from '@jupyterlab/statedb';
import type { AccordionPanel } from '@lumino/widgets';
import type { IDraft } from './components/form';
import type { ISettings } from './context';
import { freeName } from './format';
import type { RayPanel } from './panel';
import { Starts, type StartTimes } from './starts';
import type { IModel, INewCluster } from './tokens';

const KEY = 'jupyter-kuberay';

/** The form's last choice, with a name that is free. */
export function remembered(model: IModel, settings: ISettings, state: IStateDB | null): IDraft {
  let value: INewCluster = { name: '' };
  void state?.fetch(`${KEY}:new-cluster`).then(kept => {
    if (kept && typeof kept === 'object') {
      value = { ...(kept as object), name: '' };
    }
  });
  return {
    get value() {
      if (!value.name) {
        value = { ...value, name: freeName(new Set(model.clusters.keys()), 'cluster') };
      }
      return settings.defaultProfile ? { profile: settings.defaultProfile, ...value } : value;
    },
    set value(next) {
      value = next;
      void state?.save(`${KEY}:new-cluster`, { ...next, name: '' });
    }
  };
}

export function rememberedStarts(state: IStateDB | null): Starts {
  const starts = new Starts({}, times => void state?.save(`${KEY}:starts`, { ...times }));
  void state?.fetch(`${KEY}:starts`).then(kept => {
    if (kept && typeof kept === 'object') {
      starts.load(kept as unknown as StartTimes);
    }
  });
  return starts;
}

/** Which of the panel's sections are folded. */
export function rememberedSections(panel: RayPanel, state: IStateDB | null): void {
  const accordion = panel.content as AccordionPanel;
  void state
    ?.fetch(`${KEY}:folded`)
    .then(kept => {
      // What was kept before there was another section speaks of others.
      if (Array.isArray(kept) && kept.length === panel.folded.length) {
        panel.fold(kept as boolean[]);
      }
    })
    .finally(() => {
      accordion.expansionToggled.connect(() => void state.save(`${KEY}:folded`, panel.folded));
    });
}

/** How each service's application was named when it was published: a revision knows it as a module, not as a file. */
export interface IApps {
  get(service: string): string | undefined;
  set(service: string, app: string): void;
}

export function rememberedApps(state: IStateDB | null): IApps {
  let apps: Record<string, string> = {};
  void state?.fetch(`${KEY}:apps`).then(kept => {
    if (kept && typeof kept === 'object') {
      apps = { ...(kept as Record<string, string>), ...apps };
    }
  });
  return {
    get: service => apps[service],
    set: (service, app) => {
      apps = { ...apps, [service]: app };
      void state?.save(`${KEY}:apps`, apps);
    }
  };
}
