// Which process listens on a TCP port of this machine, as far as /proc tells: the socket's inode from /proc/net/tcp, then the
// process that holds it. Processes of other users are not readable without root.
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';

const LISTENING = '0A';

/** `1234 (nginx)`; undefined where it can't be found out. `root` is `/` but in tests. */
export async function portOwner(port: number, root = '/'): Promise<string | undefined> {
  const inodes = new Set<string>();
  for (const table of ['tcp', 'tcp6']) {
    const text = await readFile(join(root, 'proc/net', table), 'utf8').catch(() => '');
    for (const line of text.split('\n').slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state !== LISTENING || inode === undefined) continue;
      if (Number.parseInt(local?.split(':')[1] ?? '', 16) === port) inodes.add(`socket:[${inode}]`);
    }
  }
  if (inodes.size === 0) return undefined;
  const processes = await readdir(join(root, 'proc')).catch(() => []);
  for (const pid of processes.filter((name) => /^\d+$/.test(name))) {
    const folder = join(root, 'proc', pid);
    for (const descriptor of await readdir(join(folder, 'fd')).catch(() => [])) {
      const target = await readlink(join(folder, 'fd', descriptor)).catch(() => '');
      if (!inodes.has(target)) continue;
      const name = await readFile(join(folder, 'comm'), 'utf8').catch(() => '');
      return `${pid} (${name.trim()})`;
    }
  }
  return undefined;
}
