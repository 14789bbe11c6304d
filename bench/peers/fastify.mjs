// What people write themselves: a Fastify handler around onnxruntime-node, in one process (fastify/server.mjs), with its own packages.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { rawFloats } from '../answers.mjs';
import { startScript } from '../processes.mjs';
import { lastLine } from '../python-environment.mjs';
import { rawRequest } from '../requests.mjs';

const run = promisify(execFile);
const FOLDER = fileURLToPath(new URL('fastify/', import.meta.url));
const INSTALL_LIMIT_MS = 300_000;

async function install(say) {
  const { dependencies } = JSON.parse(readFileSync(`${FOLDER}package.json`, 'utf8'));
  const installed = (name) => {
    try {
      return JSON.parse(readFileSync(`${FOLDER}node_modules/${name}/package.json`, 'utf8')).version;
    } catch {
      return undefined; // not there yet
    }
  };
  try {
    if (Object.entries(dependencies).some(([name, version]) => installed(name) !== version)) {
      say('installing fastify into bench/peers/fastify');
      await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
        cwd: FOLDER,
        timeout: INSTALL_LIMIT_MS,
      });
    }
  } catch (error) {
    return { missing: lastLine(error) };
  }
  const versions = Object.entries(dependencies).map((pair) => pair.join(' '));
  return { about: `${versions.join(', ')}; one process, raw float32 in and out` };
}

async function start(_installed, { file, shape }) {
  const started = await startScript(`${FOLDER}server.mjs`, [file, shape.join()]);
  const [, host, port] = /http=(.+):(\d+)/.exec(started.ready);
  return { ...started, host, port, request: rawRequest('/infer', shape) };
}

export const fastify = { install, start, floats: rawFloats, justInTime: true };
