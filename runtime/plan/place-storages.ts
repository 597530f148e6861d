import type { Target } from '../../backends/target.js';
import { Flux2cError } from '../../ir/diagnostics.js';
import { storageBytes } from '../../ir/kernel/thread-interpret-memory.js';
import type { Plan, Storage } from '../../ir/plan.js';
import { measureLowerBound, placeInArenas } from './arenas.js';
import type { ArenaRequest } from './arenas.js';
import type { MemoryReport, Placement, PlannedBuffer } from './bound-plan.js';
import type { Liveness } from './liveness.js';
import type { SizeScope } from './size-plan.js';
import { alignmentOf, paddedBytes, segmentWeight } from './storage-layout.js';

export interface PlacedStorages {
  readonly buffers: readonly PlannedBuffer[];
  readonly placements: readonly (Placement | undefined)[];
  readonly memory: MemoryReport;
}

/**
 * Gives every storage that a device step uses its place: temporaries in arenas, everything else in a buffer of its own,
 * weights in several where one would be too large, or has more than `maxWeightBytes`.
 *
 * @throws F2C311 a storage that is larger than the target's buffers
 */
export function placeStorages(
  plan: Plan,
  scope: SizeScope,
  target: Target,
  liveness: Liveness,
  maxWeightBytes = target.maxBufferBytes,
): PlacedStorages {
  const buffers: PlannedBuffer[] = [];
  const placements: (Placement | undefined)[] = plan.storages.map(() => undefined);
  const requests: ArenaRequest[] = [];
  const memory = { boundaryBytes: 0, weightBytes: 0 };
  const shapes = new Map(plan.weights.map(({ name, type }) => [name, type.shape.map((dim) => dim.evaluate({}))]));
  for (const storage of plan.storages) {
    const lifetime = liveness.lifetimes.get(storage.id);
    if (lifetime === undefined) continue;
    const elements = scope.evaluate(storage.size);
    const byteLength = paddedBytes(elements, storage.storage);
    const elementBytes = storageBytes(storage.storage);
    if (storage.kind === 'temporary') {
      if (byteLength > target.maxBufferBytes) rejectSize(plan, storage, byteLength, target);
      requests.push({ storage: storage.id, byteLength, ...lifetime });
      continue;
    }
    if (storage.kind === 'weight') {
      const name = storage.weight ?? storage.label;
      const shape = shapes.get(name) ?? [elements];
      const small = { ...target, maxBufferBytes: Math.min(maxWeightBytes, target.maxBufferBytes) };
      const segments = segmentWeight(shape, storage.storage, small) ?? segmentWeight(shape, storage.storage, target);
      if (segments === undefined) rejectSize(plan, storage, byteLength, target);
      const placed = segments.map((segment, index) => {
        const buffer = buffers.length;
        const label = segments.length === 1 ? name : `${name} part ${index}`;
        buffers.push({ kind: 'weight', label, byteLength: segment.byteLength, weight: { name, segment: index } });
        memory.weightBytes += segment.byteLength;
        return { buffer, byteOffset: 0, ...segment };
      });
      placements[storage.id] = { elementBytes, segments: placed };
      continue;
    }
    if (byteLength > target.maxBufferBytes) rejectSize(plan, storage, byteLength, target);
    const buffer = buffers.push({ kind: storage.kind, label: storage.label, byteLength }) - 1;
    placements[storage.id] = {
      elementBytes,
      segments: [{ buffer, byteOffset: 0, byteLength, start: 0, end: elements }],
    };
    memory.boundaryBytes += byteLength;
  }
  const limits = { alignment: alignmentOf(target), maxBytes: target.maxBufferBytes };
  const layout = placeInArenas(requests, target.mixedAccess === true ? new Map() : liveness.conflicts, limits);
  const firstArena = buffers.length;
  layout.arenas.forEach((byteLength, index) => buffers.push({ kind: 'arena', label: `arena ${index}`, byteLength }));
  for (const { storage: id, byteLength } of requests) {
    const storage = plan.storages[id] as Storage;
    const place = layout.places.get(id);
    if (place === undefined) throw new Error(`internal: ${storage.label} has no place`);
    const segment = { buffer: firstArena + place.arena, byteOffset: place.byteOffset, byteLength };
    const end = scope.evaluate(storage.size);
    placements[id] = { elementBytes: storageBytes(storage.storage), segments: [{ ...segment, start: 0, end }] };
  }
  const arenaBytes = layout.arenas.reduce((sum, bytes) => sum + bytes, 0);
  const report = { arenas: layout.arenas, arenaBytes, lowerBoundBytes: measureLowerBound(requests), ...memory };
  return { buffers, placements, memory: report };
}

function rejectSize(plan: Plan, storage: Storage, byteLength: number, target: Target): never {
  const isWeight = storage.kind === 'weight';
  throw new Flux2cError('F2C311', `a tensor of '${plan.name}' is larger than the device's buffers`, {
    where: [plan.name, storage.label],
    expected: `at most ${target.maxBufferBytes} bytes`,
    found: `${byteLength} bytes${isWeight ? ', and no whole row of it fits' : ''}`,
    hint: isWeight
      ? 'The weights of this model do not fit this device: use a smaller model.'
      : 'Use a smaller picture, fewer reference pictures or a device with larger buffers.',
  });
}
