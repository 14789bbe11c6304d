// A temporary folder for one test file, removed after its tests.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** Call at the top of a test file; the returned function makes a new, empty sub-folder at each call. */
export function temporaryFolders(name: string): () => string {
  const root = mkdtempSync(join(tmpdir(), `tidegate-${name}-`));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  let count = 0;
  return () => mkdtempSync(join(root, `${(count += 1)}-`));
}
