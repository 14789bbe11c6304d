// What Tidegate is measured against: how each is installed (into an environment of its own), configured and asked. Servers have one ONNX
// Runtime thread and one run at a time, are configured as their documentation advises for the rest, and get tensors as bytes where they can take them.
//
// A peer: `install(say)` answers `{ about }` (version and configuration) with what `start` needs, or `{ missing }`, why it can't be had.
// A server: `start(installed, { name, file, input, output, shape }, { folder, instances })` answers `{ pid, host, port, stop, request }`;
// `floats(headers, body)` reads an answer; `justInTime`: it compiles itself while it serves, so it gets the long warm-up.
import { bentoml } from './bentoml.mjs';
import { fastify } from './fastify.mjs';
import { mlserver } from './mlserver.mjs';
import { pytorch } from './pytorch.mjs';
import { rapidocr } from './rapidocr.mjs';
import { triton } from './triton.mjs';

/** Its binary comes with container images and release archives, on no package registry. */
const ovms = {
  install: async () => ({
    missing: 'OpenVINO Model Server is in no package registry, only in images and release archives',
  }),
};

/** Servers of the throughput row. */
export const SERVERS = { triton, ovms, mlserver, bentoml, fastify };

export const PEERS = { ...SERVERS, rapidocr, pytorch };

/** Installs those that were asked for: name -> what `start` needs; those that can't be had, or weren't asked for: name -> why. */
export async function installPeers(names, asked, say) {
  const installed = {};
  const missing = {};
  for (const name of names) {
    const found = asked.includes(name) ? await PEERS[name].install(say) : { missing: 'not asked for' };
    if (found.missing === undefined) installed[name] = found;
    else missing[name] = found.missing;
  }
  const skipped = Object.entries(missing).map(([name, reason]) => `${name} is skipped: ${reason}`);
  return { installed, skipped };
}
