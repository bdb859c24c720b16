/**
 * The side panel: what stands in the way, the clusters, the services, and where all this runs.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  addIcon,
  PanelWithToolbar,
  ReactWidget,
  SidePanel,
  ToolbarButton,
  UseSignal
} from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { Widget } from '@lumino/widgets';
import * as React from 'react';
import { Clusters, type IActions } from './components/clusters';
import { Services } from './components/services';
import { Foot, Heard, summary, Trouble } from './components/standing';
import { own } from './format';
import { rayIcon } from './icons';
import type { IModel } from './tokens';

export class RayPanel extends SidePanel {
  constructor(
    private readonly model: IModel,
    actions: IActions,
    trans: TranslationBundle
  ) {
    super({ translator: undefined });
    this.id = 'jupyter-kuberay-panel';
    this.addClass('jp-kuberay-Panel');
    this.title.icon = rayIcon;
    this.title.caption = trans.__('Ray clusters and services');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Ray clusters and services'));

    const show = (element: React.ReactElement) => ReactWidget.create(element);
    this.header.addWidget(
      show(
        <Trouble
          model={model}
          trans={trans}
          retry={() => void model.refresh()}
          doctor={actions.doctor}
        />
      )
    );
    const clusters = new PanelWithToolbar();
    clusters.title.label = trans.__('Clusters');
    clusters.toolbar.addItem(
      'summary',
      show(
        <UseSignal signal={model.changed}>
          {() => <span className="jp-kuberay-Summary">{summary(model, trans)}</span>}
        </UseSignal>
      )
    );
    clusters.toolbar.addItem(
      'create',
      new ToolbarButton({
        icon: addIcon,
        tooltip: trans.__('New cluster…'),
        onClick: actions.create
      })
    );
    clusters.addWidget(show(<Clusters model={model} actions={actions} trans={trans} />));
    this.addWidget(clusters);

    const services = new PanelWithToolbar();
    services.title.label = trans.__('Services');
    services.addWidget(show(<Services model={model} actions={actions} trans={trans} />));
    this.addWidget(services);

    const foot = show(
      <>
        <Foot model={model} trans={trans} />
        <Heard model={model} trans={trans} />
      </>
    );
    foot.addClass('jp-kuberay-FootWidget');
    (this.layout as unknown as { addWidget(widget: Widget): void }).addWidget(foot);

    model.changed.connect(this._see, this);
  }

  /** Which clusters are on the screen; those are measured. */
  private _see(): void {
    if (this.isVisible) {
      this._opened = true;
      this.model.show(own(this.model.clusters.values()).map(cluster => cluster.name));
    }
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._see();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    // Who never opened it pays for nothing.
    if (this._opened) {
      this.model.show([]);
    }
  }

  private _opened = false;

  override dispose(): void {
    this.model.changed.disconnect(this._see, this);
    super.dispose();
  }
}
