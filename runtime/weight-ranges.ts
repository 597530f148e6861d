import type { WeightDeclaration } from '../ir/graph/graph.js';
import type { StorageType } from '../ir/kernel/thread.js';
import type { BoundPlan, StreamedPiece } from './plan/bound-plan.js';

/** Elements of a weight that lie together on the device: what is loaded, kept or streamed as a whole. */
export interface WeightRange {
  readonly declaration: WeightDeclaration;
  readonly storage: StorageType;
  readonly start: number;
  readonly end: number;
  /** On the device: whole vectors. */
  readonly byteLength: number;
  /** The same for the same elements of a weight, in whatever plan. */
  readonly key: string;
}

export interface WeightPlaces {
  /** Ranges with a buffer of their own, whose index in the plan this is. */
  readonly resident: readonly (WeightRange & { readonly buffer: number; readonly label: string })[];
  /** In the order of the plan's pieces. */
  readonly streamed: readonly (WeightRange & { readonly piece: StreamedPiece })[];
}

/** Where a plan has its weights. */
export function findWeightPlaces({ plan, placements, buffers, streamed = [] }: BoundPlan): WeightPlaces {
  const declarations = new Map(plan.weights.map((declaration) => [declaration.name, declaration]));
  const segments = new Map<string, readonly WeightRange[]>();
  const resident: WeightPlaces['resident'][number][] = [];
  for (const { id, kind, weight = '', storage } of plan.storages) {
    const placement = kind === 'weight' ? placements[id] : undefined;
    if (placement === undefined) continue;
    const declaration = declarations.get(weight);
    if (declaration === undefined) throw new Error(`internal: @${weight} is not declared`);
    const ranges = placement.segments.map(({ start, end, byteLength }): WeightRange => {
      return { declaration, storage, start, end, byteLength, key: `${weight} ${start} ${end}` };
    });
    segments.set(weight, ranges);
    placement.segments.forEach(({ buffer }, at) => {
      const planned = buffers[buffer];
      // What a launch never reads may have no place in a plan that streams.
      const isOwn = planned?.weight?.name === weight && planned.weight.segment === at;
      if (planned?.kind === 'weight' && isOwn) resident.push({ ...ranges[at]!, buffer, label: planned.label });
    });
  }
  const pieces = streamed.map((piece) => {
    const range = segments.get(piece.weight)?.[piece.segment];
    if (range === undefined) throw new Error(`internal: the plan streams @${piece.weight}, which has no place`);
    return { ...range, piece };
  });
  return { resident, streamed: pieces };
}
