import { matrixTypes } from './matrix-types.js';
import type { TextScanner } from './text-scanner.js';
import type { MatrixType, SharedMatrix, Statement, SubgroupProduct } from './thread.js';
import type { ExpressionParser } from './thread-parse-expressions.js';

/** `(rows, columns, depth)`, behind the word `product` of a kernel's head. */
export function parseSubgroupProduct(scanner: TextScanner): SubgroupProduct {
  scanner.expect('(');
  const rows = scanner.integer('rows of a product');
  scanner.expect(',');
  const columns = scanner.integer('columns of a product');
  scanner.expect(',');
  const depth = scanner.integer('the depth of a product');
  scanner.expect(')');
  return { rows, columns, depth };
}

/** The statement about products of matrices that is next, if one is. Throws as the scanner and the expressions do. */
export function parseProductStatement(scanner: TextScanner, expressions: ExpressionParser): Statement | undefined {
  for (const kind of ['share_writes', 'begin_products', 'commit_products'] as const) {
    if (scanner.accept(kind)) return { kind };
  }
  if (scanner.accept('wait_products')) {
    return { kind: 'wait_products', pending: scanner.inParentheses('groups of products') };
  }
  const shared = matrixTypes.find((type) => scanner.accept(`multiply_shared_${type}`));
  if (shared !== undefined) return sharedProduct(shared, scanner, expressions);
  const operands = matrixTypes.find((type) => scanner.accept(`multiply_${type}`));
  if (operands === undefined) return subgroupStatement(scanner, expressions);
  const first = scanner.name('an accumulator');
  scanner.expect(',');
  const second = scanner.name('an accumulator');
  scanner.expect('+');
  scanner.expect('=');
  const a = expressions.expression();
  scanner.expect('by');
  return { kind: 'multiply_matrices', accumulators: [first, second], operands, a, b: expressions.expression() };
}

function sharedProduct(operands: MatrixType, scanner: TextScanner, expressions: ExpressionParser): Statement {
  const columns = Number(scanner.name('columns').slice(1));
  const accumulators = [scanner.name('an accumulator')];
  while (scanner.accept(',')) accumulators.push(scanner.name('an accumulator'));
  const fresh = !scanner.accept('+');
  scanner.expect('=');
  const a = scanner.sees('matrix') ? sharedMatrix(scanner, expressions) : expressions.expression();
  scanner.expect('by');
  const b = sharedMatrix(scanner, expressions);
  return { kind: 'multiply_shared', accumulators, operands, a, b, columns, ...(fresh && { fresh }) };
}

function sharedMatrix(scanner: TextScanner, expressions: ExpressionParser): SharedMatrix {
  scanner.expect('matrix');
  scanner.expect('(');
  const array = scanner.name('a shared array');
  scanner.expect(',');
  const index = expressions.expression();
  scanner.expect(',');
  const byDepth = scanner.oneOf(['rows', 'columns'] as const, 'rows or columns') === 'rows';
  scanner.expect(',');
  const blockLength = scanner.integer('elements of a block');
  scanner.expect(')');
  return { kind: 'shared_matrix', array, index, byDepth, blockLength };
}

/** Sums and factors of a subgroup. Left factors lie by depth without saying so. */
function subgroupStatement(scanner: TextScanner, expressions: ExpressionParser): Statement | undefined {
  if (scanner.accept('declare_sums')) return { kind: 'declare_sums', name: scanner.name('sums') };
  if (scanner.accept('load_factor')) {
    const side = scanner.oneOf(['left', 'right'] as const, 'a side of a product');
    const name = scanner.name('a factor');
    scanner.expect('=');
    const array = scanner.name('a shared array');
    const index = expressions.inBrackets();
    scanner.expect('pitch');
    const pitch = scanner.integer('words of a row');
    const byDepth = side === 'left' || scanner.accept('by_depth');
    return { kind: 'load_factor', name, side, array, index, pitch, byDepth };
  }
  if (scanner.accept('multiply_factors')) {
    const sums = scanner.name('sums');
    scanner.expect('+');
    scanner.expect('=');
    const left = scanner.name('a left factor');
    scanner.expect('by');
    return { kind: 'multiply_factors', sums, left, right: scanner.name('a right factor') };
  }
  if (!scanner.accept('store_sums')) return undefined;
  const array = scanner.name('a shared array');
  const index = expressions.inBrackets();
  scanner.expect('pitch');
  const pitch = scanner.integer('elements of a row');
  scanner.expect('=');
  return { kind: 'store_sums', sums: scanner.name('sums'), array, index, pitch };
}
