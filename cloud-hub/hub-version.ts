// The version of this package, as its package.json says it (two folders up once compiled, one up as a source).
import { readFileSync } from 'node:fs';
import { z } from 'zod';

export const HUB_VERSION: string = readVersion();

function readVersion(): string {
  for (const path of ['./package.json', '../package.json']) {
    try {
      const parsed = z
        .object({ name: z.string(), version: z.string() })
        .parse(JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')));
      if (parsed.name === '@tidegate/cloud-hub') return parsed.version;
    } catch {
      continue; // not there: the other place
    }
  }
  throw new Error('the package.json of @tidegate/cloud-hub was not found');
}
