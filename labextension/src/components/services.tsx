import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { age, seconds } from '../format';
import type { IModel, IService } from '../tokens';
import { Card } from './card';
import type { IActions } from './clusters';
import { useChanges, useNow } from './hooks';

interface IProps {
  readonly model: IModel;
  readonly actions: IActions;
  readonly trans: TranslationBundle;
}

export function Services({ model, actions, trans }: IProps): React.ReactElement {
  useChanges(model);
  const services = [...model.services.values()];
  if (!services.length && model.synced) {
    return (
      <div className="jp-kuberay-Empty">
        <p>
          {trans.__(
            'A published model is a service: it answers requests, and can be upgraded and rolled back.'
          )}
        </p>
      </div>
    );
  }
  return (
    <ul className="jp-kuberay-List" aria-label={trans.__('Services')}>
      {services.map(service => (
        <ServiceCard key={service.name} service={service} actions={actions} trans={trans} />
      ))}
    </ul>
  );
}

const ServiceCard = React.memo(function ServiceCard(props: {
  readonly service: IService;
  readonly actions: IActions;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { service, actions, trans } = props;
  const { revision, settled } = service;
  return (
    <Card
      kind="service"
      status={service}
      since={<Since created={service.created} trans={trans} />}
      more={actions.more}
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
    </Card>
  );
});

function Since(props: { created: string; trans: TranslationBundle }): React.ReactElement {
  return (
    <span className="jp-kuberay-Since">
      {age(seconds(props.created, useNow(30_000)), props.trans)}
    </span>
  );
}
