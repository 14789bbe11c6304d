// A plain Fastify handler around onnxruntime-node: raw float32 in, raw float32 out. node server.mjs MODEL SHAPE
import Fastify from 'fastify';
import ort from 'onnxruntime-node';

const [path, shapeText] = process.argv.slice(2);
const shape = shapeText.split(',').map(Number);
const session = await ort.InferenceSession.create(path, {
  intraOpNumThreads: 1,
  extra: { session: { intra_op: { allow_spinning: '0' } } },
});
const [input] = session.inputNames;
const [output] = session.outputNames;

const app = Fastify({ bodyLimit: 64 * 2 ** 20 });
app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
app.post('/infer', async ({ body }, reply) => {
  const values = new Float32Array(body.buffer, body.byteOffset, body.byteLength / 4);
  const { [output]: result } = await session.run({ [input]: new ort.Tensor('float32', values, shape) });
  const { buffer, byteOffset, byteLength } = result.data;
  reply.header('content-type', 'application/octet-stream');
  return Buffer.from(buffer, byteOffset, byteLength);
});
const address = await app.listen({ host: '127.0.0.1', port: 0 });
console.log(`ready http=${new URL(address).host}`);
process.on('SIGTERM', () => process.exit(0));
