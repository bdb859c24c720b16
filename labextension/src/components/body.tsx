import { ReactWidget } from '@jupyterlab/apputils';
import { PromiseDelegate } from '@lumino/coreutils';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

/**
 * What a dialog is about, which tells that it is shown as soon as it is.
 *
 * Lab's own waits until the browser has nothing to do, which was seen to take seconds; until then the dialog has no
 * focus, so that Escape does not close it and what is typed goes elsewhere.
 */
export class DialogBody extends ReactWidget {
  constructor(private readonly content: React.ReactElement) {
    super();
  }

  protected override onUpdateRequest(message: Message): void {
    super.onUpdateRequest(message);
    this.renderPromise = this.shown.promise;
  }

  protected render(): React.ReactElement {
    return <Shown tell={() => this.shown.resolve()}>{this.content}</Shown>;
  }

  private readonly shown = new PromiseDelegate<void>();
}

function Shown(props: { tell: () => void; children: React.ReactNode }): React.ReactElement {
  const { tell, children } = props;
  React.useLayoutEffect(tell, [tell]);
  return <>{children}</>;
}
