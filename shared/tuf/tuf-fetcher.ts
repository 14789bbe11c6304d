// How tuf-js reaches the repository: through the device's own dispatcher (mutual TLS, proxy), into memory, each answer bounded
// in bytes and time. tuf-js tells "no newer root" from an error by the class of the error, so statuses become DownloadHTTPError.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DownloadHTTPError, DownloadLengthMismatchError } from 'tuf-js/dist/error.js';
import { request, type Dispatcher } from 'undici';

interface TufFetcherOptions {
  readonly dispatcher: Dispatcher;
  readonly signal: AbortSignal;
  /** Folder for files on their way to tuf-js. */
  readonly folder: string;
  /** For one whole answer. */
  readonly timeoutMs: number;
}

export class TufFetcher {
  readonly #options: TufFetcherOptions;
  #failure: unknown;
  #files = 0;

  constructor(options: TufFetcherOptions) {
    this.#options = options;
  }

  /** The transport's last failure: tuf-js wraps errors without a cause, so this is how an outage is told from an attack. */
  get failure(): unknown {
    return this.#failure;
  }

  async downloadBytes(url: string, maxLength: number): Promise<Buffer> {
    const signal = AbortSignal.any([this.#options.signal, AbortSignal.timeout(this.#options.timeoutMs)]);
    let response: Dispatcher.ResponseData;
    try {
      response = await request(url, { dispatcher: this.#options.dispatcher, signal });
    } catch (cause) {
      this.#failure = cause;
      throw cause;
    }
    if (response.statusCode !== 200) {
      await response.body.dump();
      const error = new DownloadHTTPError(`${url} answered ${response.statusCode}`, response.statusCode);
      if (response.statusCode !== 404) this.#failure = error;
      throw error;
    }
    return this.#collect(url, response.body, maxLength);
  }

  async downloadFile<T>(url: string, maxLength: number, handler: (file: string) => Promise<T>): Promise<T> {
    const path = join(this.#options.folder, `fetched-${(this.#files += 1)}`);
    await writeFile(path, await this.downloadBytes(url, maxLength));
    return handler(path);
  }

  async #collect(url: string, body: AsyncIterable<Buffer>, maxLength: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    try {
      for await (const chunk of body) {
        sizeBytes += chunk.length;
        if (sizeBytes > maxLength) break;
        chunks.push(chunk);
      }
    } catch (cause) {
      this.#failure = cause;
      throw cause;
    }
    if (sizeBytes > maxLength) throw new DownloadLengthMismatchError(`${url}: more than ${maxLength} bytes`);
    return Buffer.concat(chunks);
  }
}
