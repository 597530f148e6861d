import { type QuantizedDType, quantizedDTypes } from '../dtype.js';
import { fieldNames, type FieldName } from '../encoding.js';
import { BlockBuilder, ModuleBuilder } from './builder.js';
import type { GraphFunction, Module, WeightPart, WeightSource } from './graph.js';
import { NameScope } from './names.js';
import { BlockParser } from './parse-block.js';
import { Scanner } from './scanner.js';

/**
 * Reads the text that `printModule` writes, with `//` comments and free spacing. The types of results may be left out:
 * then they are inferred; types that are written are taken as they are (`verifyModule` compares them).
 *
 * Errors have `file:line:column`: F2C130 syntax, F2C131 no such operation, F2C132 no such value, F2C133 no such weight,
 * F2C134 a name defined twice, F2C135 attributes, F2C136 number of results, F2C11x of inference.
 */
export function parseModule(text: string, file = 'graph'): Module {
  return new ModuleParser(text, new Scanner(text, file)).module();
}

class ModuleParser {
  private readonly builder = new ModuleBuilder();
  /** True for names that the text gives to values: those of inline weights and constants keep away from them. */
  private readonly isWritten: (name: string) => boolean;

  constructor(
    text: string,
    private readonly scanner: Scanner,
  ) {
    const names = text.matchAll(/%(?:([A-Za-z0-9_.]+)|("(?:[^"\\\n]|\\.)*"))/g);
    const written = new Set([...names].map(([, bare, quoted]) => bare ?? (quoted as string)));
    this.isWritten = (name) => written.has(name) || written.has(JSON.stringify(name));
  }

  module(): Module {
    const { scanner } = this;
    while (!scanner.atEnd) {
      if (scanner.takeWord('weight')) this.weight();
      else if (scanner.takeWord('func')) this.builder.addFunction(this.graphFunction());
      else scanner.failHere("'weight' or 'func'");
    }
    return this.builder.build();
  }

  private weight(): void {
    const { scanner } = this;
    const name = scanner.name('@');
    const { mark } = scanner;
    if (this.builder.weight(name) !== undefined) scanner.fail('F2C134', `the weight @${name} is declared twice`);
    scanner.expect(':');
    const { dtype, shape } = scanner.type();
    scanner.expect('=');
    const source = this.source();
    scanner.at(() => this.builder.declareWeight(name, dtype, shape, source), mark);
  }

  private source(): WeightSource {
    const { scanner } = this;
    const kind = scanner.word('a source of a weight');
    switch (kind) {
      case 'tensor':
        return { kind, tensor: scanner.string() };
      case 'concat_rows':
        return { kind, parts: scanner.list('(', ')', () => this.part()) };
      case 'interleave_rows': {
        scanner.expect('(');
        const group = scanner.integer();
        const parts: WeightPart[] = [];
        while (scanner.take(',')) parts.push(this.part());
        scanner.expect(')');
        return { kind, group, parts };
      }
      case 'slice_rows': {
        scanner.expect('(');
        const of = this.part();
        scanner.expect(',');
        const start = scanner.integer();
        scanner.expect(')');
        return { kind, of, start };
      }
      case 'permute': {
        scanner.expect('(');
        const of = this.part();
        scanner.expect(',');
        const permutation = scanner.list('[', ']', () => scanner.integer());
        scanner.expect(')');
        return { kind, of, permutation };
      }
      case 'upsampled_filters': {
        scanner.expect('(');
        const of = this.part();
        scanner.expect(')');
        return { kind, of };
      }
      case 'quantize_rows':
      case 'row_scales': {
        scanner.expect('(');
        const of = this.part();
        scanner.expect(',');
        const dtype = this.quantizedType();
        scanner.expect(')');
        return { kind, of, dtype };
      }
      case 'encoded_rows': {
        scanner.expect('(');
        const of = this.part();
        scanner.expect(',');
        const encoding = scanner.string();
        scanner.expect(',');
        const field = this.field();
        scanner.expect(')');
        return { kind, of, encoding, field };
      }
      default:
        return scanner.fail('F2C130', `there is no source '${kind}'`, {
          expected:
            'tensor, concat_rows, interleave_rows, slice_rows, permute, upsampled_filters, quantize_rows, row_scales or encoded_rows',
        });
    }
  }

  private quantizedType(): QuantizedDType {
    const { scanner } = this;
    const name = scanner.word('an element type of quantised rows');
    return (
      quantizedDTypes.find((dtype) => dtype === name) ??
      scanner.fail('F2C130', `rows are not quantised to '${name}'`, { expected: quantizedDTypes.join(', ') })
    );
  }

  private field(): FieldName {
    const { scanner } = this;
    const name = scanner.word('an array of an encoded matrix');
    return (
      fieldNames.find((field) => field === name) ??
      scanner.fail('F2C130', `there is no array '${name}' of an encoded matrix`, { expected: fieldNames.join(', ') })
    );
  }

  private part(): WeightPart {
    const source = this.source();
    this.scanner.expect(':');
    return { source, shape: this.scanner.list('[', ']', () => this.scanner.integer()) };
  }

  private graphFunction(): GraphFunction {
    const { scanner } = this;
    const name = scanner.name('@');
    const { mark } = scanner;
    // Claims the name: a second function of it is refused here, where it stands.
    scanner.at(() => this.builder.function(name), mark);
    const block = new BlockBuilder({
      infer: { weightType: (weight) => this.builder.weight(weight)?.type },
      names: new NameScope([], this.isWritten),
      path: [`function '${name}'`],
      loopSymbols: [],
    });
    const resultNames: string[] = [];
    const parser = new BlockParser(scanner, block, this.isWritten);
    const body = parser.block(() => {
      resultNames.push(scanner.name(''));
      scanner.expect(':');
    });
    return { name, resultNames, body };
  }
}
