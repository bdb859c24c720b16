import type { TranslationBundle } from '@jupyterlab/translation';
import { Button, HTMLSelect } from '@jupyterlab/ui-components';
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
  const unset = there ? trans.__('as before') : trans.__('as the code says');
  const set = (field: 'model' | 'name' | 'app' | 'why') => (text: string) =>
    change({ ...value, [field]: text });
  const setPlace = (field: 'application' | 'route_prefix') => (text: string) =>
    change({ ...value, [field]: text || undefined });
  const setBound =
    (field: 'min_replicas' | 'max_replicas' | 'target_ongoing_requests') =>
    (number: number | undefined) =>
      change({ ...value, replicas: undefined, [field]: number });
  return (
    <div className="jp-kuberay-Form">
      {problem && <Mistake problem={problem} />}
      <Field name="model" label={trans.__('Model')}>
        <HTMLSelect
          id="jp-kuberay-model"
          value={other ? OTHER : value.model}
          onChange={event => {
            const next = found?.find(each => each.path === event.target.value);
            setOther(!next);
            change(
              next
                ? { ...value, ...taken(next) }
                : { ...value, model: '', metrics: {}, gates: undefined }
            );
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
        </HTMLSelect>
      </Field>
      {other && (
        <Text
          name="path"
          label={trans.__('Path or URI')}
          value={value.model}
          change={set('model')}
        />
      )}
      {chosen?.validated === false && (
        <div className="jp-kuberay-Mistake" role="status">
          {trans.__('It did not pass its validation.')}
          <label>
            <input
              type="checkbox"
              checked={!!value.despite_gates}
              onChange={event => change({ ...value, despite_gates: event.target.checked })}
            />
            {trans.__('Publish it all the same')}
          </label>
        </div>
      )}
      <Text name="service" label={trans.__('Name')} value={value.name} change={set('name')} />
      <div className="jp-kuberay-Hint" role="status">
        {there
          ? trans.__(
              '%1 is there: this becomes its next revision, tried out before it is put in.',
              there.name
            )
          : trans.__('A new service, on a cluster of its own.')}
      </div>
      <Count
        name="replicas"
        label={trans.__('Replicas')}
        min={1}
        placeholder={unset}
        value={value.replicas}
        change={replicas =>
          change({
            ...value,
            replicas,
            min_replicas: undefined,
            max_replicas: undefined,
            target_ongoing_requests: undefined
          })
        }
      />
      <Count
        name="gpus"
        label={trans.__('GPUs a replica')}
        min={0}
        step="any"
        placeholder={unset}
        value={value.gpus}
        change={gpus => change({ ...value, gpus })}
      />
      <details className="jp-kuberay-Wide">
        <summary>{trans.__('More')}</summary>
        <div className="jp-kuberay-Form">
          <Text name="app" label={trans.__('Application')} value={value.app} change={set('app')} />
          <Text
            name="application"
            label={trans.__('Called within it')}
            placeholder={value.name}
            value={value.application}
            change={setPlace('application')}
          />
          <Text
            name="route"
            label={trans.__('Answers at')}
            placeholder={value.application ? `/${value.application}` : '/'}
            value={value.route_prefix}
            change={setPlace('route_prefix')}
          />
          <Count
            name="least"
            label={trans.__('At least')}
            min={0}
            placeholder={trans.__('replicas, scaled by the queue')}
            value={value.min_replicas}
            change={setBound('min_replicas')}
          />
          <Count
            name="most"
            label={trans.__('At most')}
            min={1}
            placeholder={trans.__('replicas, scaled by the queue')}
            value={value.max_replicas}
            change={setBound('max_replicas')}
          />
          <Count
            name="target"
            label={trans.__('Requests each')}
            min={0}
            step="any"
            placeholder={trans.__('at a time, before there are more')}
            value={value.target_ongoing_requests}
            change={setBound('target_ongoing_requests')}
          />
          {!there && (
            <Field name="profile" label={trans.__('Profile')}>
              <HTMLSelect
                id="jp-kuberay-profile"
                value={value.profile ?? ''}
                onChange={event => change({ ...value, profile: event.target.value || undefined })}
              >
                <option value="">{trans.__('the usual one')}</option>
                {offers.map(each => (
                  <option key={each.name} value={each.name}>
                    {each.title || each.name}
                  </option>
                ))}
              </HTMLSelect>
            </Field>
          )}
          <Text
            name="why"
            label={trans.__('Why')}
            placeholder={trans.__('kept with the revision')}
            value={value.why}
            change={set('why')}
          />
        </div>
      </details>
    </div>
  );
}

/** A label, and beside it what it is about, which has the id `jp-kuberay-NAME`. */
function Field(props: {
  name: string;
  label: string;
  children: React.ReactNode;
}): React.ReactElement {
  return (
    <>
      <label htmlFor={`jp-kuberay-${props.name}`}>{props.label}</label>
      {props.children}
    </>
  );
}

function Text(props: {
  name: string;
  label: string;
  value: string | undefined;
  change: (value: string) => void;
  placeholder?: string;
}): React.ReactElement {
  const { name, label, value, change, placeholder } = props;
  return (
    <Field name={name} label={label}>
      <input
        id={`jp-kuberay-${name}`}
        className="jp-mod-styled"
        spellCheck={false}
        placeholder={placeholder}
        value={value ?? ''}
        onChange={event => change(event.target.value)}
      />
    </Field>
  );
}

/** A number, or nothing. */
function Count(props: {
  name: string;
  label: string;
  value: number | undefined;
  change: (value: number | undefined) => void;
  placeholder: string;
  min: number;
  step?: string;
}): React.ReactElement {
  const { name, label, value, change, ...more } = props;
  return (
    <Field name={name} label={label}>
      <input
        id={`jp-kuberay-${name}`}
        className="jp-mod-styled"
        type="number"
        value={value ?? ''}
        onChange={event =>
          change(event.target.value === '' ? undefined : Number(event.target.value))
        }
        {...more}
      />
    </Field>
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
  const { path, app, settings, metrics, run, validated } = found;
  const gates = validated === null ? undefined : `${run}/validation.json`;
  return { model: path, app, settings, metrics, gates, despite_gates: undefined };
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
