/**
 * Which cards are on the screen: what nobody sees is not measured.
 */
import { type ISignal, Signal } from '@lumino/signaling';
import type { IShown } from './tokens';

/** Scrolling passes over many. */
const RESTS_MS = 300;

export class Sight {
  constructor(private readonly page: Document = document) {
    page.addEventListener('visibilitychange', this._soon);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** By name; nothing while the page itself is hidden. */
  get shown(): IShown {
    const names = (kind: string) =>
      this.page.hidden
        ? []
        : [...this._visible]
            .filter(node => node.dataset.kind === kind)
            .map(node => node.dataset.name!);
    return {
      clusters: names('cluster'),
      services: names('service'),
      runs: names('runs').length > 0
    };
  }

  /** Follow a card, of which `data-kind` and `data-name` say what it shows; call the result to end that. */
  readonly follow = (node: HTMLElement): (() => void) => {
    this._observer.observe(node);
    return () => {
      this._observer.unobserve(node);
      this._visible.delete(node);
      this._soon();
    };
  };

  private readonly _soon = (): void => {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._changed.emit(), RESTS_MS);
  };

  private _visible = new Set<HTMLElement>();
  private _observer = new IntersectionObserver(entries => {
    for (const entry of entries) {
      const node = entry.target as HTMLElement;
      if (entry.isIntersecting) {
        this._visible.add(node);
      } else {
        this._visible.delete(node);
      }
    }
    this._soon();
  });
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _changed = new Signal<this, void>(this);
}
