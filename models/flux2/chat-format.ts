/** What the text encoders were given around the user's prompt, as data. */
import type { PipelineConfig } from './pipeline-config.js';

export interface ChatFormat {
  /** Used when the tokenizer's files have no template of their own. Jinja, with `messages` and the special tokens. */
  readonly fallbackTemplate: string;
  /** Further variables of the template. */
  readonly templateVariables: Readonly<Record<string, boolean>>;
  readonly systemMessage: string | null;
  /** Taken out of the prompt before anything else. */
  readonly removedText: readonly string[];
  readonly paddingSide: 'left' | 'right';
  /** Prompts are padded, and truncated on the right, to this many tokens. */
  readonly maxSequenceLength: number;
}

/** Mistral Small 3.x: an optional system turn, then the user's. */
const mistralTemplate =
  '{{ bos_token }}{% for message in messages %}' +
  "{% if message['role'] == 'system' %}[SYSTEM_PROMPT]{{ message['content'] }}[/SYSTEM_PROMPT]" +
  "{% else %}[INST]{{ message['content'] }}[/INST]{% endif %}{% endfor %}";

/**
 * Qwen3: the user's turn and the start of an answer whose thinking is already closed. Line breaks stand inside
 * expressions because Jinja drops one at the end of a template.
 */
const qwen3Template =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}";

/** The chat format of a pipeline, by the family of its text encoder. */
export function chatFormatOf(
  pipeline: Pick<PipelineConfig, 'textEncoderFamily' | 'systemMessage' | 'maxSequenceLength'>,
): ChatFormat {
  const { systemMessage, maxSequenceLength } = pipeline;
  switch (pipeline.textEncoderFamily) {
    case 'mistral':
      return {
        fallbackTemplate: mistralTemplate,
        templateVariables: { add_generation_prompt: false },
        systemMessage,
        // The reference drops the picture token from prompts: its processor would look for a picture.
        removedText: ['[IMG]'],
        paddingSide: 'left',
        maxSequenceLength,
      };
    case 'qwen3':
      return {
        fallbackTemplate: qwen3Template,
        templateVariables: { add_generation_prompt: true, enable_thinking: false },
        systemMessage,
        removedText: [],
        paddingSide: 'right',
        maxSequenceLength,
      };
  }
}
