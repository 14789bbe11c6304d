// The servers that P2 is measured against: how each is installed (into an environment of its own), configured and asked. One ONNX
// Runtime thread and one run at a time each, as its documentation advises for the rest; tensors as bytes where it can take them.
//
// A peer: `install(say)` answers `{ about }` (version and configuration) with what `start` needs, or `{ missing }`, why it can't be had;
// `start(installed, { name, file, input, output, shape }, { folder, instances })` answers `{ pid, host, port, stop, request }`; `floats(headers, body)` reads an answer.
import { bentoml } from './bentoml.mjs';
import { fastify } from './fastify.mjs';
import { mlserver } from './mlserver.mjs';
import { triton } from './triton.mjs';

/** Its binary comes with container images and release archives, on no package registry. */
const ovms = {
  install: async () => ({
    missing: 'OpenVINO Model Server is in no package registry, only in images and release archives',
  }),
};

export const PEERS = { triton, ovms, mlserver, bentoml, fastify };
