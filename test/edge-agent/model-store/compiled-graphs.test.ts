import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { compiledFolder, removeCompiled } from '@tidegate/edge-agent/model-store/compiled-graphs.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const temporary = temporaryFolders('compiled-graphs');

it('removes what was made from others, and what does not say from what, but nothing that is being made', async () => {
  const folder = compiledFolder(temporary());
  expect(await removeCompiled(folder, () => true, systemFiles)).toBe(0); // there is none yet
  const [kept, gone] = [sha256('kept'), sha256('gone')];
  const entries = {
    a: JSON.stringify({ content: `${kept} model.onnx`, files: {} }),
    b: JSON.stringify({ content: `${gone} model.onnx`, files: {} }),
    older: JSON.stringify({ files: {} }),
    torn: '{',
    '.building-1': '',
  };
  for (const [name, manifest] of Object.entries(entries)) {
    mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, name, 'manifest.json'), manifest);
  }
  expect(await removeCompiled(folder, (variant) => variant !== kept, systemFiles)).toBe(3);
  expect(Object.keys(entries).filter((name) => existsSync(join(folder, name)))).toEqual(['a', '.building-1']);
});
