import { renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hashFiles, lieOf } from '@tidegate/shared/package/list-files.js';
import { UnchangedFiles } from '@tidegate/shared/package/unchanged-files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const temporary = temporaryFolders('unchanged');

async function opened(): Promise<{ folder: string; unchanged: UnchangedFiles; graph: string }> {
  const folder = temporary();
  for (const name of ['graph.onnx', 'model.yaml']) writeFileSync(join(folder, name), `what ${name} holds`);
  const lies = new Map([['graph.onnx', await lieOf(join(folder, 'graph.onnx'))]]);
  const files = await hashFiles(folder, ['graph.onnx', 'model.yaml']);
  return {
    folder,
    unchanged: new UnchangedFiles({ folder, files, lies }, ['graph.onnx']),
    graph: join(folder, 'graph.onnx'),
  };
}

describe('UnchangedFiles', () => {
  it('takes what still holds the same content, whoever wrote it again, and leaves other files alone', async () => {
    const { folder, unchanged, graph } = await opened();
    await unchanged.check();
    await unchanged.check();
    writeFileSync(graph, 'what graph.onnx holds');
    writeFileSync(join(folder, 'model.yaml'), 'another text');
    await unchanged.check();
  });

  it('names a file that holds something else, also where size and time are the same', async () => {
    const { folder, unchanged, graph } = await opened();
    await unchanged.check();
    const { atime, mtime } = statSync(graph);
    const other = join(folder, 'other');
    writeFileSync(other, 'what graph.onnx HOLDS');
    utimesSync(other, atime, mtime);
    renameSync(other, graph);
    const changed = {
      code: 'invalid-file',
      message: expect.stringContaining('graph.onnx: was changed since') as string,
    };
    await expect(unchanged.check()).rejects.toMatchObject(changed);
    await expect(unchanged.check()).rejects.toMatchObject(changed);
    rmSync(graph);
    await expect(unchanged.check()).rejects.toThrow('ENOENT');
    writeFileSync(graph, 'what graph.onnx holds');
    await unchanged.check();
  });
});
