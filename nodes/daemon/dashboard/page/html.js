// A small framework without a build step: templates instead of JSX.
import htm from 'htm'
import { h } from 'preact'

export const html = htm.bind(h)
