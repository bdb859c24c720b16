import type { TranslationBundle } from '@jupyterlab/translation';
import { Button, closeIcon, copyIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { age, applicationWords, elapsed, seconds, traffic as trafficWords } from '../format';
import type { IModel, IPublication, IService, ITraffic } from '../tokens';
import { Card } from './card';
import type { IActions, ICardsProps } from './clusters';
import { useChanges, useNow } from './hooks';
import { Try } from './try';

const RARELY_MS = 60 * 60 * 1000;

export function Services(props: ICardsProps): React.ReactElement {
  const { model, actions, follow, trans } = props;
  useChanges(model);
  const services = [...model.services.values()];
  // A first revision has no service before its cluster was asked for, or when it came to nothing.
  const others = [...model.publications.values()].filter(
    each => !model.services.has(each.name) && each.state !== 'done'
  );
  if (!services.length && !others.length && model.synced) {
    return (
      <div className="jp-kuberay-Empty">
        <p>
          {trans.__('A model that answers requests. Publish one, and it gets an address here.')}
        </p>
        <Button className="jp-mod-styled" onClick={() => actions.publish()}>
          {trans.__('Publish model…')}
        </Button>
      </div>
    );
  }
  return (
    <ul className="jp-kuberay-List" aria-label={trans.__('Services')}>
      {services.map(service => (
        <ServiceCard
          key={service.name}
          model={model}
          service={service}
          traffic={model.traffic.get(service.name)}
          publication={model.publications.get(service.name)}
          actions={actions}
          follow={follow}
          trans={trans}
        />
      ))}
      {others.map(publication => (
        <li key={publication.name} className="jp-kuberay-Card">
          <div className="jp-kuberay-Head">
            <span className="jp-kuberay-Name">{publication.name}</span>
          </div>
          <Publication publication={publication} model={model} trans={trans} />
        </li>
      ))}
    </ul>
  );
}

const ServiceCard = React.memo(function ServiceCard(props: {
  readonly model: IModel;
  readonly service: IService;
  readonly traffic: ITraffic | undefined;
  readonly publication: IPublication | undefined;
  readonly actions: IActions;
  readonly follow: (node: HTMLElement) => () => void;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { model, service, traffic, publication, actions, follow, trans } = props;
  const { name, revision, settled, phase } = service;
  const [trying, setTrying] = React.useState(false);
  const answers = phase === 'Ready' || phase === 'Degraded';
  return (
    <Card
      kind="service"
      status={service}
      since={<Since created={service.created} trans={trans} />}
      buttons={
        answers && (
          <Button small aria-expanded={trying} onClick={() => setTrying(!trying)}>
            {trans.__('Try')}
          </Button>
        )
      }
      more={actions.more}
      follow={follow}
      trans={trans}
    >
      <div className="jp-kuberay-Group">
        <span className="jp-kuberay-GroupName" title={service.model}>
          {service.model || trans.__('no model named')}
        </span>
        {revision !== null && (
          <span className="jp-kuberay-Count" title={settled ? '' : trans.__('It is being put in.')}>
            {trans.__('revision %1', revision)}
            {settled ? '' : '…'}
          </span>
        )}
      </div>
      {traffic && (
        <>
          <div className="jp-kuberay-Group">
            <span className="jp-kuberay-GroupName" title={traffic.url}>
              {traffic.url}
            </span>
            <Button
              small
              minimal
              aria-label={trans.__('Copy the address of %1', name)}
              title={trans.__('Copy the address')}
              onClick={() => actions.copyUrl(name)}
            >
              <copyIcon.react tag="span" />
            </Button>
          </div>
          <div className="jp-kuberay-Note">{trafficWords(traffic, trans)}</div>
        </>
      )}
      {service.applications.length > 1 &&
        service.applications
          .filter(each => each.name !== name)
          .map(each => (
            <div key={each.name} className="jp-kuberay-Application">
              <span className="jp-kuberay-Note" title={each.model}>
                {applicationWords(each, trans)}
              </span>
              <Button
                small
                minimal
                aria-label={trans.__('Unpublish %1 of %2', each.name, name)}
                title={trans.__('Unpublish…')}
                onClick={() => actions.unpublish(name, each.name)}
              >
                <closeIcon.react tag="span" />
              </Button>
            </div>
          ))}
      {publication && <Publication publication={publication} model={model} trans={trans} />}
      {trying && <Try model={model} service={name} traffic={traffic} trans={trans} />}
    </Card>
  );
});

/** What is under way, or why it came to nothing; nothing once it is in. */
function Publication(props: {
  readonly publication: IPublication;
  readonly model: IModel;
  readonly trans: TranslationBundle;
}): React.ReactElement | null {
  const { publication, model, trans } = props;
  const { state, verb, steps, problem, name } = publication;
  const now = useNow(state === 'running' ? 1000 : RARELY_MS);
  if (state === 'running') {
    const last = steps[steps.length - 1];
    return (
      <div className="jp-kuberay-Cause" role="status">
        <p>
          {verb === 'publish' ? trans.__('Being published') : trans.__('Going back')}
          {` · ${elapsed(seconds(publication.began, now))}`}
        </p>
        <p className="jp-kuberay-Remedy">{last?.message ?? trans.__('It begins.')}</p>
        <Button small minimal onClick={() => void model.cancelPublication(name).catch(() => null)}>
          {trans.__('Cancel')}
        </Button>
      </div>
    );
  }
  if (state === 'failed' && problem) {
    return (
      <div className="jp-kuberay-Cause" role="alert">
        <p>{problem.message}</p>
        <p className="jp-kuberay-Remedy">{problem.hint}</p>
      </div>
    );
  }
  return null;
}

function Since(props: { created: string; trans: TranslationBundle }): React.ReactElement {
  return (
    <span className="jp-kuberay-Since">
      {age(seconds(props.created, useNow(30_000)), props.trans)}
    </span>
  );
}
