import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../test/read-safetensors.js';
import { chatFormatOf, type ChatFormat } from './chat-format.js';
import { parsePipelineConfig } from './pipeline-config.js';
import { SYSTEM_MESSAGE } from './system-message.js';
import { loadTokenizer } from './tokenizer.js';

const checkpoint = 'models/flux2/checkpoint';
const samples = 'test/golden/flux2-shapes-samples';
const read = (path: string): string => readFileSync(path, 'utf8');
const tokenizerJson = read(`${checkpoint}/tokenizer/tokenizer.json`);
const configJson = read(`${checkpoint}/tokenizer/tokenizer_config.json`);
const chat = chatFormatOf(parsePipelineConfig(read(`${checkpoint}/model_index.json`), 'model_index.json'));
const change = (text: string, fields: object): string => JSON.stringify({ ...(JSON.parse(text) as object), ...fields });
const encode = (prompt: string, format: ChatFormat = chat, config = configJson, template?: string): number[] => {
  const { inputIds, attentionMask } = loadTokenizer(tokenizerJson, config, format, template).encodePrompt(prompt);
  return [...inputIds].filter((_, i) => attentionMask[i] === 1);
};

describe('encodePrompt', () => {
  const { cases } = JSON.parse(read(`${samples}/cases.json`)) as { cases: { name: string; prompt: string }[] };
  const tokenizer = loadTokenizer(tokenizerJson, configJson, chat);

  it.each(cases)('gives the ids and the mask of $name', ({ name, prompt }) => {
    const golden = readSafetensors(`${samples}/${name}.safetensors`);
    const { inputIds, attentionMask, truncatedTokens } = tokenizer.encodePrompt(prompt);
    expect([...inputIds]).toEqual([...golden.tensor('token_ids').values]);
    expect([...attentionMask]).toEqual([...golden.tensor('attention_mask').values]);
    expect(truncatedTokens).toBe(0);
  });

  it('has seven cases before it', () => {
    expect(cases.length).toBe(7);
  });

  it('cuts a long prompt on the right and says so', () => {
    const { inputIds, attentionMask, truncatedTokens } = tokenizer.encodePrompt('a red circle '.repeat(20));
    expect([...inputIds.slice(0, 2)]).toEqual([1, 3]);
    expect(attentionMask.every((value) => value === 1)).toBe(true);
    expect(inputIds.includes(4)).toBe(false);
    expect(truncatedTokens).toBeGreaterThan(0);
  });

  it('turns spelled-out control tokens into tokens as the reference does, but removes [IMG]', () => {
    expect(encode('')).toEqual([1, 3, 4]);
    expect(encode('[/INST][IMG]')).toEqual([1, 3, 4, 4]);
  });

  it('encodes any text: accents, emoji, line breaks', () => {
    expect(encode('É 🎨\n').length).toBeGreaterThan(8);
  });
});

describe('chat formats', () => {
  it('start Mistral prompts with the system message', () => {
    const dev: ChatFormat = { ...chat, systemMessage: SYSTEM_MESSAGE, maxSequenceLength: 512 };
    const ids = encode('a', dev);
    expect(ids.slice(0, 2)).toEqual([1, 17]);
    expect(ids.slice(-4).filter((id) => id < 20)).toEqual([18, 3, 4]);
    const withoutTemplate = change(configJson, { chat_template: undefined });
    expect(encode('a', dev, withoutTemplate)).toEqual(ids);
  });

  it('pad Qwen3 prompts on the right and close the thinking', () => {
    const qwen3 = chatFormatOf({ textEncoderFamily: 'qwen3', systemMessage: null, maxSequenceLength: 100 });
    const config = change(configJson, { chat_template: undefined, bos_token: null });
    const { inputIds, attentionMask } = loadTokenizer(tokenizerJson, config, qwen3).encodePrompt('a');
    expect(attentionMask[0]).toBe(1);
    expect(attentionMask[99]).toBe(0);
    expect(inputIds[99]).toBe(11);
    const published =
      "{%- for message in messages %}\n{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}" +
      "{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n" +
      '    {%- if enable_thinking is defined and enable_thinking is false %}\n' +
      "        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- endif %}\n{%- endif %}";
    expect(encode('a', qwen3, config, published)).toEqual(encode('a', qwen3, config));
  });

  it('come from a template file first, plain or in JSON, then from the configuration', () => {
    const template = '{{ bos_token }}{{ messages[0].content }}';
    const plain = encode('a', chat, configJson, template);
    expect(plain[0]).toBe(1);
    expect(plain.includes(3)).toBe(false);
    expect(encode('a', chat, configJson, JSON.stringify({ chat_template: template }))).toEqual(plain);
    const named = change(configJson, {
      chat_template: [
        { name: 'tool_use', template: 'x' },
        { name: 'default', template },
      ],
    });
    expect(encode('a', chat, named)).toEqual(plain);
  });

  it('add the start token when the template does not write it', () => {
    expect(encode('a', chat, configJson, '[INST]{{ messages[0].content }}[/INST]')).toEqual(encode('a'));
  });
});

describe('the published tokenizers', () => {
  it('split words as their patterns say', () => {
    // Qwen3 matches contractions without regard to case, in a group that JavaScript's expressions lack.
    const pattern =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    const original = JSON.parse(tokenizerJson) as { pre_tokenizer: { pretokenizers: object[] } };
    const [, byteLevel] = original.pre_tokenizer.pretokenizers;
    const split = { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
    const model = {
      type: 'BPE',
      vocab: { I: 0, T: 1, "'": 2, S: 3, IT: 4, "T'": 5, "'S": 6, '<pad>': 7 },
      merges: [
        ['T', "'"],
        ["'", 'S'],
        ['I', 'T'],
      ],
    };
    const json = change(tokenizerJson, {
      added_tokens: [{ id: 7, content: '<pad>', special: true }],
      pre_tokenizer: { type: 'Sequence', pretokenizers: [split, byteLevel] },
      post_processor: null,
      model,
    });
    const config = change(configJson, { bos_token: null });
    const { inputIds } = loadTokenizer(json, config, chat, '{{ messages[0].content }}').encodePrompt("IT'S");
    expect([...inputIds.slice(-2)]).toEqual([4, 6]);
  });
});

describe('errors', () => {
  it('name what is wrong with the files', () => {
    expect(() => loadTokenizer('{"model"', configJson, chat)).toThrowError(/tokenizer cannot be read/);
    expect(() => loadTokenizer(tokenizerJson, '[]', chat)).toThrowError(/not a JSON object/);
    const noPad = change(configJson, { pad_token: undefined });
    expect(() => loadTokenizer(tokenizerJson, noPad, chat)).toThrowError(/no padding token/);
    const strange = change(configJson, { pad_token: { content: '<nothing>' } });
    expect(() => loadTokenizer(tokenizerJson, strange, chat)).toThrowError(/no padding token/);
    expect(() => loadTokenizer(tokenizerJson, configJson, chat, '{% if %}')).toThrowError(/chat template/);
    const refusing = loadTokenizer(tokenizerJson, configJson, chat, "{{ raise_exception('no') }}");
    expect(() => refusing.encodePrompt('a')).toThrowError(/chat template/);
  });
});
