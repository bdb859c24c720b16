import type { TranslationBundle } from '@jupyterlab/translation';
import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { share } from '../format';
import { counts, countWords, type IRow, together } from '../runs';
import { Paged } from './paged';
import { Forget, type IRunActions, RunCard, RunIcon, Track } from './run';

/** The runs of one sweep or pipeline: how many are done, and each of them when it is opened. */
export function RunGroup(props: {
  readonly row: IRow;
  readonly actions: IRunActions;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { row, actions, trans } = props;
  const { group, folder, runs } = row;
  const [open, setOpen] = React.useState(false);
  const of = counts(runs);
  const words = countWords(of, trans);
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <li className="jp-kuberay-Card" data-kind="runs-of" data-name={group}>
      <div className="jp-kuberay-Head">
        <button
          className="jp-kuberay-Fold"
          aria-expanded={open}
          title={folder}
          onClick={() => setOpen(!open)}
        >
          <Caret.react tag="span" className="jp-kuberay-Caret" />
          <RunIcon state={together(of)} />
          <span className="jp-kuberay-Name">{group}</span>
        </button>
        {!of.running && (
          <Forget
            words={trans.__('Take %1 out of the list', group)}
            forget={() => actions.forgetRuns(group, folder)}
          />
        )}
      </div>
      <div className="jp-kuberay-Note">{words}</div>
      {of.running > 0 && (
        <Track share={share(of.all - of.running, of.all)} words={words}>
          {`${of.all - of.running}/${of.all}`}
        </Track>
      )}
      {open && (
        <Paged
          label={trans.__('Runs of %1', group)}
          of={runs}
          show={run => <RunCard key={run.id} run={run} actions={actions} trans={trans} />}
          trans={trans}
        />
      )}
    </li>
  );
}
