import type { DType } from '../dtype.js';
import { type AttributeForm, attributeForms, isOpKind, optionalAttributes } from './attribute-forms.js';
import type { OpAttributes, OpKind } from './attributes.js';
import { BlockBuilder, type PlainOpKind } from './builder.js';
import type { Block, Operation, TensorType, Value } from './graph.js';
import { NameScope } from './names.js';
import { naturalConstantType } from './print.js';
import type { Scanner } from './scanner.js';

/** An operand as written; values are looked up once it is known what they may be. */
type Operand =
  | { readonly kind: 'value' | 'weight'; readonly name: string; readonly mark: number }
  | { readonly kind: 'constant'; readonly value: number; readonly dtype: DType | undefined; readonly mark: number };

/** Reads one block: a function's body, or that of a loop or fused operation, from its parameters to its closing brace. */
export class BlockParser {
  private readonly values = new Map<string, Value>();
  private readonly sources = new Map<string, Value>();

  constructor(
    private readonly scanner: Scanner,
    private readonly builder: BlockBuilder,
    private readonly isWritten: (name: string) => boolean,
    private readonly parent?: BlockParser,
  ) {}

  /** `(%x: type, ...) -> (result, ...) { operations }`; `beforeResult` reads what stands before each result. */
  block(beforeResult: () => void = () => {}): Block {
    const { scanner } = this;
    scanner.list('(', ')', () => {
      const name = this.newName();
      scanner.expect(':');
      const value = { name, type: scanner.type() };
      this.builder.scope.names.reserve(name);
      this.values.set(name, value);
      this.builder.adoptParameter(value);
    });
    scanner.expect('->');
    const results = scanner.list('(', ')', () => {
      beforeResult();
      return this.operand();
    });
    scanner.expect('{');
    while (!scanner.take('}')) this.operation();
    return this.builder.close(this.resolve(results, () => 'f32'));
  }

  private operation(): void {
    const { scanner } = this;
    const names: string[] = [];
    while (scanner.sees('%')) {
      const name = this.newName();
      if (names.includes(name)) this.failTwice(name, scanner.mark);
      names.push(name);
      if (!scanner.take(',')) break;
    }
    if (names.length > 0) scanner.expect('=');
    const kind = scanner.word('an operation');
    if (!isOpKind(kind)) return this.scanner.fail('F2C131', `there is no operation '${kind}'`);
    const { mark } = scanner;
    const operands = this.resolve(scanner.list('(', ')', () => this.operand()));
    const attributes = this.attributes(kind, mark);
    const types: TensorType[] = [];
    if (scanner.take(':')) {
      do types.push(scanner.type());
      while (scanner.take(','));
    }
    const body = kind === 'loop' || kind === 'fused' ? this.nested(kind, attributes) : undefined;
    const inferred = types.length > 0 ? types : this.infer(kind, operands, attributes, body, mark);
    if (inferred.length !== names.length) {
      const found = `${names.length} names for ${inferred.length} results`;
      scanner.fail('F2C136', 'every result needs a name and a type', { found }, mark);
    }
    const results = inferred.map((type, index) => ({ name: names[index] as string, type }));
    for (const result of results) {
      if (!this.builder.scope.names.reserve(result.name)) this.failTwice(result.name, mark);
      this.values.set(result.name, result);
    }
    // The attributes have the forms of this kind.
    this.builder.append({
      kind,
      operands,
      attributes,
      results,
      ...(body === undefined ? {} : { body }),
    } as unknown as Operation);
  }

  private nested(kind: 'loop' | 'fused', attributes: Readonly<Record<string, unknown>>): Block {
    const { scope } = this.builder;
    if (!this.scanner.takeWord('do')) this.scanner.failHere("'do' and the body");
    if (kind === 'fused') {
      const { infer, path, loopSymbols } = scope;
      const inner = new BlockBuilder({
        infer,
        names: new NameScope([], this.isWritten),
        path: [...path, 'fused'],
        loopSymbols,
      });
      return new BlockParser(this.scanner, inner, this.isWritten).block();
    }
    const symbol = attributes['symbol'] as string;
    const path = [...scope.path, `loop ${symbol}`];
    const loopSymbols = [...scope.loopSymbols, symbol];
    const inner = new BlockBuilder({ ...scope, path, loopSymbols, parent: this.builder });
    return new BlockParser(this.scanner, inner, this.isWritten, this).block();
  }

  private infer(
    kind: OpKind,
    operands: readonly Value[],
    attributes: Readonly<Record<string, unknown>>,
    body: Block | undefined,
    mark: number,
  ): readonly TensorType[] {
    if (body !== undefined) return body.results.map((value) => value.type);
    const probe = new BlockBuilder({ ...this.builder.scope, names: new NameScope(), parent: this.builder });
    const plain = kind as PlainOpKind;
    const made = this.scanner.at(() => probe.emit(plain, operands, attributes as OpAttributes[PlainOpKind]), mark);
    return made.map((value) => value.type);
  }

  private attributes(kind: OpKind, mark: number): Readonly<Record<string, unknown>> {
    const { scanner } = this;
    const forms = new Map(attributeForms(kind));
    const found = new Map<string, unknown>();
    if (scanner.sees('{')) {
      scanner.list('{', '}', () => {
        const name = scanner.word('the name of an attribute');
        const form = forms.get(name);
        if (form === undefined || found.has(name)) {
          const message = form === undefined ? `${kind} has no attribute '${name}'` : `'${name}' is given twice`;
          return this.scanner.fail('F2C135', message, { expected: [...forms.keys()].join(', ') || 'no attributes' });
        }
        scanner.expect('=');
        found.set(name, this.attribute(form));
      });
    }
    const missing = [...forms.keys()].filter((name) => !found.has(name) && !optionalAttributes.has(name));
    if (missing.length > 0) scanner.fail('F2C135', `${kind} needs '${missing.join("', '")}'`, {}, mark);
    const given = [...forms.keys()].filter((name) => found.has(name));
    return Object.fromEntries(given.map((name) => [name, found.get(name)]));
  }

  private attribute(form: AttributeForm): unknown {
    const { scanner } = this;
    switch (form) {
      case 'number':
        return scanner.number();
      case 'numbers':
        return scanner.list('[', ']', () => scanner.number());
      case 'boolean': {
        const word = scanner.word('true or false');
        if (word !== 'true' && word !== 'false') scanner.fail('F2C135', `'${word}' is neither true nor false`);
        return word === 'true';
      }
      case 'dim':
        return scanner.dim();
      case 'dims':
        return scanner.list('[', ']', () => scanner.dim());
      case 'dtype':
        return scanner.dtype();
      case 'text':
        return scanner.string();
      case 'symbol':
        return scanner.word('a symbol');
      default: {
        const word = scanner.word(form.join(' or '));
        if (!form.includes(word)) scanner.fail('F2C135', `'${word}' is no choice`, { expected: form.join(', ') });
        return word;
      }
    }
  }

  private operand(): Operand {
    const { scanner } = this;
    if (scanner.sees('%')) return { kind: 'value', name: scanner.name('%'), mark: scanner.mark };
    if (scanner.sees('@')) return { kind: 'weight', name: scanner.name('@'), mark: scanner.mark };
    const value = scanner.takeNumber() ?? scanner.failHere('a %value, a @weight or a number');
    const { mark } = scanner;
    return { kind: 'constant', value, dtype: scanner.take(':') ? scanner.dtype() : undefined, mark };
  }

  /**
   * The values of operands; constants that say no type get that of the others. Results of a block need not be of one
   * type, so the caller has `naturalType` say what those are.
   */
  private resolve(operands: readonly Operand[], naturalType = naturalConstantType): readonly Value[] {
    const known = operands.map((operand) => {
      if (operand.kind === 'constant') return undefined;
      return operand.kind === 'value'
        ? this.lookup(operand.name, operand.mark)
        : this.weight(operand.name, operand.mark);
    });
    const natural = naturalType(known.map((value) => value?.type.dtype));
    return operands.map((operand, index) =>
      operand.kind === 'constant'
        ? this.constant(operand.dtype ?? natural, operand.value, operand.mark)
        : (known[index] as Value),
    );
  }

  private lookup(name: string, mark: number): Value {
    const value = this.find(name);
    if (value !== undefined) return value;
    const hint = 'Values are defined before their use; the body of a fused operation sees only its parameters.';
    return this.scanner.fail('F2C132', `%${name} is not defined here`, { hint }, mark);
  }

  private find(name: string): Value | undefined {
    return this.values.get(name) ?? this.parent?.find(name);
  }

  private weight(name: string, mark: number): Value {
    const type = this.builder.scope.infer.weightType(name);
    if (type === undefined) this.scanner.fail('F2C133', `the weight @${name} is not declared`, {}, mark);
    return this.source(`@${name}`, () => ({ kind: 'weight', operands: [], attributes: { name } }), type);
  }

  private constant(dtype: DType, value: number, mark: number): Value {
    const attributes = { dtype, shape: [], values: [value] };
    this.infer('constant', [], attributes, undefined, mark);
    const key = `${Object.is(value, -0) ? '-0' : value}:${dtype}`;
    return this.source(key, () => ({ kind: 'constant', operands: [], attributes }), { dtype, shape: [] });
  }

  /** An inline source, made at its first use in the block. */
  private source(key: string, make: () => Omit<Operation, 'results'>, type: TensorType): Value {
    const known = this.sources.get(key);
    if (known !== undefined) return known;
    const value = { name: this.builder.scope.names.fresh(key), type };
    this.sources.set(key, value);
    this.builder.append({ ...make(), results: [value] } as unknown as Operation);
    return value;
  }

  private newName(): string {
    const name = this.scanner.name('%');
    if (this.builder.scope.names.has(name)) this.failTwice(name, this.scanner.mark);
    return name;
  }

  private failTwice(name: string, mark: number): never {
    const hint = 'A name is used once in a function, in its loops too.';
    this.scanner.fail('F2C134', `%${name} is defined twice`, { hint }, mark);
  }
}
