import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));

describe('docs/model.schema.json', () => {
  it('says what the schema of model.yaml says now', async () => {
    const check = promisify(execFile)(process.execPath, ['docs/generate/model-schema.mjs', '--check'], { cwd: root });
    await expect(check).resolves.toMatchObject({ stderr: '' });
  });
});
