import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';
import * as React from 'react';
import { examplePath } from '../cells';
import { Refusal } from '../rest';
import type { IModel, IReply, ITraffic } from '../tokens';

interface IProps {
  readonly model: IModel;
  readonly service: string;
  readonly traffic: ITraffic | undefined;
  readonly trans: TranslationBundle;
}

/** A request to a service, and what it answers. */
export function Try({ model, service, traffic, trans }: IProps): React.ReactElement {
  const example = traffic ? examplePath(traffic.url, traffic.call) : '';
  const [method, setMethod] = React.useState('GET');
  // What was not typed is the service's own example, once that is known.
  const [typed, setTyped] = React.useState<string | null>(null);
  const [body, setBody] = React.useState('');
  const [asking, setAsking] = React.useState(false);
  const [reply, setReply] = React.useState<IReply | Refusal | null>(null);
  const path = typed ?? example;

  const ask = async (event: React.FormEvent) => {
    event.preventDefault();
    setAsking(true);
    try {
      const question = { method, path, body, content_type: 'application/json' };
      setReply(await model.ask(service, question));
    } catch (error) {
      if (!(error instanceof Refusal)) {
        throw error;
      }
      setReply(error);
    } finally {
      setAsking(false);
    }
  };
  return (
    <form className="jp-kuberay-Try" onSubmit={event => void ask(event)}>
      <div className="jp-kuberay-TryLine">
        <select
          className="jp-mod-styled"
          aria-label={trans.__('Method')}
          value={method}
          onChange={event => setMethod(event.target.value)}
        >
          {['GET', 'POST', 'PUT', 'DELETE'].map(each => (
            <option key={each}>{each}</option>
          ))}
        </select>
        <input
          className="jp-mod-styled"
          aria-label={trans.__('Path and query')}
          placeholder={trans.__('path?query')}
          spellCheck={false}
          value={path}
          onChange={event => setTyped(event.target.value)}
        />
        <Button small type="submit" disabled={asking}>
          {trans.__('Send')}
        </Button>
      </div>
      {method !== 'GET' && (
        <textarea
          className="jp-mod-styled"
          aria-label={trans.__('Body, as JSON')}
          rows={3}
          spellCheck={false}
          value={body}
          onChange={event => setBody(event.target.value)}
        />
      )}
      <div role="status">
        {asking && trans.__('Asking…')}
        {!asking && reply && <Answer reply={reply} trans={trans} />}
      </div>
    </form>
  );
}

function Answer(props: { reply: IReply | Refusal; trans: TranslationBundle }): React.ReactElement {
  const { reply, trans } = props;
  if (reply instanceof Refusal) {
    return (
      <div className="jp-kuberay-Mistake">
        {reply.problem.message} <span className="jp-kuberay-Remedy">{reply.problem.hint}</span>
      </div>
    );
  }
  return (
    <>
      <div className="jp-kuberay-Remedy">
        {`${reply.status} ${reply.reason} · ${Math.round(reply.seconds * 1000)} ms`}
      </div>
      <pre className="jp-kuberay-Yaml" tabIndex={0}>
        {reply.text}
        {reply.truncated ? `\n${trans.__('… and more')}` : ''}
      </pre>
    </>
  );
}
