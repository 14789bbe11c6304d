// The schema of `model.yaml` (contract.md, Model package). A package is a dataflow graph of named values: nodes are built-in
// steps and ONNX graphs, each takes values and makes values. The public inputs and outputs are values too, so a caller may
// enter at any boundary: giving a graph's own input skips the steps before it, asking for its output skips those after it.
import { z } from 'zod';
import { DATATYPES } from '../tensor/datatype.js';
import { packagePathSchema } from './manifest.js';
import { privacySchema } from './privacy.js';

export const modelNameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit');

const valueName = z.string().min(1).max(128);

const valueSpecSchema = z.strictObject({
  name: valueName,
  datatype: z.enum(DATATYPES),
  /** -1 = dynamic. */
  shape: z.array(z.int().min(-1)).max(8),
});

const stepNodeSchema = z.strictObject({
  /** Name of a built-in step: the file `shared/steps/<step>.ts`. */
  step: z.string(),
  /** Names this node for `heavy.vary`; default: the step's name. */
  id: valueName.optional(),
  inputs: z.array(valueName).min(1),
  outputs: z.array(valueName).min(1),
  with: z.record(z.string(), z.unknown()).default({}),
});

/** A tensor that a sequence carries from one run of the graph to the next. It stays in the executor: no value of the pipeline. */
const carriedTensorSchema = z.strictObject({
  /** The graph's input that takes it. */
  input: valueName,
  /** The graph's output that makes the next one. */
  output: valueName,
  /** At a sequence's start. Default: the shape of the graph's input, where that is fixed. */
  shape: z.array(z.int().min(0)).max(8).optional(),
  /** At a sequence's start: `zeros`, or all elements in row-major order. */
  initial: z.union([z.literal('zeros'), z.array(z.number()).max(65_536)]).default('zeros'),
});

const raggedAxis = { name: valueName, axis: z.int().min(1).max(7) };

const raggedSchema = z.strictObject({
  /** Inputs of the graph whose dimension `axis` has the length that requests differ in, and what fills it up: a mask's is 0. */
  inputs: z
    .array(z.strictObject({ ...raggedAxis, value: z.number().default(0) }))
    .min(1)
    .max(64),
  /** Outputs of the graph that have that length too; they are cut back. */
  outputs: z.array(z.strictObject(raggedAxis)).max(64).default([]),
  /** Largest difference that padding may make, in parts of the element's size and of 1. */
  tolerance: z.number().min(0).max(1).default(0.001),
  /** Share of a run's elements that may be padding. */
  maxWaste: z.number().min(0).max(0.9).default(0.25),
});

const graphNodeSchema = z.strictObject({
  /** An .onnx file of the package. */
  graph: packagePathSchema,
  /** The graph's input name -> the value that feeds it. Default: values of the same names. */
  inputs: z.record(valueName, valueName).optional(),
  /** The graph's output name -> the value that it makes. Default: values of the same names. */
  outputs: z.record(valueName, valueName).optional(),
  /** What the graph carries over a sequence of requests. */
  state: z.array(carriedTensorSchema).min(1).max(64).optional(),
  /** For a graph that is fed a list: how its items share runs. Without it each item runs by itself. */
  batch: z
    .strictObject({
      /** Most items of one run. */
      maxRows: z.int().min(1).max(64),
      /** The dimension in which items may differ: those of one run are padded to the largest, and run in order of their size. */
      padAxis: z.int().min(1).max(7).optional(),
      padValue: z.number().default(0),
    })
    .optional(),
  /** Its inputs may be lengthened, so that requests that differ in a length share runs. It has to change no answer. */
  ragged: raggedSchema.optional(),
});

const pipelineNodeSchema = z.union([stepNodeSchema, graphNodeSchema], {
  error: 'must be a step ({step, inputs, outputs, with}) or a graph ({graph, inputs, outputs})',
});
export type PipelineNode = z.infer<typeof pipelineNodeSchema>;
export type GraphNode = z.infer<typeof graphNodeSchema>;

const LOCAL_TIME = /^([01][0-9]|2[0-3]):[0-5][0-9]$/;

export const GOLDEN_METRICS = ['exact', 'character-accuracy', 'max-abs-error', 'top1'] as const;

export const modelYamlSchema = z.strictObject({
  name: modelNameSchema,
  /** A label; the hub numbers versions itself. */
  version: z.string().max(64).optional(),
  description: z.string().max(2000).optional(),
  /** SPDX identifier, or `unknown` (publish then needs --allow-unknown-licence). */
  licence: z.string().min(1).max(64),
  source: z.string().max(500).optional(),
  inputs: z.array(valueSpecSchema).min(1),
  outputs: z.array(valueSpecSchema).min(1),
  pipeline: z.array(pipelineNodeSchema).min(1).max(64),
  batching: z
    .strictObject({
      /** Largest number of rows that one run may take. 1 = no batching. */
      maxRows: z.int().min(1).max(1024).default(8),
    })
    .prefault({}),
  /** Of a package whose graphs carry state. */
  sequences: z
    .strictObject({
      /** Sequences that may be live at one time. */
      max: z.int().min(1).max(10_000).default(64),
      /** A sequence that is not asked for so long ends, and its state is dropped. */
      idleTimeoutMs: z.int().min(1).max(86_400_000).default(60_000),
      /** How long sequences may go on with a version that another one has replaced. */
      drainTimeoutMs: z.int().min(0).max(86_400_000).default(300_000),
    })
    .prefault({}),
  /** What one machine that serves the model gives it, agent or hub; what the cache answers is not counted. */
  limits: z
    .strictObject({
      /** Runs of each graph that compute at once; fewer where the machine has not the cores. */
      concurrency: z.int().min(1).max(64).optional(),
      /** Requests that may begin in a second, of all callers and of each; beyond, they are refused (429). */
      requestsPerSecond: z.number().min(0.001).max(1_000_000).optional(),
      requestsPerSecondPerCaller: z.number().min(0.001).max(1_000_000).optional(),
    })
    .prefault({}),
  /** The output whose smallest value is the answer's confidence, and below what the hub is asked (mode `auto`). */
  confidence: z.strictObject({ output: valueName, threshold: z.number().min(0).max(1).default(0) }).optional(),
  goldens: z
    .strictObject({
      /** JSON: goldensFileSchema. */
      file: packagePathSchema,
      /** The output that is compared. */
      output: valueName,
      metric: z.enum(GOLDEN_METRICS),
      /** Least mean score; for max-abs-error the largest error allowed. */
      threshold: z.number(),
    })
    .optional(),
  cache: z
    .strictObject({
      enabled: z.boolean().default(true),
      ttlMs: z.int().min(0).default(300_000),
      /** After the TTL an answer may be given so much longer, marked as stale, while one run in the background renews it. */
      staleWhileRevalidateMs: z.int().min(0).default(0),
      /** Graphs of the pipeline whose outputs are kept in memory on their own, for as long as answers are. */
      stages: z.array(packagePathSchema).max(64).default([]),
      /** Opt-in, and not exact: an input whose embedding is near that of one that was answered gets that answer. */
      semantic: z
        .strictObject({
          /** An FP32 value of the pipeline, or an input, that all inputs have part in. */
          embedding: valueName,
          distance: z.enum(['cosine', 'mean-abs']).default('cosine'),
          /** Largest distance at which an answer is given. */
          threshold: z.number().min(0),
          /** Share of such answers that is computed anyway, to measure how often they are wrong. */
          audit: z.number().min(0.01).max(1).default(0.05),
          /** Where more of the audits disagree, it ends by itself. */
          maxDisagreement: z.number().min(0).max(1).default(0.05),
          /** The output that audits compare; default: the first. */
          compare: valueName.optional(),
          /** They agree within this in each element; without it by the largest element (FP32) or byte for byte. */
          tolerance: z.number().min(0).optional(),
          /** Answers of late that are searched. */
          entries: z.int().min(1).max(4096).default(512),
        })
        .optional(),
    })
    .prefault({}),
  /** What a device must have to activate it; elsewhere activation fails and the rollout takes it back. The hub runs it all the same. */
  require: z
    .union(
      [
        z.literal('gpu'),
        /** It is meant for the CPU, also on a device whose agent wants a GPU for all models. */
        z.literal('cpu'),
        z.strictObject({
          gpu: z.strictObject({
            /** Largest share of the graphs' nodes that the CPU may be given. */
            cpuNodesMax: z.number().min(0).max(1),
          }),
        }),
      ],
      { error: 'must be `gpu`, `cpu`, or `gpu: { cpuNodesMax: 0..1 }`' },
    )
    .optional(),
  /** When the model is in the device's memory (docs/memory.md). What the agent's settings say holds where this says nothing. */
  memory: z
    .strictObject({
      /** Without a request for so long it leaves memory, and the next request loads it again; 0 = at once. */
      keepAliveMs: z.int().min(0).max(2_147_483_647).optional(),
      /** It never leaves memory, whatever else needs the room. */
      pinned: z.boolean().default(false),
      /** Local times of the day at which it is loaded ahead, if there is room for it. */
      prewarm: z.array(z.string().regex(LOCAL_TIME, 'must be a time of day such as 06:30')).max(48).default([]),
    })
    .prefault({}),
  /** Where the parts of its pipeline may run. */
  placement: z
    .strictObject({
      /** The first part on the device and the rest on the hub, where that is faster; a value between the nodes then leaves the device. */
      split: z.boolean().default(false),
    })
    .prefault({}),
  /** What may leave the device. */
  privacy: privacySchema.prefault({}),
  /** Which answers become samples, where `privacy.capture` allows it: all under `confidence.threshold`, and a share of the rest. */
  capture: z
    .strictObject({
      /** Share of the confident answers that is captured too, so that confident mistakes are seen. */
      share: z.number().min(0).max(1).default(0.01),
      /** Most samples of this model that one device keeps in a minute. */
      perMinute: z.int().min(0).max(10_000).default(30),
    })
    .prefault({}),
  /** What the hub does more when it answers: runs the pipeline once per value and keeps the most confident answer. */
  heavy: z
    .strictObject({
      vary: z.strictObject({ node: valueName, parameter: z.string(), values: z.array(z.unknown()).min(1).max(16) }),
      keep: valueName,
    })
    .optional(),
});
export type ModelYaml = z.infer<typeof modelYamlSchema>;

/** One golden: inputs as JSON tensors or files of the package, and the expected outcome. */
export const goldensFileSchema = z.array(
  z.strictObject({
    id: z.string(),
    /** e.g. `clean`, `blur`: reported apart. */
    group: z.string().optional(),
    inputs: z.record(
      valueName,
      z.union([
        z.strictObject({ file: packagePathSchema }),
        z.strictObject({
          datatype: z.enum(DATATYPES),
          shape: z.array(z.int().min(0)),
          data: z.array(z.union([z.number(), z.string(), z.boolean()])),
        }),
      ]),
    ),
    /** Expected text, class index, or flat numbers, as the metric needs. */
    expected: z.union([z.string(), z.number(), z.array(z.number())]),
  }),
);
export type Goldens = z.infer<typeof goldensFileSchema>;
