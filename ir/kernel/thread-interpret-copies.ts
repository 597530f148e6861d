import { Flux2cError } from '../diagnostics.js';
import type { Statement } from './thread.js';
import type { CompiledExpression, InterpretScope } from './thread-interpret-expressions.js';
import { compileExpression, known } from './thread-interpret-expressions.js';
import type { BoundBuffer } from './thread-interpret-memory.js';
import type { SharedMemory } from './thread-interpret-shared.js';

interface Copy {
  readonly array: SharedMemory;
  readonly index: number;
  readonly invocation: number;
  readonly words: Uint32Array;
}

/** Copies that were begun and not waited for: their targets are poisoned until then, so that a missing wait shows. */
export class CopyQueue {
  private open: Copy[] = [];
  private groups: Copy[][] = [];

  reset(): void {
    this.open = [];
    this.groups = [];
  }

  begin(copy: Copy): void {
    copy.array.poison(copy.index, copy.invocation);
    this.open.push(copy);
  }

  commit(): void {
    this.groups.push(this.open);
    this.open = [];
  }

  wait(pending: number): void {
    while (this.groups.length > pending) {
      for (const { array, index, invocation, words } of this.groups.shift() ?? []) array.put(index, invocation, words);
    }
  }
}

export function compileCopy(statement: Extract<Statement, { kind: 'copy_async' }>, scope: InterpretScope): () => void {
  const { invocations, copies } = scope;
  const [index, from, valid] = [statement.index, statement.from, statement.valid].map((part) =>
    compileExpression(part, scope),
  ) as [CompiledExpression, CompiledExpression, CompiledExpression];
  const array = known(scope.shared.get(statement.array), statement.array);
  const buffer: BoundBuffer = known(scope.buffers.get(statement.buffer), statement.buffer);
  return () => {
    index.run();
    from.run();
    valid.run();
    for (let invocation = 0; invocation < invocations.count; invocation++) {
      if (invocations.active[invocation] === 0) continue;
      const isValid = valid.values[invocation] !== 0;
      const words = isValid ? buffer.words(from.values[invocation] as number, invocation) : new Uint32Array(4);
      copies.begin({ array, index: index.values[invocation] as number, invocation, words });
    }
  };
}

/** Groups are the invocation's own; all of a workgroup, or of a role, commit and wait together here. */
export function expectTogether({ invocations }: InterpretScope): void {
  const { active, together, kernelName } = invocations;
  if (together.every((belongs, invocation) => belongs === active[invocation])) return;
  throw new Flux2cError(
    'F2C243',
    'not all invocations of the workgroup or the role reach a group of copies or products',
    {
      where: [`kernel @${kernelName}`],
    },
  );
}
