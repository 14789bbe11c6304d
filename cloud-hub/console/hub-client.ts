// Calls the hub: the admin API and, for the playground, the Open Inference Protocol. Types come from the hub's own wire contracts.
import type { Device, LiveEvent, Problem, Rollout, Version } from '@tidegate/shared/wire/admin-api.js';
import type {
  DatasetDiff,
  DatasetVersion,
  Proposed,
  SampleSummary,
  SampleView,
} from '@tidegate/shared/wire/data-api.js';
import type { Job, JobPoint, Lineage } from '@tidegate/shared/wire/training-api.js';

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

export interface Page<T> {
  readonly items: T[];
  readonly nextCursor?: string;
}

/** What a person may do with a sample, as its route is called. */
type SampleVerb = 'reject' | 'reopen' | 'propose' | 'accept';

/** What the form freezes; the hub's own checks decide. */
interface NewDataset {
  readonly name: string;
  readonly from: string;
  readonly heldOut: number;
}

const PAGES_MAX = 20;
const POINTS_MAX = 1000;
const PROPOSE_MAX = 100;

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

  /** One page of samples, newest first. */
  async samples(query: { where: string; limit: number; cursor?: string | undefined }): Promise<Page<SampleView>> {
    const search = new URLSearchParams({ limit: String(query.limit) });
    if (query.where !== '') search.set('where', query.where);
    if (query.cursor !== undefined) search.set('cursor', query.cursor);
    return this.#json(await this.#fetch(`/api/v1/samples?${search.toString()}`));
  }

  /** How many of what `where` picks stand where. */
  async sampleSummary(where: string): Promise<SampleSummary> {
    const query = where === '' ? '' : `?${new URLSearchParams({ where }).toString()}`;
    return this.#json(await this.#fetch(`/api/v1/samples/summary${query}`));
  }

  /** Asks the hub's model about the newest samples that `where` picks and that have no proposal. */
  async proposeAll(where: string): Promise<Proposed> {
    const query = new URLSearchParams({ limit: String(PROPOSE_MAX), ...(where === '' ? {} : { where }) });
    return this.#json(await this.#fetch(`/api/v1/samples/propose?${query.toString()}`, { method: 'POST' }));
  }

  /** The sample's picture; undefined where its inputs are none. */
  async picture(id: string): Promise<Blob | undefined> {
    try {
      return await (await this.#fetch(`${samplePath(id)}/picture`)).blob();
    } catch (cause) {
      if (cause instanceof HubError && cause.status === 404) return undefined;
      throw cause;
    }
  }

  async label(id: string, label: string): Promise<SampleView> {
    return this.#json(await this.#send('PUT', `${samplePath(id)}/label`, { label }));
  }

  async sampleCommand(id: string, verb: SampleVerb): Promise<SampleView> {
    return this.#json(await this.#fetch(`${samplePath(id)}/${verb}`, { method: 'POST' }));
  }

  /** All versions of all datasets. */
  async datasets(): Promise<DatasetVersion[]> {
    const names = new Set((await this.#all<{ name: string }>('/api/v1/datasets')).map(({ name }) => name));
    const versions = [...names].map((name) => this.#all<DatasetVersion>(`${datasetPath(name)}/versions`));
    return (await Promise.all(versions)).flat();
  }

  async createDataset(dataset: NewDataset): Promise<DatasetVersion> {
    return this.#json(await this.#send('POST', '/api/v1/datasets', dataset));
  }

  async datasetDiff(name: string, from: number, to: number): Promise<DatasetDiff> {
    return this.#json(await this.#fetch(`${datasetPath(name)}/diff?from=${from}&to=${to}`));
  }

  jobs(): Promise<Job[]> {
    return this.#all('/api/v1/jobs');
  }

  async job(id: string): Promise<Job> {
    return this.#json(await this.#fetch(jobPath(id)));
  }

  /** Oldest first. */
  async points(id: string): Promise<JobPoint[]> {
    const page: Page<JobPoint> = await this.#json(await this.#fetch(`${jobPath(id)}/points?limit=${POINTS_MAX}`));
    return page.items;
  }

  /** `order` is a CreateJob that leaves out what has a default. */
  async startJob(order: unknown): Promise<Job> {
    return this.#json(await this.#send('POST', '/api/v1/jobs', order));
  }

  async cancelJob(id: string): Promise<Job> {
    return this.#json(await this.#fetch(`${jobPath(id)}/cancel`, { method: 'POST' }));
  }

  async lineage(model: string, version: string): Promise<Lineage> {
    const of = `${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}`;
    return this.#json(await this.#fetch(`/api/v1/models/${of}/lineage`));
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

  #send(method: 'POST' | 'PUT', path: string, body: unknown): Promise<Response> {
    return this.#fetch(path, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  }

  async #json<T>(response: Response): Promise<T> {
    return (await response.json()) as T;
  }
}

const samplePath = (id: string): string => `/api/v1/samples/${id.replace('sha256:', '')}`;
const datasetPath = (name: string): string => `/api/v1/datasets/${encodeURIComponent(name)}`;
const jobPath = (id: string): string => `/api/v1/jobs/${encodeURIComponent(id)}`;

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
