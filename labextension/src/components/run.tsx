import type { TranslationBundle } from '@jupyterlab/translation';
import { Button, closeIcon, copyIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { age, elapsed, seconds, share } from '../format';
import { fileName, goesOn, lasted, pairs, runWord, took } from '../runs';
import type { IRun, RunState } from '../tokens';
import { useNow } from './hooks';

/** What can be done with runs; the plugins know how. */
export interface IRunActions {
  /** A file as the file browser has it. */
  openFile(path: string): void;
  copy(text: string): void;
  /** Out of the list; its files stay. */
  forgetRun(id: string): void;
  forgetRuns(group: string, folder: string): void;
}

interface IProps {
  readonly run: IRun;
  readonly actions: IRunActions;
  readonly trans: TranslationBundle;
}

/** One run of a notebook: how far it is, with what, and what came of it. Shown anew only when it changed. */
export const RunCard = React.memo(function RunCard(props: IProps): React.ReactElement {
  const { run, actions, trans } = props;
  const { state, parameters, values, error, hint } = run;
  const [open, setOpen] = React.useState(false);
  const name = fileName(run.notebook);
  const all = { ...parameters, ...values };
  return (
    <li className="jp-kuberay-Card" data-kind="run" data-name={run.id}>
      <div className="jp-kuberay-Head">
        <RunIcon state={state} />
        <span className="jp-kuberay-Name" title={run.notebook}>
          {name}
        </span>
        <span className="jp-kuberay-Word">{runWord(state, trans)}</span>
        <Since {...props} />
      </div>
      {state !== 'Succeeded' && run.cells > 0 && <Progress {...props} />}
      {!open && <Line of={parameters} />}
      {!open && <Line of={values} />}
      {open && <Whole of={parameters} label={trans.__('Parameters')} />}
      {open && <Whole of={values} label={trans.__('Recorded')} />}
      <Facts {...props} />
      {error && (
        <div className="jp-kuberay-Cause">
          <p>{error}</p>
          {hint && <p className="jp-kuberay-Remedy">{hint}</p>}
        </div>
      )}
      {!run.output_path && <Elsewhere {...props} />}
      <div className="jp-kuberay-Actions">
        {run.output_path && state !== 'Pending' && (
          <Button
            small
            aria-label={trans.__('Open output of %1', name)}
            title={run.output}
            onClick={() => actions.openFile(run.output_path)}
          >
            {trans.__('Output')}
          </Button>
        )}
        {run.notebook_path && (
          <Button
            small
            minimal
            aria-label={trans.__('Open notebook %1', name)}
            title={run.notebook}
            onClick={() => actions.openFile(run.notebook_path)}
          >
            {trans.__('Notebook')}
          </Button>
        )}
        {Object.keys(all).length > 0 && (
          <Button small minimal aria-expanded={open} onClick={() => setOpen(!open)}>
            {trans.__('Values')}
          </Button>
        )}
        {!goesOn(run) && (
          <Forget
            words={trans.__('Take %1 out of the list', name)}
            forget={() => actions.forgetRun(run.id)}
          />
        )}
      </div>
    </li>
  );
});

export function Forget(props: { words: string; forget: () => void }): React.ReactElement {
  return (
    <Button
      small
      minimal
      className="jp-kuberay-More"
      aria-label={props.words}
      title={props.words}
      onClick={props.forget}
    >
      <closeIcon.react tag="span" />
    </Button>
  );
}

/** For how long it has gone on, second by second; then how long ago it ended. */
function Since({ run, trans }: IProps): React.ReactElement {
  const on = goesOn(run);
  const now = useNow(on ? 1000 : 30_000);
  const words = !run.started
    ? ''
    : on
      ? elapsed(took(run, now))
      : age(seconds(run.ended || run.started, now), trans);
  return (
    <span
      className="jp-kuberay-Since"
      title={run.started && new Date(run.started).toLocaleString()}
    >
      {words}
    </span>
  );
}

/** Cell by cell, with the title of the one that runs. */
function Progress({ run, trans }: IProps): React.ReactElement {
  const { done, cells, cell } = run;
  const words = trans.__('%1 of %2 cells have run', done, cells);
  return (
    <>
      <Track share={share(done, cells)} words={words}>
        {`${done}/${cells}`}
      </Track>
      {goesOn(run) && cell && (
        <div className="jp-kuberay-Note jp-kuberay-Line" title={cell}>
          {cell}
        </div>
      )}
    </>
  );
}

export function Track(props: {
  readonly share: number;
  readonly words: string;
  readonly children: React.ReactNode;
}): React.ReactElement {
  const percent = Math.round(props.share * 100);
  return (
    <div className="jp-kuberay-Bar jp-kuberay-Cells" title={props.words}>
      <span
        className="jp-kuberay-Track"
        role="progressbar"
        aria-label={props.words}
        aria-valuenow={percent}
        aria-valuemin={0}
        aria-valuemax={100}
      >
        <span style={{ width: `${percent}%` }} />
      </span>
      <span className="jp-kuberay-Percent" aria-hidden="true">
        {props.children}
      </span>
    </div>
  );
}

function Line({ of }: { of: Readonly<Record<string, string>> }): React.ReactElement | null {
  const words = pairs(of);
  return words ? (
    <div className="jp-kuberay-Note jp-kuberay-Line" title={words}>
      {words}
    </div>
  ) : null;
}

function Whole(props: {
  of: Readonly<Record<string, string>>;
  label: string;
}): React.ReactElement | null {
  const found = Object.entries(props.of);
  return found.length ? (
    <dl className="jp-kuberay-Values" aria-label={props.label}>
      {found.map(([name, value]) => (
        <React.Fragment key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </React.Fragment>
      ))}
    </dl>
  ) : null;
}

/** How long it took, where that does not change any more, and where it runs. */
function Facts({ run, trans }: IProps): React.ReactElement | null {
  const words = [
    run.started && run.ended ? lasted(took(run, NaN), trans) : '',
    run.cluster ? trans.__('on %1', run.cluster) : ''
  ]
    .filter(Boolean)
    .join(' ');
  return words ? <div className="jp-kuberay-Note jp-kuberay-Line">{words}</div> : null;
}

/** An output that the file browser does not show. */
function Elsewhere({ run, actions, trans }: IProps): React.ReactElement {
  return (
    <div className="jp-kuberay-Group">
      <span className="jp-kuberay-GroupName" title={run.output}>
        {run.output}
      </span>
      <Button
        small
        minimal
        aria-label={trans.__('Copy where the output of %1 is', fileName(run.notebook))}
        title={trans.__('Copy')}
        onClick={() => actions.copy(run.output)}
      >
        <copyIcon.react tag="span" />
      </Button>
    </div>
  );
}

/** Each state has a shape of its own, so that it needs no colour. */
const SHAPES: Record<RunState, React.ReactElement> = {
  Pending: <circle cx="8" cy="8" r="4.5" className="jp-kuberay-line" strokeDasharray="2 2" />,
  Running: <path d="M5 3.5v9l7-4.5z" className="jp-kuberay-fill" />,
  Succeeded: <path d="m3 8.5 3.5 3.5L13 4.5" className="jp-kuberay-line" strokeWidth="2" />,
  Failed: <path d="m4 4 8 8M12 4l-8 8" className="jp-kuberay-line" strokeWidth="2" />,
  Interrupted: <rect x="4" y="4" width="8" height="8" className="jp-kuberay-line" />,
  Lost: (
    <>
      <path d="M8 2.5 14 13.5H2z" className="jp-kuberay-line" />
      <path d="M8 6.5v3M8 11v1" className="jp-kuberay-line" />
    </>
  )
};

export function RunIcon({ state }: { state: RunState }): React.ReactElement {
  return (
    <svg
      className={`jp-kuberay-Phase jp-mod-${state.toLowerCase()}`}
      viewBox="0 0 16 16"
      width="14"
      height="14"
      aria-hidden="true"
    >
      {SHAPES[state] ?? SHAPES.Pending}
    </svg>
  );
}
