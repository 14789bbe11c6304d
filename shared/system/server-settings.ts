// Settings that agent and hub have alike (contract.md, Common flags): one wording, one range.
import { z } from 'zod';
import {
  bytesText,
  choiceText,
  headersText,
  setting,
  shareText,
  weightsText,
  wholeText,
  type SettingsTable,
} from './settings.js';

export const SERVER_SETTINGS = {
  defaultTimeout: setting({
    schema: wholeText(1, 3_600_000),
    fallback: '30000',
    placeholder: 'MS',
    allowed: '1 to 3600000 milliseconds',
    description: 'Deadline of an inference request that states none.',
  }),
  drainTimeout: setting({
    schema: wholeText(0, 3_600_000),
    fallback: '30000',
    placeholder: 'MS',
    allowed: '0 to 3600000 milliseconds',
    description: 'After SIGTERM, how long accepted requests may take to finish.',
  }),
  maxBodySize: setting({
    schema: bytesText,
    fallback: '256MiB',
    placeholder: 'BYTES',
    allowed: 'a size such as 512MiB, 64MB or a number of bytes',
    description: 'Largest body of an inference request, also after decompression.',
  }),
  memoryBudget: setting({
    schema: z.union([z.literal('none'), bytesText]) as z.ZodType<number | 'none', string>,
    fallback: undefined,
    placeholder: 'BYTES',
    allowed: 'a size such as 512MiB; none',
    description:
      'Memory that this process and those that it runs models in may use together, as measured. Models that do not fit leave and are loaded again when asked for. Without it, nine tenths of what the cgroup allows; without a limit there, none.',
  }),
  keepAlive: setting({
    schema: wholeText(0, 2_147_483_647),
    fallback: undefined,
    placeholder: 'MS',
    allowed: '0 to 2147483647 milliseconds',
    description:
      'Without a request for so long, a model leaves memory; 0 at once. Packages may say otherwise (`memory.keepAliveMs`). Without it, models stay until their place is needed.',
  }),
  callerWeights: setting({
    schema: weightsText,
    fallback: '',
    placeholder: 'LIST',
    allowed: 'a comma separated list of NAME=WEIGHT, each weight above 0 and at most 1000',
    description:
      'Callers that get more or less of the machine than others when several wait; the weight of those not named is 1.',
  }),
  logLevel: setting({
    schema: choiceText('debug', 'info', 'warn', 'error', 'silent'),
    fallback: 'info',
    placeholder: 'LEVEL',
    allowed: 'debug, info, warn, error or silent',
    description: 'Least level of log lines on stderr.',
  }),
  logFormat: setting({
    schema: choiceText('pretty', 'json', 'auto'),
    fallback: 'auto',
    placeholder: 'FORMAT',
    allowed: 'pretty, json or auto (pretty on a terminal)',
    description: 'Form of log lines on stderr.',
  }),
  otlpEndpoint: setting({
    schema: z.url({ protocol: /^https?$/ }) as z.ZodType<string, string>,
    fallback: undefined,
    placeholder: 'URL',
    allowed: 'an http or https address such as http://localhost:4318',
    description:
      'OpenTelemetry receiver (OTLP over HTTP) that traces of requests are sent to, `/v1/traces` under it; unset: nothing is traced.',
  }),
  otlpHeaders: setting({
    schema: headersText,
    fallback: undefined,
    placeholder: 'LIST',
    allowed: 'a comma separated list of NAME=VALUE, values percent-encoded where they hold a comma',
    description:
      'Headers for the OpenTelemetry receiver, such as authorization. Better given in the environment than as a flag.',
    secret: true,
  }),
  traceSample: setting({
    schema: shareText,
    fallback: '1',
    placeholder: 'RATIO',
    allowed: 'a number from 0 to 1',
    description:
      'Share of the requests that are traced, of those whose caller brings no `traceparent` that decides it.',
  }),
} satisfies SettingsTable;
