import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';
import * as React from 'react';
import { age, bars, comesUp, elapsed, groups, own, seconds } from '../format';
import type { IAttachments, ICluster, IModel, IUsage } from '../tokens';
import { Card } from './card';
import { useChanges, useNow } from './hooks';

/** What a card can be asked to do; the plugins know how. */
export interface IActions {
  create(): void;
  attach(name: string): void;
  /** The current notebook, from what it is attached to. */
  detach(): void;
  scale(name: string): void;
  resume(name: string): void;
  /** Of the model at `path`; default: the last validated one. */
  publish(path?: string): void;
  copyUrl(name: string): void;
  /** All of a service, or one of its applications. */
  unpublish(name: string, application: string): void;
  /** The rest, beside the element that was pressed. */
  more(kind: 'cluster' | 'service', name: string, at: DOMRect): void;
  doctor(): void;
  tour(): void;
}

export interface ICardsProps {
  readonly model: IModel;
  readonly attachments: IAttachments | null;
  readonly actions: IActions;
  readonly follow: (node: HTMLElement) => () => void;
  readonly trans: TranslationBundle;
}

export function Clusters(props: ICardsProps): React.ReactElement {
  const { model, attachments, actions, follow, trans } = props;
  useChanges(model);
  useChanges(attachments);
  const clusters = own(model.clusters.values());
  if (!clusters.length && model.synced) {
    return (
      <div className="jp-kuberay-Empty">
        <p>
          {trans.__(
            'A Ray cluster of your own: workers with CPUs and GPUs that your notebook runs on.'
          )}
        </p>
        <Button className="jp-mod-styled jp-mod-accept" onClick={actions.create}>
          {trans.__('New cluster')}
        </Button>
        <Button className="jp-kuberay-Link" minimal onClick={actions.tour}>
          {trans.__('What is this?')}
        </Button>
      </div>
    );
  }
  return (
    <ul className="jp-kuberay-List" aria-label={trans.__('Clusters')}>
      {clusters.map(cluster => (
        <ClusterCard
          key={cluster.name}
          cluster={cluster}
          usage={model.usage.get(cluster.name)}
          began={model.began(cluster.name)}
          usual={model.usual(cluster.profile)}
          lost={model.lost(cluster.name)}
          notebooks={attachments?.on(cluster.name).join(', ') ?? ''}
          here={attachments?.here === cluster.name}
          actions={actions}
          follow={follow}
          trans={trans}
        />
      ))}
    </ul>
  );
}

interface ICardProps {
  readonly cluster: ICluster;
  readonly usage: IUsage | undefined;
  readonly began: number | null;
  readonly usual: number | null;
  /** The nodes that went and are missed. */
  readonly lost: readonly string[];
  /** The notebooks that are attached, in words. */
  readonly notebooks: string;
  /** Whether the current notebook is one of these. */
  readonly here: boolean;
  readonly actions: IActions;
  readonly follow: (node: HTMLElement) => () => void;
  readonly trans: TranslationBundle;
}

/** Of the nodes that are gone, and of those that do not run, so many are named. */
const MOST_NAMED = 5;

/** Shown anew only when this cluster changed. */
const ClusterCard = React.memo(function ClusterCard(props: ICardProps): React.ReactElement {
  const { cluster, usage, lost, notebooks, here, actions, follow, trans } = props;
  const { name, phase } = cluster;
  const usable = phase === 'Ready' || phase === 'Degraded';
  const buttons = (
    <>
      {usable && (
        <>
          {here ? (
            <Button small onClick={actions.detach}>
              {trans.__('Detach')}
            </Button>
          ) : (
            <Button small onClick={() => actions.attach(name)}>
              {trans.__('Attach')}
            </Button>
          )}
          <Button small minimal onClick={() => actions.scale(name)}>
            {trans.__('Scale…')}
          </Button>
        </>
      )}
      {(phase === 'Suspended' || phase === 'Failed') && (
        <Button small onClick={() => actions.resume(name)}>
          {phase === 'Failed' ? trans.__('Start again') : trans.__('Resume')}
        </Button>
      )}
    </>
  );
  return (
    <Card
      kind="cluster"
      status={cluster}
      since={<Since {...props} />}
      buttons={buttons}
      more={actions.more}
      follow={follow}
      trans={trans}
    >
      {groups(cluster).map(group => (
        <div className="jp-kuberay-Group" key={group.name}>
          <span className="jp-kuberay-GroupName">{group.name}</span>
          <span className="jp-kuberay-Count">
            {trans.__('%1 of %2', group.ready, group.wanted)}
          </span>
        </div>
      ))}
      {lost.slice(0, MOST_NAMED).map(node => (
        <div className="jp-kuberay-Note" key={node}>
          {trans.__('%1 is gone', node)}
        </div>
      ))}
      {phase === 'Degraded' &&
        cluster.nodes
          .filter(node => !node.ready)
          .slice(0, MOST_NAMED)
          .map(node => (
            <div className="jp-kuberay-Note" key={node.name} title={node.message}>
              {node.reason ? `${node.name}: ${node.reason}` : node.name}
            </div>
          ))}
      {usage && usable && (
        <div className="jp-kuberay-Bars">
          {bars(usage, trans).map(bar => (
            <Bar key={bar.label} {...bar} />
          ))}
        </div>
      )}
      {usage?.idle_since && usable && <Idle since={usage.idle_since} trans={trans} />}
      {notebooks && (
        <div className="jp-kuberay-Note" title={notebooks}>
          {trans.__('Attached: %1', notebooks)}
        </div>
      )}
      {cluster.simulated_gpus && cluster.gpus > 0 && (
        <div className="jp-kuberay-Note">{trans.__('GPUs are simulated')}</div>
      )}
      {cluster.foreign && <div className="jp-kuberay-Note">{trans.__('Made by another tool')}</div>}
      {cluster.notes.map(note => (
        <div className="jp-kuberay-Note" key={note} title={note}>
          {note}
        </div>
      ))}
    </Card>
  );
});

/** How long it has been coming up, second by second, of what is usual; otherwise how old it is. */
function Since({ cluster, began, usual, trans }: ICardProps): React.ReactElement {
  const coming = comesUp(cluster.phase) && began !== null;
  const now = useNow(coming ? 1000 : 30_000);
  if (!coming) {
    return <span className="jp-kuberay-Since">{age(seconds(cluster.created, now), trans)}</span>;
  }
  const time = elapsed(Math.max(0, (now - began) / 1000));
  return (
    <span
      className="jp-kuberay-Since"
      title={usual === null ? '' : trans.__('It usually takes %1.', elapsed(usual))}
    >
      {usual === null ? time : trans.__('%1 / ~%2', time, elapsed(usual))}
    </span>
  );
}

/** For how long nothing has run on it; what ended just now is not worth a word. */
function Idle(props: { since: string; trans: TranslationBundle }): React.ReactElement | null {
  const { since, trans } = props;
  const idle = seconds(since, useNow(30_000));
  return idle < 60 ? null : (
    <div
      className="jp-kuberay-Note"
      title={trans.__('Nothing has run on it for so long; what it holds is held all the same.')}
    >
      {trans.__('Idle for %1', age(idle, trans))}
    </div>
  );
}

export function Bar(props: { label: string; share: number; words: string }): React.ReactElement {
  const percent = Math.round(props.share * 100);
  return (
    <div className="jp-kuberay-Bar" title={props.words}>
      <span aria-hidden="true">{props.label}</span>
      <span
        className="jp-kuberay-Track"
        role="meter"
        aria-label={props.words}
        aria-valuenow={percent}
        aria-valuemin={0}
        aria-valuemax={100}
      >
        <span style={{ width: `${percent}%` }} />
      </span>
      <span className="jp-kuberay-Percent" aria-hidden="true">
        {percent}%
      </span>
    </div>
  );
}
