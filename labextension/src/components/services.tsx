import type { TranslationBundle } from '@jupyterlab/translation';
import { Button, ellipsesIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { age, phaseWord, seconds } from '../format';
import type { IModel, IService } from '../tokens';
import type { IActions } from './clusters';
import { useChanges, useNow } from './hooks';
import { PhaseIcon } from './phase';

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
        <Card key={service.name} service={service} actions={actions} trans={trans} />
      ))}
    </ul>
  );
}

const Card = React.memo(function Card(props: {
  readonly service: IService;
  readonly actions: IActions;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { service, actions, trans } = props;
  const { name, phase, revision } = service;
  return (
    <li className="jp-kuberay-Card" data-kind="service" data-name={name}>
      <div className="jp-kuberay-Head">
        <PhaseIcon phase={phase} />
        <span className="jp-kuberay-Name" title={name}>
          {name}
        </span>
        <span className="jp-kuberay-Word">{phaseWord(phase, trans)}</span>
        <Since created={service.created} trans={trans} />
      </div>
      <div className="jp-kuberay-Group">
        <span className="jp-kuberay-GroupName" title={service.model}>
          {service.model || trans.__('no model named')}
        </span>
        {revision !== null && (
          <span
            className="jp-kuberay-Count"
            title={service.settled ? '' : trans.__('It is being put in.')}
          >
            {trans.__('revision %1', revision)}
            {service.settled ? '' : '…'}
          </span>
        )}
      </div>
      {service.cause && (
        <div className="jp-kuberay-Cause">
          <p>{service.cause.what}</p>
          <p className="jp-kuberay-Remedy">{service.cause.remedy}</p>
        </div>
      )}
      <div className="jp-kuberay-Actions">
        <Button
          small
          minimal
          className="jp-kuberay-More"
          aria-haspopup="menu"
          aria-label={trans.__('More actions for %1', name)}
          title={trans.__('More actions')}
          onClick={(event: React.MouseEvent) =>
            actions.more('service', name, event.currentTarget.getBoundingClientRect())
          }
        >
          <ellipsesIcon.react tag="span" />
        </Button>
      </div>
    </li>
  );
});

function Since(props: { created: string; trans: TranslationBundle }): React.ReactElement {
  return (
    <span className="jp-kuberay-Since">
      {age(seconds(props.created, useNow(30_000)), props.trans)}
    </span>
  );
}
