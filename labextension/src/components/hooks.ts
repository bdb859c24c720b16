import * as React from 'react';
import type { IModel } from '../tokens';

/** Show anew when the model changed: at most once a frame, however many changes come in it. */
export function useChanges(model: IModel): void {
  const [, again] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    let frame = 0;
    const changed = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        again();
      });
    };
    model.changed.connect(changed);
    return () => {
      model.changed.disconnect(changed);
      cancelAnimationFrame(frame);
    };
  }, [model]);
}

/** The time, in ms of the epoch, a new one every so many ms. */
export function useNow(every: number): number {
  const [now, setNow] = React.useState(Date.now);
  React.useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
