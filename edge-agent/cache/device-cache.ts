// The device's cache: the layers that agent and hub share in kind, and what only a device has beside them.
import { AnswerCache } from '@tidegate/shared/cache/answer-cache.js';
import type { SemanticLayer } from './semantic-layer.js';
import type { SharedLayer } from './shared-layer.js';
import type { StageCache } from './stage-cache.js';

type AnswerCacheModules = ConstructorParameters<typeof AnswerCache>[0];

interface DeviceCacheModules extends Omit<AnswerCacheModules, 'lastLayers'> {
  readonly shared?: SharedLayer | undefined;
  readonly semantic?: SemanticLayer | undefined;
  readonly stages?: StageCache | undefined;
}

export class DeviceCache extends AnswerCache {
  /** Of pipelines; undefined where there is no memory to keep them in. */
  readonly stages: StageCache | undefined;
  /** Answers to similar inputs. */
  readonly semantic: SemanticLayer | undefined;

  constructor(modules: DeviceCacheModules) {
    const { shared, semantic, stages } = modules;
    super({ ...modules, lastLayers: [shared, semantic].filter((layer) => layer !== undefined) });
    this.semantic = semantic;
    this.stages = stages;
  }
}
