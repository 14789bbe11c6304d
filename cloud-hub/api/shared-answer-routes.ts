// Answers that devices share: what is held, and taking it out. Nothing of what an answer says is shown.
import {
  droppedAnswersSchema,
  dropAnswersSchema,
  sharedAnswersSchema,
  type DropAnswers,
} from '@tidegate/shared/wire/admin-api.js';
import type { SharedAnswers } from '../shared-cache/shared-answers.js';
import type { RouteDomain } from './api.js';

interface SharedAnswerModules {
  /** Undefined where the hub shares none. */
  readonly answers: Pick<SharedAnswers, 'counts' | 'models'> | undefined;
  /** Returns how many went. */
  readonly drop: (selection: DropAnswers, actor: string) => Promise<number>;
}

export function sharedAnswerRoutes({ answers, drop }: SharedAnswerModules): RouteDomain {
  return {
    tag: 'shared answers',
    register: (api) => {
      api.get(
        '/api/v1/shared-answers',
        { config: { scope: 'read' }, schema: { response: { 200: sharedAnswersSchema } } },
        async () => ({ enabled: answers !== undefined, ...answers?.counts, models: answers?.models() ?? [] }),
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
