import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
import * as React from 'react';
import type { IModel, IRevision } from '../tokens';
import { Compare } from './difference';

/** What a person has chosen to go back to. */
export interface IReturnDraft {
  /** Null: nothing yet. */
  to: number | null;
  application: string;
  why: string;
}

interface IProps {
  readonly model: IModel;
  readonly service: string;
  /** Of the application that is called like the service, or of its only one; the oldest first. */
  readonly revisions: readonly IRevision[];
  readonly draft: IReturnDraft;
  readonly trans: TranslationBundle;
}

/** The history of a service's applications: which revision to go back to, and what any two of them differ in. */
export function Revisions(props: IProps): React.ReactElement {
  const { model, service, draft, trans } = props;
  const [revisions, setRevisions] = React.useState(props.revisions);
  const [why, setWhy] = React.useState(draft.why);
  const [application, setApplication] = React.useState(draft.application);
  const names = (model.services.get(service)?.applications ?? [])
    .filter(each => each.revision !== null)
    .map(each => each.name);
  const choose = (name: string) => {
    draft.application = name;
    draft.to = null;
    setApplication(name);
    void model.revisions(service, name).then(
      found => {
        if (draft.application === name) {
          draft.to = before(found);
          setRevisions(found);
        }
      },
      () => setRevisions([])
    );
  };
  const compare = React.useCallback(
    (one: number, other: number) => model.difference(service, one, other, application),
    [model, service, application]
  );
  return (
    <div className="jp-kuberay-History">
      {names.length > 1 && (
        <HTMLSelect
          aria-label={trans.__('Application')}
          value={application}
          onChange={event => choose(event.target.value)}
        >
          {names.map(each => (
            <option key={each}>{each}</option>
          ))}
        </HTMLSelect>
      )}
      <List
        key={revisions[0]?.application ?? ''}
        revisions={revisions}
        trans={trans}
        choose={number => {
          draft.to = number;
        }}
      />
      {revisions.length > 1 && (
        <>
          <input
            className="jp-mod-styled"
            aria-label={trans.__('Why it is rolled back')}
            placeholder={trans.__('Why, kept with the history')}
            value={why}
            onChange={event => {
              draft.why = event.target.value;
              setWhy(event.target.value);
            }}
          />
          <Compare
            key={`compare ${application}`}
            revisions={revisions}
            compare={compare}
            trans={trans}
          />
        </>
      )}
    </div>
  );
}

/** All that was published, the newest first; the one before the current one is chosen. */
function List(props: {
  /** The oldest first. */
  readonly revisions: readonly IRevision[];
  /** Told the number of the one that is chosen. */
  readonly choose: (number: number) => void;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { revisions, choose, trans } = props;
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
            <span className="jp-kuberay-Remedy">
              {[each.why, each.model_version || (each.why ? '' : each.model)]
                .filter(Boolean)
                .join(' · ')}
            </span>
            {each.failed_gates.map(gate => (
              <span key={gate} className="jp-kuberay-Remedy">
                {trans.__('Published although %1', gate)}
              </span>
            ))}
            {each.again.map((again, index) => (
              <span key={index} className="jp-kuberay-Remedy">
                {[
                  trans.__('Put in again'),
                  new Date(again.when).toLocaleString(),
                  again.who,
                  again.why
                ]
                  .filter(Boolean)
                  .join(' · ')}
              </span>
            ))}
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
