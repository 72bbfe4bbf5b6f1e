/** What `npm run figures` can be asked for. */
export const figureNames = ['accuracy-words', 'accuracy-digits', 'privacy', 'robustness', 'speed'] as const
export type FigureName = (typeof figureNames)[number]
