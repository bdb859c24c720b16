/**
 * Requests to the server extension. No Jupyter UI here.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { IProblem } from './tokens';

const PREFIX = 'jupyter-kuberay';

/** The server refused, or did not answer; it says what happened and what to do. */
export class Refusal extends Error {
  constructor(
    readonly problem: IProblem,
    readonly status = 0
  ) {
    super(problem.message);
  }
}

interface IOptions {
  readonly keepalive?: boolean;
  readonly query?: Readonly<Record<string, string>>;
}

/** An answer's body, or `Refusal`. */
export interface IRest {
  json<T>(method: string, path: readonly string[], body?: unknown, options?: IOptions): Promise<T>;
  lines(
    path: readonly string[],
    query: Record<string, string>,
    signal: AbortSignal
  ): AsyncIterable<string>;
}

export class Rest implements IRest {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly offline: string
  ) {}

  async json<T>(
    method: string,
    path: readonly string[],
    body?: unknown,
    options: IOptions = {}
  ): Promise<T> {
    const { query, ...rest } = options;
    const init: RequestInit = { method, ...rest };
    if (body !== undefined) {
      init.body = JSON.stringify(body);
    }
    const response = await this.request(
      path,
      query ? URLExt.objectToQueryString({ ...query }) : '',
      init
    );
    if (response.status === 204) {
      return undefined as T;
    }
    return (await response.json()) as T;
  }

  async *lines(
    path: readonly string[],
    query: Record<string, string>,
    signal: AbortSignal
  ): AsyncIterable<string> {
    const response = await this.request(path, URLExt.objectToQueryString(query), {
      signal,
      cache: 'no-store'
    });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      const lines = (rest + (value ?? '')).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
      if (done) {
        if (rest) {
          yield rest;
        }
        return;
      }
    }
  }

  private async request(
    path: readonly string[],
    query: string,
    init: RequestInit
  ): Promise<Response> {
    const url = URLExt.join(
      this.settings.baseUrl,
      PREFIX,
      ...path.map(part => encodeURIComponent(part))
    );
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url + query, init, this.settings);
    } catch (error) {
      if (error instanceof ServerConnection.NetworkError) {
        throw new Refusal({ message: this.offline, hint: '', kind: 'Offline' });
      }
      throw error;
    }
    if (!response.ok) {
      throw new Refusal(await problem(response), response.status);
    }
    return response;
  }
}

/** What an error answer says; of a proxy's page in between, what its status says. */
async function problem(response: Response): Promise<IProblem> {
  const text = await response.text();
  try {
    const told = JSON.parse(text) as Partial<IProblem>;
    if (typeof told.message === 'string') {
      return { message: told.message, hint: told.hint ?? '', kind: told.kind ?? '' };
    }
  } catch {
    // no JSON
  }
  return { message: `${response.status} ${response.statusText}`, hint: '', kind: 'HTTPError' };
}
