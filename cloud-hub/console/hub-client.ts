// Calls the hub: the admin API and, for the playground, the Open Inference Protocol. Types come from the hub's own wire contracts.
import type { Device, LiveEvent, Problem, Rollout, Version } from '@tidegate/shared/wire/admin-api.js';

class HubError extends Error {
  override readonly name = 'HubError';
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface ModelRow {
  readonly name: string;
  readonly description?: string;
  readonly latestVersion?: number;
}

interface Page<T> {
  readonly items: T[];
  readonly nextCursor?: string;
}

const PAGES_MAX = 20;

export class HubClient {
  readonly #token: string;

  constructor(token: string) {
    this.#token = token;
  }

  models(): Promise<ModelRow[]> {
    return this.#all('/api/v1/models');
  }

  versions(model: string): Promise<Version[]> {
    return this.#all(`/api/v1/models/${encodeURIComponent(model)}/versions`);
  }

  devices(): Promise<Device[]> {
    return this.#all('/api/v1/devices');
  }

  rollouts(): Promise<Rollout[]> {
    return this.#all('/api/v1/rollouts');
  }

  async command(rolloutId: string, verb: 'pause' | 'resume' | 'abort'): Promise<Rollout> {
    return this.#json(await this.#fetch(`/api/v1/rollouts/${rolloutId}/${verb}`, { method: 'POST' }));
  }

  /** Opens the live channel; `onEvent` gets whole objects. Comes back by itself until the returned function is called. */
  live(onEvent: (event: LiveEvent) => void, onState: (connected: boolean) => void): () => void {
    let socket: WebSocket | undefined;
    let closed = false;
    let waitMs = 500;
    const open = (): void => {
      if (closed) return;
      const url = new URL('/api/v1/live', location.href);
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
      socket = new WebSocket(url, ['tidegate.live.v1', `tidegate.token.${this.#token}`]);
      socket.addEventListener('open', () => {
        waitMs = 500;
        onState(true);
      });
      socket.addEventListener('message', (message) => onEvent(JSON.parse(String(message.data)) as LiveEvent));
      socket.addEventListener('close', () => {
        onState(false);
        setTimeout(open, waitMs * (0.5 + Math.random()));
        waitMs = Math.min(waitMs * 2, 15_000);
      });
    };
    open();
    return () => {
      closed = true;
      socket?.close();
    };
  }

  modelMetadata(model: string): Promise<ModelMetadata> {
    return this.#fetch(`/v2/models/${encodeURIComponent(model)}`).then((response) => this.#json(response));
  }

  /** One inference with one binary input (binary tensor extension); outputs as JSON. */
  async infer(model: string, input: InferInput): Promise<InferAnswer> {
    const { name, datatype, shape, data } = input;
    const header = new TextEncoder().encode(
      JSON.stringify({ inputs: [{ name, datatype, shape, parameters: { binary_data_size: data.byteLength } }] }),
    );
    const response = await this.#fetch(`/v2/models/${encodeURIComponent(model)}/infer`, {
      method: 'POST',
      headers: { 'inference-header-content-length': String(header.byteLength) },
      body: new Blob([header as BlobPart, data as BlobPart]),
    });
    return this.#json(response);
  }

  async #all<T>(path: string): Promise<T[]> {
    const items: T[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const query = cursor === undefined ? '' : `?cursor=${encodeURIComponent(cursor)}`;
      const next: Page<T> = await this.#json(await this.#fetch(path + query));
      items.push(...next.items);
      cursor = next.nextCursor;
      if (cursor === undefined) break;
    }
    return items;
  }

  async #fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await fetch(path, {
      ...init,
      headers: { ...init.headers, authorization: `Bearer ${this.#token}` },
    });
    if (!response.ok) {
      const body = (await response.json().catch(() => ({}))) as Partial<Problem> & { error?: string };
      throw new HubError(
        response.status,
        body.detail ?? body.error ?? body.title ?? `the hub answered ${response.status}`,
      );
    }
    return response;
  }

  async #json<T>(response: Response): Promise<T> {
    return (await response.json()) as T;
  }
}

export interface ModelMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly inputs: readonly { name: string; datatype: string; shape: readonly number[] }[];
  readonly outputs: readonly { name: string; datatype: string; shape: readonly number[] }[];
}

export interface InferInput {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

export interface InferAnswer {
  readonly model_name: string;
  readonly model_version?: string;
  readonly parameters?: Readonly<Record<string, string | number | boolean>>;
  readonly outputs: readonly { name: string; datatype: string; shape: readonly number[]; data: readonly unknown[] }[];
}
