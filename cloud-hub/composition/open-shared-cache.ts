// The answers that devices share: made where the settings give them memory. What operators drop of them goes from the hub's own answers
// too, and is in the audit log.
import type { AnswerCache } from '@tidegate/shared/cache/answer-cache.js';
import type { DropAnswers } from '@tidegate/shared/wire/admin-api.js';
import type { AnswerDoorModules } from '../api/device/answer-door.js';
import { recordAudit } from '../security/audit.js';
import { SharedAnswers } from '../shared-cache/shared-answers.js';
import { refuseToShare } from '../shared-cache/sharing-policy.js';
import type { Parts } from './parts.js';

export interface SharedCacheParts {
  readonly answers: SharedAnswers | undefined;
  /** What the device port needs. */
  readonly door: AnswerDoorModules;
  readonly drop: (selection: DropAnswers, actor: string) => Promise<number>;
}

export function openSharedCache(
  { settings, db, clock }: Pick<Parts, 'settings' | 'db' | 'clock'>,
  own: Pick<AnswerCache, 'drop'>,
): SharedCacheParts {
  const { sharedCache: limitBytes, sharedCacheWitnesses: witnesses } = settings;
  const answers = limitBytes === 0 ? undefined : new SharedAnswers({ limitBytes, witnesses }, { clock });
  return {
    answers,
    door: { answers, refuse: (offer) => refuseToShare(db, offer) },
    drop: async (selection, actor) => {
      const { model, tag } = selection; // of a variant all of the hub's go that the rest selects: they are computed again
      const ownRemoved = Object.values(own.drop({ model, tag })).reduce((sum, entries) => sum + entries, 0);
      const removed = ownRemoved + (answers?.drop(selection) ?? 0);
      const subject = selection.model ?? 'all models';
      const entry = { actor, action: 'shared-answers.drop', subject, detail: { ...selection, removed } };
      await recordAudit(db, entry, clock.nowMs());
      return removed;
    },
  };
}
