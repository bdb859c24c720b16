/**
 * The side panel: sections of cards, what stands in the way above them, how it stands below.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  addIcon,
  ellipsesIcon,
  PanelWithToolbar,
  ReactWidget,
  refreshIcon,
  SidePanel,
  ToolbarButton,
  UseSignal
} from '@jupyterlab/ui-components';
import type { AccordionPanel, Widget } from '@lumino/widgets';
import * as React from 'react';
import { Clusters, type IActions, type ICardsProps } from './components/clusters';
import { Models } from './components/models';
import type { IRunActions } from './components/run';
import { Runs } from './components/runs';
import { Services } from './components/services';
import { Foot, Heard, isNow, summary, Trouble } from './components/standing';
import { rayIcon } from './icons';
import { runsSummary } from './runs';
import type { Sight } from './sight';
import type { IAttachments, IModel } from './tokens';

interface IOptions {
  readonly model: IModel;
  readonly attachments: IAttachments | null;
  readonly actions: IActions & IRunActions;
  readonly sight: Sight;
  readonly trans: TranslationBundle;
  /** Opens the menu of what is about all of it. */
  readonly menu: (at: DOMRect) => void;
}

export class RayPanel extends SidePanel {
  constructor(options: IOptions) {
    super();
    const { model, attachments, actions, sight, trans, menu } = options;
    this.id = 'jupyter-kuberay-panel';
    this.addClass('jp-kuberay-Panel');
    this.title.icon = rayIcon;
    this.title.caption = trans.__('Ray clusters and services');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Ray clusters and services'));
    model.changed.connect(() => this.toggleClass('jp-mod-old', model.synced && !isNow(model)));
    const cards: ICardsProps = { model, attachments, actions, follow: sight.follow, trans };

    this.header.addWidget(
      ReactWidget.create(
        <Trouble
          model={model}
          trans={trans}
          retry={() => void model.refresh()}
          doctor={actions.doctor}
        />
      )
    );
    const clusters = section(trans.__('Clusters'), ReactWidget.create(<Clusters {...cards} />));
    const inTitle = (words: () => string) =>
      ReactWidget.create(
        <UseSignal signal={model.changed}>
          {() => <span className="jp-kuberay-Summary">{words()}</span>}
        </UseSignal>
      );
    clusters.toolbar.addItem(
      'summary',
      inTitle(() => summary(model, trans))
    );
    clusters.toolbar.addItem(
      'create',
      new ToolbarButton({
        icon: addIcon,
        tooltip: trans.__('New cluster…'),
        onClick: actions.create
      })
    );
    const more = new ToolbarButton({
      icon: ellipsesIcon,
      tooltip: trans.__('Settings, doctor, help'),
      onClick: () => menu(more.node.getBoundingClientRect())
    });
    clusters.toolbar.addItem('more', more);
    this.addWidget(clusters);

    const services = section(trans.__('Services'), ReactWidget.create(<Services {...cards} />));
    services.toolbar.addItem(
      'publish',
      new ToolbarButton({
        icon: addIcon,
        tooltip: trans.__('Publish model…'),
        onClick: () => actions.publish()
      })
    );
    this.addWidget(services);

    const runs = section(
      trans.__('Runs'),
      ReactWidget.create(
        <Runs model={model} actions={actions} follow={sight.follow} trans={trans} />
      )
    );
    runs.toolbar.addItem(
      'summary',
      inTitle(() => runsSummary(model.runs, trans))
    );
    this.addWidget(runs);

    const found = new Models(model, path => actions.publish(path), trans);
    const models = section(trans.__('Models'), found);
    models.toolbar.addItem(
      'refresh',
      new ToolbarButton({
        icon: refreshIcon,
        tooltip: trans.__('Look again'),
        onClick: () => void found.refresh()
      })
    );
    this.addWidget(models);
    this.fold([false, false, false, true]);

    const foot = ReactWidget.create(
      <>
        <Foot model={model} trans={trans} />
        <Heard model={model} trans={trans} />
      </>
    );
    foot.addClass('jp-kuberay-FootWidget');
    (this.layout as unknown as { addWidget(widget: Widget): void }).addWidget(foot);
  }

  /** Which sections are folded, in their order. */
  get folded(): boolean[] {
    return this.widgets.map(each => each.isHidden);
  }

  fold(folded: readonly boolean[]): void {
    const accordion = this.content as AccordionPanel;
    folded.forEach((each, index) => (each ? accordion.collapse(index) : accordion.expand(index)));
  }
}

function section(title: string, body: ReactWidget): PanelWithToolbar {
  const made = new PanelWithToolbar();
  made.title.label = title;
  made.addWidget(body);
  return made;
}
