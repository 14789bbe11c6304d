// A real agent process for other people's clients: identity graphs of every datatype, small graphs, one with state, the digit classifier
// and the text line recogniser, served without a hub. Beside it a folder of pictures with the texts expected of them.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DATATYPES } from '@tidegate/shared/tensor/datatype.js';
import { writeCountingPackage } from '../support/counting-package.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const READY_TIMEOUT_MS = 60_000;
/** Lines that the reference reads without a mistake: PNG, JPEG and WebP. */
const PICTURES = ['goldens/clean-04.png', 'goldens/clean-06.jpg', 'goldens/clean-05.webp', 'goldens/clean-07.png'];

export interface ServedAgent {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  /** The same, of gRPC. */
  readonly grpcAddress: string;
  /** Pictures, and `expected.json`: their names and texts in order. */
  readonly pictures: string;
  readonly unixSocket: string;
  stop(): Promise<void>;
}

export async function serveAgent(): Promise<ServedAgent> {
  const folder = await mkdtemp(join(tmpdir(), 'tidegate-interop-'));
  const pictures = await collectPictures(folder);
  const ocr = join(folder, 'ocr-line');
  await run(process.execPath, [join(root, 'examples/ocr-line/assemble.mjs'), ocr]);
  const graph = (name: string): string => join(root, 'test/fixtures/onnx', `${name}.onnx`);
  const names = DATATYPES.map((datatype) => `identity-${datatype.toLowerCase()}`);
  names.push('identity-fp32-scalar', 'identity-fp32-3d', 'add', 'nonzero');
  const counter = writeCountingPackage(join(folder, 'counter'));
  const models = [...names.map(graph), join(root, 'examples/digits'), ocr, counter];
  const unixSocket = join(folder, 'agent.sock');
  const settings = [
    '--http-port',
    '0',
    '--grpc-port',
    '0',
    '--unix-socket',
    unixSocket,
    '--data-dir',
    join(folder, 'data'),
  ];
  const agent = spawn(
    process.execPath,
    [join(root, 'edge-agent/bin/tidegate-agent.js'), 'serve', ...models, ...settings, '--log-level', 'warn'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const { http: address, grpc: grpcAddress } = await readyAddresses(agent);
  return {
    address,
    grpcAddress,
    pictures,
    unixSocket,
    stop: async () => {
      const ended = new Promise((resolve) => agent.once('exit', resolve));
      agent.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function collectPictures(folder: string): Promise<string> {
  const example = join(root, 'examples/ocr-line');
  const text = await readFile(join(example, 'goldens/goldens.json'), 'utf8');
  const goldens = JSON.parse(text) as { inputs: { picture: { file: string } }; expected: string }[];
  const expected: Record<string, string> = {};
  for (const picture of PICTURES) {
    const golden = goldens.find(({ inputs }) => inputs.picture.file === picture);
    if (golden === undefined) throw new Error(`no golden has the picture ${picture}`);
    await copyFile(join(example, picture), join(folder, basename(picture)));
    expected[basename(picture)] = golden.expected;
  }
  await writeFile(join(folder, 'expected.json'), JSON.stringify(expected));
  return folder;
}

function readyAddresses(agent: ChildProcess): Promise<{ http: string; grpc: string }> {
  return new Promise((resolve, reject) => {
    let log = '';
    agent.stderr?.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-20_000)));
    const late = setTimeout(() => reject(new Error(`the agent was not ready in time:\n${log}`)), READY_TIMEOUT_MS);
    agent.once('exit', (code) => reject(new Error(`the agent ended with ${code}:\n${log}`)));
    if (agent.stdout === null) return;
    createInterface(agent.stdout).on('line', (line) => {
      const [, http, grpc] = /^ready http=(\S+) grpc=(\S+)/.exec(line) ?? [];
      if (http === undefined || grpc === undefined) return;
      clearTimeout(late);
      resolve({ http, grpc });
    });
  });
}
