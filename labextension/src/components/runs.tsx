import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { rows, type IRow } from '../runs';
import type { IModel } from '../tokens';
import { useChanges } from './hooks';
import { Paged } from './paged';
import { type IRunActions, RunCard } from './run';
import { RunGroup } from './rungroup';

interface IProps {
  readonly model: IModel;
  readonly actions: IRunActions;
  /** Told of the list while it is there, so that it knows when it is on the screen. */
  readonly follow: (node: HTMLElement) => () => void;
  readonly trans: TranslationBundle;
}

/** The runs of notebooks, the newest first; those of one sweep or pipeline are one row. */
export function Runs({ model, actions, follow, trans }: IProps): React.ReactElement {
  useChanges(model);
  const { runs } = model;
  const found = React.useMemo(() => rows(runs.values()), [runs]);
  const around = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => follow(around.current!), [follow]);
  return (
    <div ref={around} className="jp-kuberay-Runs" data-kind="runs" data-name="runs">
      {found.length ? (
        <Paged
          label={trans.__('Runs')}
          of={found}
          show={row => <Row key={row.key} row={row} actions={actions} trans={trans} />}
          trans={trans}
        />
      ) : (
        model.runsKnown && (
          <div className="jp-kuberay-Empty">
            <p>
              {trans.__(
                'Notebooks that run from beginning to end, without you. Begin in a terminal:'
              )}
            </p>
            <code>jupyter kuberay run NOTEBOOK</code>
          </div>
        )
      )}
    </div>
  );
}

function Row(props: {
  readonly row: IRow;
  readonly actions: IRunActions;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { row, actions, trans } = props;
  return row.group && row.runs.length > 1 ? (
    <RunGroup row={row} actions={actions} trans={trans} />
  ) : (
    <RunCard run={row.runs[0]} actions={actions} trans={trans} />
  );
}
