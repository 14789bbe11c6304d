// The one table of the agent's settings. A setting is `--kebab-name` as a flag, `TIDEGATE_UPPER_NAME` in the environment and
// `kebab-name` in the `--config` file; flags win over the environment, and that over the file. docs/settings.md is made
// from this table (docs/generate/agent-settings.mjs). Every value is text until its schema has read it.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { PROVIDERS } from '@tidegate/shared/runtime/engine.js';
import {
  anyText,
  bytesText,
  choiceText,
  portOrOff,
  setting,
  threadsText,
  wholeText,
  type SettingsOf,
  type SettingsTable,
} from '@tidegate/shared/system/settings.js';
import { modelNameSchema } from '@tidegate/shared/wire/model-yaml.js';
import { SERVER_SETTINGS } from '@tidegate/shared/system/server-settings.js';

const httpUrl = z.string().refine((value) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url?.protocol === 'http:' || url?.protocol === 'https:';
}) as z.ZodType<string, string>;

const providers = z
  .string()
  .transform((value) => value.split(',').map((part) => part.trim()))
  .pipe(z.array(z.enum(PROVIDERS)).min(1));

const modelNames = z
  .string()
  .transform((value) => value.split(',').map((part) => part.trim()))
  .pipe(z.array(modelNameSchema).min(1));

const MS = 'milliseconds';

export const SETTINGS = {
  dataDir: setting({
    schema: anyText,
    fallback: join(homedir(), '.tidegate', 'agent'),
    placeholder: 'DIR',
    allowed: 'a folder',
    description:
      'Where the agent keeps its identity, state and models. `serve` writes there only with --disk-cache or --engine-cache.',
  }),
  host: setting({
    schema: anyText,
    fallback: '127.0.0.1',
    placeholder: 'HOST',
    allowed: 'a host name or address; one that is not loopback needs --api-token',
    description: 'Address that the HTTP and gRPC servers listen on.',
  }),
  httpPort: setting({
    schema: wholeText(0, 65_535),
    fallback: '8000',
    placeholder: 'PORT',
    allowed: '0 to 65535; 0 takes a free one',
    description: 'Port of the HTTP server.',
  }),
  grpcPort: setting({
    schema: portOrOff,
    fallback: '8001',
    placeholder: 'PORT',
    allowed: '0 to 65535; 0 takes a free one; off',
    description: 'Port of the Open Inference Protocol over gRPC. `off` spares its memory (some 12 MB).',
  }),
  unixSocket: setting({
    schema: anyText,
    fallback: undefined,
    placeholder: 'PATH',
    allowed: 'a path in a folder that exists',
    description: 'Serve the same HTTP on this unix socket too, open to who may open the file.',
  }),
  unixSocketAccess: setting({
    schema: choiceText('owner', 'group'),
    fallback: 'owner',
    placeholder: 'WHO',
    allowed: 'owner (mode 0600) or group (0660; the group is that of the agent, or of a set-group-id folder)',
    description: 'Who may call over --unix-socket.',
  }),
  apiToken: setting({
    schema: z.string().min(16) as z.ZodType<string, string>,
    fallback: undefined,
    placeholder: 'TOKEN',
    allowed: 'at least 16 characters',
    description: 'Bearer token that requests over TCP must carry. Better given in the environment than as a flag.',
    secret: true,
  }),
  cacheSize: setting({
    schema: bytesText,
    fallback: '64MiB',
    placeholder: 'BYTES',
    allowed: 'a size such as 512MiB; 0 turns the cache off',
    description: 'Memory that cached answers may take, a sixteenth of it for inputs that are asked again.',
  }),
  diskCache: setting({
    schema: bytesText,
    fallback: '0',
    placeholder: 'BYTES',
    allowed: 'a size such as 512MiB; 0 keeps nothing on disk',
    description:
      'Disk space, in --data-dir, for answers that were asked for twice or slow to compute; they outlive a restart. Not encrypted.',
  }),
  engineCache: setting({
    schema: bytesText,
    fallback: undefined,
    placeholder: 'BYTES',
    allowed: 'a size such as 2GiB; 0 keeps nothing',
    description:
      'Disk space, in --data-dir, for graphs as the engine has made them for this machine: they load again in milliseconds and share one copy of their weights. Without it, 2GiB for `run` and nothing for `serve`.',
  }),
  queueDepth: setting({
    schema: wholeText(1, 10_000),
    fallback: '256',
    placeholder: 'N',
    allowed: '1 to 10000',
    description: 'Requests that may wait for one model; more are refused with 503.',
  }),
  providers: setting({
    schema: providers,
    fallback: 'cpu',
    placeholder: 'LIST',
    allowed: `a comma separated list of ${PROVIDERS.join(', ')}, the preferred first`,
    description: 'Execution providers to try; cpu is always the last rung of the ladder.',
  }),
  requireGpu: setting({
    schema: choiceText('on', 'off'),
    fallback: 'off',
    placeholder: 'MODE',
    allowed: 'on or off',
    description:
      'Refuse to load a model that the CPU would run, or would have more than half of its nodes, unless its package says `require: cpu`; as `require: gpu` does for one package.',
  }),
  threads: setting({
    schema: threadsText,
    fallback: '1',
    placeholder: 'N',
    allowed: '1 to 1024; auto',
    description:
      'Threads of one run. Several runs go at once, so 1 gives the best throughput; more shorten a single run. `auto` measures each model when it is first loaded, and takes more where they cost little throughput. Never more than the cores that affinity and cgroup leave.',
  }),
  concurrency: setting({
    schema: wholeText(1, 1024),
    fallback: undefined,
    placeholder: 'N',
    allowed: '1 to 1024',
    description:
      'Runs of one model that compute at once. Without it, as many as the cores carry that affinity and cgroup leave: cores / --threads.',
  }),
  shareExecutors: setting({
    schema: choiceText('on', 'off'),
    fallback: 'on',
    placeholder: 'MODE',
    allowed: 'on or off',
    description:
      'Have small, fast models that have proven themselves on this device share one process, which spares some 20 MiB for each. `off` gives each model its own.',
  }),
  pin: setting({
    schema: modelNames,
    fallback: undefined,
    placeholder: 'NAMES',
    allowed: 'names of models, with commas between',
    description: 'Models that never leave memory.',
  }),
  engine: setting({
    schema: choiceText('capi', 'binding'),
    fallback: undefined,
    placeholder: 'NAME',
    allowed: 'capi or binding',
    description:
      "ONNX Runtime through its C API, or through onnxruntime-node's binding. Without it, the first that loads here.",
  }),
  hub: setting({
    schema: httpUrl,
    fallback: undefined,
    placeholder: 'URL',
    allowed: 'an http:// or https:// address',
    description: 'Hub (or any Open Inference Protocol server) that answers what this device should not or can not.',
  }),
  hubToken: setting({
    schema: anyText,
    fallback: undefined,
    placeholder: 'TOKEN',
    allowed: 'a token of the hub with the scope infer',
    description: 'Bearer token for --hub. Better given in the environment than as a flag.',
    secret: true,
  }),
  hubProbeInterval: setting({
    schema: wholeText(10, 3_600_000),
    fallback: '5000',
    placeholder: 'MS',
    allowed: `10 to 3600000 ${MS}`,
    description: 'While the hub does not answer, one request in so long tries it again.',
  }),
  capture: setting({
    schema: choiceText('on', 'off'),
    fallback: 'on',
    placeholder: 'MODE',
    allowed: 'on or off',
    description:
      'Of `run`: keep answers of low confidence, and a share of the others, for the hub to learn from, where the package allows it (`privacy.capture`). What `off` finds kept stays and waits.',
  }),
  captureLimit: setting({
    schema: bytesText,
    fallback: '64MiB',
    placeholder: 'BYTES',
    allowed: 'a size such as 512MiB',
    description: 'Disk space for captured samples that wait for the hub; encrypted. When full, the oldest make room.',
  }),
  ...SERVER_SETTINGS,
} satisfies SettingsTable;

export type SettingName = keyof typeof SETTINGS;
export type Settings = SettingsOf<typeof SETTINGS>;

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];
