// The console: files of one folder, read at the start (it is small) and answered from memory, so no request ever names a path on
// disk. Files with a hash in their name may be kept for ever; the page itself is asked for anew each time.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';

const LIMIT_TOTAL_BYTES = 32 * 1024 * 1024;

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
  '.txt': 'text/plain; charset=utf-8',
};

const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
} as const;

interface StaticFile {
  readonly type: string;
  readonly data: Uint8Array;
  readonly etag: string;
  readonly cacheControl: string;
}

export class StaticFiles {
  readonly #files: ReadonlyMap<string, StaticFile>;

  private constructor(files: ReadonlyMap<string, StaticFile>) {
    this.#files = files;
  }

  /** An empty set where the folder doesn't exist (the console isn't built). */
  static async load(folder: string): Promise<StaticFiles> {
    const files = new Map<string, StaticFile>();
    let totalBytes = 0;
    for (const path of await filesUnder(folder)) {
      const data = await fs.readFile(path);
      totalBytes += data.byteLength;
      if (totalBytes > LIMIT_TOTAL_BYTES) throw new Error(`${folder} holds more than ${LIMIT_TOTAL_BYTES} bytes`);
      const name = `/${relative(folder, path).split(sep).join('/')}`;
      files.set(name, {
        type: TYPES[extname(path)] ?? 'application/octet-stream',
        data,
        etag: `"${createHash('sha256').update(data).digest('base64url').slice(0, 22)}"`,
        cacheControl: name.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
      });
    }
    return new StaticFiles(files);
  }

  get built(): boolean {
    return this.#files.has('/index.html');
  }

  /** GET and HEAD. A path without an extension is a view of the console: the page answers it. */
  answer(request: IncomingMessage, response: ServerResponse): void {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      plain(response, 405, 'only GET and HEAD', { allow: 'GET, HEAD' });
      return;
    }
    const path = new URL(request.url ?? '/', 'http://hub').pathname;
    const file = this.#files.get(path) ?? (extname(path) === '' ? this.#files.get('/index.html') : undefined);
    if (file === undefined) {
      plain(response, 404, this.built ? 'no such file' : 'the console is not built: npm run build:console');
      return;
    }
    const headers = { ...SECURITY_HEADERS, etag: file.etag, 'cache-control': file.cacheControl };
    if (request.headers['if-none-match'] === file.etag) {
      response.writeHead(304, headers).end();
      return;
    }
    response.writeHead(200, { ...headers, 'content-type': file.type, 'content-length': file.data.byteLength });
    response.end(request.method === 'HEAD' ? undefined : file.data);
  }
}

function plain(response: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, {
    ...headers,
    'content-type': 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
  });
  response.end(`${text}\n`);
}

async function filesUnder(folder: string): Promise<string[]> {
  try {
    const entries = await fs.readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw cause;
  }
}
