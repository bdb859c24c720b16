import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { IRevision } from '../tokens';

interface IProps {
  /** The oldest first. */
  readonly revisions: readonly IRevision[];
  /** Told the number of the one that is chosen. */
  readonly choose: (number: number) => void;
  readonly trans: TranslationBundle;
}

/** All that was published under a name, the newest first; the one before the current one is chosen. */
export function Revisions({ revisions, choose, trans }: IProps): React.ReactElement {
  const [chosen, setChosen] = React.useState(() => before(revisions));
  return (
    <div className="jp-kuberay-Revisions" role="radiogroup" aria-label={trans.__('Revisions')}>
      {[...revisions].reverse().map(each => (
        <label key={each.number} className="jp-kuberay-Offer">
          <input
            type="radio"
            name="revision"
            disabled={each.current}
            checked={each.number === chosen}
            onChange={() => {
              setChosen(each.number);
              choose(each.number);
            }}
          />
          <span>
            <strong>
              {trans.__('Revision %1', each.number)}
              {each.current ? ` · ${trans.__('in use')}` : ''}
            </strong>
            <span className="jp-kuberay-Remedy">
              {[new Date(each.when).toLocaleString(), each.who, scores(each)]
                .filter(Boolean)
                .join(' · ')}
            </span>
            <span className="jp-kuberay-Remedy">{each.why || each.model}</span>
          </span>
        </label>
      ))}
    </div>
  );
}

/** The revision before the one in use; null where there is none. */
export function before(revisions: readonly IRevision[]): number | null {
  const current = revisions.findIndex(each => each.current);
  return current > 0 ? revisions[current - 1].number : null;
}

function scores(revision: IRevision): string {
  return Object.entries(revision.metrics)
    .map(([name, value]) => `${name} ${Math.round(value * 1000) / 1000}`)
    .join(', ');
}
