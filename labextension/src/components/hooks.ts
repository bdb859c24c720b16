import type { ISignal } from '@lumino/signaling';
import * as React from 'react';

interface IChanging {
  readonly changed: ISignal<unknown, void>;
}

/** Show anew when `changing` changed: at most once a frame, however many changes come in it. */
export function useChanges(changing: IChanging | null): void {
  const [, again] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    let frame = 0;
    const changed = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        again();
      });
    };
    changing?.changed.connect(changed);
    // What changed between being shown first and now was not heard.
    again();
    return () => {
      changing?.changed.disconnect(changed);
      cancelAnimationFrame(frame);
    };
  }, [changing]);
}

/** The time, in ms of the epoch, a new one every so many ms. */
export function useNow(every: number): number {
  const [now, setNow] = React.useState(Date.now);
  React.useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/** When what has the focus goes, because it means nothing any more, `keep` gives it to something else of `around`. */
export function useKeptFocus(
  around: React.RefObject<HTMLElement>,
  keep: (around: HTMLElement) => void
): {
  onFocus: () => void;
  onBlur: () => void;
} {
  const within = React.useRef(false);
  React.useLayoutEffect(() => {
    const { activeElement, body } = document;
    if (within.current && around.current && (activeElement === null || activeElement === body)) {
      keep(around.current);
    }
  });
  return {
    onFocus: () => {
      within.current = true;
    },
    onBlur: () => {
      within.current = false;
    }
  };
}
