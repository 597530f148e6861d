import { markup, Markup, type Content } from './markup.js';
import { figureStyle, withLightColours } from './style.js';

/** A picture as an SVG file of its own, in the light theme on its own background. Pixels. */
export function renderFigure(width: number, height: number, content: Content): string {
  const { text } =
    markup`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"><style>${new Markup(figureStyle)}</style><rect class="paper" width="${width}" height="${height}"/>${content}</svg>`;
  return `${withLightColours(text)}\n`;
}
