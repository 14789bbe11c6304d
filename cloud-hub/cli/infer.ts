// `tidegate infer MODEL FILE`: asks the hub's models. A `.json` file is a request of the Open Inference Protocol and goes as it is; any
// other file goes as one element of the model's single BYTES input (OpenVINO Model Server's convention for pictures).
import * as fs from 'node:fs/promises';
import { extname } from 'node:path';
import { Command } from 'commander';
import { z } from 'zod';
import { CliError, wrongUsage } from './cli-error.js';
import type { CliContext } from './context.js';
import { problemOf, type HubClient, type RawAnswer } from './hub-client.js';
import { splitSpec } from './model.js';
import { jsonText, tableText } from './output.js';

const tensorSchema = z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.number()) });
const metadataSchema = z.object({ inputs: z.array(tensorSchema) });
const answerSchema = z.object({
  model_name: z.string(),
  model_version: z.string().optional(),
  parameters: z.record(z.string(), z.unknown()).default({}),
  outputs: z.array(tensorSchema.extend({ data: z.array(z.unknown()).default([]) })),
});
type Answer = z.infer<typeof answerSchema>;
const SHOWN_ELEMENTS = 12;

interface InferOptions {
  readonly input?: string;
  readonly timeout?: string;
  readonly json?: true;
}

export function inferCommand(context: CliContext): Command {
  return new Command('infer')
    .description('ask a model on the hub')
    .argument('<MODEL[@VERSION]>', 'VERSION is the hub’s number')
    .argument('<FILE>', 'a picture or other file for a BYTES input, or a .json request')
    .option('--input <NAME>', 'the input that the file is for, where the model has several')
    .option('--timeout <MS>', 'deadline in milliseconds')
    .option('--json', 'print the answer as JSON')
    .addHelpText('after', '\nExample:\n  tidegate infer ocr-line label.png')
    .action(async (spec: string, file: string, options: InferOptions) => {
      const client = await context.client();
      const { model, version } = splitSpec(spec);
      const path = `/v2/models/${encodeURIComponent(model)}${version === undefined ? '' : `/versions/${encodeURIComponent(version)}`}`;
      const data = await readInput(file);
      const answer =
        extname(file) === '.json'
          ? await askJson(client, path, data, options)
          : await askFile(client, path, data, options);
      if (answer.status !== 200) throw problemOf(answer);
      const parsed = answerSchema.safeParse(JSON.parse(new TextDecoder().decode(answer.body)));
      if (!parsed.success) throw new CliError('the hub answered something unexpected', { cause: parsed.error });
      context.stdout.write(options.json === true ? jsonText(parsed.data) : answerText(parsed.data));
    });
}

async function readInput(file: string): Promise<Uint8Array> {
  try {
    return await fs.readFile(file);
  } catch (cause) {
    throw wrongUsage(`${file} can't be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function timeoutHeaders(options: InferOptions): Record<string, string> {
  if (options.timeout === undefined) return {};
  if (!/^[1-9][0-9]{0,8}$/.test(options.timeout))
    throw wrongUsage(`--timeout: ${options.timeout} is no number of milliseconds`);
  return { 'tidegate-timeout': String(Number(options.timeout) * 1000) };
}

function askJson(client: HubClient, path: string, data: Uint8Array, options: InferOptions): Promise<RawAnswer> {
  const headers = { 'content-type': 'application/json', ...timeoutHeaders(options) };
  return client.raw('POST', `${path}/infer`, { headers, body: data });
}

async function askFile(client: HubClient, path: string, data: Uint8Array, options: InferOptions): Promise<RawAnswer> {
  const metadata = await client.raw('GET', path);
  if (metadata.status !== 200) throw problemOf(metadata);
  const { inputs } = metadataSchema.parse(JSON.parse(new TextDecoder().decode(metadata.body)));
  const input = inputs.find(({ name }) => (options.input === undefined ? inputs.length === 1 : name === options.input));
  if (input === undefined) {
    throw wrongUsage(`say which input the file is for: --input ${inputs.map(({ name }) => name).join('|')}`);
  }
  if (input.datatype !== 'BYTES') {
    throw wrongUsage(`the input ${input.name} is ${input.datatype}, not BYTES; write the request as a .json file`);
  }
  const sizeBytes = 4 + data.byteLength;
  const shape = input.shape.map(() => 1);
  const parameters = { binary_data_size: sizeBytes };
  const json = Buffer.from(JSON.stringify({ inputs: [{ name: input.name, datatype: 'BYTES', shape, parameters }] }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(data.byteLength);
  const headers = {
    'content-type': 'application/octet-stream',
    'inference-header-content-length': String(json.byteLength),
    ...timeoutHeaders(options),
  };
  return client.raw('POST', `${path}/infer`, { headers, body: Buffer.concat([json, length, data]) });
}

function answerText(answer: Answer): string {
  const rows = answer.outputs.map(({ name, datatype, shape, data }) => {
    const shown = data
      .slice(0, SHOWN_ELEMENTS)
      .map((value) => (typeof value === 'number' && !Number.isInteger(value) ? value.toPrecision(5) : String(value)));
    const more = data.length > SHOWN_ELEMENTS ? `, ... (${data.length})` : '';
    return [name, `${datatype}[${shape.join(',')}]`, `${shown.join(', ')}${more}`];
  });
  const said = Object.entries(answer.parameters).map(([key, value]) => `${key}=${String(value)}`);
  const version = answer.model_version === undefined ? '' : `@${answer.model_version}`;
  return `${tableText(['OUTPUT', 'TYPE', 'VALUE'], rows)}\n${answer.model_name}${version}  ${said.join('  ')}\n`;
}
