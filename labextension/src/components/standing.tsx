import type { TranslationBundle } from '@jupyterlab/translation';
import { Button } from '@jupyterlab/ui-components';
import * as React from 'react';
import { gpusHeld, own, phaseWord } from '../format';
import { fileName, goesOn, runWord } from '../runs';
import type { IFinding, IModel, Phase } from '../tokens';
import { useChanges } from './hooks';

interface IProps {
  readonly model: IModel;
  readonly trans: TranslationBundle;
}

/** What stands in the way, above everything else; nothing while nothing does. */
export function Trouble(
  props: IProps & { readonly retry: () => void; readonly doctor: () => void }
): React.ReactElement | null {
  const { model, trans } = props;
  useChanges(model);
  const finding = useFirstFinding(model, trans);
  const { problem } = model;
  if (!problem) {
    return model.synced ? null : (
      <div className="jp-kuberay-Trouble jp-mod-loading" role="status">
        {trans.__('Looking what there is…')}
      </div>
    );
  }
  return (
    <div className="jp-kuberay-Trouble" role="alert">
      <p>{finding?.what ?? problem.message}</p>
      <p className="jp-kuberay-Remedy">{finding?.remedy ?? problem.hint}</p>
      {model.synced && model.lastSeen > 0 && (
        <p className="jp-kuberay-Remedy">
          {trans.__('What is shown was so at %1.', clock(model.lastSeen))}
        </p>
      )}
      <Button small onClick={props.retry}>
        {trans.__('Try again')}
      </Button>
      {problem.kind !== 'Offline' && (
        <Button small minimal onClick={props.doctor}>
          {trans.__('Why?')}
        </Button>
      )}
    </div>
  );
}

/** Of what doctor finds, the first that keeps one from working; asked once for each trouble. */
function useFirstFinding(model: IModel, trans: TranslationBundle): IFinding | undefined {
  const kind = model.problem?.kind;
  const [found, setFound] = React.useState<IFinding>();
  React.useEffect(() => {
    let wanted = true;
    setFound(undefined);
    // Where the Jupyter server itself does not answer, it cannot be asked either.
    if (kind && kind !== 'Offline' && !model.synced) {
      model.doctor().then(
        findings => wanted && setFound(findings.find(each => each.level === 'bad')),
        () => undefined // the problem itself is shown
      );
    }
    return () => {
      wanted = false;
    };
  }, [kind, model, trans]);
  return found;
}

/** Whether what is shown is so now. */
export function isNow(model: IModel): boolean {
  return model.live && !model.problem;
}

/** Where clusters run, and whether what is shown is so now. */
export function Foot({ model, trans }: IProps): React.ReactElement {
  useChanges(model);
  const clusters = own(model.clusters.values());
  const simulated = clusters.some(cluster => cluster.simulated_gpus && cluster.gpus > 0);
  const where = model.backend === 'local' ? trans.__('This machine') : trans.__('Kubernetes');
  return (
    <div className="jp-kuberay-Foot">
      <span>
        {model.backend ? where : ''}
        {simulated ? ` · ${trans.__('simulated GPUs')}` : ''}
      </span>
      <span className={isNow(model) ? 'jp-mod-live' : ''} role="status">
        {isNow(model)
          ? trans.__('live')
          : model.lastSeen
            ? trans.__('last seen %1', clock(model.lastSeen))
            : ''}
      </span>
    </div>
  );
}

/** What I hold, at a glance. */
export function summary(model: IModel, trans: TranslationBundle): string {
  const clusters = own(model.clusters.values());
  const gpus = gpusHeld(model.clusters.values());
  const count = String(clusters.length);
  return gpus ? trans.__('%1 · %2 GPU', count, gpus) : count;
}

/** Each change of phase, and each end of a run, in words, for who hears rather than sees; of several at once the last few. */
export function Heard({ model, trans }: IProps): React.ReactElement {
  const [words, setWords] = React.useState('');
  React.useEffect(() => {
    let before = new Map<string, Phase>();
    let ran = new Set<string>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const news: string[] = [];
    const changed = () => {
      // Translated only where it is told: there may be hundreds.
      const now = new Map<string, Phase>();
      model.clusters.forEach(each => now.set(`cluster/${each.name}`, each.phase));
      model.services.forEach(each => now.set(`service/${each.name}`, each.phase));
      if (before.size) {
        now.forEach((phase, key) => {
          if (before.get(key) !== phase) {
            const name = key.slice(key.indexOf('/') + 1);
            news.push(trans.__('%1 is %2', name, phaseWord(phase, trans)));
          }
        });
      }
      before = now;
      const running = new Set<string>();
      model.runs.forEach(run => {
        if (goesOn(run)) {
          running.add(run.id);
        } else if (ran.has(run.id)) {
          news.push(trans.__('%1: %2', fileName(run.notebook), runWord(run.state, trans)));
        }
      });
      ran = running;
      if (news.length) {
        clearTimeout(timer);
        timer = setTimeout(() => setWords(news.splice(0).slice(-3).join('. ')), 500);
      }
    };
    model.changed.connect(changed);
    return () => {
      model.changed.disconnect(changed);
      clearTimeout(timer);
    };
  }, [model, trans]);
  return (
    <div className="jp-kuberay-Heard" aria-live="polite">
      {words}
    </div>
  );
}

function clock(when: number): string {
  return new Date(when).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}
