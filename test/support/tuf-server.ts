// An update repository on HTTP for tests: real metadata, signed by the hub's own code, and answers that a test may replace.
import { createServer, type ServerResponse } from 'node:http';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { KeyStore } from '@tidegate/cloud-hub/security/key-store.js';
import { openTufRepository, type TufRepository } from '@tidegate/cloud-hub/security/tuf-repository.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';

export interface TufServer {
  readonly metadataUrl: string;
  readonly targetsUrl: string;
  /** By URL path; takes the place of the file. A number is a status. */
  readonly replaced: Map<string, Uint8Array | number | ((response: ServerResponse) => void)>;
  readonly asked: string[];
  close(): Promise<void>;
}

export async function makeRepository(
  folder: string,
  clock: Clock,
  keyFolder = `${folder}-keys`,
): Promise<TufRepository> {
  const keys = new KeyStore(keyFolder, systemFiles);
  await keys.makeMissing();
  return openTufRepository({ folder }, { keys, files: systemFiles, clock, log: silentLog });
}

/** Serves the repository folder's metadata/ and targets/. */
export async function serveTuf(folder: string): Promise<TufServer> {
  const replaced: TufServer['replaced'] = new Map();
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push(path);
    const other = replaced.get(path);
    if (typeof other === 'function') return other(response);
    if (typeof other === 'number') return void response.writeHead(other).end();
    if (other !== undefined) return void response.end(other);
    readFile(folder + path).then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    metadataUrl: `${base}/metadata/`,
    targetsUrl: `${base}/targets/`,
    replaced,
    asked,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
