/** From a prompt to the token ids that the text encoder reads. */
import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { Flux2cError } from '../../ir/diagnostics.js';
import type { ChatFormat } from './chat-format.js';
import { ConfigReader } from './config-reader.js';

export interface EncodedPrompt {
  /** `[maxSequenceLength]` token ids, padding included. */
  readonly inputIds: Int32Array;
  /** `[maxSequenceLength]`, 1 for tokens of the prompt and 0 for padding. */
  readonly attentionMask: Int32Array;
  /** Tokens that did not fit and were cut off at the end; 0 when the whole prompt is seen. */
  readonly truncatedTokens: number;
}

export interface PromptTokenizer {
  /**
   * Formats `prompt` as the one user turn of a chat and encodes it. As in the reference, text that spells a control
   * token (`[INST]`, `<|im_end|>`) becomes that token wherever it stands, except what the chat format removes.
   */
  encodePrompt(prompt: string): EncodedPrompt;
}

/** File names in error messages. */
const TOKENIZER_FILE = 'tokenizer.json';
const CONFIG_FILE = 'tokenizer_config.json';

/**
 * Loads a tokenizer from the texts of its files. `chatTemplate` is the content of a `chat_template.jinja` or
 * `chat_template.json` beside them, if any; it goes before the template in `tokenizer_config.json`, and that before
 * the chat format's own. Errors: F2C610 files that are not JSON, F2C620 an unusable tokenizer, F2C621 no padding
 * token, F2C622 a template that fails.
 */
export function loadTokenizer(
  tokenizerJson: string,
  tokenizerConfigJson: string,
  chat: ChatFormat,
  chatTemplate?: string,
): PromptTokenizer {
  const config = ConfigReader.parse(tokenizerConfigJson, CONFIG_FILE);
  const tokenizer = createTokenizer(tokenizerJson, tokenizerConfigJson);
  const template = compileTemplate(findTemplate(config, chatTemplate) ?? chat.fallbackTemplate);
  const specialTokens = readSpecialTokens(config);
  const padId = findPadId(tokenizer, specialTokens.pad_token);
  const systemTurn = chat.systemMessage === null ? [] : [{ role: 'system', content: chat.systemMessage }];

  return {
    encodePrompt(prompt) {
      const content = chat.removedText.reduce((text, removed) => text.replaceAll(removed, ''), prompt);
      const messages = [...systemTurn, { role: 'user', content }];
      const text = renderTemplate(template, { messages, ...specialTokens, ...chat.templateVariables });
      // A template that writes the start token itself must not get a second one.
      const hasStart = specialTokens.bos_token !== undefined && text.startsWith(specialTokens.bos_token);
      const { ids } = tokenizer.encode(text, { add_special_tokens: !hasStart });
      return padTokens(ids, padId, chat);
    },
  };
}

function padTokens(ids: readonly number[], padId: number, chat: ChatFormat): EncodedPrompt {
  const length = chat.maxSequenceLength;
  const kept = ids.slice(0, length);
  const start = chat.paddingSide === 'left' ? length - kept.length : 0;
  const inputIds = new Int32Array(length).fill(padId);
  const attentionMask = new Int32Array(length);
  inputIds.set(kept, start);
  attentionMask.fill(1, start, start + kept.length);
  return { inputIds, attentionMask, truncatedTokens: ids.length - kept.length };
}

function createTokenizer(tokenizerJson: string, tokenizerConfigJson: string): Tokenizer {
  try {
    return new Tokenizer(JSON.parse(tokenizerJson) as object, JSON.parse(tokenizerConfigJson) as object);
  } catch (cause) {
    throw new Flux2cError('F2C620', 'the tokenizer cannot be read', {
      where: [TOKENIZER_FILE],
      found: messageOf(cause),
      hint: 'Download the tokenizer folder of the checkpoint again.',
      cause,
    });
  }
}

interface SpecialTokens {
  readonly bos_token?: string;
  readonly eos_token?: string;
  readonly unk_token?: string;
  readonly pad_token?: string;
}

function readSpecialTokens(config: ConfigReader): SpecialTokens {
  const entries = (['bos_token', 'eos_token', 'unk_token', 'pad_token'] as const).flatMap((key) => {
    if (!config.has(key)) return [];
    const content = typeof config.value(key) === 'string' ? config.string(key) : config.object(key).string('content');
    return [[key, content] as const];
  });
  return Object.fromEntries(entries);
}

function findPadId(tokenizer: Tokenizer, padToken: string | undefined): number {
  const id = padToken === undefined ? undefined : tokenizer.token_to_id(padToken);
  if (id !== undefined) return id;
  throw new Flux2cError('F2C621', 'the tokenizer has no padding token', {
    where: [CONFIG_FILE, 'pad_token'],
    expected: 'a token of the vocabulary',
    found: padToken ?? 'none',
  });
}

function findTemplate(config: ConfigReader, chatTemplate: string | undefined): string | undefined {
  if (chatTemplate !== undefined) return unwrapTemplateFile(chatTemplate);
  const value = config.value('chat_template');
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  // Several named templates: the reference takes the one called default.
  const named = value as readonly { readonly name?: unknown; readonly template?: unknown }[];
  const template = named.find(({ name }) => name === 'default')?.template;
  return typeof template === 'string' ? template : undefined;
}

/** Older checkpoints wrap the template in a JSON file, newer ones store it plain. */
function unwrapTemplateFile(text: string): string {
  if (!/^\s*\{\s*"/.test(text)) return text;
  return ConfigReader.parse(text, 'chat_template.json').string('chat_template');
}

function compileTemplate(source: string): Template {
  try {
    return new Template(source);
  } catch (cause) {
    throw templateError(cause);
  }
}

function renderTemplate(template: Template, variables: Record<string, unknown>): string {
  try {
    return template.render(variables);
  } catch (cause) {
    throw templateError(cause);
  }
}

function templateError(cause: unknown): Flux2cError {
  return new Flux2cError('F2C622', 'the chat template of the tokenizer fails', {
    where: [CONFIG_FILE, 'chat_template'],
    found: messageOf(cause),
    cause,
  });
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
