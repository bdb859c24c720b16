import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';
import * as React from 'react';
import { age, bars, comesUp, elapsed, groups, own, seconds } from '../format';
import type { ICluster, IModel, IUsage } from '../tokens';
import { Card } from './card';
import { useChanges, useNow } from './hooks';

/** What a card can be asked to do; the plugins know how. */
export interface IActions {
  create(): void;
  attach(name: string): void;
  scale(name: string): void;
  resume(name: string): void;
  /** The rest, beside the element that was pressed. */
  more(kind: 'cluster' | 'service', name: string, at: DOMRect): void;
  doctor(): void;
}

interface IProps {
  readonly model: IModel;
  readonly actions: IActions;
  readonly trans: TranslationBundle;
}

export function Clusters({ model, actions, trans }: IProps): React.ReactElement {
  useChanges(model);
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
          actions={actions}
          trans={trans}
        />
      ))}
    </ul>
  );
}

interface ICardProps {
  readonly cluster: ICluster;
  readonly usage: IUsage | undefined;
  readonly actions: IActions;
  readonly trans: TranslationBundle;
}

/** Shown anew only when this cluster changed. */
const ClusterCard = React.memo(function ClusterCard(props: ICardProps): React.ReactElement {
  const { cluster, usage, actions, trans } = props;
  const { name, phase } = cluster;
  const usable = phase === 'Ready' || phase === 'Degraded';
  const buttons = (
    <>
      {usable && (
        <>
          <Button small onClick={() => actions.attach(name)}>
            {trans.__('Attach')}
          </Button>
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
      since={<Since cluster={cluster} trans={trans} />}
      buttons={buttons}
      more={actions.more}
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
      {usage && usable && (
        <div className="jp-kuberay-Bars">
          {bars(usage, trans).map(bar => (
            <Bar key={bar.label} {...bar} />
          ))}
        </div>
      )}
      {cluster.simulated_gpus && cluster.gpus > 0 && (
        <div className="jp-kuberay-Note">{trans.__('GPUs are simulated')}</div>
      )}
      {cluster.foreign && <div className="jp-kuberay-Note">{trans.__('Made by another tool')}</div>}
    </Card>
  );
});

/** How long it has been coming up, second by second, or how old it is. */
function Since(props: { cluster: ICluster; trans: TranslationBundle }): React.ReactElement {
  const coming = comesUp(props.cluster.phase);
  const since = seconds(props.cluster.created, useNow(coming ? 1000 : 30_000));
  return (
    <span className="jp-kuberay-Since">{coming ? elapsed(since) : age(since, props.trans)}</span>
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
