import * as React from 'react';
import type { Phase } from '../tokens';

/** Each phase has a shape of its own, so that it needs no colour. */
const SHAPES: Record<Phase, React.ReactElement> = {
  Ready: <circle cx="8" cy="8" r="5" className="jp-kuberay-fill" />,
  Pending: <circle cx="8" cy="8" r="4.5" className="jp-kuberay-line" strokeDasharray="2 2" />,
  Starting: (
    <>
      <circle cx="8" cy="8" r="4.5" className="jp-kuberay-line" />
      <path d="M8 3.5a4.5 4.5 0 0 1 0 9z" className="jp-kuberay-fill" />
    </>
  ),
  Degraded: (
    <>
      <path d="M8 2.5 14 13.5H2z" className="jp-kuberay-line" />
      <path d="M8 6.5v3M8 11v1" className="jp-kuberay-line" />
    </>
  ),
  Suspended: <path d="M6 4v8M10 4v8" className="jp-kuberay-line" strokeWidth="2" />,
  Stopping: <path d="M3.5 8a4.5 4.5 0 0 1 9 0M5 11.5h6" className="jp-kuberay-line" />,
  Failed: <path d="m4 4 8 8M12 4l-8 8" className="jp-kuberay-line" strokeWidth="2" />
};

export function PhaseIcon({ phase }: { phase: Phase }): React.ReactElement {
  return (
    <svg
      className={`jp-kuberay-Phase jp-mod-${phase.toLowerCase()}`}
      viewBox="0 0 16 16"
      width="14"
      height="14"
      aria-hidden="true"
    >
      {SHAPES[phase] ?? SHAPES.Pending}
    </svg>
  );
}
