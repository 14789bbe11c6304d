// MLflow's tracking API, as its own clients call it: /api/2.0/mlflow, the artifacts that it reads, and the few words that the client asks of
// a server first. Bodies, errors and limits are MLflow's, not those of /api/v1, and its documentation is MLflow's too: none of this stands in
// the hub's OpenAPI document. `read` reads; `publish` logs.
import type { Scope } from '@tidegate/shared/wire/admin-api.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Mlflow } from '../mlflow/mlflow.js';
import { refreshJobRuns } from '../mlflow/job-runs.js';
import { metricHistory } from '../mlflow/metric-history.js';
import { MlflowError } from '../mlflow/mlflow-error.js';
import { listPackage, packageFile } from '../mlflow/package-artifacts.js';
import { packageUri } from '../mlflow/registered-models.js';
import * as requests from '../mlflow/requests.js';
import { artifactUri, runRow } from '../mlflow/run-rows.js';
import { searchRuns } from '../mlflow/run-search.js';
import type { Caller } from '../security/tokens.js';
import { AuthError, type Api, type RouteDomain } from './api.js';
import { frameworkProblem } from './problem.js';

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** One call: its input is the body, or the query of a GET. */
interface Call {
  readonly method: Method;
  /** Behind `/api/2.0/mlflow`. */
  readonly path: string;
  readonly scope: Scope;
  answer(input: unknown, caller: Caller): Promise<object>;
}

function call<S extends z.ZodType>(
  method: Method,
  path: string,
  scope: Scope,
  schema: S,
  answer: (request: z.output<S>, caller: Caller) => Promise<object | void>,
): Call {
  return {
    method,
    path,
    scope,
    answer: async (input, caller) => (await answer(schema.parse(input ?? {}), caller)) ?? {},
  };
}

export function mlflowRoutes(mlflow: Mlflow, log: Log): RouteDomain {
  return {
    tag: 'mlflow',
    register: (api) => {
      const calls = [
        ...experimentCalls(mlflow),
        ...runCalls(mlflow),
        ...logCalls(mlflow),
        ...registryCalls(mlflow),
        ...refusedCalls(),
      ];
      area(api, '/api/2.0/mlflow', log, (scoped) => {
        for (const { method, path, scope, answer } of calls) {
          const options = { method, url: path, config: { scope }, schema: { hide: true } };
          scoped.route({
            ...options,
            handler: ({ query, body, caller }) => answer(method === 'GET' ? query : body, caller),
          });
        }
      });
      area(api, '/api/2.0/mlflow-artifacts', log, (scoped) => artifactRoutes(scoped, mlflow));
      area(api, '/api/3.0/mlflow', log, serverInfoRoute);
    },
  };
}

/** Paths of which errors are in MLflow's form, also for those that aren't there. */
function area(api: Api, prefix: string, log: Log, register: (scoped: Api) => void): void {
  void api.register(
    async (scoped) => {
      scoped.setErrorHandler((error, request, reply) => {
        const known = mlflowErrorOf(error);
        if (known === undefined)
          log.error({ err: error, method: request.method, url: request.url }, 'a request failed');
        if (known?.status === 401) reply.header('www-authenticate', 'Bearer realm="tidegate"');
        void sendError(
          reply,
          known ?? { status: 500, code: 'INTERNAL_ERROR', message: 'the hub failed; its log says why' },
        );
      });
      scoped.setNotFoundHandler((request, reply) => {
        const message = `this hub does not answer ${request.method} ${request.url.split('?')[0]}; docs/mlflow.md says what it answers`;
        void sendError(reply, { status: 404, code: 'ENDPOINT_NOT_FOUND', message });
      });
      register(scoped as unknown as Api);
    },
    { prefix },
  );
}

interface ShownError {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

function sendError(reply: FastifyReply, { status, code, message }: ShownError): FastifyReply {
  return reply.code(status).send({ error_code: code, message });
}

function mlflowErrorOf(error: unknown): ShownError | undefined {
  if (error instanceof MlflowError) return { status: error.status, code: error.code, message: error.message };
  if (error instanceof z.ZodError) {
    const issue = error.issues[0];
    const path = (issue?.path ?? []).map(String).join('.');
    return {
      status: 400,
      code: 'INVALID_PARAMETER_VALUE',
      message: `${path === '' ? 'request' : path}: ${issue?.message ?? 'does not fit'}`,
    };
  }
  if (error instanceof AuthError) {
    return {
      status: error.status,
      code: error.status === 401 ? 'UNAUTHENTICATED' : 'PERMISSION_DENIED',
      message: error.message,
    };
  }
  const known = frameworkProblem(error);
  if (known === undefined) return undefined;
  return {
    status: known.status,
    code: known.status < 500 ? 'INVALID_PARAMETER_VALUE' : 'INTERNAL_ERROR',
    message: known.detail ?? known.title,
  };
}

function experimentCalls({ db, experiments }: Mlflow): Call[] {
  const {
    createExperiment,
    getExperiment,
    getExperimentByName,
    searchExperiments: search,
    updateExperiment,
  } = requests;
  return [
    call('POST', '/experiments/create', 'publish', createExperiment, async (request, { actor }) => ({
      experiment_id: await experiments.create(request, actor),
    })),
    call('GET', '/experiments/get', 'read', getExperiment, async ({ experiment_id }) => {
      await refreshJobRuns(db);
      return { experiment: await experiments.get(experiment_id) };
    }),
    call('GET', '/experiments/get-by-name', 'read', getExperimentByName, async ({ experiment_name }) => {
      await refreshJobRuns(db);
      return { experiment: await experiments.getByName(experiment_name) };
    }),
    ...(['GET', 'POST'] as const).map((method) =>
      call(method, '/experiments/search', 'read', search, async (request) => {
        await refreshJobRuns(db);
        return experiments.search(request);
      }),
    ),
    call('POST', '/experiments/update', 'publish', updateExperiment, ({ experiment_id, new_name }, { actor }) =>
      experiments.rename(experiment_id, new_name, actor),
    ),
    call('POST', '/experiments/delete', 'publish', getExperiment, ({ experiment_id }, { actor }) =>
      experiments.delete(experiment_id, actor),
    ),
    call('POST', '/experiments/restore', 'publish', getExperiment, ({ experiment_id }, { actor }) =>
      experiments.restore(experiment_id, actor),
    ),
    call(
      'POST',
      '/experiments/set-experiment-tag',
      'publish',
      requests.setExperimentTag,
      ({ experiment_id, key, value }) => experiments.setTag(experiment_id, key, value),
    ),
    call(
      'POST',
      '/experiments/delete-experiment-tag',
      'publish',
      requests.deleteExperimentTag,
      ({ experiment_id, key }) => experiments.deleteTag(experiment_id, key),
    ),
  ];
}

function runCalls({ db, runs }: Mlflow): Call[] {
  return [
    call('POST', '/runs/create', 'publish', requests.createRun, async (request, { actor }) => ({
      run: await runs.create(request, actor),
    })),
    call('GET', '/runs/get', 'read', requests.oneRun, async ({ run_id }) => {
      await refreshJobRuns(db);
      return { run: await runs.get(run_id) };
    }),
    call('POST', '/runs/update', 'publish', requests.updateRun, async (request) => ({
      run_info: await runs.update(request),
    })),
    call('POST', '/runs/delete', 'publish', requests.oneRun, ({ run_id }, { actor }) => runs.delete(run_id, actor)),
    call('POST', '/runs/restore', 'publish', requests.oneRun, ({ run_id }, { actor }) => runs.restore(run_id, actor)),
    call('POST', '/runs/search', 'read', requests.searchRuns, async (request) => {
      await refreshJobRuns(db);
      return searchRuns(db, request);
    }),
    call('GET', '/metrics/get-history', 'read', requests.getHistory, async (request) => {
      await refreshJobRuns(db);
      return metricHistory(db, request);
    }),
    call('GET', '/artifacts/list', 'read', requests.listArtifacts, async ({ run_id }) => ({
      root_uri: artifactUri(await runRow(db, run_id)),
      files: [],
    })),
  ];
}

function logCalls({ log }: Mlflow): Call[] {
  const nothing = { metrics: [], params: [], tags: [] };
  return [
    call('POST', '/runs/log-metric', 'publish', requests.logMetric, ({ run_id, ...metric }) =>
      log.log({ ...nothing, run_id, metrics: [metric] }),
    ),
    call('POST', '/runs/log-parameter', 'publish', requests.logParam, ({ run_id, ...param }) =>
      log.log({ ...nothing, run_id, params: [param] }),
    ),
    call('POST', '/runs/set-tag', 'publish', requests.setTag, ({ run_id, ...tag }) =>
      log.log({ ...nothing, run_id, tags: [tag] }),
    ),
    call('POST', '/runs/delete-tag', 'publish', requests.deleteTag, ({ run_id, key }) => log.deleteTag(run_id, key)),
    call('POST', '/runs/log-batch', 'publish', requests.logBatch, (request) => log.log(request)),
    call('POST', '/runs/log-inputs', 'publish', requests.logInputs, (request) => log.logInputs(request)),
  ];
}

function registryCalls({ models }: Mlflow): Call[] {
  return [
    call('GET', '/registered-models/get', 'read', requests.oneModel, async ({ name }) => ({
      registered_model: await models.get(name),
    })),
    call('GET', '/registered-models/search', 'read', requests.searchRegistry, (request) => models.search(request)),
    ...(['GET', 'POST'] as const).map((method) =>
      call(
        method,
        '/registered-models/get-latest-versions',
        'read',
        requests.latestVersions,
        async ({ name, stages }) => ({
          model_versions: await models.latest(name, stages),
        }),
      ),
    ),
    call('GET', '/registered-models/alias', 'read', requests.byAlias, async ({ name, alias }) => ({
      model_version: await models.byAlias(name, alias),
    })),
    call('GET', '/model-versions/get', 'read', requests.oneVersion, async ({ name, version }) => ({
      model_version: await models.version(name, version),
    })),
    call('GET', '/model-versions/search', 'read', requests.searchRegistry, (request) => models.searchVersions(request)),
    call('GET', '/model-versions/get-download-uri', 'read', requests.oneVersion, async ({ name, version }) => {
      const found = await models.version(name, version);
      return { artifact_uri: packageUri(found.name, Number(found.version)) };
    }),
  ];
}

/** What clients may try and this hub does otherwise: they are told how. */
function refusedCalls(): Call[] {
  const registry =
    'the registry is read only here: `tidegate model publish DIR` makes a version, from a package that the hub checks and signs';
  const logged =
    'this hub keeps no logged models and no artifacts of runs; `tidegate model publish DIR` makes a version';
  const refused: readonly (readonly [Method, string, string])[] = [
    ['POST', '/registered-models/create', registry],
    ['POST', '/registered-models/rename', registry],
    ['PATCH', '/registered-models/update', registry],
    ['DELETE', '/registered-models/delete', registry],
    ['POST', '/registered-models/set-tag', registry],
    ['DELETE', '/registered-models/delete-tag', registry],
    ['POST', '/registered-models/alias', registry],
    ['DELETE', '/registered-models/alias', registry],
    ['POST', '/model-versions/create', registry],
    ['PATCH', '/model-versions/update', registry],
    ['POST', '/model-versions/transition-stage', registry],
    ['DELETE', '/model-versions/delete', registry],
    ['POST', '/model-versions/set-tag', registry],
    ['DELETE', '/model-versions/delete-tag', registry],
    ['POST', '/logged-models', logged],
    ['POST', '/runs/log-model', logged],
    ['POST', '/runs/outputs', logged],
  ];
  return refused.map(([method, path, message]) =>
    call(method, path, 'read', z.unknown(), () => Promise.reject(new MlflowError('NOT_IMPLEMENTED', message))),
  );
}

const artifactQuerySchema = z.object({ path: z.string().default('') });
const artifactParamsSchema = z.object({ '*': z.string() });

function artifactRoutes(scoped: Api, { db, content }: Mlflow): void {
  const read = { config: { scope: 'read' as const }, schema: { hide: true } };
  scoped.get('/artifacts', read, async ({ query }) => ({
    files: await listPackage(db, artifactQuerySchema.parse(query).path),
  }));
  scoped.get('/artifacts/*', read, async ({ params }, reply) => {
    const { digest, sizeBytes } = await packageFile(db, artifactParamsSchema.parse(params)['*']);
    return reply
      .type('application/octet-stream')
      .header('content-length', sizeBytes)
      .send(await content.stream(digest));
  });
  // The body is read and forgotten: a client that still sends doesn't see the answer.
  scoped.removeAllContentTypeParsers();
  scoped.addContentTypeParser('*', (_request, payload, done) => {
    payload
      .resume()
      .once('end', () => done(null))
      .once('error', done);
  });
  for (const method of ['PUT', 'POST', 'DELETE'] as const) {
    scoped.route({
      method,
      url: '/artifacts/*',
      config: { scope: 'publish' },
      schema: { hide: true },
      handler: () =>
        Promise.reject(
          new MlflowError(
            'NOT_IMPLEMENTED',
            'this hub keeps no artifacts of runs; log what can be said in params, metrics and tags',
          ),
        ),
    });
  }
}

/** What the client asks before it uses what not every server has. */
function serverInfoRoute(scoped: Api): void {
  scoped.get('/server-info', { config: { scope: 'any' }, schema: { hide: true } }, async () => ({
    store_type: 'tidegate',
    workspaces_enabled: false,
    multipart_uploads_enabled: false,
    multipart_downloads_enabled: false,
  }));
}
