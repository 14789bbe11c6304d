// Answers that devices share, and the hub's own: what is held, and taking it out. Nothing of what an answer says is shown.
import {
  droppedAnswersSchema,
  dropAnswersSchema,
  sharedAnswersSchema,
  type DropAnswers,
  type SharedAnswersReport,
} from '@tidegate/shared/wire/admin-api.js';
import type { AnswerCache } from '@tidegate/shared/cache/answer-cache.js';
import type { SharedAnswers } from '../shared-cache/shared-answers.js';
import type { RouteDomain } from './api.js';

interface SharedAnswerModules {
  /** Undefined where the hub shares none. */
  readonly answers: Pick<SharedAnswers, 'counts' | 'models'> | undefined;
  /** What the hub keeps of its own. */
  readonly own: Pick<AnswerCache, 'counts' | 'models'>;
  /** Returns how many went, of both. */
  readonly drop: (selection: DropAnswers, actor: string) => Promise<number>;
}

export function sharedAnswerRoutes({ answers, own, drop }: SharedAnswerModules): RouteDomain {
  return {
    tag: 'shared answers',
    register: (api) => {
      api.get(
        '/api/v1/shared-answers',
        { config: { scope: 'read' }, schema: { response: { 200: sharedAnswersSchema } } },
        async () => ({
          enabled: answers !== undefined,
          ...answers?.counts,
          models: answers?.models() ?? [],
          own: ownAnswers(own),
        }),
      );
      api.post(
        '/api/v1/shared-answers/drop',
        {
          config: { scope: 'operate' },
          schema: {
            description: 'Takes out the answers for which all that is stated holds; `{"all": true}` takes all.',
            body: dropAnswersSchema,
            response: { 200: droppedAnswersSchema },
          },
        },
        async ({ body, caller }) => ({ removed: await drop(body, caller.actor) }),
      );
    },
  };
}

function ownAnswers(own: Pick<AnswerCache, 'counts' | 'models'>): SharedAnswersReport['own'] {
  const { layers, joined } = own.counts;
  const { memory } = layers;
  const models = own.models().map(({ model, hits, misses, layers: held }) => ({
    ...{ model, hits: hits.memory ?? 0, misses },
    ...(held['memory'] ?? { entries: 0, sizeBytes: 0 }),
  }));
  return { enabled: memory !== undefined, ...memory, joined, models };
}
