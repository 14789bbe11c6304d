// Where the command line writes in tests: nowhere, or into texts.
import { Writable } from 'node:stream';
import type { Streams } from '@tidegate/cloud-hub/cli/output.js';

const nowhere = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() });

export const silentStreams: Streams = { stdout: nowhere(), stderr: nowhere() };

/** Streams whose texts can be read. */
export function recordedStreams(): Streams & { readonly out: () => string; readonly err: () => string } {
  const texts = { out: '', err: '' };
  const into = (key: 'out' | 'err'): Writable =>
    new Writable({
      write: (chunk: Buffer | string, _encoding, done) => {
        texts[key] += String(chunk);
        done();
      },
    });
  return { stdout: into('out'), stderr: into('err'), out: () => texts.out, err: () => texts.err };
}
