import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { IFinding } from '../tokens';

const RANK = { bad: 0, warning: 1, 'cannot see': 2, ok: 3 };

/** What doctor found, the worst first. */
export function Findings(props: {
  found: readonly IFinding[];
  trans: TranslationBundle;
}): React.ReactElement {
  const { found, trans } = props;
  const words = {
    bad: trans.__('bad'),
    warning: trans.__('warning'),
    'cannot see': trans.__('cannot see'),
    ok: trans.__('ok')
  };
  const sorted = [...found].sort((a, b) => RANK[a.level] - RANK[b.level]);
  return (
    <div className="jp-kuberay-Findings">
      {sorted.map((finding, index) => (
        <React.Fragment key={index}>
          <strong>{finding.check}</strong>
          <span>{words[finding.level]}</span>
          <span>
            {finding.what}
            {finding.remedy && <div className="jp-kuberay-Remedy">{finding.remedy}</div>}
          </span>
        </React.Fragment>
      ))}
    </div>
  );
}
