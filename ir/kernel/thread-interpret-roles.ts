import { forEachStatement } from './statements.js';
import type { Statement } from './thread.js';
import { CompiledWait, failWaiting } from './thread-interpret-barriers.js';
import type { InterpretScope } from './thread-interpret-expressions.js';
import { CopyQueue } from './thread-interpret-copies.js';
import { Branches, compileStatement, Rounds } from './thread-interpret-statements.js';

/** Statements in steps: each is a wait that has not passed yet, and goes on when it has. */
type Steps = Generator<CompiledWait, void, void>;

interface RunningRole {
  readonly name: string;
  readonly steps: Steps;
  readonly together: Uint8Array;
  active: Uint8Array;
  /** Absent before the first step. */
  wait?: CompiledWait;
}

/** Roles take turns: each runs until a phase that it waits for has not ended. */
export function compileRoles({ roles }: Extract<Statement, { kind: 'roles' }>, scope: InterpretScope): () => void {
  const { invocations } = scope;
  let first = 0;
  const compiled = roles.map((role) => {
    const together = new Uint8Array(invocations.count).fill(1, first, first + role.invocations);
    first += role.invocations;
    const copies = new CopyQueue();
    return { name: role.name, together, copies, body: compileSteps(role.body, { ...scope, copies }) };
  });
  const enter = ({ together, active }: RunningRole): void => {
    invocations.together = together;
    invocations.active = active;
  };
  /** False when the role cannot go on. */
  const resume = (role: RunningRole): boolean => {
    enter(role);
    if (role.wait?.pass() === false) return false;
    const { value } = role.steps.next();
    role.active = invocations.active;
    if (value === undefined) delete role.wait;
    else role.wait = value;
    return true;
  };
  const describe = (role: RunningRole): string => {
    enter(role);
    return `${role.name}: ${role.wait?.describe() ?? 'done'}`;
  };
  return () => {
    const everyone = invocations.together;
    let running = compiled.map(({ name, body, together, copies }): RunningRole => {
      copies.reset();
      return { name, steps: body(), together, active: together };
    });
    while (running.length > 0) {
      const went = running.filter(resume);
      if (went.length === 0) failWaiting(invocations, running.map(describe));
      running = running.filter(({ wait }) => wait !== undefined);
    }
    invocations.active = invocations.together = everyone;
  };
}

/** Only what waits is taken apart; everything else runs as outside of roles. */
function compileSteps(body: readonly Statement[], scope: InterpretScope): () => Steps {
  const parts = body.map((statement) =>
    canWait(statement)
      ? { isWhole: false as const, run: compileWaiting(statement, scope) }
      : { isWhole: true as const, run: compileStatement(statement, scope) },
  );
  return function* () {
    for (const part of parts) {
      if (part.isWhole) part.run();
      else yield* part.run();
    }
  };
}

function canWait(statement: Statement): boolean {
  let found = false;
  forEachStatement([statement], ({ kind }) => {
    if (kind === 'wait_barrier') found = true;
  });
  return found;
}

function compileWaiting(statement: Statement, scope: InterpretScope): () => Steps {
  switch (statement.kind) {
    case 'wait_barrier': {
      const wait = new CompiledWait(statement, scope);
      return function* () {
        wait.begin();
        if (!wait.pass()) yield wait;
      };
    }
    case 'if': {
      const branches = new Branches(statement, scope);
      const then = compileSteps(statement.then, scope);
      const otherwise = compileSteps(statement.otherwise ?? [], scope);
      return function* () {
        branches.part();
        if (branches.take(0)) yield* then();
        if (branches.take(1)) yield* otherwise();
        branches.join();
      };
    }
    case 'for': {
      const rounds = new Rounds(statement, scope);
      const body = compileSteps(statement.body, scope);
      return function* () {
        rounds.begin();
        while (rounds.enter()) {
          yield* body();
          rounds.advance();
        }
      };
    }
    default:
      throw new Error(`internal: ${statement.kind} waits`);
  }
}
