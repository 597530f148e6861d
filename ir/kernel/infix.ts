import type { TextScanner } from './text-scanner.js';
import type { BinaryOperator } from './thread.js';

/** Operators written between their operands, by how tightly they bind; all group to the left. */
export const infixOperators: readonly (readonly [sign: string, operator: BinaryOperator, level: number])[] = [
  ['|', 'or', 1],
  ['^', 'xor', 2],
  ['&', 'and', 3],
  ['==', 'equal', 4],
  ['<', 'less', 4],
  ['<=', 'less_equal', 4],
  ['<<', 'shift_left', 5],
  ['>>', 'shift_right', 5],
  ['+', 'add', 6],
  ['-', 'sub', 6],
  ['*', 'mul', 7],
  ['/', 'div', 7],
  ['%', 'mod', 7],
];

const tightest = 7;

/** Reads operands and the operators between them, in the text of either phase. */
export function parseInfix<T>(
  scanner: TextScanner,
  operand: () => T,
  combine: (operator: BinaryOperator, left: T, right: T) => T,
  level = 1,
): T {
  const inner = (): T => (level === tightest ? operand() : parseInfix(scanner, operand, combine, level + 1));
  let left = inner();
  for (;;) {
    const infix = infixOperators.find(([sign, , own]) => own === level && scanner.sees(sign));
    if (infix === undefined) return left;
    scanner.expect(infix[0]);
    left = combine(infix[1], left, inner());
  }
}
