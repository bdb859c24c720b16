import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';
import * as React from 'react';
import { useKeptFocus } from './hooks';

const PAGE = 50;

/** A list of which so many are drawn, and more when asked for: there may be thousands. */
export function Paged<T>(props: {
  readonly label: string;
  readonly of: readonly T[];
  readonly show: (one: T) => React.ReactElement;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { label, of, show, trans } = props;
  const [most, setMost] = React.useState(PAGE);
  const list = React.useRef<HTMLUListElement>(null);
  // What had the focus may be gone, taken out of the list or with the last page.
  const focus = useKeptFocus(list, node => node.focus({ preventScroll: true }));
  return (
    <div {...focus}>
      <ul ref={list} className="jp-kuberay-List" aria-label={label} tabIndex={-1}>
        {of.slice(0, most).map(show)}
      </ul>
      {of.length > most && (
        <div className="jp-kuberay-Actions jp-kuberay-Further">
          <Button small minimal onClick={() => setMost(most + 2 * PAGE)}>
            {trans.__('Show more (%1)', of.length - most)}
          </Button>
        </div>
      )}
    </div>
  );
}
