import type { TranslationBundle } from '@jupyterlab/translation';
import { Button, ellipsesIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { phaseWord } from '../format';
import type { ICause, Phase } from '../tokens';
import { useKeptFocus } from './hooks';
import { PhaseIcon } from './phase';

interface IProps {
  readonly kind: 'cluster' | 'service';
  readonly status: { readonly name: string; readonly phase: Phase; readonly cause: ICause | null };
  /** How old it is, or how long it has been coming up. */
  readonly since: React.ReactElement;
  /** Between the head and what is wrong. */
  readonly children: React.ReactNode;
  /** What can be done at once; the rest is in the menu. */
  readonly buttons?: React.ReactNode;
  readonly more: (kind: 'cluster' | 'service', name: string, at: DOMRect) => void;
  /** Told of the card while it is there, so that it knows when it is on the screen. */
  readonly follow: (node: HTMLElement) => () => void;
  readonly trans: TranslationBundle;
}

/** One thing: how it is, what is wrong and what helps, and what can be done with it. */
export function Card(props: IProps): React.ReactElement {
  const { kind, status, since, children, buttons, more, follow, trans } = props;
  const { name, phase, cause } = status;
  const card = React.useRef<HTMLLIElement>(null);
  React.useEffect(() => follow(card.current!), [follow]);
  const focus = useKeptFocus(card, node =>
    node.querySelector<HTMLElement>('.jp-kuberay-More')?.focus()
  );
  return (
    <li ref={card} className="jp-kuberay-Card" data-kind={kind} data-name={name} {...focus}>
      <div className="jp-kuberay-Head">
        <PhaseIcon phase={phase} />
        <span className="jp-kuberay-Name" title={name}>
          {name}
        </span>
        <span className="jp-kuberay-Word">{phaseWord(phase, trans)}</span>
        {since}
      </div>
      {children}
      {cause && (
        <div className="jp-kuberay-Cause">
          <p>{cause.what}</p>
          <p className="jp-kuberay-Remedy">{cause.remedy}</p>
        </div>
      )}
      <div className="jp-kuberay-Actions">
        {buttons}
        <Button
          small
          minimal
          className="jp-kuberay-More"
          aria-haspopup="menu"
          aria-label={trans.__('More actions for %1', name)}
          title={trans.__('More actions')}
          onClick={(event: React.MouseEvent) =>
            more(kind, name, event.currentTarget.getBoundingClientRect())
          }
        >
          <ellipsesIcon.react tag="span" />
        </Button>
      </div>
    </li>
  );
}
