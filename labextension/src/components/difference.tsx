import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
import * as React from 'react';
import { differenceRows } from '../format';
import { Refusal } from '../rest';
import type { IDifference, IProblem, IRevision } from '../tokens';

interface IProps {
  /** The oldest first; at least two. */
  readonly revisions: readonly IRevision[];
  readonly compare: (before: number, after: number) => Promise<IDifference>;
  readonly trans: TranslationBundle;
}

/** What any two revisions differ in; the last two to begin with. */
export function Compare({ revisions, compare, trans }: IProps): React.ReactElement {
  const last = revisions[revisions.length - 1].number;
  const [before, setBefore] = React.useState(revisions[revisions.length - 2].number);
  const [after, setAfter] = React.useState(last);
  const [open, setOpen] = React.useState(false);
  const [found, setFound] = React.useState<IDifference | null>(null);
  const [problem, setProblem] = React.useState<IProblem | null>(null);

  React.useEffect(() => {
    if (!open) {
      return;
    }
    let wanted = true;
    setFound(null);
    setProblem(null);
    compare(before, after).then(
      value => wanted && setFound(value),
      error => wanted && setProblem(asProblem(error))
    );
    return () => {
      wanted = false;
    };
  }, [compare, before, after, open]);

  const select = (label: string, value: number, set: (value: number) => void) => (
    <HTMLSelect
      aria-label={label}
      value={String(value)}
      onChange={event => set(Number(event.target.value))}
    >
      {[...revisions].reverse().map(each => (
        <option key={each.number} value={String(each.number)}>
          {trans.__('Revision %1', each.number)}
        </option>
      ))}
    </HTMLSelect>
  );
  return (
    <details className="jp-kuberay-Compare" onToggle={event => setOpen(event.currentTarget.open)}>
      <summary>{trans.__('Compare')}</summary>
      <div className="jp-kuberay-Group">
        {select(trans.__('Compare this revision'), before, setBefore)}
        {select(trans.__('with this one'), after, setAfter)}
      </div>
      <div role="status">
        {problem && <p className="jp-kuberay-Remedy">{`${problem.message} ${problem.hint}`}</p>}
        {!problem && !found && open && <p>{trans.__('Comparing…')}</p>}
        {found && <Difference difference={found} trans={trans} />}
      </div>
    </details>
  );
}

function Difference(props: {
  difference: IDifference;
  trans: TranslationBundle;
}): React.ReactElement {
  const { difference, trans } = props;
  const rows = differenceRows(difference, trans);
  if (!rows.length && difference.same_code) {
    return <p>{trans.__('They are the same.')}</p>;
  }
  return (
    <>
      {rows.length > 0 && (
        <table className="jp-kuberay-Differences">
          <thead>
            <tr>
              <th scope="col">{trans.__('What')}</th>
              <th scope="col">{trans.__('Revision %1', difference.before)}</th>
              <th scope="col">{trans.__('Revision %1', difference.after)}</th>
              <th scope="col">{trans.__('Change')}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((each, index) => (
              <tr key={index}>
                <th scope="row">{each.what}</th>
                <td>{each.before}</td>
                <td>{each.after}</td>
                <td>{each.change}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {difference.code_note && <p className="jp-kuberay-Remedy">{difference.code_note}</p>}
      {difference.files
        .filter(each => each.text)
        .map(each => (
          <pre
            key={each.path}
            className="jp-kuberay-Yaml"
            tabIndex={0}
            aria-label={trans.__('What changed in %1', each.path)}
          >
            {each.text}
          </pre>
        ))}
    </>
  );
}

function asProblem(error: unknown): IProblem {
  return error instanceof Refusal ? error.problem : { message: String(error), hint: '', kind: '' };
}
