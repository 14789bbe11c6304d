import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { TrustFile } from '../../../edge-agent/state/trust-file.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('trust-file');
const known = new Map([['sha256:1 a.onnx', { proven: true, crashed: false, runUs: 812 }]]);

describe('the file of proven graphs', () => {
  it('gives back what was written, to the same release', async () => {
    const folder = newFolder();
    expect(await new TrustFile(folder, '1.0.0', systemFiles).read()).toEqual(new Map());
    await new TrustFile(folder, '1.0.0', systemFiles).write(known);
    expect(await new TrustFile(folder, '1.0.0', systemFiles).read()).toEqual(known);
    expect(await new TrustFile(folder, '1.0.1', systemFiles).read()).toEqual(new Map());
  });

  it.each([
    ['torn', (text: string) => text.slice(0, -10)],
    ['of another shape', (text: string) => text.replace('true', '"yes"')],
    ['far too large', (text: string) => text + ' '.repeat(1 << 20)],
  ])('trusts nobody by a file that is %s (B24)', async (_, damage) => {
    const folder = newFolder();
    const file = new TrustFile(folder, '1.0.0', systemFiles);
    await file.write(known);
    const path = join(folder, 'executor-trust.json');
    writeFileSync(path, damage(readFileSync(path, 'utf8')));
    expect(await file.read()).toEqual(new Map());
    await file.write(known);
    expect(await file.read()).toEqual(known);
  });
});
