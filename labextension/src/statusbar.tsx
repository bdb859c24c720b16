/**
 * What I hold, in the status bar.
 */
import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { useChanges } from './components/hooks';
import { gpusHeld, own } from './format';
import type { IModel } from './tokens';

export function statusItem(model: IModel, open: () => void, trans: TranslationBundle): ReactWidget {
  const widget = ReactWidget.create(<Held model={model} open={open} trans={trans} />);
  widget.addClass('jp-kuberay-StatusItem');
  return widget;
}

/** Whether there is anything to say. */
export function holdsSomething(model: IModel): boolean {
  return model.synced && model.clusters.size > 0;
}

function Held(props: {
  readonly model: IModel;
  readonly open: () => void;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { model, open, trans } = props;
  useChanges(model);
  const count = own(model.clusters.values()).length;
  const gpus = gpusHeld(model.clusters.values());
  const words = [
    trans._n('%1 Ray cluster', '%1 Ray clusters', count),
    gpus ? trans._n('%1 GPU', '%1 GPUs', gpus) : ''
  ];
  return (
    <button className="jp-kuberay-Status" title={trans.__('Show the Ray panel')} onClick={open}>
      {words.filter(Boolean).join(' · ')}
    </button>
  );
}
