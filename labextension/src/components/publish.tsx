import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';
import * as React from 'react';
import { elapsed, freeName, seconds } from '../format';
import { Refusal } from '../rest';
import type { IFoundModel, IModel, INewRevision, IOffer, IProblem, IPublication } from '../tokens';
import { useChanges, useNow } from './hooks';

const APP = 'jupyter_kuberay.serving.summarizer:app';
/** Chosen instead of a model that was found. */
const OTHER = '';

/** What is being asked for; whoever opens the form can set some of it. */
export interface IRevisionDraft {
  value: INewRevision;
}

interface IProps {
  readonly model: IModel;
  readonly draft: IRevisionDraft;
  readonly trans: TranslationBundle;
}

/** Which model, under what name, and how much of it; the last validated model to begin with. */
export function PublishForm({ model, draft, trans }: IProps): React.ReactElement {
  const [found, setFound] = React.useState<readonly IFoundModel[] | null>(null);
  const [offers, setOffers] = React.useState<readonly IOffer[]>([]);
  const [problem, setProblem] = React.useState<IProblem | null>(null);
  const [value, setValue] = React.useState(draft.value);
  const [other, setOther] = React.useState(false);

  const change = React.useCallback(
    (next: INewRevision) => {
      draft.value = next;
      setValue(next);
    },
    [draft]
  );
  React.useEffect(() => {
    model.profiles().then(setOffers, () => undefined); // the default is taken
    model.models().then(
      models => {
        setFound(models);
        const given = draft.value;
        const first = models.find(each => each.path === given.model) ?? models[0];
        setOther(!first || (!!given.model && first.path !== given.model));
        if (first && !given.model) {
          change({ ...given, ...taken(first) });
        }
      },
      error => {
        setFound([]);
        setOther(true);
        setProblem(error instanceof Refusal ? error.problem : null);
      }
    );
  }, [model, draft, change]);

  const chosen = found?.find(each => each.path === value.model);
  const there = model.services.get(value.name);
  const number = (text: string) => (text === '' ? undefined : Number(text));
  return (
    <div className="jp-kuberay-Form">
      {problem && <Mistake problem={problem} />}
      <label htmlFor="jp-kuberay-model">{trans.__('Model')}</label>
      <select
        id="jp-kuberay-model"
        className="jp-mod-styled"
        value={other ? OTHER : value.model}
        onChange={event => {
          const next = found?.find(each => each.path === event.target.value);
          setOther(!next);
          change(next ? { ...value, ...taken(next) } : { ...value, model: '', metrics: {} });
        }}
      >
        {found?.map(each => (
          <option key={each.path} value={each.path}>
            {title(each, trans)}
          </option>
        ))}
        <option value={OTHER}>
          {found === null ? trans.__('Looking for models…') : trans.__('Another path or URI…')}
        </option>
      </select>
      {other && (
        <>
          <label htmlFor="jp-kuberay-path">{trans.__('Path or URI')}</label>
          <input
            id="jp-kuberay-path"
            className="jp-mod-styled"
            spellCheck={false}
            value={value.model ?? ''}
            onChange={event => change({ ...value, model: event.target.value })}
          />
        </>
      )}
      {chosen?.validated === false && (
        <div className="jp-kuberay-Mistake" role="status">
          {trans.__('It did not pass its validation.')}
        </div>
      )}
      <label htmlFor="jp-kuberay-service">{trans.__('Name')}</label>
      <input
        id="jp-kuberay-service"
        className="jp-mod-styled"
        spellCheck={false}
        value={value.name}
        onChange={event => change({ ...value, name: event.target.value })}
      />
      <div className="jp-kuberay-Hint" role="status">
        {there
          ? trans.__(
              '%1 is there: this becomes its next revision, tried out before it is put in.',
              there.name
            )
          : trans.__('A new service, on a cluster of its own.')}
      </div>
      <label htmlFor="jp-kuberay-replicas">{trans.__('Replicas')}</label>
      <input
        id="jp-kuberay-replicas"
        className="jp-mod-styled"
        type="number"
        min={1}
        placeholder={there ? trans.__('as before') : trans.__('as the code says')}
        value={value.replicas ?? ''}
        onChange={event => change({ ...value, replicas: number(event.target.value) })}
      />
      <label htmlFor="jp-kuberay-gpus">{trans.__('GPUs a replica')}</label>
      <input
        id="jp-kuberay-gpus"
        className="jp-mod-styled"
        type="number"
        min={0}
        step="any"
        placeholder={there ? trans.__('as before') : trans.__('as the code says')}
        value={value.gpus ?? ''}
        onChange={event => change({ ...value, gpus: number(event.target.value) })}
      />
      <details className="jp-kuberay-Wide">
        <summary>{trans.__('More')}</summary>
        <div className="jp-kuberay-Form">
          <label htmlFor="jp-kuberay-app">{trans.__('Application')}</label>
          <input
            id="jp-kuberay-app"
            className="jp-mod-styled"
            spellCheck={false}
            value={value.app}
            onChange={event => change({ ...value, app: event.target.value })}
          />
          {!there && (
            <>
              <label htmlFor="jp-kuberay-profile">{trans.__('Profile')}</label>
              <select
                id="jp-kuberay-profile"
                className="jp-mod-styled"
                value={value.profile ?? ''}
                onChange={event => change({ ...value, profile: event.target.value || undefined })}
              >
                <option value="">{trans.__('the usual one')}</option>
                {offers.map(each => (
                  <option key={each.name} value={each.name}>
                    {each.title || each.name}
                  </option>
                ))}
              </select>
            </>
          )}
          <label htmlFor="jp-kuberay-why">{trans.__('Why')}</label>
          <input
            id="jp-kuberay-why"
            className="jp-mod-styled"
            placeholder={trans.__('kept with the revision')}
            value={value.why ?? ''}
            onChange={event => change({ ...value, why: event.target.value })}
          />
        </div>
      </details>
    </div>
  );
}

function Mistake({ problem }: { problem: IProblem }): React.ReactElement {
  return (
    <div className="jp-kuberay-Mistake jp-kuberay-Wide" role="alert">
      {problem.message} <span className="jp-kuberay-Remedy">{problem.hint}</span>
    </div>
  );
}

/** What a model that was found says of its revision. */
function taken(found: IFoundModel): Partial<INewRevision> {
  const { path, app, settings, metrics } = found;
  return { model: path, app, settings, metrics };
}

function title(found: IFoundModel, trans: TranslationBundle): string {
  const score = found.metrics.rougeL;
  return [
    found.title,
    score === undefined ? '' : `ROUGE-L ${score.toFixed(3)}`,
    found.validated === true ? trans.__('validated') : '',
    new Date(found.when).toLocaleDateString()
  ]
    .filter(Boolean)
    .join(' · ');
}

/** What is asked for unless a person says otherwise. */
export function newRevision(model: IModel): INewRevision {
  return { name: freeName(new Set(model.services.keys()), 'summarizer'), app: APP };
}

/** What a publication is at, step by step, and what came of it. */
export function Progress(props: {
  readonly model: IModel;
  readonly name: string;
  readonly trans: TranslationBundle;
  readonly insert: ((publication: IPublication) => void) | null;
  readonly copy: (text: string) => void;
}): React.ReactElement {
  const { model, name, trans, insert, copy } = props;
  useChanges(model);
  const publication = model.publications.get(name);
  const now = useNow(500);
  if (!publication) {
    return <p>{trans.__('It begins.')}</p>;
  }
  const { state, steps, problem, url, call, began } = publication;
  return (
    <div className="jp-kuberay-Progress">
      <ol>
        {steps.map((step, index) => (
          <li key={index}>
            <span>{step.message}</span>
            <span className="jp-kuberay-Since">{elapsed(step.seconds)}</span>
          </li>
        ))}
        {state === 'running' && (
          <li className="jp-mod-running">
            <span>{trans.__('…')}</span>
            <span className="jp-kuberay-Since">{elapsed(seconds(began, now))}</span>
          </li>
        )}
      </ol>
      <div role="status">
        {state === 'failed' && problem && <Mistake problem={problem} />}
        {state === 'cancelled' && <p>{trans.__('It was cancelled.')}</p>}
        {state === 'done' && (
          <>
            <p>{trans.__('%1 answers at', name)}</p>
            <pre className="jp-kuberay-Yaml" tabIndex={0}>
              {call || url}
            </pre>
            <Button small onClick={() => copy(call || url)}>
              {trans.__('Copy')}
            </Button>
            {insert && (
              <Button small minimal onClick={() => insert(publication)}>
                {trans.__('Insert a cell that asks it')}
              </Button>
            )}
          </>
        )}
      </div>
      {state === 'running' && (
        <Button small minimal onClick={() => void model.cancelPublication(name).catch(() => null)}>
          {trans.__('Cancel and undo')}
        </Button>
      )}
    </div>
  );
}
