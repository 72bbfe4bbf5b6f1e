/** What is drawn again and again in its place: longer lines end at the edge of the terminal instead of going on below it. */
export const unwrapped = (text: string): string => `\x1b[?7l${text}\x1b[?7h`
